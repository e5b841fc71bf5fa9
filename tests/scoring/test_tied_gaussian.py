"""The tied Gaussian against scikit-learn and scipy, and where features never or hardly move."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.base import BaseEstimator
from sklearn.covariance import ledoit_wolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler

from flowasd.scoring.tied_gaussian import TiedGaussian, fit_tied_gaussian

FLOOR = 1e-6  # below every standard deviation of `features`


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


def lda_decision(density, values, machine, unseen):
    """The decision function of scikit-learn's discriminant analysis, with equal priors."""
    lda = LinearDiscriminantAnalysis(
        solver="lsqr", covariance_estimator=Given(covariance_of(density)), priors=[1 / 3] * 3
    )
    return lda.fit(values, machine).decision_function(unseen)


def test_tied_gaussian_decides_as_linear_discriminant_analysis(features):
    values, machine = features
    density = fit_tied_gaussian(values, machine, 3, FLOOR)
    unseen = values + np.random.default_rng(1).normal(size=values.shape)
    decision = lda_decision(density, values, machine, unseen)
    nll = density.nll(unseen)
    np.testing.assert_allclose(nll[:, :1] - nll, decision - decision[:, :1], atol=1e-6)
    np.testing.assert_array_equal(nll.argmin(1), decision.argmax(1))


def test_nll_above_mean_is_the_difference_of_nlls_and_of_scikit_learns_decisions(features):
    values, machine = features
    density = fit_tied_gaussian(values, machine, 3, FLOOR)
    unseen = values + np.random.default_rng(1).normal(size=values.shape)
    above = density.nll_above_mean(unseen, machine)
    nll, every = density.nll(unseen), np.arange(len(machine))
    np.testing.assert_allclose(above, nll[every, machine] - nll.mean(1), atol=1e-9)
    decision = lda_decision(density, values, machine, unseen)
    np.testing.assert_allclose(above, decision.mean(1) - decision[every, machine], atol=1e-6)
    assert np.ptp(above) > 1


def test_tied_gaussian_is_scipys_but_for_a_constant(features):
    values, machine = features
    density = fit_tied_gaussian(values, machine, 3, FLOOR)
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
    density = fit_tied_gaussian(values, machine, 3, FLOOR)
    np.testing.assert_allclose(np.linalg.inv(density.precision), covariance, atol=1e-9)
    np.testing.assert_allclose(density.scale, within.std(0))


def test_a_feature_that_hardly_moves_counts_as_if_it_moved_by_the_floor(features):
    """Independent noise that fills its variance up to the floor's gives the same covariance."""
    values, machine = features
    floor = 0.1
    density = fit_tied_gaussian(values, machine, 3, floor)
    away = values - np.stack([values[machine == m].mean(0) for m in range(3)])[machine]
    std = away.std(0)
    assert (std < floor).tolist() == [False, False, False, True]
    np.testing.assert_allclose(density.scale, np.maximum(std, floor))
    shrunk, _ = ledoit_wolf(away / density.scale, assume_centered=True)
    filled = shrunk + np.diag([0, 0, 0, 1 - (std[3] / floor) ** 2])
    np.testing.assert_allclose(np.linalg.inv(density.precision), filled, atol=1e-9)


def test_equal_recordings_have_a_density():
    """No feature has any spread; the distance is in units of the floor."""
    density = fit_tied_gaussian(np.full((4, 2), 5.0), np.array([0, 1, 0, 1]), 2, 0.1)
    np.testing.assert_allclose(density.nll(np.array([[5.0, 5.3]])), [[4.5, 4.5]])
