"""Metrics against hand-counted pairs, McClish's formula in numpy, and chance."""

import re

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from flowasd.evaluation import metrics
from flowasd.evaluation.metrics import Row
from flowasd.scoring.rules import RULES


def pair_auc(labels, scores):
    """Mann-Whitney: the share of (normal, anomalous) pairs in the right order, ties count half."""
    normal, anomalous = scores[labels == 0], scores[labels == 1]
    difference = anomalous[:, None] - normal[None, :]
    return np.mean((difference > 0) + 0.5 * (difference == 0))


def mcclish_pauc(labels, scores, max_fpr):
    """McClish (1989) on the ROC curve, drawn threshold by threshold and integrated on a grid."""
    thresholds = np.concatenate([[np.inf], np.unique(scores)[::-1]])
    fpr = np.array([np.mean(scores[labels == 0] >= t) for t in thresholds])
    tpr = np.array([np.mean(scores[labels == 1] >= t) for t in thresholds])
    # Vertical steps: of the points at one FPR, the curve to the right starts at the last.
    x = np.linspace(0, max_fpr, 200_001)
    right = np.searchsorted(fpr, x, side="right").clip(max=len(fpr) - 1)
    left = right - 1
    run = np.where(fpr[right] > fpr[left], fpr[right] - fpr[left], 1.0)
    y = tpr[left] + (x - fpr[left]) / run * (tpr[right] - tpr[left])
    area = np.trapezoid(y, x)
    chance, perfect = max_fpr**2 / 2, max_fpr
    return 0.5 * (1 + (area - chance) / (perfect - chance))


def test_auc_counts_pairs():
    # Of the four pairs only (0.4, 0.35) is in the wrong order.
    assert metrics.areas([0, 0, 1, 1], np.array([0.1, 0.4, 0.35, 0.8]))[0] == 0.75


def test_ties_count_half():
    assert metrics.areas([0, 1], np.array([2.0, 2.0])) == pytest.approx((0.5, 0.5))


def test_extremes():
    labels, scores = [0] * 20 + [1] * 20, np.arange(40.0)
    assert metrics.areas(labels, scores) == (1, 1)
    # A part of 0: (1 - c / (1 - c)) / 2 with c = max_fpr / 2 the share of chance.
    assert metrics.areas(labels, -scores) == pytest.approx((0, (1 - 0.05 / 0.95) / 2))


def test_pauc_closed_form():
    # Ten normals, one anomaly below exactly one of them: TPR jumps to 1 at FPR 0.1, so the area
    # up to 0.2 is 0.1, and McClish's figure (1 + (0.1 - 0.02) / (0.2 - 0.02)) / 2.
    labels, scores = [0] * 10 + [1], np.array([*range(10), 8.5])
    assert metrics.areas(labels, scores, max_fpr=0.2)[1] == pytest.approx((1 + 0.08 / 0.18) / 2)


def test_random_scores_are_chance():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 20_000).tolist(), rng.normal(size=20_000)
    assert metrics.areas(labels, scores) == pytest.approx((0.5, 0.5), abs=0.02)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("decimals", [1, 6], ids=["ties", "distinct"])
def test_agrees_with_formulas_and_scikit_learn(seed, decimals):
    rng = np.random.default_rng(seed)
    labels = np.array([0] * 37 + [1] * 23)
    scores = np.round(rng.normal(size=60) + labels, decimals)
    auc, pauc = metrics.areas(labels.tolist(), scores)
    assert auc == pytest.approx(pair_auc(labels, scores))
    assert pauc == pytest.approx(mcclish_pauc(labels, scores, 0.1), abs=1e-4)
    assert auc == pytest.approx(roc_auc_score(labels, scores))
    assert pauc == pytest.approx(roc_auc_score(labels, scores, max_fpr=0.1))


