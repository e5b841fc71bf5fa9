"""Batches of patches drawn from memory: the features of a split, placed on the devices."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from flowasd.features.cache import Features
from flowasd.features.frontend import Standardisation, standardise
from flowasd.training.parallel import replicate, split_rows


class Batch(NamedTuple):
    """Patches and the machine index of each."""

    x: Float[Array, "*steps batch length band 1"]
    machine: Int[Array, "*steps batch"]


@runtime_checkable
class Drawable(Protocol):
    """What patches can be drawn from inside `jit`."""

    def draw(self, key: Any) -> Batch:
        """Returns the batch of a key; the same key gives the same batch."""
        ...


@runtime_checkable
class BatchSource(Protocol):
    """Where the batches of training come from: `Bank` (memory) or `Stream` (disk)."""

    def draw(self, key: PRNGKeyArray) -> Batch:
        """Returns the batch of a key; the same key gives the same batch from either source."""
        ...

    def clips(self, key: PRNGKeyArray) -> Int[Array, " batch"]:
        """Returns which clip each patch of that batch is from."""
        ...

    def feed(
        self, keys: Key[Array, " step"], steps: int, mesh: Mesh
    ) -> Iterator[tuple[Drawable, Any]]:
        """Yields what `steps` updates at a time need.

        Args:
            keys: The key of every step.
            steps: Updates of one dispatch.
            mesh: The devices.

        Yields:
            A pytree to draw from, and what to draw by in each of the steps.
        """
        ...


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("frames", "first", "n_frames", "machine"),
    meta_fields=("batch_size", "length"),
)
@dataclass(frozen=True)
class Bank:
    """Standardised features on the devices.

    Attributes:
        frames: Frames of all clips, one clip after the other.
        first: First frame of every clip.
        n_frames: Number of frames of every clip; it is 0 behind the last clip, where there is room.
        machine: Machine index of every clip.
        batch_size: Patches of a batch.
        length: Frames of a patch.
    """

    frames: Float[Array, "frame band"]
    first: Int[Array, " clip"]
    n_frames: Int[Array, " clip"]
    machine: Int[Array, " clip"]
    batch_size: int
    length: int

    def draw(self, key: PRNGKeyArray) -> Batch:
        """Draws patches from random clips at random offsets, on the device.

        A clip shorter than a patch is repeated to fill it.
        """
        clip, start = draw_places(self.n_frames, key, self.batch_size, self.length)
        offset = (start[:, None] + jnp.arange(self.length)) % self.n_frames[clip][:, None]
        x = self.frames[self.first[clip][:, None] + offset]
        return Batch(x[..., None], self.machine[clip])

    def clips(self, key: PRNGKeyArray) -> Int[Array, " batch"]:
        """Returns which clip each patch of the batch of a key is from."""
        return draw_places(self.n_frames, key, self.batch_size, self.length)[0]

    def feed(
        self, keys: Key[Array, " step"], steps: int, mesh: Mesh
    ) -> Iterator[tuple["Bank", Key[Array, " step"]]]:
        """Yields the bank itself and the keys of the next steps."""
        data = np.asarray(jax.random.key_data(keys))
        for first in range(0, len(data) - steps + 1, steps):
            yield self, jax.random.wrap_key_data(replicate(mesh, data[first : first + steps]))


def make_bank(
    features: Features,
    machine: Int[np.ndarray, " clip"],
    statistics: Standardisation,
    mesh: Mesh,
    batch_size: int,
    length: int,
    room: Features | None = None,
) -> Bank:
    """Places the standardised features of a split on the devices, an equal share on each.

    Args:
        features: The features.
        machine: Machine index of every clip.
        statistics: What they are standardised by.
        mesh: The devices.
        batch_size: Patches of a batch.
        length: Frames of a patch.
        room: More features, for which the bank has room, so that it has the shape of their bank.
            The same compiled program then serves both.
    """
    frames = np.concatenate([standardise(clip, statistics) for clip in features.clips()])
    first = np.cumsum(features.n_frames) - features.n_frames
    columns = first, features.n_frames, machine
    if room is not None:
        frames = np.pad(frames, ((0, int(room.n_frames.sum()) - len(frames)), (0, 0)))
        columns = [np.pad(c, (0, len(room.n_frames) - len(first))) for c in columns]
    clips = replicate(mesh, [*columns])
    return Bank(split_rows(mesh, frames), *clips, batch_size=batch_size, length=length)


def frame_bank(
    frames: Float[np.ndarray, "frame band"],
    machine: Int[np.ndarray, " frame"],
    mesh: Mesh,
    batch_size: int,
) -> Bank:
    """Places standardised frames on the devices; each of them is a clip."""
    first = np.arange(len(frames))
    clips = replicate(mesh, [first, np.ones_like(first), machine])
    rows = split_rows(mesh, frames.astype(np.float32))
    return Bank(rows, *clips, batch_size=batch_size, length=1)


def draw_places(
    n_frames: Int[Array, " clip"], key: PRNGKeyArray, batch_size: int, length: int
) -> tuple[Int[Array, " batch"], Int[Array, " batch"]]:
    """Draws where patches lie: random clips, and a random first frame in each."""
    clip_key, start_key = jax.random.split(key)
    clip = jax.random.randint(clip_key, (batch_size,), 0, (n_frames > 0).sum())
    room = jnp.maximum(n_frames[clip] - length, 0) + 1
    return clip, jax.random.randint(start_key, (batch_size,), 0, room)
