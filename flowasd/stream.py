"""Patches read from disk ahead of their use: training on more features than memory holds."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import grain
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from flowasd.bank import Drawn, Features, draw
from flowasd.frontend import Standardisation, standardise

READERS = 4  # threads


class Stream(NamedTuple):
    """What a bank holds, left on disk; patches are standardised as they are read."""

    features: Features
    machine: Int[np.ndarray, " clip"]
    statistics: Standardisation


def read_patches(
    stream: Stream, clip: Int[np.ndarray, " batch"], start: Int[np.ndarray, " batch"], length: int
) -> tuple[Float[np.ndarray, "batch length mel 1"], Int[np.ndarray, " batch"]]:
    """Reads the patches that begin at given frames of given clips, as `draw_patches` cuts them."""
    frames, first, n_frames = stream.features
    offset = (start[:, None] + np.arange(length)) % n_frames[clip][:, None]
    x = standardise(frames[first[clip][:, None] + offset], stream.statistics)
    return x[..., None], stream.machine[clip]


def stream_patches(stream: Stream, key: PRNGKeyArray, batch_size: int, length: int) -> Drawn:
    """Reads the patches that `draw_patches` takes from a bank of these clips by the same key."""
    n_frames = jnp.asarray(stream.features.n_frames)
    clip, start = map(np.asarray, draw(n_frames, key, batch_size, length))
    return jax.tree.map(jnp.asarray, read_patches(stream, clip, start, length))


def stream_blocks(
    stream: Stream, keys: Key[Array, " step"], batch_size: int, length: int, steps: int
) -> Iterator[tuple[Float[np.ndarray, "batch step length mel 1"], Int[np.ndarray, "batch step"]]]:
    """Reads the patches of many steps in threads, at most two blocks ahead of their use.

    The keys alone say which patches, so that whoever knows the step goes on where he left off.

    Args:
        stream: Clips to draw from.
        keys: The key of every step, by which `draw_patches` would take the same from a bank.
        batch_size: Patches of a step, of all processes together.
        length: Frames of a patch.
        steps: Steps of a block.

    Returns:
        This process's rows of every block; all processes' rows in order are the whole block.
    """
    n_frames = jnp.asarray(stream.features.n_frames)
    draws = jax.jit(jax.vmap(partial(draw, n_frames, batch_size=batch_size, length=length)))(keys)
    rows = np.split(np.arange(batch_size), jax.process_count())[jax.process_index()]
    clip, start = (np.asarray(drawn)[:, rows] for drawn in draws)
    return iter(
        grain.MapDataset.range(len(clip))
        .map(lambda step: read_patches(stream, clip[step], start[step], length))
        .to_iter_dataset(grain.ReadOptions(num_threads=READERS, prefetch_buffer_size=2 * steps))
        .batch(steps, batch_fn=lambda some: jax.tree.map(lambda *x: np.stack(x, 1), *some))
    )
