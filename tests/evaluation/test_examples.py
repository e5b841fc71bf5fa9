"""Which clips a report shows, and the threshold that a miss is missed by."""

import math

import numpy as np
import pytest

from flowasd.evaluation.examples import (
    FALSE_ALARM,
    MEDIAN,
    MISS,
    MOST_ANOMALOUS,
    NORMAL,
    ONE_OF_THE_HIGHEST,
    ScoredClip,
    choose,
    finest,
    ranking,
)
from flowasd.evaluation.metrics import auc_interval, average_interval
from flowasd.scoring.decision import alarm_threshold, p_values


def clip(name, label, score, p_value, machine_id="a"):
    return ScoredClip(name, machine_id, label, {"mean": score}, p_value)


def names(clips, alpha=0.1):
    chosen = choose(clips, "mean", {"a": 3.0, "b": 30.0}, alpha)
    return {clips[i].name: why for i, why in chosen.items()}


def test_the_four_kinds_of_examples():
    clips = [
        clip("quiet", 0, 0.0, 0.9),
        clip("middle", 0, 1.0, 0.5),
        clip("false", 0, 3.5, 0.08),
        clip("other machine", 0, 20.0, 0.6, "b"),
        clip("missed", 1, 0.5, 0.7),
        clip("found", 1, 9.0, 0.05),
        clip("found, of larger scores", 1, 31.0, 0.05, "b"),
    ]
    assert names(clips) == {
        "found": MOST_ANOMALOUS,
        "middle": NORMAL,
        "missed": MISS,
        "false": FALSE_ALARM,
    }
    assert names(clips, alpha=0.99)["false"] == FALSE_ALARM
    assert MISS not in names(clips, alpha=0.99).values()
    assert FALSE_ALARM not in names(clips, alpha=0.01).values()


@pytest.mark.parametrize("label", [None, 0])
def test_without_anomalies_the_three_highest_and_the_median(label):
    clips = [clip(str(i), label, float(i), 1 / (1 + i)) for i in range(7)]
    assert names(clips) == dict.fromkeys("654", ONE_OF_THE_HIGHEST) | {"3": MEDIAN}
    assert names(clips[:3]) == dict.fromkeys("210", ONE_OF_THE_HIGHEST)
    assert choose([], "mean", {}, 0.1) == {}


def test_ties_are_ordered_by_the_distance_from_the_threshold_then_by_name():
    clips = [
        clip(n, 1, s, 0.05, m) for n, s, m in [("z", 5.0, "a"), ("y", 5.0, "a"), ("x", 31.0, "b")]
    ]
    order = ranking(clips, "mean", {"a": 3.0, "b": 30.0})
    assert [clips[i].name for i in order] == ["y", "z", "x"]
    assert ranking(clips, "mean", {"a": math.inf, "b": math.inf}) == [2, 1, 0]


def test_a_machine_with_many_normal_clips_does_not_come_first_for_that():
    counts = {"a": 20, "b": 99, "c": 0}
    machines = {m: {"normal_clips": n} for m, n in counts.items()}
    lowest = finest({"machines": machines})
    assert lowest == 1 / 21
    clips = [clip("far", 1, 9.0, 1 / 21, "a"), clip("near", 1, 30.1, 1 / 100, "b")]
    clips += [clip("normal", 0, 2.0, 0.9, "a")]
    thresholds = {"a": 3.0, "b": 30.0}
    order = ranking(clips, "mean", thresholds, lowest)
    assert [clips[i].name for i in order] == ["far", "near", "normal"]
    assert choose(clips, "mean", thresholds, 0.1, lowest)[0] == MOST_ANOMALOUS


@pytest.mark.parametrize("n", [0, 3, 9, 19, 50])
@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.25, 0.7])
def test_a_clip_is_an_alarm_above_the_threshold_and_nowhere_else(n, alpha):
    normal = np.random.default_rng(0).integers(0, 12, n).astype(float)  # with ties
    scores = np.arange(-1, 13, 0.5)
    threshold = alarm_threshold(normal, alpha)
    np.testing.assert_array_equal(scores > threshold, p_values(scores, normal) <= alpha)
    assert math.isinf(threshold) == (1 / (1 + n) > alpha)


def test_the_interval_of_an_auc_has_a_width_and_covers():
    low, high = auc_interval(1.0, 20, 100)
    assert 0.9 < low < 1
    assert high == 1
    mirrored = auc_interval(0.0, 20, 100)
    assert mirrored == pytest.approx((0, 1 - low))
    rng, shift, true, covered = np.random.default_rng(0), 1.2, 0.802, 0
    for _ in range(400):
        normal, anomalous = rng.normal(size=20), rng.normal(shift, size=40)
        auc = float((anomalous[:, None] > normal).mean())
        low, high = auc_interval(auc, 20, 40)
        covered += low <= true <= high
    assert 0.92 < covered / 400 < 0.98


def test_the_interval_of_a_mean_is_narrower_than_those_of_its_parts():
    part = auc_interval(0.9, 20, 40)
    low, high = average_interval([0.9] * 4, [part] * 4)
    assert low == pytest.approx(0.9 - (0.9 - part[0]) / 2)
    assert high == pytest.approx(0.9 + (part[1] - 0.9) / 2)
