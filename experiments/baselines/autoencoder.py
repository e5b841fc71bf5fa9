"""The autoencoder of the DCASE 2020 Task 2 baseline (Koizumi et al., 2020), one a machine ID."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from experiments.baselines.clips import Clips, by_rules, one_model_an_id
from experiments.baselines.training import fit
from experiments.baselines.windows import Windows, draw, every_window, windows_of

LENGTH = 5  # frames of an input
HIDDEN = (128, 128, 128, 128, 8, 128, 128, 128, 128)
EPOCHS = 40
BATCH = 512
LEARNING_RATE = 1e-3


def scores(train: Clips, test: Clips, *, seed: int) -> dict[str, Float[np.ndarray, " clip"]]:
    """The flow's rules on the mean squared error of every five frames."""
    return one_model_an_id(train, test, partial(_scores, seed=seed))


def _scores(train: Clips, test: Clips, seed: int) -> dict[str, Float[np.ndarray, " clip"]]:
    windows = every_window(train, LENGTH)
    model = autoencoder(LENGTH * windows.frames.shape[1], nnx.Rngs(seed))
    steps = EPOCHS * len(windows.start) // BATCH
    model = fit(model, _loss, windows, steps=steps, learning_rate=LEARNING_RATE, seed=seed)
    model.eval()
    error = nnx.jit(errors)
    return by_rules([np.asarray(error(model, windows_of(clip, LENGTH))) for clip in test.log_mels])


def autoencoder(inputs: int, rngs: nnx.Rngs) -> nnx.Sequential:
    """Dense layers, each but the last with batch normalisation and ReLU."""
    layers, width = [], inputs
    for hidden in HIDDEN:
        layers += [
            nnx.Linear(width, hidden, rngs=rngs),
            nnx.BatchNorm(hidden, rngs=rngs),
            jax.nn.relu,
        ]
        width = hidden
    return nnx.Sequential(*layers, nnx.Linear(width, inputs, rngs=rngs))


def errors(model: nnx.Sequential, x: Float[Array, "window length mel"]) -> Float[Array, " window"]:
    """Mean squared error of the reconstruction of every window."""
    x = x.reshape(len(x), -1)
    return jnp.square(model(x) - x).mean(1)


def _loss(model: nnx.Sequential, windows: Windows, key: PRNGKeyArray) -> Float[Array, ""]:
    x, _ = draw(windows, key, BATCH, LENGTH)
    return errors(model, x).mean()
