"""Squeeze: trades resolution in time and band for channels."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from flowasd.flow.bijection import Bijection, LevelConfig, Site


class Squeeze(Bijection):
    """Moves every `(time, band)` block of positions into channels (RealNVP, section 3.6).

    A frame of the result covers `time` frames of the input; volume is preserved.

    Attributes:
        out: The site behind it.

    Raises:
        ValueError: If the blocks do not divide the bands.
    """

    def __init__(self, site: Site, level: LevelConfig, rngs: nnx.Rngs):
        self.time, band = level.squeeze
        self.band = site.band if band == -1 else band
        if site.band % self.band:
            raise ValueError(f"squeeze {level.squeeze} does not divide {site.band} bands")
        channels = site.channels * self.time * self.band
        self.out = site._replace(band=site.band // self.band, channels=channels)

    def forward(
        self, x: Float[Array, "batch time band channel"], condition: Float[Array, "batch embed"]
    ) -> tuple[Float[Array, "batch time_out band_out channel_out"], Float[Array, "batch time_out"]]:
        """Returns the blocks as channels and the log-determinant, 0."""
        batch, time, band, channel = x.shape
        rows, columns = time // self.time, band // self.band
        blocks = x.reshape(batch, rows, self.time, columns, self.band, channel)
        y = blocks.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows, columns, -1)
        return y, jnp.zeros((batch, rows), x.dtype)

    def inverse(
        self, y: Float[Array, "batch time band channel"], condition: Float[Array, "batch embed"]
    ) -> Float[Array, "batch time_out band_out channel_out"]:
        """Returns the `x` that `forward` maps to `y`."""
        batch, rows, columns, _ = y.shape
        blocks = y.reshape(batch, rows, columns, self.time, self.band, -1)
        x = blocks.transpose(0, 1, 3, 2, 4, 5)
        return x.reshape(batch, rows * self.time, columns * self.band, -1)