def test_per_machine_sorts_and_leaves_out():
    clips = [
        ("id_02", 1, 0.9),
        ("id_00", 0, 0.1),
        ("id_02", 0, 0.1),
        ("id_00", 1, 0.05),
        ("id_04", 0, 0.3),  # no anomaly
        ("id_06", 1, 0.3),  # no normal
        ("id_08", None, 0.3),  # no label
        ("id_02", None, 5.0),  # does not count
    ]
    ids, labels, scores = zip(*clips, strict=True)
    rows = metrics.per_machine(ids, labels, np.array(scores))
    assert [row.machine_id for row in rows] == ["id_00", "id_02"]
    assert [row.auc for row in rows] == [0.0, 1.0]
    assert rows[1].pauc == 1.0


def test_per_machine_without_labels_is_empty():
    assert metrics.per_machine(["a", "b"], [None, None], np.zeros(2)) == []
    assert metrics.per_machine([], [], np.zeros(0)) == []


def test_average_counts_ids_equally():
    mean = metrics.average([Row("a", 0.5, 0.25), Row("b", 1.0, 0.75), Row("c", 0.75, 0.5)])
    assert mean == Row("Average", 0.75, 0.5)
    with pytest.raises(ValueError, match="nothing to average"):
        metrics.average([])


def test_summary_has_every_figure_and_the_average():
    rows = [Row("id_00", 0.5, 0.25), Row("id_02", 1.0, 0.75)]
    assert metrics.summary({"mean": rows, "std": rows[:1]}) == {
        "mean": {
            "id_00": {"auc": 0.5, "pauc": 0.25},
            "id_02": {"auc": 1.0, "pauc": 0.75},
            "Average": {"auc": 0.75, "pauc": 0.5},
        },
        "std": {"id_00": {"auc": 0.5, "pauc": 0.25}, "Average": {"auc": 0.5, "pauc": 0.25}},
    }
    assert metrics.summary({}) == {}


def test_table_content():
    text = metrics.table(
        {
            "mean": [Row("id_00", 0.9, 0.6), Row("id_02", 0.8, 0.5)],
            "std": [Row("id_00", 1.0, 1.0), Row("id_02", 0.5, 0.123456)],
        }
    )
    assert [line.split() for line in text.splitlines()] == [
        ["id_00", "id_02", "Average"],
        ["AUC", "pAUC", "AUC", "pAUC", "AUC", "pAUC"],
        ["mean", "90.0", "60.0", "80.0", "50.0", "85.0", "55.0"],
        ["std", "100.0", "100.0", "50.0", "12.3", "75.0", "56.2"],
    ]


def test_a_rule_that_tells_nothing_apart_is_blank():
    rows = [Row("id_00", 0.5, 0.5), Row("id_02", 0.5, 0.5)]
    text = metrics.table({"mean": rows, "std": rows}, undefined=["std"])
    assert [line.split() for line in text.splitlines()[2:]] == [["mean", *["50.0"] * 6], ["std"]]


def test_table_fits_and_lines_up():
    """Every rule, and five IDs from the best to the worst."""
    rows = [Row(f"section_{i:02}", 1 - 0.2 * i, 1 - 0.23 * i) for i in range(5)]
    lines = metrics.table(dict.fromkeys(RULES, rows)).splitlines()
    assert len(lines) == 2 + len(RULES)
    assert len({len(line) for line in lines}) == 1
    assert len(lines[0]) <= 100
    ids, *others = [[word.end() for word in re.finditer(r"\S+", line)] for line in lines]
    for ends in others:
        assert ends[-12:] == others[0]  # two figures an ID, below their headings
        assert ends[-11::2] == ids


def test_table_refuses_what_cannot_be_shown():
    with pytest.raises(ValueError, match="nothing to average"):
        metrics.table({"mean": []})
    with pytest.raises(ValueError, match="different machine IDs"):
        metrics.table({"mean": [Row("a", 1.0, 1.0)], "std": [Row("b", 1.0, 1.0)]})
    with pytest.raises(ValueError, match="different machine IDs"):
        metrics.table({"mean": [Row("a", 1.0, 1.0)] * 2, "std": [Row("a", 1.0, 1.0)]})
