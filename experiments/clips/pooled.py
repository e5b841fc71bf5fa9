"""Clips as pooled frames, and those of recordings."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from flowasd.config import RunConfig
from flowasd.data.clips import Clip
from flowasd.data.dataset import read_dataset
from flowasd.data.splits import split_clips
from flowasd.features.cache import cached_features


class Pooled(NamedTuple):
    """Clips, the machine index of each, and the pooled frame of each in dB."""

    clips: tuple[Clip, ...]
    machine: Int[np.ndarray, " clip"]
    x: Float[np.ndarray, "clip band"]

    @classmethod
    def of(cls, clips: Sequence[Clip], x: Float[np.ndarray, "clip band"]) -> "Pooled":
        """Returns clips of all machine IDs; an index is a position among the sorted IDs."""
        machine = np.unique([clip.machine_id for clip in clips], return_inverse=True)[1]
        return cls(tuple(clips), machine.astype(np.int32), x)

    def some(self, wanted: Sequence[int]) -> "Pooled":
        """Returns some of the clips."""
        chosen = np.asarray(wanted, int)
        return Pooled(tuple(self.clips[i] for i in wanted), self.machine[chosen], self.x[chosen])

    def joined(self, other: "Pooled") -> "Pooled":
        """Returns these clips and others of the same machine IDs."""
        machine = np.concatenate([self.machine, other.machine])
        return Pooled(self.clips + other.clips, machine, np.concatenate([self.x, other.x]))

    def per_machine(self, count: int, seed: int) -> "Pooled":
        """Returns that many clips of every machine ID, drawn by a seed, or all that an ID has."""
        order = np.random.default_rng(seed).permutation(len(self.clips))
        drawn = [order[self.machine[order] == m][:count] for m in np.unique(self.machine)]
        return self.some(np.sort(np.concatenate(drawn)).tolist())

    def split(self, seed: int, validation: float) -> tuple["Pooled", "Pooled"]:
        """Returns training and validation clips, split as a run splits them."""
        parts = split_clips(self.clips, seed, validation)
        place = {clip: i for i, clip in enumerate(self.clips)}
        train, held_out = (self.some([place[c] for c in parts[p]]) for p in ("train", "validation"))
        return train, held_out


def recorded(root: Path, config: RunConfig) -> tuple[Pooled, Pooled]:
    """Returns the training and the test clips of recordings.

    Args:
        root: A data set in DCASE's layout.
        config: A config whose front-end makes one pooled frame of a clip.
    """
    dataset = read_dataset(root)
    train, test = (_heard(clips, config) for clips in (dataset.train, dataset.test))
    return train, test


def _heard(clips: tuple[Clip, ...], config: RunConfig) -> Pooled:
    paths = [clip.path for clip in clips]
    features = cached_features(paths, config.frontend, config.data.cache_folder)
    return Pooled.of(clips, np.concatenate(features.clips()))
