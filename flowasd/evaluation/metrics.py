"""AUC and pAUC per machine ID, as DCASE Task 2 defines them.

Labels are 0 (normal) and 1 (anomalous); a higher score means more anomalous.
"""

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

Z95 = 1.959964  # of the normal distribution, two-sided


@dataclass(frozen=True)
class Row:
    """One line of a result table; `auc` and `pauc` lie in [0, 1]."""

    machine_id: str
    auc: float
    pauc: float


def areas(
    labels: Sequence[int], scores: Float[np.ndarray, " clips"], max_fpr: float = 0.1
) -> tuple[float, float]:
    """Returns the areas under the whole ROC curve and under its part of few false positives.

    The second one is standardised after McClish ("Analyzing a portion of the ROC curve", 1989), as
    in scikit-learn and so in DCASE's own evaluator: chance is 0.5 and a perfect score is 1.

    Args:
        labels: 0 or 1 a clip, both present.
        scores: One a clip, finite.
        max_fpr: The largest false-positive rate of the second area.
    """
    # Their import takes a second, which scoring need not.
    from sklearn import config_context
    from sklearn.metrics import roc_curve

    # The checks of the arguments take longer than the curve of some hundred clips.
    with config_context(assume_finite=True, skip_parameter_validation=True):
        fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    stop = int(np.searchsorted(fpr, max_fpr, side="right"))
    last = np.interp(max_fpr, fpr[stop - 1 : stop + 1], tpr[stop - 1 : stop + 1])
    part = np.trapezoid(np.append(tpr[:stop], last), np.append(fpr[:stop], max_fpr))
    chance = max_fpr**2 / 2
    return float(np.trapezoid(tpr, fpr)), float((1 + (part - chance) / (max_fpr - chance)) / 2)


def auc_interval(auc: float, normal: int, anomalous: int) -> tuple[float, float]:
    """Returns the 95 % interval of an AUC over the choice of test clips.

    It is method 5 of Newcombe, "Confidence intervals for an effect size measure based on the
    Mann-Whitney statistic, part 2" (2006). It has a width even where the AUC is 1.

    Args:
        auc: The AUC.
        normal: Number of normal clips.
        anomalous: Number of anomalous clips.
    """
    from scipy.optimize import brentq  # its import takes time, which scoring need not

    def below(observed: float) -> float:
        def gap(true: float) -> float:
            spread = (1 - true) / (2 - true) + true / (1 + true)
            weight = 1 + ((normal + anomalous) / 2 - 1) * spread
            return (
                observed - true - Z95 * math.sqrt(true * (1 - true) * weight / (normal * anomalous))
            )

        root: Any = brentq(gap, 0, min(observed, 1 - 1e-12)) if observed > 0 else 0.0
        return float(root)

    return below(auc), 1 - below(1 - auc)


def average_interval(
    aucs: Sequence[float], intervals: Sequence[tuple[float, float]]
) -> tuple[float, float]:
    """Returns the 95 % interval of a mean of independent AUCs.

    It joins their intervals (Zou & Donner, "Construction of confidence limits about effect
    measures", 2008).
    """
    mean, found = np.mean(aucs), np.array(intervals)
    low, high = np.sqrt(((found.T - np.array(aucs)) ** 2).sum(1)) / len(aucs)
    return float(mean - low), float(mean + high)


def per_machine(
    machine_ids: Sequence[str],
    labels: Sequence[int | None],
    scores: Float[np.ndarray, " clips"],
) -> list[Row]:
    """Returns a row for each machine ID, sorted by ID.

    Clips without a label (`None`) do not count. An ID that has no normal or no anomalous
    clip has no ROC curve and is left out, so the list may be empty.
    """
    rows = []
    for machine_id in sorted(set(machine_ids)):
        own = [
            (label, score)
            for owner, label, score in zip(machine_ids, labels, scores, strict=True)
            if owner == machine_id and label is not None
        ]
        own_labels = [label for label, _ in own]
        if set(own_labels) == {0, 1}:
            own_scores = np.array([score for _, score in own])
            rows.append(Row(machine_id, *areas(own_labels, own_scores)))
    return rows


def per_rule(
    machine_ids: Sequence[str],
    labels: Sequence[int | None],
    scores: Mapping[str, Float[np.ndarray, " clips"]],
) -> dict[str, list[Row]]:
    """Returns the rows of `per_machine` by every rule; rules with the same scores share them.

    Rules differ only where clips have more than one frame, and a ROC curve takes a millisecond.

    Args:
        machine_ids: One a clip.
        labels: One a clip.
        scores: One a clip, by rule.
    """
    rows: dict[bytes, list[Row]] = {}
    for values in scores.values():
        if (key := values.tobytes()) not in rows:
            rows[key] = per_machine(machine_ids, labels, values)
    return {rule: rows[values.tobytes()] for rule, values in scores.items()}


def average(rows: Sequence[Row]) -> Row:
    """Returns the arithmetic mean over IDs, each counting the same, as the row "Average".

    Raises:
        ValueError: `rows` is empty: with no ID there is nothing to average.
    """
    if not rows:
        raise ValueError("no machine ID has both normal and anomalous clips: nothing to average")
    return Row(
        "Average",
        float(np.mean([row.auc for row in rows])),
        float(np.mean([row.pauc for row in rows])),
    )


def summary(columns: Mapping[str, Sequence[Row]]) -> dict[str, dict[str, dict[str, float]]]:
    """Returns `auc` and `pauc` by rule and by ID, the "Average" last, as JSON takes them.

    Args:
        columns: The rows of every score rule, by its name.

    Raises:
        ValueError: A rule has no rows.
    """
    return {
        rule: {row.machine_id: {"auc": row.auc, "pauc": row.pauc} for row in [*rows, average(rows)]}
        for rule, rows in columns.items()
    }


def table(columns: Mapping[str, Sequence[Row]], undefined: Container[str] = ()) -> str:
    """Returns a plain-text table in percent: a line a rule, AUC and pAUC an ID and on average.

    Args:
        columns: The rows of every score rule, by its name; all over the same IDs.
        undefined: Rules that tell nothing apart; their lines stay blank.

    Raises:
        ValueError: The rules' rows are empty or not over the same IDs.
    """
    lines = {rule: [*rows, average(rows)] for rule, rows in columns.items()}
    ids, *others = ([row.machine_id for row in line] for line in lines.values())
    if any(other != ids for other in others):
        raise ValueError(f"these rules cover different machine IDs: {', '.join(columns)}")
    grid = [
        ("", ids),
        ("", ["AUC  pAUC"] * len(ids)),
        *(
            (rule, ["" if rule in undefined else _percent(row) for row in line])
            for rule, line in lines.items()
        ),
    ]
    margin = max(map(len, columns))
    return "\n".join(
        "    ".join([f"{name:<{margin}}", *(f"{cell:>11}" for cell in cells)])
        for name, cells in grid
    )


def _percent(row: Row) -> str:
    return f"{100 * row.auc:.1f} {100 * row.pauc:5.1f}"
