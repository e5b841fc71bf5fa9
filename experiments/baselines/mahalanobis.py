"""Mahalanobis distance of pooled clips from their machine ID's training clips."""

import numpy as np
from jaxtyping import Float
from sklearn.covariance import LedoitWolf
from sklearn.preprocessing import StandardScaler

from experiments.baselines.clips import Clips, one_model_an_id, pooled


def scores(train: Clips, test: Clips, *, seed: int) -> dict[str, Float[np.ndarray, " clip"]]:
    """Squared distances on the mean log-mel, and on mean, standard deviation and maximum."""
    del seed  # nothing is drawn
    return one_model_an_id(train, test, _scores)


def _scores(train: Clips, test: Clips) -> dict[str, Float[np.ndarray, " clip"]]:
    seen, new = pooled(train), pooled(test)
    n_mels = seen.shape[1] // 3
    return {
        "mean": distance(seen[:, :n_mels], new[:, :n_mels]),
        "mean+std+max": distance(seen, new),
    }


def distance(
    train: Float[np.ndarray, "clip feature"], test: Float[np.ndarray, "other feature"]
) -> Float[np.ndarray, " other"]:
    """Squared Mahalanobis distance of `test` from the mean of `train`.

    There are fewer clips than features, so the covariance is shrunk (Ledoit & Wolf, 2004); it is
    shrunk to a multiple of the identity, so the features are brought to one scale before.
    """
    scaler = StandardScaler().fit(train)
    return LedoitWolf().fit(scaler.transform(train)).mahalanobis(scaler.transform(test))
