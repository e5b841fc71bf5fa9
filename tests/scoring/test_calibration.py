"""Calibration against scikit-learn, scipy, loops, and clips whose distribution is known."""

from typing import Any

import jax
import numpy as np
import pytest
from scipy.stats import combine_pvalues, multivariate_normal, norm
from sklearn.base import BaseEstimator
from sklearn.covariance import ledoit_wolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler

from flowasd.errors import UserError
from flowasd.scoring.calibration import (
    Calibration,
    calibrate,
    clip_scores,
    fit_normality,
    load_calibration,
    save_calibration,
)
from flowasd.scoring.rules import (
    JOINED,
    RULES,
    SCORES,
    Clips,
    Normality,
    scores_without_calibration,
)
from flowasd.scoring.tied_gaussian import TiedGaussian, fit_tied_gaussian

MEL, FRAMES = 3, 40


def make_clips(
    seed: int,
    counts: tuple[int, ...],
    *,
    nll: float = 1.0,
    sounds_like: int | None = None,
) -> Clips:
    """Normal clips, `counts` of every ID; each ID is loudest in a mel band of its own.

    Args:
        seed: Of all that is random.
        counts: Clips of every ID.
        nll: What the frame NLLs are on average; a clip has a level of its own.
        sounds_like: ID whose spectrum all clips have instead of their own.
    """
    rng = np.random.default_rng(seed)
    machine = np.repeat(np.arange(len(counts)), counts)
    log_mels, nlls = [], []
    for m in machine:
        loud = 2.0 * np.eye(len(counts), MEL)[m if sounds_like is None else sounds_like]
        log_mels.append(-40 + loud + rng.normal(size=MEL) + rng.normal(size=(FRAMES, MEL)))
        level = nll + 0.1 * rng.normal() + 0.3 * (np.arange(len(counts)) != m)
        nlls.append(level + rng.normal(size=(FRAMES, len(counts))))
    return Clips(log_mels, nlls, machine)


def covariance_of(density: TiedGaussian) -> Any:
    return np.linalg.inv(density.precision) * np.outer(density.scale, density.scale)


@pytest.fixture
def features():
    """Of three IDs, on scales far apart and correlated."""
    rng = np.random.default_rng(0)
    machine = np.repeat(np.arange(3), (20, 12, 8))
    mixing = np.array([[1, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 100, 0], [0, 0.01, 0, 0.01]])
    return (rng.normal(size=(40, 4)) + rng.normal(size=(3, 4))[machine]) @ mixing.T, machine


class Given(BaseEstimator):
    """A covariance that has nothing left to estimate."""

    def __init__(self, covariance_: Any = None):
        self.covariance_ = covariance_

    def fit(self, X):
        return self


def test_tied_gaussian_decides_as_linear_discriminant_analysis(features):
    values, machine = features
    density = fit_tied_gaussian(values, machine, 3)
    lda = LinearDiscriminantAnalysis(
        solver="lsqr", covariance_estimator=Given(covariance_of(density)), priors=[1 / 3] * 3
    )
    unseen = values + np.random.default_rng(1).normal(size=values.shape)
    decision = lda.fit(values, machine).decision_function(unseen)
    nll = density.nll(unseen)
    np.testing.assert_allclose(nll[:, :1] - nll, decision - decision[:, :1], atol=1e-6)
    np.testing.assert_array_equal(nll.argmin(1), lda.predict(unseen))


def test_tied_gaussian_is_scipys_but_for_a_constant(features):
    values, machine = features
    density = fit_tied_gaussian(values, machine, 3)
    means = [values[machine == m].mean(0) for m in range(3)]
    covariance = covariance_of(density)
    expected = np.stack([-multivariate_normal.logpdf(values, m, covariance) for m in means], 1)
    excess = density.nll(values) - expected
    np.testing.assert_allclose(excess, excess[0, 0], atol=1e-6)


def test_covariance_is_shrunk_as_scikit_learn_does(features):
    values, machine = features
    within = np.concatenate([values[machine == m] - values[machine == m].mean(0) for m in range(3)])
    covariance, shrinkage = ledoit_wolf(
        StandardScaler().fit_transform(within), assume_centered=True
    )
    assert 0 < shrinkage < 1
    density = fit_tied_gaussian(values, machine, 3)
    np.testing.assert_allclose(np.linalg.inv(density.precision), covariance, atol=1e-9)
    np.testing.assert_allclose(density.scale, within.std(0))


