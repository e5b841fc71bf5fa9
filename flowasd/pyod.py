"""The same detector of feature vectors by PyOD's conventions; PyOD itself is not needed."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from flowasd.sklearn import FlowDetector


class FlowOD:
    """`flowasd.sklearn.FlowDetector` with the methods and attributes of PyOD's detectors.

    As in PyOD, **larger scores are more anomalous**, `predict` says 1 for an outlier and 0 for an
    inlier, and the threshold calls the share `contamination` of the training rows outliers.

    Args:
        contamination: Share of outliers among the training rows, above 0 and at most 0.5.
        steps: As for `FlowDetector`.
        random_state: As for `FlowDetector`.

    Attributes:
        decision_scores_: Score of every training row, in nats.
        threshold_: Score above which a row is an outlier.
        labels_: 1 for every training row that is an outlier, else 0.

    Example:
        >>> import numpy
        >>> from flowasd.pyod import FlowOD
        >>> rows = numpy.random.default_rng(0).normal(size=(200, 3))
        >>> detector = FlowOD(contamination=0.05, steps=0, random_state=0).fit(rows)
        >>> int(detector.labels_.sum())
        10
        >>> detector.predict([[0, 0, 0], [9, 9, 9]])
        array([0, 1])
    """

    def __init__(self, contamination: float = 0.1, steps: int = 200, random_state: Any = None):
        if not 0 < contamination <= 0.5:
            raise ValueError(f"contamination must be above 0 and at most 0.5: {contamination}")
        self.contamination = contamination
        self.steps = steps
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "FlowOD":
        """Learns from rows, most of which are normal.

        Args:
            X: Rows `(row, feature)`; two at least.
            y: Not used.

        Raises:
            ValueError: If the rows cannot be used.

        Example:
            >>> from flowasd.pyod import FlowOD
            >>> FlowOD(steps=0).fit([[1.0], [2.0], [3.0], [2.0]]).decision_scores_.shape
            (4,)
        """
        self.detector_ = FlowDetector(steps=self.steps, random_state=self.random_state).fit(X)
        self.decision_scores_ = self.decision_function(X)
        self.threshold_ = np.percentile(self.decision_scores_, 100 * (1 - self.contamination))
        self.labels_ = (self.decision_scores_ > self.threshold_).astype(int)
        return self

    def decision_function(self, X: Any) -> Float[np.ndarray, " row"]:
        """Returns minus the log-density of every row in nats; the larger, the more anomalous.

        Args:
            X: Rows `(row, feature)`.

        Raises:
            ValueError: If the rows have other features than those of `fit`.

        Example:
            >>> from flowasd.pyod import FlowOD
            >>> detector = FlowOD(steps=0).fit([[1.0], [2.0], [3.0], [2.0]])
            >>> near, far = detector.decision_function([[2.0], [9.0]])
            >>> bool(near < far)
            True
        """
        return -self.detector_.score_samples(X)

    def predict(self, X: Any) -> Int[np.ndarray, " row"]:
        """Returns 1 for every outlier and 0 for every inlier.

        Args:
            X: Rows `(row, feature)`.

        Raises:
            ValueError: As `decision_function` does.

        Example:
            >>> from flowasd.pyod import FlowOD
            >>> FlowOD(steps=0).fit([[1.0], [2.0], [3.0], [2.0]]).predict([[99.0]])
            array([1])
        """
        return (self.decision_function(X) > self.threshold_).astype(int)

    def predict_proba(self, X: Any) -> Float[np.ndarray, "row 2"]:
        """Returns how normal and how anomalous every row is, scaled linearly to 0 to 1.

        As in PyOD, the lowest score of a training row is 0 and the highest is 1. These are no
        probabilities.

        Args:
            X: Rows `(row, feature)`.

        Raises:
            ValueError: As `decision_function` does.

        Example:
            >>> from flowasd.pyod import FlowOD
            >>> FlowOD(steps=0).fit([[1.0], [2.0], [3.0], [2.0]]).predict_proba([[99.0]])
            array([[0., 1.]])
        """
        low, high = self.decision_scores_.min(), self.decision_scores_.max()
        anomalous = np.clip((self.decision_function(X) - low) / max(high - low, 1e-12), 0, 1)
        return np.stack([1 - anomalous, anomalous], 1)
