"""Calibrating a run: the last part of training, by clips that nothing was trained on."""

from collections.abc import Callable, Mapping
from pathlib import Path

from flowasd.data.source import Source
from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.evaluation.cross_fit import cross_fitted
from flowasd.evaluation.remember import reference
from flowasd.features.cache import Features
from flowasd.run.calibration_file import (
    CalibrationFile,
    calibration_key,
    load_calibration,
    save_calibration,
)
from flowasd.run.reference_file import load_reference, save_reference
from flowasd.run.splits import KEPT, Opened, open_recorded, refuse_seen
from flowasd.scoring.calibration import calibrate
from flowasd.scoring.decision import CROSS_FITTED, HELD_OUT, Calibration, NormalScores


def calibrate_run(workdir: Path, given: Opened | None = None) -> None:
    """Writes calibration.npz and reference.npz of the best checkpoint, unless they are there.

    Args:
        workdir: Folder of the run.
        given: The clips of the run and their features; without them, the config of the run says
            where the clips are.

    Raises:
        UserError: If there is no checkpoint, or the recordings of the run are not there any more.
    """
    detector = Detector.restore(workdir)
    key = calibration_key(detector.config, detector.step)
    calibrated, remembered = (
        _serves(load, workdir, key) for load in (load_calibration, load_reference)
    )
    if calibrated and remembered:
        return
    source, features = given or open_recorded(workdir, detector.config)
    if not calibrated:
        calibration = _calibration(workdir, detector, source, features)
        save_calibration(workdir, CalibrationFile(calibration), key)
    train = source.splits["train"]
    if not remembered and all(clip.path.exists() for clip in train):  # waveforms are no files
        save_reference(workdir, reference(detector, train, features["train"]), key)


def _serves(load: Callable[[Path, str], object], workdir: Path, key: str) -> bool:
    """Whether a file is there; one that is damaged or made for other settings does not serve."""
    try:
        return load(workdir, key) is not None
    except UserError:
        return False


def _calibration(
    workdir: Path, detector: Detector, source: Source, features: Mapping[str, Features]
) -> Calibration:
    seen: list[str] = []
    clips = {}
    for split in (split for split in KEPT if split in source.splits):
        own = source.splits[split]
        refuse_seen(workdir, own, features[split].recordings, seen)
        clips[split] = detector.clips(features[split].clips(), [c.machine_id for c in own])
        seen.append(split)
    normality = calibrate(clips["train"], clips["validation"])
    if "calibration" in clips:
        normal, kind = NormalScores.of(clips["calibration"], normality), HELD_OUT
    else:
        normal, kind = cross_fitted(detector, source, features), CROSS_FITTED
    return Calibration(normality, normal, (kind,) * len(detector.machine_ids))
