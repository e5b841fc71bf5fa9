"""Reasons to doubt the scores of recordings."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from flowasd.band_detector import BandDetector
from flowasd.data.machine_ids import full_id
from flowasd.features.outliers import lost_highs
from flowasd.scoring.decision import distance_from_normal, foreign
from flowasd.scoring.rules import Judged


def doubts(
    detector: BandDetector,
    bands: Sequence[Float[np.ndarray, "_ band"]],
    machine_ids: Sequence[str],
    judged: Sequence[Judged],
) -> list[str | None]:
    """Says why the scores of recordings are to be doubted; `None` where there is no reason.

    Args:
        detector: The detector.
        bands: Bands `(time, band)` in dB of every recording.
        machine_ids: The ID under which each was judged.
        judged: What was said of each.
    """
    scores, far = np.array([one.scores["mean"] for one in judged]), np.zeros(len(judged))
    for machine_id in dict.fromkeys(machine_ids):
        own = [i for i, other in enumerate(machine_ids) if other == machine_id]
        normal = detector.normal_scores(full_id(machine_id, detector.known_ids), "mean")
        far[own] = distance_from_normal(scores[own], normal)
    lost = (lost_highs(clip, detector.statistics, detector.frontend) for clip in bands)
    return [highs or foreign(distance) for highs, distance in zip(lost, far, strict=True)]
