"""Calibrating a run: the last part of training, by clips that nothing was trained on."""

from pathlib import Path

from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.evaluation.cross_fit import cross_fitted
from flowasd.evaluation.remember import reference
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
    try:
        load_calibration(workdir, key)
        if load_reference(workdir, key) is not None:
            return
    except UserError:  # missing, damaged, or made for other settings
        pass
    source, features = given or open_recorded(workdir, detector.config)
    seen: list[str] = []
    clips = {}
    for split in KEPT:
        if split in source.splits:
            own = source.splits[split]
            refuse_seen(workdir, own, features[split].recordings, seen)
            clips[split] = detector.clips(features[split].clips(), [c.machine_id for c in own])
            seen.append(split)
    normality = calibrate(clips["train"], clips["validation"])
    if "calibration" in clips:
        normal, kind = NormalScores.of(clips["calibration"], normality), HELD_OUT
    else:
        normal, kind = cross_fitted(detector, source, features), CROSS_FITTED
    calibration = Calibration(normality, normal, (kind,) * len(detector.machine_ids))
    if all(clip.path.exists() for clip in source.splits["train"]):  # waveforms are no files
        remembered = reference(detector, source.splits["train"], features["train"])
        save_reference(workdir, remembered, key)
    save_calibration(workdir, CalibrationFile(calibration), key)