def test_rules_are_what_they_are_called():
    assert (*RULES, "typicality", "profile", "ratio", "spectrum", "combined") == SCORES
    rng = np.random.default_rng(0)
    machine = np.array([2, 0, 1])
    # 21 frames: the quantiles are the frames of rank 1, 5, 10, 15 and 19.
    nlls = [rng.normal(size=(21, 3)) for _ in machine]
    log_mels = [rng.normal(size=(21, 2)) for _ in machine]
    clips, ranks = Clips(log_mels, nlls, machine), [1, 5, 10, 15, 19]
    profile = TiedGaussian(rng.normal(size=(3, 5)), np.full(5, 2.0), np.diag(np.arange(1.0, 6)))
    spectrum = TiedGaussian(rng.normal(size=(3, 10)), np.full(10, 0.5), np.eye(10))
    level = np.array([0.1, -0.2, 0.3])
    scores = scores_without_calibration(clips, Normality(level, profile, spectrum))
    assert set(scores) == set(SCORES) - {"combined"}
    for i, m in enumerate(machine):
        own = nlls[i][:, m]
        means = nlls[i].mean(0)
        assert scores["mean"][i] == pytest.approx(own.mean())
        assert scores["typicality"][i] == pytest.approx(np.mean([abs(v - level[m]) for v in own]))
        best_other = min(means[other] for other in range(3) if other != m)
        assert scores["ratio"][i] == pytest.approx(means[m] - best_other)
        away = np.sort(own)[ranks] / 2 - profile.mean[m]
        assert scores["profile"][i] == pytest.approx(sum(np.arange(1, 6) * away**2) / 2)
        quantiles = np.sort(log_mels[i], axis=0)[ranks].ravel()
        under = [sum((quantiles / 0.5 - mean) ** 2) / 2 for mean in spectrum.mean]
        assert scores["spectrum"][i] == pytest.approx(under[m] - sum(under) / 3)


def test_normality_is_that_of_the_own_ids_frames():
    clips = make_clips(0, (4, 2))
    normality = fit_normality(clips)
    expected = [
        np.mean([n[:, m] for n, o in zip(*clips[1:], strict=True) if o == m]) for m in (0, 1)
    ]
    np.testing.assert_allclose(normality.level, expected)
    medians = [np.median(n[:, o]) for n, o in zip(*clips[1:], strict=True)]
    profile = normality.profile.mean * normality.profile.scale
    np.testing.assert_allclose(profile[:, 2], [np.mean(medians[:4]), np.mean(medians[4:])])
    medians = np.array([np.median(log_mel, axis=0) for log_mel in clips.log_mels])
    spectrum = (normality.spectrum.mean * normality.spectrum.scale).reshape(2, 5, MEL)
    np.testing.assert_allclose(spectrum[:, 2], [medians[:4].mean(0), medians[4:].mean(0)])


@pytest.fixture(scope="module")
def calibration():
    """The flow has seen the training clips, and held-out ones are 0.2 less likely."""
    return calibrate(make_clips(0, (60, 40), nll=0.8), make_clips(1, (150, 150)), step=7)


def z_scores(scores, machine, calibration):
    joined = np.stack([scores[rule] for rule in JOINED], 1)
    return (joined - calibration.location[machine]) / calibration.spread[machine]


def test_combined_is_fishers_method(calibration):
    clips = make_clips(2, (3, 3))
    scores = clip_scores(clips, calibration)
    assert tuple(scores) == SCORES
    for combined, z in zip(
        scores["combined"], z_scores(scores, clips.machine, calibration), strict=True
    ):
        p_values = np.maximum(norm.sf(z), 1 / 101)  # of 100 training clips, and the one in question
        statistic = combine_pvalues(p_values, method="fisher")[0]
        assert 2 * combined == pytest.approx(statistic)


def test_unseen_normal_clips_lie_at_location_and_scatter_by_spread(calibration):
    clips = make_clips(3, (400, 400))
    z = z_scores(clip_scores(clips, calibration), clips.machine, calibration)
    for machine in range(2):
        own = z[clips.machine == machine]
        np.testing.assert_allclose(own.mean(0), 0, atol=0.35)
        np.testing.assert_allclose(own.std(0), 1, atol=0.3)


@pytest.mark.parametrize(
    ("anomaly", "rules"),
    [
        ({"sounds_like": 1}, ("spectrum", "combined")),
        ({"nll": 2.0}, ("mean", "max", "p75", "top10", "typicality", "profile", "combined")),
        ({"nll": -2.0}, ("typicality", "profile")),
    ],
)
def test_planted_anomalies_score_higher(anomaly, rules, calibration):
    normal = clip_scores(make_clips(4, (50, 0)), calibration)
    anomalous = clip_scores(make_clips(5, (50, 0), **anomaly), calibration)
    for rule in rules:
        assert (anomalous[rule] > np.median(normal[rule])).mean() > 0.8, rule


