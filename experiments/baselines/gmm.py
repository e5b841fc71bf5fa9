"""A Gaussian mixture over single frames, one a machine ID."""

from functools import partial

import numpy as np
from jaxtyping import Float
from sklearn.mixture import GaussianMixture

from experiments.baselines.clips import Clips, by_rules, one_model_an_id

COMPONENTS = 8
NOISE = 0.1  # standard deviation; the flow's training noise, here added to the covariances


def scores(train: Clips, test: Clips, *, seed: int) -> dict[str, Float[np.ndarray, " clip"]]:
    """The flow's rules on the NLL of every frame in nats per mel bin."""
    return one_model_an_id(train, test, partial(_scores, seed=seed))


def _scores(train: Clips, test: Clips, seed: int) -> dict[str, Float[np.ndarray, " clip"]]:
    mixture = GaussianMixture(COMPONENTS, reg_covar=NOISE**2, random_state=seed)
    mixture.fit(np.concatenate(train.log_mels))
    return by_rules([-mixture.score_samples(clip) / clip.shape[1] for clip in test.log_mels])
