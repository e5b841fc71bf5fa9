"""Whitening: the linear map with which the flow starts as a Gaussian over the bands."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from flowasd.flow.bijection import Bijection, LevelConfig, Site

HIGHEST = jax.lax.Precision.HIGHEST


class Whitening(Bijection):
    """`y = U (x - mean)` over the bands of every frame, with an upper triangular `U`.

    If `U^T U` is the precision matrix and `mean` the mean of a Gaussian, its samples leave with
    mean 0 and the identity as their covariance. It starts as the identity.
    """

    def __init__(self, site: Site, level: LevelConfig, rngs: nnx.Rngs):
        self.mean = nnx.Param(jnp.zeros(site.band))
        self.upper = nnx.Param(jnp.zeros((site.band, site.band)))
        self.log_diagonal = nnx.Param(jnp.zeros(site.band))

    def set(self, mean: Float[Array, " band"], precision_factor: Float[Array, "band band"]) -> None:
        """Sets the mean and `U`, whose diagonal must be positive."""
        self.mean[...] = mean
        self.upper[...] = jnp.triu(precision_factor, 1)
        self.log_diagonal[...] = jnp.log(jnp.diag(precision_factor))

    def _factor(self) -> Float[Array, "band band"]:
        return jnp.triu(self.upper[...], 1) + jnp.diag(jnp.exp(self.log_diagonal[...]))

    def forward(
        self, x: Float[Array, "batch time band channel"], condition: Float[Array, "batch embed"]
    ) -> tuple[Float[Array, "batch time band channel"], Float[Array, "batch time"]]:
        """Returns `y` and the log-determinant of every frame."""
        batch, time, _, channel = x.shape
        away = x - self.mean[...][:, None]
        y = jnp.einsum("ij,btjc->btic", self._factor(), away, precision=HIGHEST)
        log_det = channel * self.log_diagonal.sum()
        return y, jnp.broadcast_to(log_det, (batch, time))

    def inverse(
        self, y: Float[Array, "batch time band channel"], condition: Float[Array, "batch embed"]
    ) -> Float[Array, "batch time band channel"]:
        """Returns the `x` that `forward` maps to `y`, by a triangular solve."""
        rhs = jnp.moveaxis(y, 2, 0)
        flat = rhs.reshape(len(rhs), -1)
        away = jax.scipy.linalg.solve_triangular(self._factor(), flat).reshape(rhs.shape)
        return jnp.moveaxis(away, 0, 2) + self.mean[...][:, None]
