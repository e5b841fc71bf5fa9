"""Activation normalisation: an affine map per channel."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from flowasd.flow.bijection import Bijection, LevelConfig, Site


class ActNorm(Bijection):
    """`y = (x + shift) * exp(log_scale)` per channel (Glow, section 3.1).

    It starts as the identity, since what reaches a fresh flow's steps is white already.
    """

    def __init__(self, site: Site, level: LevelConfig, rngs: nnx.Rngs):
        self.shift = nnx.Param(jnp.zeros(site.channels))
        self.log_scale = nnx.Param(jnp.zeros(site.channels))

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
