"""Flows of both shapes, and Gaussians for them to start at."""

from collections.abc import Sequence
from functools import partial

import jax.numpy as jnp
import numpy as np
from flax import nnx

from flowasd.flow.bijection import LevelConfig
from flowasd.flow.glow import Glow, ModelConfig, make_glow

SHAPES = {
    "mel": [LevelConfig((1, -1), 2, 16, (5, 1), conditional=True)],
    "image": [LevelConfig((2, 2), 1, 16, (3, 3), conditional=True)] * 3,
}


def make(
    levels: Sequence[LevelConfig],
    n_bands: int = 8,
    n_machines: int = 2,
    embed: int = 4,
    dtype: str = "float64",
) -> Glow:
    """A fresh flow; what is compiled whole takes a third of the time of one operation at a time."""
    config = ModelConfig(tuple(levels), embed, dtype)

    @nnx.jit
    def build() -> Glow:
        return Glow(config, n_bands=n_bands, n_machines=n_machines, rngs=nnx.Rngs(0))

    return build()


def abstract(
    levels: Sequence[LevelConfig],
    n_bands: int = 8,
    n_machines: int = 2,
    embed: int = 4,
    dtype: str = "float64",
) -> tuple[nnx.GraphDef[Glow], nnx.State]:
    """The structure of a flow and the shapes of its state, without the time that a flow takes."""
    config = ModelConfig(tuple(levels), embed, dtype)
    make = partial(make_glow, config, n_bands=n_bands, n_machines=n_machines, seed=0)
    return nnx.split(nnx.eval_shape(make))


def known_gaussian(n_machines, n_bands):
    """Means of all IDs, and one covariance."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(n_bands, n_bands)) / 2 + np.eye(n_bands)
    return rng.normal(size=(n_machines, n_bands)), root @ root.T


def started(flow, mean, covariance):
    """The flow, started at a Gaussian."""
    factor = jnp.asarray(np.linalg.cholesky(np.linalg.inv(covariance)).T)
    nnx.jit(Glow.start_at)(flow, jnp.asarray(mean), factor)
    return flow
