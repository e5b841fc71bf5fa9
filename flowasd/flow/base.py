"""The base density: a diagonal Gaussian whose mean and scale depend on the machine ID."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from flowasd.flow.coupling import bounded

LOG_SCALE_BOUND = 3.0


class ConditionalGaussian(nnx.Module):
    """Independent Gaussians, one per band and channel, the same at every time.

    Mean and log-scale are linear in the embedding of the machine ID and start at 0.
    """

    def __init__(self, band: int, channels: int, embed: int):
        self.weight = nnx.Param(jnp.zeros((embed, 2, band, channels)))
        self.bias = nnx.Param(jnp.zeros((2, band, channels)))

    def _mean_and_log_scale(
        self, condition: Float[Array, "batch embed"]
    ) -> tuple[Float[Array, "batch 1 band channel"], Float[Array, "batch 1 band channel"]]:
        both = jnp.tensordot(condition, self.weight[...], 1) + self.bias[...]
        return both[:, None, 0], bounded(both[:, None, 1], LOG_SCALE_BOUND)

    def log_prob(
        self, z: Float[Array, "batch time band channel"], condition: Float[Array, "batch embed"]
    ) -> Float[Array, "batch time"]:
        """Log-density of every frame in nats."""
        mean, log_scale = self._mean_and_log_scale(condition)
        standard = (z - mean) * jnp.exp(-log_scale)
        nats = -0.5 * (standard**2 + math.log(2 * math.pi)) - log_scale
        return nats.sum((2, 3))

    def sample(
        self, key: PRNGKeyArray, time: int, condition: Float[Array, "batch embed"]
    ) -> Float[Array, "batch time band channel"]:
        """Draws `time` frames for every row of the condition."""
        mean, log_scale = self._mean_and_log_scale(condition)
        batch, _, band, channel = mean.shape
        noise = jax.random.normal(key, (batch, time, band, channel))
        return mean + jnp.exp(log_scale) * noise
