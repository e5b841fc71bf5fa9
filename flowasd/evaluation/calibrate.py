"""Calibrating a run: the last part of training, by the clips of `train` and `validation`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flowasd.data.clips import Clip
from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.features.cache import Features, hear_all
from flowasd.features.frontend import standardise
from flowasd.run.calibration_file import calibration_key, load_calibration, save_calibration
from flowasd.run.reference_file import load_reference, save_reference
from flowasd.run.splits import open_recorded, refuse_seen
from flowasd.scoring.calibration import calibrate
from flowasd.scoring.reference import Reference, mean_latents, mean_quantiles

LISTENED_TO = 100  # clips of an ID, whose spectra say what is normal; of more, every n-th
REMEMBERED = 2000  # clips of all IDs, which may be named as the nearest ones


def calibrate_run(workdir: Path) -> None:
    """Writes calibration.npz and reference.npz of the best checkpoint, unless they are there.

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
    source, features = open_recorded(workdir, detector.config)
    held_out = source.splits["validation"]
    refuse_seen(workdir, held_out, features["validation"].recordings, ["train"])
    train_clips, held_out_clips = (
        detector.clips(features[split].clips(), [clip.machine_id for clip in source.splits[split]])
        for split in ("train", "validation")
    )
    save_reference(workdir, _reference(detector, source.splits["train"], features["train"]), key)
    save_calibration(workdir, calibrate(train_clips, held_out_clips), key)


def _reference(detector: Detector, clips: Sequence[Clip], features: Features) -> Reference:
    """Describes the training clips, for explanations."""
    quantiles = []
    for machine_id in detector.machine_ids:
        own = _some(
            [i for i, clip in enumerate(clips) if clip.machine_id == machine_id], LISTENED_TO
        )
        if detector.frontend.windows[0]:
            heard = hear_all([clips[i].path for i in own], detector.frontend.unpooled)
            quantiles.append(mean_quantiles(one.bands for one in heard))
        else:
            quantiles.append(mean_quantiles(features.clip(i) for i in own))
    some = _some(range(len(clips)), REMEMBERED)
    frames = [standardise(clip, detector.statistics) for clip in features.some(some).clips()]
    return Reference(
        np.array(quantiles),
        mean_latents(detector.flow, frames, detector.config.train.patch_length),
        np.array([detector.machine_ids.index(clips[i].machine_id) for i in some]),
        tuple(clips[i].name for i in some),
    )


def _some(items: Sequence[int], most: int) -> Sequence[int]:
    """Returns every n-th item, so that there are at most so many."""
    return items[:: -(-len(items) // most)]
