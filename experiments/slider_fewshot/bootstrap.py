"""How much a figure owes to the choice of test clips: a bootstrap over clips within machine IDs."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from experiments.slider_fewshot.pictures import Row

RESAMPLES, MAX_FPR = 400, 0.1


def interval(runs: Sequence[Sequence[Row]], rule: str) -> str:
    """The 95 % interval of the mean AUC / pAUC of some runs, in percent, such as "95.1–97.0 / …".

    A resample takes the normal and the anomalous clips of every ID anew, each with replacement. A
    clip that several runs test is taken as often in all of them. Resamples that lack the highest
    normal clip, a third of them, have too high a pAUC, so the interval is moved by their bias.

    Args:
        runs: The rows of every run's table of scores.
        rule: The column.
    """
    rng, figures = np.random.default_rng(0), []
    counts = _resamples(runs, rng)
    for rows in runs:
        for machine_id in {row["machine_id"] for row in rows}:
            own = [row for row in rows if row["machine_id"] == machine_id]
            normal, anomalous = ([r for r in own if r["label"] == label] for label in "01")
            scores = [np.array([float(row[rule]) for row in some]) for some in (normal, anomalous)]
            taken = [np.stack([counts[_clip(r)] for r in some], 1) for some in (normal, anomalous)]
            figures.append(weighted_areas(*scores, *taken))
    whole, *resampled = 100 * np.nanmean(figures, 0).T
    unbiased = np.minimum(resampled - np.nanmean(resampled, 0) + whole, 100)
    low, high = np.nanpercentile(unbiased, [2.5, 97.5], axis=0)
    return " / ".join(f"{a:.1f}–{b:.1f}" for a, b in zip(low, high, strict=True))


def weighted_areas(
    normal: Float[np.ndarray, " normal"],
    anomalous: Float[np.ndarray, " anomalous"],
    normal_taken: Float[np.ndarray, "resample normal"],
    anomalous_taken: Float[np.ndarray, "resample anomalous"],
) -> Float[np.ndarray, "2 resample"]:
    """AUC and pAUC where every clip counts as often as it was taken.

    The pAUC is standardised after McClish, "Analyzing a portion of the ROC curve", 1989. NaN where
    no normal or no anomalous clip was taken.
    """
    thresholds = np.unique(np.concatenate([normal, anomalous]))[::-1]
    with np.errstate(invalid="ignore"):
        fpr, tpr = (
            np.cumsum(taken @ (scores[:, None] == thresholds), 1) / taken.sum(1, keepdims=True)
            for scores, taken in ((normal, normal_taken), (anomalous, anomalous_taken))
        )
    fpr, tpr = (np.pad(rate, ((0, 0), (1, 0))) for rate in (fpr, tpr))
    width, height = np.diff(fpr), np.diff(tpr)
    areas = []
    for most in (1.0, MAX_FPR):
        part = np.clip(most - fpr[:, :-1], 0, width)  # of the segment's width
        slope = np.divide(height, width, out=np.zeros_like(width), where=width > 0)
        areas.append((part * (tpr[:, :-1] + slope * part / 2)).sum(1))
    least = MAX_FPR**2 / 2
    return np.stack([areas[0], 0.5 * (1 + (areas[1] - least) / (MAX_FPR - least))])


def _clip(row: Row) -> tuple[str, str, str]:
    return row["machine_id"], row["label"], row["path"]


def _resamples(
    runs: Sequence[Sequence[Row]], rng: np.random.Generator
) -> dict[tuple[str, str, str], Float[np.ndarray, " resample"]]:
    """How often every clip is taken: once in the first row, which is no resample."""
    groups: dict[tuple[str, str], dict[tuple[str, str, str], None]] = {}
    for rows in runs:
        for row in rows:
            groups.setdefault(_clip(row)[:2], {})[_clip(row)] = None
    counts = {}
    for clips in groups.values():
        taken = rng.multinomial(len(clips), np.full(len(clips), 1 / len(clips)), RESAMPLES)
        taken = np.concatenate([np.ones((1, len(clips)), int), taken])
        counts |= dict(zip(clips, taken.T.astype(float), strict=True))
    return counts
