"""What training has surely gained, by scipy's confidence interval of paired differences."""

import numpy as np
import pytest
from scipy.stats import ttest_rel

from flowasd.training.validation import sure_gain


@pytest.mark.parametrize("count", [16, 300])
def test_the_gain_is_the_lower_bound_of_students_interval(count):
    rng = np.random.default_rng(count)
    start = rng.normal(size=count)
    trained = start - rng.normal(0.3, 0.2, size=count)
    expected = ttest_rel(start, trained, alternative="greater").confidence_interval(0.99).low
    assert sure_gain(start, trained) == pytest.approx(expected)


def test_where_nothing_was_gained_chance_is_seldom_taken_for_a_gain():
    """At 1 % of the draws, the level of the test, with few clips as with a hundred."""
    rng = np.random.default_rng(0)
    for count in (16, 100):
        gains = [sure_gain(np.zeros(count), rng.normal(size=count)) for _ in range(4000)]
        assert np.mean(np.array(gains) > 0) == pytest.approx(0.01, abs=0.005)


@pytest.mark.parametrize("count", [2, 4, 15])
def test_few_clips_are_no_evidence(count):
    """Their NLLs may all fall, while that of one clip in thirty rises by a thousand nats."""
    start = np.random.default_rng(count).normal(size=count)
    assert sure_gain(start, start - 1) == pytest.approx(-1)
    assert sure_gain(start, start) == 0


def test_a_single_clip_is_no_evidence():
    assert sure_gain(np.array([5.0]), np.array([1.0])) < 0
    assert sure_gain(np.array([5.0]), np.array([5.0])) == 0