def test_location_and_spread_are_of_clips_scored_by_statistics_of_others():
    """Five clips an ID, so that each is left out with the one of the same rank of the other ID."""
    train, held_out = make_clips(0, (5, 5)), make_clips(1, (4, 3))
    seen = np.zeros((2, 5, len(JOINED)))
    for rank in range(5):
        others = fit_normality(train.where(np.arange(10) % 5 != rank))
        scores = scores_without_calibration(train.where(np.arange(10) % 5 == rank), others)
        seen[:, rank] = np.stack([scores[rule] for rule in JOINED], 1)
    scores = scores_without_calibration(held_out, fit_normality(train))
    unseen = np.stack([scores[rule] for rule in JOINED], 1)
    z = (unseen - seen.mean(1)[held_out.machine]) / seen.std(1)[held_out.machine]
    calibration = calibrate(train, held_out, step=0)
    np.testing.assert_allclose(calibration.spread, seen.std(1) * np.maximum(z.std(0), 1))
    np.testing.assert_allclose(calibration.location, seen.mean(1) + z.mean(0) * seen.std(1))


def test_one_id_has_no_other():
    calibration = calibrate(make_clips(0, (10,)), make_clips(1, (4,)), step=0)
    scores = clip_scores(make_clips(2, (5,)), calibration)
    np.testing.assert_array_equal(scores["ratio"], 0)
    np.testing.assert_allclose(scores["spectrum"], 0, atol=1e-9)
    assert all(np.isfinite(values).all() for values in scores.values())
    assert np.ptp(scores["combined"]) > 0


@pytest.mark.parametrize("counts", [(1, 1), (3,), (1, 7), (2, 3, 1)])
def test_few_clips_are_no_trouble(counts):
    """Neither NaN nor a warning, even where an ID has a single clip."""
    calibration = calibrate(make_clips(0, counts), make_clips(1, counts), step=0)
    leaves = jax.tree.leaves(calibration)
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    assert (calibration.spread > 0).all()
    scores = clip_scores(make_clips(2, counts), calibration)
    assert all(np.isfinite(values).all() for values in scores.values())


def test_an_id_of_one_clip_leaves_the_others_as_they_are():
    """It has no spread of its own, in units of which its held-out clip would lie anywhere."""
    counts = (40, 40)
    alone = calibrate(make_clips(0, counts), make_clips(1, (8, 8)), step=0)
    beside = calibrate(make_clips(0, (*counts, 1)), make_clips(1, (8, 8, 1)), step=0)
    np.testing.assert_allclose(beside.spread[:2], alone.spread, rtol=0.5)
    assert (np.abs(beside.location[:2] - alone.location) < 2 * alone.spread).all()
    assert (beside.spread[2] >= beside.spread[:2].min(0)).all()


def test_recordings_that_are_all_the_same_are_no_trouble():
    """Such as digital silence: no feature has any spread."""
    silent = Clips(
        [np.full((FRAMES, MEL), -100.0)] * 4, [np.ones((FRAMES, 2))] * 4, np.arange(4) % 2
    )
    scores = clip_scores(silent, calibrate(silent, silent, step=0))
    assert all(np.isfinite(values).all() for values in scores.values())


def test_no_clips_no_scores(calibration):
    scores = clip_scores(Clips([], [], np.zeros(0, int)), calibration)
    assert tuple(scores) == SCORES
    assert all(len(values) == 0 for values in scores.values())


def test_stored_calibration_comes_back_bit_for_bit(calibration, tmp_path):
    path = tmp_path / "calibration.npz"
    save_calibration(path, calibration)
    loaded = load_calibration(path, 7)
    assert isinstance(loaded, Calibration)
    assert jax.tree.structure(loaded) == jax.tree.structure(calibration)
    for stored, before in zip(jax.tree.leaves(loaded), jax.tree.leaves(calibration), strict=True):
        np.testing.assert_array_equal(stored, before, strict=True)
    clips = make_clips(2, (3, 3))
    np.testing.assert_equal(clip_scores(clips, loaded), clip_scores(clips, calibration))


def test_calibration_of_another_step_is_refused(calibration, tmp_path):
    path = tmp_path / "calibration.npz"
    with pytest.raises(UserError, match="repeat its command"):
        load_calibration(path, 7)
    save_calibration(path, calibration)
    with pytest.raises(UserError, match=r"calibration\.npz is not there for step 8"):
        load_calibration(path, 8)
