"""Calibrating a run: the last part of training, by the clips of `train` and `validation`."""

from pathlib import Path

from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.run.calibration_file import calibration_key, load_calibration, save_calibration
from flowasd.run.splits import open_recorded, refuse_seen
from flowasd.scoring.calibration import calibrate


def calibrate_run(workdir: Path) -> None:
    """Writes calibration.npz of the best checkpoint, unless one that serves is there.

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
    source, features = open_recorded(workdir, detector.config)
    held_out = source.splits["validation"]
    refuse_seen(workdir, held_out, features["validation"].recordings, ["train"])
    train_clips, held_out_clips = (
        detector.clips(features[split].clips(), [clip.machine_id for clip in source.splits[split]])
        for split in ("train", "validation")
    )
    save_calibration(workdir, calibrate(train_clips, held_out_clips), key)
