"""Calibrating a run: the last part of training, by clips that nothing was trained on."""

from pathlib import Path

from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.evaluation.cross_fit import cross_fitted
from flowasd.run.calibration_file import (
    CalibrationFile,
    calibration_key,
    load_calibration,
    save_calibration,
)
from flowasd.run.splits import Opened, open_recorded, refuse_seen
from flowasd.scoring.calibration import calibrate
from flowasd.scoring.decision import CROSS_FITTED, HELD_OUT, Calibration, NormalScores


def calibrate_run(workdir: Path, given: Opened | None = None) -> None:
    """Writes calibration.npz of the best checkpoint, unless one that serves is there.

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
        return
    except UserError:  # missing, damaged, or made for other settings
        pass
    source, features = given or open_recorded(workdir, detector.config)
    for split, seen in (("validation", ["train"]), ("calibration", ["train", "validation"])):
        refuse_seen(workdir, source.splits[split], features[split].recordings, seen)
    train, validation, held_out = (
        detector.clips(features[split].clips(), [clip.machine_id for clip in source.splits[split]])
        for split in ("train", "validation", "calibration")
    )
    normality = calibrate(train, validation)
    if held_out.nlls:
        normal, kind = NormalScores.of(held_out, normality), HELD_OUT
    else:
        normal, kind = cross_fitted(detector, source, features), CROSS_FITTED
    calibration = Calibration(normality, normal, (kind,) * len(detector.machine_ids))
    save_calibration(workdir, CalibrationFile(calibration), key)
