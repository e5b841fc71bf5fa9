"""Detectors of feature vectors, by the conventions of scikit-learn and of PyOD."""

import pickle
from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.utils.estimator_checks import parametrize_with_checks

from flowasd.pyod import FlowOD
from flowasd.sklearn import FlowDetector

# What is expected to fail, and why.
EXPECTED = {
    "check_do_not_raise_errors_in_init_or_set_params": "it makes a detector of strings and lists, "
    "which the types that this suite checks at run time refuse; without that it passes"
}


@parametrize_with_checks([FlowDetector(steps=0)], expected_failed_checks=lambda _: EXPECTED)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def rows(count, seed=0):
    """A bent cloud, which is no Gaussian."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 2))
    x[:, 1] = 3 * x[:, 0] ** 2 + 0.3 * x[:, 1]
    return x * [10.0, 0.01] + [5.0, 1.0]


@pytest.fixture(scope="module")
def trained():
    return FlowDetector(steps=60, random_state=0).fit(rows(600))


def test_without_training_the_density_is_a_gaussian():
    x = rows(300)
    detector = FlowDetector(steps=0, random_state=0).fit(x)
    mean, std = detector.statistics_
    gaussian: Any = detector.gaussian_
    centre, covariance = mean + std * gaussian.mean[0], gaussian.covariance * np.outer(std, std)
    expected = multivariate_normal.logpdf(x, centre, covariance)
    np.testing.assert_allclose(detector.score_samples(x), expected, rtol=1e-8)


@pytest.mark.slow
def test_training_makes_new_rows_more_likely(trained):
    assert trained.params_ is not None
    start, new = FlowDetector(steps=0, random_state=0).fit(rows(600)), rows(600, seed=1)
    assert trained.score_samples(new).mean() > start.score_samples(new).mean() + 0.1


@pytest.mark.slow
def test_the_density_sums_to_one(trained):
    side = np.linspace(-1, 1, 400)
    grid = np.stack(np.meshgrid(5 + 80 * side, 1.1 + 0.6 * side), -1).reshape(-1, 2)
    cell = (160 / 399) * (1.2 / 399)
    assert np.exp(trained.score_samples(grid)).sum() * cell == pytest.approx(1, abs=0.02)


@pytest.mark.slow
def test_a_trained_detector_is_pickled(trained):
    again = pickle.loads(pickle.dumps(trained))
    assert (again.score_samples(rows(5)) == trained.score_samples(rows(5))).all()


@pytest.mark.parametrize("alpha", [0.02, 0.1, 0.3])
def test_the_rate_of_false_alarms_is_at_most_alpha(alpha):
    """Over many held-out sets, as conformal prediction promises."""
    rates = []
    for seed in range(30):
        detector = FlowDetector(steps=0, alpha=alpha, random_state=seed)
        detector.fit(rows(250, seed=100 + seed))
        rates.append((detector.predict(rows(1000, seed=seed)) == -1).mean())
    assert alpha / 3 < np.mean(rates) < alpha + 0.02


def test_too_few_rows_allow_no_alarm():
    detector = FlowDetector(steps=0, alpha=0.01, random_state=0).fit(rows(50))
    assert detector.offset_ == -np.inf
    assert (detector.predict([[1e6, 1e6]]) == 1).all()


def test_one_feature_has_a_gaussian_alone():
    x = np.random.default_rng(0).normal(size=(100, 1))
    detector = FlowDetector(steps=10, random_state=0).fit(x)
    assert detector.params_ is None
    assert detector.predict([[0.0], [50.0]]).tolist() == [1, -1]


@pytest.mark.parametrize("settings", [{"alpha": 0.0}, {"alpha": 1.0}, {"steps": -1}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match="out of its range"):
        FlowDetector(**settings).fit(rows(20))


def test_pyods_conventions():
    """Larger is more anomalous; labels, threshold and predictions belong together."""
    x = rows(200)
    detector = FlowOD(contamination=0.1, steps=0, random_state=0)
    assert detector.fit(x) is detector
    same = FlowDetector(steps=0, random_state=0).fit(x)
    assert (detector.decision_function(x) == -same.score_samples(x)).all()
    assert (detector.decision_scores_ == detector.decision_function(x)).all()
    assert detector.labels_.sum() == 20
    assert (detector.predict(x) == detector.labels_).all()
    assert detector.threshold_ == np.percentile(detector.decision_scores_, 90)
    proba = detector.predict_proba(x)
    np.testing.assert_allclose(proba.sum(1), 1)
    assert proba[:, 1].min() == 0
    assert proba[:, 1].max() == 1
    with pytest.raises(ValueError, match="contamination"):
        FlowOD(contamination=0.6)


def test_pyod_says_the_same():
    base = pytest.importorskip("pyod.models.base", reason="PyOD is not a dependency")

    class ByPyOD(base.BaseDetector):
        def fit(self, X, y=None):
            self._set_n_classes(y)
            self.own = FlowDetector(steps=0, random_state=0).fit(X)
            self.decision_scores_ = self.decision_function(X)
            self._process_decision_scores()
            return self

        def decision_function(self, X):
            return -self.own.score_samples(X)

    x, new = rows(200), rows(50, seed=1)
    theirs, ours = ByPyOD(contamination=0.1).fit(x), FlowOD(0.1, steps=0, random_state=0).fit(x)
    assert theirs.threshold_ == ours.threshold_
    assert (theirs.labels_ == ours.labels_).all()
    assert (theirs.predict(new) == ours.predict(new)).all()
    np.testing.assert_allclose(theirs.predict_proba(new), ours.predict_proba(new))
