"""Activation normalisation: an affine map per channel that starts from the data's statistics."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from flowasd.flow.bijection import Bijection, LevelConfig, Site

VARIANCE_FLOOR = 1e-4  # a channel that never moves (a silent band) must not be blown up


class ActNorm(Bijection):
    """`y = (x + shift) * exp(log_scale)` per channel (Glow, section 3.1)."""

    def __init__(self, site: Site, level: LevelConfig, rngs: nnx.Rngs):
        self.shift = nnx.Param(jnp.zeros(site.channels))
        self.log_scale = nnx.Param(jnp.zeros(site.channels))

    def initialise(
        self, x: Float[Array, "batch time band channel"], condition: Float[Array, "batch embed"]
    ) -> None:
        """Sets the parameters so that `x` leaves with mean 0 and variance 1 in every channel."""
        axes = (0, 1, 2)
        self.shift[...] = -x.mean(axes)
        self.log_scale[...] = -0.5 * jnp.log(jnp.maximum(x.var(axes), VARIANCE_FLOOR))

    def forward(
        self, x: Float[Array, "batch time band channel"], condition: Float[Array, "batch embed"]
    ) -> tuple[Float[Array, "batch time band channel"], Float[Array, "batch time"]]:
        """Returns `y` and the log-determinant of every frame."""
        batch, time, band, _ = x.shape
        log_det = band * self.log_scale.sum()
        y = (x + self.shift) * jnp.exp(self.log_scale[...])
        return y, jnp.broadcast_to(log_det, (batch, time))

    def inverse(
        self, y: Float[Array, "batch time band channel"], condition: Float[Array, "batch embed"]
    ) -> Float[Array, "batch time band channel"]:
        """Returns the `x` that `forward` maps to `y`."""
        return y * jnp.exp(-self.log_scale[...]) - self.shift
