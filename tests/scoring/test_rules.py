"""The score rules against closed forms, loops and scipy."""

import numpy as np
import pytest
from scipy.stats import combine_pvalues, norm

from flowasd.scoring.calibration import calibrate
from flowasd.scoring.rules import JOINED, RULES, Clips, Normality, joined, judge
from tests.scoring.made_clips import clip_scores, make_clips


@pytest.fixture
def case():
    """Three clips of 21 frames, and statistics that leave the joined rules as they are."""
    rng = np.random.default_rng(0)
    machine = np.array([2, 0, 1])
    nlls = [rng.normal(size=(21, 3)) for _ in machine]
    zeros = np.zeros((3, len(JOINED)))
    return Clips(nlls, machine), Normality(np.array([0.1, -0.2, 0.3]), zeros, zeros + 1, 0.01)


# Of the frames under every ID, the own ID's index and the statistics.
EXPECTED = {
    "mean": lambda nll, m, *_: sum(nll[:, m]) / 21,
    "std": lambda nll, m, *_: np.sqrt(np.mean((nll[:, m] - np.mean(nll[:, m])) ** 2)),
    "max": lambda nll, m, *_: sorted(nll[:, m])[-1],
    "p75": lambda nll, m, *_: sorted(nll[:, m])[15],
    "top10": lambda nll, m, *_: np.mean(sorted(nll[:, m])[-2:]),
    "typicality": lambda nll, m, n: np.mean([abs(v - n.level[m]) for v in nll[:, m]]),
    "relative": lambda nll, m, *_: np.mean(nll[:, m]) - np.mean(nll),
    "combined": lambda nll, m, n: (
        fisher(np.mean(nll[:, m]), n) + fisher(EXPECTED["relative"](nll, m), n)
    ),
}


def fisher(z, normality):
    return -np.log(max(norm.sf(z), normality.floor)) + 0.01 * np.arcsinh(z)


@pytest.mark.parametrize("name", EXPECTED)
def test_rules_are_what_they_are_called(name, case):
    clips, normality = case
    for i, (nll, m) in enumerate(zip(*clips, strict=True)):
        expected = EXPECTED[name](nll, m, normality)
        assert RULES[name](clips, normality)[i] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("mean", 4), ("std", np.sqrt(10)), ("max", 10), ("p75", 4), ("top10", 10)],
)
def test_rules_of_frames_by_hand(name, expected, case):
    nll = np.array([[3.0], [1.0], [2.0], [10.0], [4.0]], np.float32)
    clips = Clips([nll], np.array([0]))
    assert RULES[name](clips, case[1]) == pytest.approx(expected)


def test_top10_is_the_mean_of_the_highest_tenth(case):
    nll = np.random.default_rng(0).permutation(100).astype(np.float32)[:, None]
    clips = Clips([nll], np.array([0]))
    assert RULES["top10"](clips, case[1]) == np.mean(np.arange(90, 100))


@pytest.fixture(scope="module")
def normality():
    """The flow has seen the training clips, and held-out ones are 0.2 less likely."""
    return calibrate(make_clips(0, (60, 40), nll=0.8), make_clips(1, (150, 150)))


def test_every_rule_scores_every_clip(normality):
    clips = make_clips(2, (3, 3))
    judged = judge(clips, normality)
    for name, rule in RULES.items():
        expected = rule(clips, normality)
        np.testing.assert_array_equal([one.scores[name] for one in judged], expected)
    for one, nll, m in zip(judged, *clips, strict=True):
        assert tuple(one.scores) == tuple(RULES)
        np.testing.assert_array_equal(one.nll, nll[:, m])


def test_no_clips_no_scores(normality):
    assert judge(Clips([], np.zeros(0, int)), normality) == []


def test_combined_is_fishers_method(normality):
    """All but for the small term, which cannot outweigh a hundredth of a spread."""
    clips = make_clips(2, (20, 20))
    z = (joined(clips, normality) - normality.location[clips.machine]) / normality.spread[
        clips.machine
    ]
    assert normality.floor == 1 / 101  # of 100 training clips, and the one in question
    statistic = [
        combine_pvalues(np.maximum(norm.sf(own), 1 / 101), method="fisher")[0] for own in z
    ]
    rest = RULES["combined"](clips, normality) - np.array(statistic) / 2
    np.testing.assert_allclose(rest, 0.01 * np.arcsinh(z).sum(1), atol=1e-12)
    assert np.abs(rest).max() < 0.1


@pytest.mark.parametrize(
    ("anomaly", "rules"),
    [
        ({"sounds_like": 1}, ("relative", "combined")),
        ({"nll": 2.0}, ("mean", "max", "p75", "top10", "typicality", "combined")),
        ({"nll": -2.0}, ("typicality",)),
    ],
)
def test_planted_anomalies_score_higher(anomaly, rules, normality):
    normal = clip_scores(make_clips(4, (50, 0)), normality)
    anomalous = clip_scores(make_clips(5, (50, 0), **anomaly), normality)
    for rule in rules:
        assert (anomalous[rule] > np.median(normal[rule])).mean() > 0.8, rule


def test_one_id_has_no_other():
    normality = calibrate(make_clips(0, (10,)), make_clips(1, (4,)))
    scores = clip_scores(make_clips(2, (5,)), normality)
    np.testing.assert_array_equal(scores["relative"], 0)
    assert all(np.isfinite(values).all() for values in scores.values())
    assert np.ptp(scores["combined"]) > 0
