"""Decisions against counting, and the rate of false alarms that comes out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import gamma

from flowasd.scoring.calibration import fit_normality
from flowasd.scoring.decision import (
    NormalScores,
    clips_needed,
    discoveries,
    distance_from_normal,
    foreign,
    gamma_threshold,
    p_values,
    shortage,
    smallest_rate,
    with_p_values,
)
from flowasd.scoring.rules import RULES, judge
from tests.scoring.made_clips import make_clips

SCORES = st.lists(st.integers(-3, 3).map(float), max_size=12)  # few values, so that many tie


@given(scores=SCORES, normal=SCORES)
def test_p_value_is_the_share_of_clips_that_are_no_lower_itself_among_them(scores, normal):
    p = p_values(np.array(scores), np.array(normal))
    for value, score in zip(p, scores, strict=True):
        no_lower = sum(other >= score for other in [*normal, score])
        assert value == no_lower / (len(normal) + 1)


def test_a_foreign_recording_is_told_by_its_distance_from_normal():
    """Median 5, 90 % quantile 9: thirty times the distance between them is 120."""
    near, far = distance_from_normal(np.array([5 + 4 * 29.9, 5 + 4 * 30.0]), np.arange(11.0))
    assert (near, far) == pytest.approx((29.9, 30))
    assert foreign(near) is None
    assert "lies 30 times" in (foreign(30.0) or "")
    for normal in (np.arange(1.0), np.zeros(5)):  # which do not spread
        np.testing.assert_array_equal(distance_from_normal(np.array([1e9]), normal), 0)


@pytest.mark.parametrize("count", [1, 9, 20, 99])
def test_normal_clips_raise_false_alarms_at_most_at_the_rate(count):
    """Scores of a heavy-tailed distribution, 20,000 sets of normal clips and a new clip of each.

    Without ties, the rate is exactly the largest multiple of 1 / (count + 1) up to alpha. The
    frequency may differ from it by four standard errors.
    """
    rng, trials = np.random.default_rng(0), 20_000
    scores = rng.standard_cauchy((trials, count + 1))
    p = np.array([p_values(row[:1], row[1:])[0] for row in scores])
    for alpha in (0.01, 0.05, 0.1, 0.2):
        exact = np.floor(alpha * (count + 1) + 1e-9) / (count + 1)
        error = np.sqrt(exact * (1 - exact) / trials)
        assert abs(np.mean(p <= alpha) - exact) <= 4 * error
        assert exact <= alpha


@given(alpha=st.floats(1e-4, 0.999))
def test_as_many_clips_as_are_needed_bear_the_rate(alpha):
    needed = clips_needed(alpha)
    assert smallest_rate(needed) <= alpha * (1 + 1e-6)
    if needed:
        assert smallest_rate(needed - 1) > alpha


def test_one_line_says_which_machines_have_too_few_clips():
    assert shortage({"id_00": 99, "id_02": 120}, 0.01) is None
    line = shortage({"id_00": 99, "id_02": 19}, 0.01)
    assert line == (
        "no alarm is possible at 1 % false alarms for some machines, whose lowest rates are: "
        "id_02 5 % (19 clips); 99 normal clips of a machine would allow 1 %"
    )
    assert "id_02 100 % (0 clips)" in (shortage({"id_02": 0}, 0.1) or "")


def test_every_clip_is_ranked_among_the_clips_of_its_own_machine_by_every_rule():
    normal_clips, clips = make_clips(0, (30, 20)), make_clips(1, (4, 5))
    normality = fit_normality(normal_clips)
    normal = NormalScores.of(normal_clips, normality)
    ranked = with_p_values(judge(clips, normality), clips.machine, normal)
    reference = judge(normal_clips, normality)
    for clip, machine in zip(ranked, clips.machine, strict=True):
        assert set(clip.p_values) == set(RULES)
        for rule, p in clip.p_values.items():
            own = [
                other.scores[rule]
                for other, of in zip(reference, normal_clips.machine, strict=True)
                if of == machine
            ]
            assert p == (1 + sum(s >= clip.scores[rule] for s in own)) / (1 + len(own))


def test_the_scores_of_one_machine_are_replaced_alone():
    clips = make_clips(0, (3, 4, 5))
    normal = NormalScores.of(clips, fit_normality(clips))
    without = normal.without(1)
    np.testing.assert_array_equal(np.bincount(without.machine), [3, 0, 5])
    np.testing.assert_array_equal(without.by("mean", 2), normal.by("mean", 2))
    assert len(NormalScores.none().joined(normal, without).machine) == 20


def test_discoveries_are_those_of_the_step_up_procedure():
    """Against its definition: the largest k with the k-th lowest p-value at most k rate / m."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        p = rng.integers(1, 21, rng.integers(1, 15)) / 20
        ranked = np.sort(p)
        passing = [k for k in range(1, len(p) + 1) if ranked[k - 1] <= 0.2 * k / len(p) + 1e-12]
        threshold = ranked[max(passing) - 1] if passing else 0.0
        np.testing.assert_array_equal(discoveries(p, 0.2), p <= threshold)
    assert discoveries(np.zeros(0), 0.2).shape == (0,)


def test_gamma_threshold_is_the_quantile_of_a_gamma_distribution():
    """5,000 draws; the fit of three parameters leaves the quantile off by a little."""
    truth = gamma(4.0, loc=-2.0, scale=0.5)
    scores = truth.rvs(5000, random_state=0)
    assert gamma_threshold(scores) == pytest.approx(truth.ppf(0.9), abs=0.1)
    assert gamma_threshold(np.full(3, 2.0)) == 2.0
    assert gamma_threshold(np.zeros(0)) == np.inf
