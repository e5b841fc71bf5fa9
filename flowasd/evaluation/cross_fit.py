"""Cross-fitting: every training clip is scored by a flow that was trained without it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int
from tqdm import tqdm

from flowasd.data.clips import Clip
from flowasd.data.source import Source
from flowasd.data.splits import hash_fraction
from flowasd.detector import Detector
from flowasd.features.cache import Features
from flowasd.scoring.calibration import calibrate
from flowasd.scoring.decision import NormalScores
from flowasd.scoring.rules import Clips
from flowasd.training.refit import refit

WHOLE = -1  # the fold of an ID's only clip, which is never left out


def cross_fitted(
    detector: Detector, source: Source, features: Mapping[str, Features]
) -> NormalScores:
    """Scores the training clips of a run in folds, each by a flow of the other folds.

    Every flow is trained as the detector's was, up to the same step, and has statistics of normal
    clips of its own.

    Args:
        detector: The detector of the run.
        source: The clips of the run.
        features: The features of its splits.
    """
    machine = source.machine_index("train")
    config = detector.config.for_clips(len(machine))
    fold = folds(source.splits["train"], config.score.folds, config.seed)
    known, held_out = features["train"], features["validation"]
    parts = []
    for left_out in tqdm(range(config.score.folds), "calibrate", unit="fold", disable=None):
        kept, out = (np.flatnonzero(some).tolist() for some in (fold != left_out, fold == left_out))
        if not out:
            continue
        flow, statistics = refit(config, known.some(kept), machine[kept], detector.step, known)
        refitted = replace(detector, flow=flow, statistics=statistics)
        normality = calibrate(
            _clips(refitted, known.some(kept), machine[kept]),
            _clips(refitted, held_out, source.machine_index("validation")),
        )
        parts.append(NormalScores.of(_clips(refitted, known.some(out), machine[out]), normality))
    return NormalScores.none().joined(*parts)


def _clips(detector: Detector, features: Features, machine: Int[np.ndarray, " clip"]) -> Clips:
    return detector.clips(features.clips(), [detector.machine_ids[m] for m in machine])


def folds(clips: Sequence[Clip], count: int, seed: int) -> Int[np.ndarray, " clip"]:
    """Returns the fold of every clip: those of an ID are dealt out by the hashes of their names."""
    fold = np.full(len(clips), WHOLE)
    for machine_id in {clip.machine_id for clip in clips}:
        own = [i for i, clip in enumerate(clips) if clip.machine_id == machine_id]
        own.sort(key=lambda i: hash_fraction(clips[i].name, seed))
        if len(own) > 1:
            fold[own] = np.arange(len(own)) % count
    return fold
