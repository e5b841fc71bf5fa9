"""Calibration: the statistics of normal clips that the score rules need.

No anomalous clip is involved. Statistics of the training clips come first; held-out normal clips
then show how far from them the scores of clips lie that the flow has not seen.
"""

import numpy as np

from flowasd.scoring.rules import JOINED, Clips, Normality, joined

FEW = 3  # training clips; fewer clips of an ID do not tell how far its scores scatter
SPREAD_FLOOR = 1e-6  # of a score that never moves, such as `relative` where there is one ID


def calibrate(train: Clips, held_out: Clips) -> Normality:
    """Fits the statistics that turn a clip into its scores by every rule.

    Location and spread of an ID are those of its training clips. The flow has seen these clips.
    Held-out clips are too few to describe each ID, so they correct location and spread of all IDs
    by one shift and one factor. An ID with fewer than `FEW` training clips takes the mean spread of
    the other IDs and does not contribute to the correction.

    Args:
        train: Clips that the flow was trained on; every ID has at least one.
        held_out: Normal clips that it was not trained on.
    """
    normality = fit_normality(train)
    seen, n_machines = joined(train, normality), len(normality.level)
    location = np.stack([seen[train.machine == m].mean(0) for m in range(n_machines)])
    spread = np.stack([seen[train.machine == m].std(0) for m in range(n_machines)])
    spread = np.maximum(spread, SPREAD_FLOOR)
    few = np.bincount(train.machine, minlength=n_machines) < FEW
    spread[few] = 1.0 if few.all() else spread[~few].mean(0)
    z = (joined(held_out, normality) - location[held_out.machine]) / spread[held_out.machine]
    z = z[~few[held_out.machine]]
    shift = z.mean(0) if len(z) else 0.0
    factor = np.maximum(z.std(0), 1.0) if len(z) else 1.0  # few may lie together by chance
    return normality._replace(location=location + shift * spread, spread=spread * factor)


def fit_normality(clips: Clips) -> Normality:
    """Fits the levels of normal clips; location is 0 and spread 1 until `calibrate` sets them.

    Args:
        clips: Normal clips; every ID has at least one.
    """
    n_machines = clips.nlls[0].shape[1]
    mean_nll = np.array([nll.mean() for nll in clips.own_nlls()])
    level = np.array([mean_nll[clips.machine == m].mean() for m in range(n_machines)])
    unset = np.zeros((n_machines, len(JOINED)))
    floor = 1 / (1 + len(clips.machine))
    return Normality(level, unset, unset + 1, floor)
