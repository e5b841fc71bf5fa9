"""Squeeze: trades resolution in time and mel for channels."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float


class Squeeze(NamedTuple):
    """Moves every `(time, mel)` block of positions into channels (RealNVP, section 3.6).

    A frame of the result covers `time` frames of the input; volume is preserved.
    """

    time: int
    mel: int

    def forward(
        self, x: Float[Array, "batch time mel channel"], condition: Float[Array, "batch embed"]
    ) -> tuple[Float[Array, "batch time_out mel_out channel_out"], Float[Array, "batch time_out"]]:
        """Returns the blocks as channels and the log-determinant, 0."""
        batch, time, mel, channel = x.shape
        rows, columns = time // self.time, mel // self.mel
        blocks = x.reshape(batch, rows, self.time, columns, self.mel, channel)
        y = blocks.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows, columns, -1)
        return y, jnp.zeros((batch, rows), x.dtype)

    def inverse(
        self, y: Float[Array, "batch time mel channel"], condition: Float[Array, "batch embed"]
    ) -> Float[Array, "batch time_out mel_out channel_out"]:
        """Returns the `x` that `forward` maps to `y`."""
        batch, rows, columns, _ = y.shape
        blocks = y.reshape(batch, rows, columns, self.time, self.mel, -1)
        x = blocks.transpose(0, 1, 3, 2, 4, 5)
        return x.reshape(batch, rows * self.time, columns * self.mel, -1)
