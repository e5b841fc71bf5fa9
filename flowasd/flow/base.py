"""The base density: a diagonal Gaussian whose mean and scale depend on the machine ID."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from flowasd.flow.coupling import bounded

LOG_SCALE_BOUND = 3.0


class ConditionalGaussian(nnx.Module):
    """Independent Gaussians, one per band and channel, the same at every time.

    Every machine ID has a mean and a log-scale of its own, which start at 0.
    """

    def __init__(self, band: int, channels: int, n_machines: int):
        self.mean = nnx.Param(jnp.zeros((n_machines, band, channels)))
        self.log_scale = nnx.Param(jnp.zeros((n_machines, band, channels)))

    def _mean_and_log_scale(
        self, machine: Int[Array, " batch"]
    ) -> tuple[Float[Array, "batch 1 band channel"], Float[Array, "batch 1 band channel"]]:
        mean, log_scale = (jnp.take(t[...], machine, axis=0) for t in (self.mean, self.log_scale))
        return mean[:, None], bounded(log_scale, LOG_SCALE_BOUND)[:, None]

    def log_prob(
        self, z: Float[Array, "batch time band channel"], machine: Int[Array, " batch"]
    ) -> Float[Array, "batch time"]:
        """Log-density of every frame in nats."""
        mean, log_scale = self._mean_and_log_scale(machine)
        standard = (z - mean) * jnp.exp(-log_scale)
        nats = -0.5 * (standard**2 + math.log(2 * math.pi)) - log_scale
        return nats.sum((2, 3))

    def sample(
        self, key: PRNGKeyArray, time: int, machine: Int[Array, " batch"]
    ) -> Float[Array, "batch time band channel"]:
        """Draws `time` frames for every machine index."""
        mean, log_scale = self._mean_and_log_scale(machine)
        batch, _, band, channel = mean.shape
        noise = jax.random.normal(key, (batch, time, band, channel))
        return mean + jnp.exp(log_scale) * noise
