"""Distance of pooled clips from the nearest training clips of their machine ID."""

import numpy as np
from jaxtyping import Float
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from experiments.baselines.clips import Clips, one_model_an_id, pooled

NEIGHBOURS = 2


def scores(train: Clips, test: Clips, *, seed: int) -> dict[str, Float[np.ndarray, " clip"]]:
    """Mean distance from the nearest neighbours in standardised pooled features."""
    del seed  # nothing is drawn
    return one_model_an_id(train, test, _scores)


def _scores(train: Clips, test: Clips) -> dict[str, Float[np.ndarray, " clip"]]:
    seen = pooled(train)
    scaler = StandardScaler().fit(seen)
    neighbours = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(scaler.transform(seen))
    distance, _ = neighbours.kneighbors(scaler.transform(pooled(test)))
    return {"mean+std+max": distance.mean(1)}
