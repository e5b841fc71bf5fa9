"""Invertible 1x1 convolution: one learned linear map of the channels at every position."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from flowasd.flow.bijection import Bijection, LevelConfig, Site

HIGHEST = jax.lax.Precision.HIGHEST


class InvertibleLinear(Bijection):
    """`y = W x` with `W = P L (U + diag(sign * exp(log_diagonal)))` (Glow, equation 10).

    The permutation `P` and the signs are fixed; `W` starts as a random rotation.
    """

    def __init__(self, site: Site, level: LevelConfig, rngs: nnx.Rngs):
        rotation = jax.random.orthogonal(rngs.params(), site.channels)
        permutation, lower, upper = jax.scipy.linalg.lu(rotation)
        diagonal = jnp.diag(upper)
        self.permutation = nnx.Variable(permutation)
        self.sign = nnx.Variable(jnp.sign(diagonal))
        self.lower = nnx.Param(jnp.tril(lower, -1))
        self.upper = nnx.Param(jnp.triu(upper, 1))
        self.log_diagonal = nnx.Param(jnp.log(jnp.abs(diagonal)))

    def _factors(self) -> tuple[Float[Array, "channel channel"], Float[Array, "channel channel"]]:
        lower = jnp.tril(self.lower[...], -1) + jnp.eye(len(self.sign))
        diagonal = self.sign[...] * jnp.exp(self.log_diagonal[...])
        return lower, jnp.triu(self.upper[...], 1) + jnp.diag(diagonal)

    def forward(
        self, x: Float[Array, "batch time band channel"], condition: Float[Array, "batch embed"]
    ) -> tuple[Float[Array, "batch time band channel"], Float[Array, "batch time"]]:
        """Returns `y` and the log-determinant of every frame."""
        batch, time, band, _ = x.shape
        lower, upper = self._factors()
        weight = jnp.linalg.multi_dot([self.permutation[...], lower, upper], precision=HIGHEST)
        log_det = band * self.log_diagonal.sum()
        return jnp.dot(x, weight.T, precision=HIGHEST), jnp.broadcast_to(log_det, (batch, time))

    def inverse(
        self, y: Float[Array, "batch time band channel"], condition: Float[Array, "batch embed"]
    ) -> Float[Array, "batch time band channel"]:
        """Returns the `x` that `forward` maps to `y`, by two triangular solves."""
        lower, upper = self._factors()
        rhs = jnp.dot(y.reshape(-1, y.shape[-1]), self.permutation[...], precision=HIGHEST).T
        half = jax.scipy.linalg.solve_triangular(lower, rhs, lower=True, unit_diagonal=True)
        return jax.scipy.linalg.solve_triangular(upper, half).T.reshape(y.shape)

    @classmethod
    def flops(cls, site: Site, level: LevelConfig) -> int:
        """Returns the operations of the product for one position."""
        return 2 * site.channels**2
