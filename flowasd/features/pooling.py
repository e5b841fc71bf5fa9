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
    background: float = key(
        0.0,
        "share of the same average from the softest frame on that is taken away",
        minimum=0,
        below=1,
    )


def rank_weighted(
    frames: Float[Array, "time band"],
    n_frames: Int[Array, ""],
    decay: float,
    background: float = 0.0,
) -> Float[Array, " band"]:
    """Sorts every band over time, descending, and averages it with the weights of `rank_weights`.

    After Guan et al., "Time-Weighted Frequency Domain Audio Representation with GMM Estimator for
    Anomalous Sound Detection", 2023, equation 3, which has no background.

    Args:
        frames: Bands in dB.
        n_frames: Number of frames that count, from the first on; at least 1.
        decay: As for `rank_weights`.
        background: As for `rank_weights`.
    """
    counted = jnp.arange(len(frames)) < n_frames
    ranked = descending(jnp.where(counted[:, None], frames, -jnp.inf))
    weights = rank_weights(len(frames), n_frames, decay, background)
    return (weights[:, None] * jnp.where(counted[:, None], ranked, 0.0)).sum(0)


def rank_weights(
    size: int, n_frames: Int[Array, ""] | int, decay: float, background: float = 0.0
) -> Float[Array, " rank"]:
    """Returns the weight of every rank, the loudest first.

    The weights `decay ** rank` make the average of a band's loud moments: a decay of 1 gives the
    mean, a decay near 0 the maximum. The same weights from the softest frame on make the average of
    its quiet moments, of which a share is taken away.

    Args:
        size: Number of weights.
        n_frames: Number of ranks that count, at least 1; the others weigh nothing.
        decay: Weight of a rank relative to the rank before.
        background: Share of the quiet average. The weights sum to one less this share.
    """
    rank = jnp.arange(size)
    loud, quiet = (
        jnp.where(rank < n_frames, jnp.power(decay, jnp.maximum(one, 0)), 0.0)
        for one in (rank, n_frames - 1 - rank)
    )
    return loud / loud.sum() - background * quiet / quiet.sum()


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
    background: float = 0.0,
) -> Float[Array, "pooled band"]:
    """Pools the frames of one clip over windows; the last window ends where the clip ends.

    A clip shorter than the window has one pooled frame, of all its frames. A clip shorter than
    `time` has fewer pooled frames than are returned: the last one is repeated.

    Args:
        frames: Bands in dB, of which the first `n_frames` are the clip's.
        n_frames: Number of frames of the clip.
        window: Frames of a window.
        hop: Distance between windows in frames.
        decay: As for `rank_weights`.
        background: As for `rank_weights`.
    """
    size = min(window, len(frames))
    first = jnp.minimum(
        hop * jnp.arange(n_pooled(len(frames), window, hop)), jnp.maximum(n_frames - window, 0)
    )

    def one(start: Int[Array, ""]) -> Float[Array, " band"]:
        cut = jax.lax.dynamic_slice_in_dim(frames, start, size)
        return rank_weighted(cut, jnp.minimum(n_frames, size), decay, background)

    return jax.lax.map(one, first)


def n_pooled(n_frames: int, window: int, hop: int) -> int:
    """Returns the number of pooled frames of a clip."""
    return 1 + -(-max(n_frames - window, 0) // hop)


def window_starts(n_frames: int, window: int, hop: int) -> Int[np.ndarray, " pooled"]:
    """Returns the first frame of every window of a clip of `n_frames`, as `pool` lays them."""
    return np.minimum(hop * np.arange(n_pooled(n_frames, window, hop)), max(n_frames - window, 0))
