"""A flow over feature vectors, as a novelty detector of scikit-learn."""

from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float, Int, PyTree
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from flowasd.config import RunConfig, TrainConfig
from flowasd.features.frontend import FrontendConfig, Standardisation, standardise
from flowasd.flow.bijection import LevelConfig
from flowasd.flow.glow import ModelConfig, glow_structure
from flowasd.scoring.decision import clips_needed
from flowasd.scoring.frame_nll import frame_nll
from flowasd.training.bank import frame_bank
from flowasd.training.gaussian import Gaussian, fit_gaussian
from flowasd.training.loop import Data, run_steps
from flowasd.training.parallel import local_mesh
from flowasd.training.step import initial_state

MODEL = ModelConfig(levels=(LevelConfig(steps=4, width=64, kernel=(1, 1)),))
VALIDATIONS = 5  # of a training
HELD_OUT = 0.2  # of the rows, for the threshold
VALIDATION = 0.1  # of the rows, to choose the step
VARIANCE_FLOOR = 1e-6  # of a standardised feature; a constant one has no spread of its own


class FlowDetector(OutlierMixin, BaseEstimator):
    """Learns the density of normal rows and finds rows that are unlikely.

    The density is a Gaussian, which training turns into a normalizing flow as far as that lowers
    the negative log-likelihood of held-out rows. A single feature has a Gaussian alone.

    As for scikit-learn's outlier detectors, **larger scores are more normal**, and `predict` says
    -1 for an outlier and 1 for an inlier. `flowasd.Detector` and `flowasd.pyod` have it the other
    way round: their larger scores are more anomalous.

    Args:
        steps: Updates of the training; with 0 the density stays a Gaussian, which takes no time.
        alpha: Share of normal rows that may be called outliers, above 0 and below 1. The threshold
            is conformal: it is made of rows that were held out, a fifth or as many as `alpha`
            needs. If half of the rows are too few, which is so below `2 / alpha` rows or about
            that, no row is an outlier.
        random_state: Seed of held-out rows, initial parameters and batches.

    Attributes:
        offset_: `score_samples` below which a row is an outlier, in nats; minus infinity if there
            were too few rows.
        n_features_in_: Number of features.
        gaussian_: The Gaussian of standardised rows.
        params_: Parameters of the flow; `None` if the Gaussian was kept.

    Example:
        >>> import numpy
        >>> from flowasd.sklearn import FlowDetector
        >>> rows = numpy.random.default_rng(0).normal(size=(200, 3))
        >>> detector = FlowDetector(steps=0, alpha=0.05, random_state=0).fit(rows)
        >>> detector.predict([[0, 0, 0], [9, 9, 9]])
        array([ 1, -1])
    """

    def __init__(self, steps: int = 200, alpha: float = 0.1, random_state: Any = None):
        self.steps = steps
        self.alpha = alpha
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "FlowDetector":
        """Learns from normal rows.

        Args:
            X: Rows `(row, feature)` of finite numbers; two at least.
            y: Not used.

        Returns:
            Itself.

        Raises:
            ValueError: If there are too few rows, or `X`, `steps` or `alpha` cannot be used.

        Example:
            >>> from flowasd.sklearn import FlowDetector
            >>> FlowDetector(steps=0).fit([[1.0, 2.0], [1.5, 2.5], [0.5, 2.0]]).n_features_in_
            2
        """
        X = np.asarray(validate_data(self, X, dtype=np.float64, ensure_min_samples=2))
        if not (0 < self.alpha < 1 and self.steps >= 0):
            raise ValueError(f"alpha={self.alpha} or steps={self.steps} is out of its range")
        random = check_random_state(self.random_state)
        order, count = random.permutation(len(X)), len(X)
        n_held_out = min(max(round(HELD_OUT * count), clips_needed(self.alpha)), count // 2)
        held_out, rest = X[order[:n_held_out]], X[order[n_held_out:]]
        std = rest.std(0)
        self.statistics_ = Standardisation(rest.mean(0), np.where(std > 0, std, 1.0))
        rows = standardise(rest, self.statistics_)
        ones, zeros = np.ones(len(rows), int), np.zeros(len(rows), int)
        floor = np.full(rows.shape[1], VARIANCE_FLOOR)
        self.gaussian_ = fit_gaussian([row[None] for row in rows], ones, zeros, floor)
        seed = int(random.randint(2**31 - 1))
        trainable = self.steps > 0 and rows.shape[1] > 1 and len(rows) > 3
        self.params_ = self._train(rows, seed) if trainable else None
        lowest = np.sort(self._log_density(held_out))
        rank = int(np.floor(self.alpha * (n_held_out + 1) + 1e-9)) - 1
        self.offset_ = float(lowest[rank]) if 0 <= rank < n_held_out else -np.inf
        return self

    def score_samples(self, X: Any) -> Float[np.ndarray, " row"]:
        """Returns the log-density of every row in nats; the larger, the more normal.

        Args:
            X: Rows `(row, feature)`.

        Raises:
            ValueError: If the rows have other features than those of `fit`.

        Example:
            >>> from flowasd.sklearn import FlowDetector
            >>> detector = FlowDetector(steps=0).fit([[1.0], [2.0], [3.0], [2.0]])
            >>> near, far = detector.score_samples([[2.0], [9.0]])
            >>> bool(near > far)
            True
        """
        check_is_fitted(self)
        return self._log_density(np.asarray(validate_data(self, X, dtype=np.float64, reset=False)))

    def decision_function(self, X: Any) -> Float[np.ndarray, " row"]:
        """Returns `score_samples` less `offset_`, in nats; outliers are below 0.

        Args:
            X: Rows `(row, feature)`.

        Raises:
            ValueError: As `score_samples` does.

        Example:
            >>> from flowasd.sklearn import FlowDetector
            >>> detector = FlowDetector(steps=0, alpha=0.5).fit([[1.0], [2.0], [3.0], [2.0]])
            >>> bool(detector.decision_function([[99.0]])[0] < 0)
            True
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> Int[np.ndarray, " row"]:
        """Returns -1 for every outlier and 1 for every inlier.

        Args:
            X: Rows `(row, feature)`.

        Raises:
            ValueError: As `score_samples` does.

        Example:
            >>> from flowasd.sklearn import FlowDetector
            >>> detector = FlowDetector(steps=0, alpha=0.5).fit([[1.0], [2.0], [3.0], [2.0]])
            >>> detector.predict([[2.0], [99.0]])
            array([ 1, -1])
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _log_density(self, X: Float[np.ndarray, "row feature"]) -> Float[np.ndarray, " row"]:
        rows, volume = standardise(X, self.statistics_), np.log(self.statistics_.std).sum()
        if self.params_ is None:
            return _gaussian_log_density(self.gaussian_, rows) - volume
        graph, *_ = glow_structure(MODEL, rows.shape[1], 1)
        flow = nnx.merge(graph, *self.params_)
        clip = [rows.astype(np.float32)]
        (nll,) = frame_nll(flow, clip, length=1, hop=1, batch_size=256)
        return -rows.shape[1] * nll[:, 0].astype(np.float64) - volume

    def _train(
        self, rows: Float[np.ndarray, "row feature"], seed: int
    ) -> tuple[PyTree, PyTree] | None:
        """Returns the parameters of the best step; `None` if that is the start."""
        warmup, every = min(50, self.steps // 4), max(1, self.steps // VALIDATIONS)
        train = TrainConfig(
            steps=self.steps,
            warmup_steps=warmup,
            patch_length=1,
            noise=0.1,
            log_every=1,
            eval_every=every,
        )
        frontend = FrontendConfig(n_bands=rows.shape[1])
        config = RunConfig(seed=seed, frontend=frontend, model=MODEL, train=train)
        mesh, n_held_out = local_mesh(), max(2, round(VALIDATION * len(rows)))
        graph, start = initial_state(config, self.gaussian_, mesh)
        training, held_out = (
            frame_bank(some, np.zeros(len(some), int), mesh, train.batch_size)
            for some in (rows[n_held_out:], rows[:n_held_out])
        )
        best, kept = 0.0, None
        for state, row in run_steps(train, graph, start, Data(training, held_out), mesh):
            if row.get("validation_gain", 0.0) > best:
                best = row["validation_gain"]
                kept = jax.tree.map(np.asarray, (state.params, state.constants))
        return kept


def _gaussian_log_density(
    gaussian: Gaussian, rows: Float[np.ndarray, "row feature"]
) -> Float[np.ndarray, " row"]:
    """Log-density of rows in nats, in closed form: that of a flow at its start."""
    factor = gaussian.precision_factor
    latent = (rows - gaussian.mean[0]) @ factor.T
    constant = np.log(np.diag(factor)).sum() - 0.5 * rows.shape[1] * np.log(2 * np.pi)
    return constant - 0.5 * (latent**2).sum(1)
