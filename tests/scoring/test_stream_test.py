"""The test of a stream: against martingales, closed forms and SIMULATED normal streams."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import binomtest, kstest

from experiments.alarm.simulated import NEVER, alarms_of, normal_alarms
from flowasd.data.splits import hash_fraction
from flowasd.scoring.decision import p_values
from flowasd.scoring.stream_test import (
    EXPONENTS,
    add,
    after_alarm,
    begin,
    evidence,
    is_alarm,
    observe,
    smoothed_p_value,
)


def watch(normal, scores, name="id_00"):
    """The states after every score."""
    stream, states = begin(name, normal), []
    for score in scores:
        stream = observe(stream, score)
        states.append(stream)
    return states


def test_a_bet_pays_one_on_average():
    """On a uniform p-value, by numerical integration; so no bet gains on a normal machine."""
    for i, exponent in enumerate(EXPONENTS):
        # With p = u**(1 / exponent) the integrand has no pole.
        paid = quad(
            lambda u, i=i, e=exponent: (
                add(np.zeros(len(EXPONENTS)), np.array(u ** (1 / e)))[i] * u ** (1 / e - 1) / e
            ),
            1e-9,
            1,
        )[0]
        assert paid == pytest.approx(1, abs=1e-6)


def test_the_sum_is_over_all_clips_at_which_a_change_may_have_begun():
    p = np.random.default_rng(0).uniform(size=7)
    sums = np.zeros(len(EXPONENTS))
    for one in p:
        sums = add(sums, np.asarray(one))
    products = [
        math.prod(e * q ** (e - 1) for q in p[k:]) for e in EXPONENTS for k in range(len(p))
    ]
    assert evidence(sums) == pytest.approx(sum(products) / len(EXPONENTS))


def test_the_largest_smoothed_p_value_is_that_of_a_decision():
    """Where ties count against an alarm, `tie` is 1."""
    rng = np.random.default_rng(0)
    normal = rng.integers(5, size=20).astype(float)
    for score in range(-1, 6):
        higher, equal = (normal > score).sum(), (normal == score).sum()
        expected = p_values(np.array([float(score)]), normal)[0]
        assert smoothed_p_value(higher, equal, 20, 1.0) == pytest.approx(expected)


@pytest.mark.slow
@pytest.mark.parametrize("levels", [2, 10**6], ids=["many ties", "no ties"])
def test_p_values_of_a_normal_stream_are_independent_and_uniform(levels):
    """Also of scores with ties, and one after the other: neighbours and their squares."""
    rng = np.random.default_rng(0)
    p = []
    for i in range(150):
        scores = rng.integers(levels, size=30).astype(float)
        sums = [s.sums for s in watch(scores[:5], scores[5:], f"{i}")]
        before = [np.zeros(len(EXPONENTS)), *sums[:-1]]
        bets = [a[-1] / (b[-1] + 1) for a, b in zip(sums, before, strict=True)]
        p.append((np.array(bets) / EXPONENTS[-1]) ** (1 / (EXPONENTS[-1] - 1)))
    p = np.array(p)
    assert kstest(p.ravel(), "uniform").pvalue > 0.001
    for power in (1, 2):
        correlation = np.corrcoef(p[:, :-1].ravel() ** power, p[:, 1:].ravel() ** power)[0, 1]
        assert abs(correlation) < 4 / math.sqrt(p[:, 1:].size)


@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 80, 160])
def test_false_alarms_keep_the_bound_over_10000_normal_streams(n):
    """SIMULATED: within t clips at most t / A streams have an alarm, and one comes in A clips."""
    clips, every = 100, 300
    first, count = normal_alarms(n, clips, 10_000, every, seed=1)
    for t in (20, 50, clips):
        alarms = int(((first != NEVER) & (first <= t)).sum())
        assert binomtest(alarms, 10_000, t / every, "greater").pvalue > 0.001
    assert count.mean() <= clips / every
    assert count.mean() >= 0.1 * clips / every  # the bound is not empty


@pytest.mark.slow
def test_ranks_among_few_fixed_clips_break_the_bound():
    """Why the stream's own clips are ranked among, too."""
    fixed = normal_alarms(20, 200, 1000, 1000, seed=0, reference="fixed").number
    online = normal_alarms(20, 200, 1000, 1000, seed=0).number
    assert fixed.mean() > 200 / 1000 > online.mean()


def test_many_streams_side_by_side_are_the_streams_one_by_one():
    """The vectorised test of the study, and that of a watch; with alarms and restarts."""
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(4, 10)).round(1)
    scores = np.concatenate([rng.normal(size=(4, 20)), rng.normal(3, size=(4, 20))], 1).round(1)

    class Ties:
        """Gives the numbers by which `observe` breaks ties."""

        calls = 0

        def random(self, streams):
            self.calls += 1
            return np.array([hash_fraction(f"{i}", self.calls - 1) for i in range(streams)])

    alarms = alarms_of(normal.astype(np.float32), scores, 50, Ties())  # type: ignore[arg-type]
    for i in range(4):
        stream, found = begin(f"{i}", normal[i].astype(np.float32)), []
        for clip, score in enumerate(scores[i].astype(np.float32), 1):
            stream = observe(stream, float(score))
            if is_alarm(stream.log_evidence, 50.0):
                found.append(clip)
                stream = after_alarm(stream)
        assert found
        assert (alarms.first[i], alarms.number[i]) == (found[0], len(found))


def test_a_change_is_found_and_found_again():
    rng = np.random.default_rng(0)
    normal = rng.normal(size=80)
    stream, alarms = begin("id_00", normal), []
    for clip in range(500 + 40):
        stream = observe(stream, rng.normal(4 if clip >= 500 else 0))
        if is_alarm(stream.log_evidence, 1000.0):
            alarms.append(clip)
            stream = after_alarm(stream)
    assert 500 <= alarms[0] < 506
    assert len(alarms) >= 5


def test_after_an_alarm_it_begins_anew_but_for_the_ties():
    normal = np.random.default_rng(0).normal(size=8)
    state = watch(normal, [9.0, 10.0])[-1]
    again = after_alarm(state)
    assert (again.reference == np.sort(normal)).all()
    assert (again.log_evidence, again.seen) == (-math.inf, 2)


def test_without_calibration_clips_a_stream_is_compared_with_its_beginning():
    rng = np.random.default_rng(0)
    states = watch(np.zeros(0), [*rng.normal(size=200), *rng.normal(5, size=10)])
    assert states[-1].log_evidence > math.log(1000) > states[199].log_evidence
