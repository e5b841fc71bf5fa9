"""TWFR-GMM: a Gaussian mixture over clips whose frames are averaged by rank, one a machine ID.

After Guan et al., "Time-Weighted Frequency Domain Audio Representation with GMM Estimator for
Anomalous Sound Detection", 2023. Decay, components and regularisation are those that its authors
publish for slide rail. They chose them on the labelled test clips of DCASE 2022.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from sklearn.mixture import GaussianMixture

from experiments.baselines.clips import Clips, one_model_an_id
from flowasd.features.pooling import rank_weighted

DECAY = 0.88
COMPONENTS = 1
REGULARISATION = 1e-6  # added to the variances

average = jax.jit(partial(rank_weighted, decay=DECAY))


def scores(train: Clips, test: Clips, *, seed: int) -> dict[str, Float[np.ndarray, " clip"]]:
    """NLL of every clip in nats per mel bin."""
    return one_model_an_id(train, test, partial(_scores, seed=seed))


def _scores(train: Clips, test: Clips, seed: int) -> dict[str, Float[np.ndarray, " clip"]]:
    mixture = GaussianMixture(
        COMPONENTS, tol=1e-6, reg_covar=REGULARISATION, random_state=seed
    ).fit(_by_rank(train))
    new = _by_rank(test)
    return {"mean": -mixture.score_samples(new) / new.shape[1]}


def _by_rank(clips: Clips) -> Float[np.ndarray, "clip mel"]:
    rows = [average(jnp.asarray(clip), jnp.int32(len(clip))) for clip in clips.log_mels]
    return np.asarray(rows, np.float64)
