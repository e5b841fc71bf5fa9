"""Batches of patches read from disk ahead of their use, for features that exceed memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from flowasd.features.cache import Features
from flowasd.features.frontend import Standardisation, standardise
from flowasd.files import read_ahead
from flowasd.training.bank import Batch, draw_places
from flowasd.training.parallel import global_batch


class Fetched(NamedTuple):
    """Stands for a stream inside `jit`, where its batches have been read already."""

    def draw(self, key: Batch) -> Batch:
        """Returns the batch, which has taken the place of its key."""
        return key


@dataclass(frozen=True)
class Stream:
    """What a `Bank` holds, left on disk; patches are standardised as they are read.

    Attributes:
        features: Features of the clips.
        machine: Machine index of every clip.
        statistics: Of the standardisation.
        batch_size: Patches of a batch, of all processes together.
        length: Frames of a patch.
    """

    features: Features
    machine: Int[np.ndarray, " clip"]
    statistics: Standardisation
    batch_size: int
    length: int

    def read(
        self, clip: Int[np.ndarray, " batch"], start: Int[np.ndarray, " batch"]
    ) -> tuple[Float[np.ndarray, "batch length band 1"], Int[np.ndarray, " batch"]]:
        """Reads the patches that begin at given frames of given clips, as a bank cuts them."""
        places = zip(clip.tolist(), start.tolist(), strict=True)
        cut = np.stack([self._patch(*place) for place in places])
        return standardise(cut, self.statistics)[..., None], self.machine[clip]

    def _patch(self, clip: int, start: int) -> Float[np.ndarray, "length band"]:
        """One patch; a clip that is shorter is repeated from its first frame."""
        count = min(self.length, int(self.features.n_frames[clip]))
        frames = self.features.frames(clip, start, count)
        return np.resize(frames, (self.length, frames.shape[1]))

    def draw(self, key: PRNGKeyArray) -> Batch:
        """Reads the patches that a bank of these clips draws by the same key."""
        return Batch(*map(jnp.asarray, self.read(*map(np.asarray, self._places(key)))))

    def clips(self, key: PRNGKeyArray) -> Int[Array, " batch"]:
        """Returns which clip each patch of the batch of a key is from."""
        return self._places(key)[0]

    def _places(self, key: PRNGKeyArray) -> tuple[Int[Array, " batch"], Int[Array, " batch"]]:
        n_frames = jnp.asarray(self.features.n_frames)
        return draw_places(n_frames, key, self.batch_size, self.length)

    def feed(
        self, keys: Key[Array, " step"], steps: int, mesh: Mesh
    ) -> Iterator[tuple[Fetched, Batch]]:
        """Yields the batches of `steps` updates at a time, read at most two dispatches ahead.

        The keys alone decide which patches, so a run that is resumed reads what it would have read.
        """
        for x, machine in self.blocks(keys, steps):
            local = (x.swapaxes(0, 1), machine.swapaxes(0, 1))  # processes share out the first axis
            x, machine = global_batch(mesh, local)
            yield Fetched(), Batch(x.swapaxes(0, 1), machine.swapaxes(0, 1))

    def blocks(
        self, keys: Key[Array, " step"], steps: int
    ) -> Iterator[
        tuple[Float[np.ndarray, "step batch length band 1"], Int[np.ndarray, "step batch"]]
    ]:
        """Yields this process's rows of every block of `steps` batches."""
        rows = np.split(np.arange(self.batch_size), jax.process_count())[jax.process_index()]
        clip, start = (
            np.asarray(drawn)[:, rows] for drawn in jax.jit(jax.vmap(self._places))(keys)
        )
        batches = read_ahead(lambda i: self.read(clip[i], start[i]), range(len(clip)), 2 * steps)
        for _ in range(len(clip) // steps):
            x, machine = zip(*(next(batches) for _ in range(steps)), strict=True)
            yield np.stack(x), np.stack(machine)
