"""Pooling: frames of a spectrogram over a window become one pooled frame."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from flowasd.settings import key


@dataclass(frozen=True)
class PoolingConfig:
    """Pooling of the front-end's frames."""

    window: float = key(
        0.0, "window of a pooled frame; if 0, nothing is pooled", unit="s", minimum=0
    )
    hop: float = key(1.0, "distance of pooled frames", unit="s", above=0)
    decay: float = key(
        0.95, "weight of a rank relative to the rank before; 1 is the mean", minimum=0, maximum=1
    )


def rank_weighted(
    frames: Float[Array, "time band"], n_frames: Int[Array, ""], decay: float
) -> Float[Array, " band"]:
    """Sorts every band over time, descending, and averages it with weights `decay ** rank`.

    After Guan et al., "Time-Weighted Frequency Domain Audio Representation with GMM Estimator for
    Anomalous Sound Detection", 2023, equation 3. A decay of 1 gives the mean, a decay near 0 the
    maximum.

    Args:
        frames: Bands in dB.
        n_frames: Number of frames that count, from the first on; at least 1.
        decay: Weight of a rank relative to the rank before.
    """
    rank = jnp.arange(len(frames))[:, None]
    counted = rank < n_frames
    ranked = descending(jnp.where(counted, frames, -jnp.inf))
    weight = jnp.where(counted, jnp.power(decay, rank), 0.0)
    return (weight * jnp.where(counted, ranked, 0.0)).sum(0) / weight.sum(0)


@jax.jit
def descending(values: Float[Array, "time band"]) -> Float[Array, "time band"]:
    """Sorts every band over time, the largest value first.

    XLA on CPUs sorts integers in a quarter of the time of floats. The bits of float32, read as an
    integer, have the order of the floats, once all but the sign is inverted in negative ones.
    """

    def ordered(bits: Int[Array, "time band"]) -> Int[Array, "time band"]:
        return jnp.where(bits < 0, bits ^ jnp.int32(0x7FFFFFFF), bits)

    keys = ordered(jax.lax.bitcast_convert_type(values, jnp.int32))
    keys = jnp.sort(keys, axis=0, descending=True)
    return jax.lax.bitcast_convert_type(ordered(keys), jnp.float32)


def pool(
    frames: Float[Array, "time band"],
    n_frames: Int[Array, ""],
    *,
    window: int,
    hop: int,
    decay: float,
) -> Float[Array, "pooled band"]:
    """Pools the frames of one clip over windows; the last window ends where the clip ends.

    A clip shorter than the window has one pooled frame, of all its frames. A clip shorter than
    `time` has fewer pooled frames than are returned: the last one is repeated.

    Args:
        frames: Bands in dB, of which the first `n_frames` are the clip's.
        n_frames: Number of frames of the clip.
        window: Frames of a window.
        hop: Distance between windows in frames.
        decay: As for `rank_weighted`.
    """
    size = min(window, len(frames))
    first = jnp.minimum(
        hop * jnp.arange(n_pooled(len(frames), window, hop)), jnp.maximum(n_frames - window, 0)
    )

    def one(start: Int[Array, ""]) -> Float[Array, " band"]:
        cut = jax.lax.dynamic_slice_in_dim(frames, start, size)
        return rank_weighted(cut, jnp.minimum(n_frames, size), decay)

    return jax.lax.map(one, first)


def n_pooled(n_frames: int, window: int, hop: int) -> int:
    """Returns the number of pooled frames of a clip."""
    return 1 + -(-max(n_frames - window, 0) // hop)


def window_starts(n_frames: int, window: int, hop: int) -> Int[np.ndarray, " pooled"]:
    """Returns the first frame of every window of a clip of `n_frames`, as `pool` lays them."""
    return np.minimum(hop * np.arange(n_pooled(n_frames, window, hop)), max(n_frames - window, 0))


def rank_weights(n_frames: int, decay: float) -> Float[np.ndarray, " rank"]:
    """Returns the weight of every rank in `rank_weighted`, the loudest first; their sum is 1."""
    weight = np.power(decay, np.arange(n_frames, dtype=np.float64))
    return weight / weight.sum()
