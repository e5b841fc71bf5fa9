"""From a config to the clips of every split: the user's recordings or the built-in corpus."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from flowasd.data.dcase import Clip, read_dataset
from flowasd.data.simulate import simulated_corpus
from flowasd.data.splits import split_clips
from flowasd.errors import UserError
from flowasd.typing import Config


class Source(NamedTuple):
    """Where the clips of a run come from and how they are split.

    Attributes:
        machine_type: Name of the type's folder.
        simulated: Whether this is the built-in corpus.
        labelled: Whether `test` is a labelled test set; if not, it is normal clips that were
            held out of training, or an evaluation set, and no AUC can be had.
        splits: Clips of `train`, `validation` and `test`.
    """

    machine_type: str
    simulated: bool
    labelled: bool
    splits: dict[str, tuple[Clip, ...]]

    @property
    def kind(self) -> str:
        """What every artefact says of its recordings."""
        return "SIMULATED" if self.simulated else "real"

    @property
    def machine_ids(self) -> list[str]:
        """The IDs of the training clips, in order; a clip's machine index counts along it."""
        return sorted({clip.machine_id for clip in self.splits["train"]})

    def machine_index(self, split: str) -> Int[np.ndarray, " clip"]:
        """Machine index of every clip of a split."""
        ids = self.machine_ids
        return np.array([ids.index(clip.machine_id) for clip in self.splits[split]], np.int32)


def user_cache() -> Path:
    """What is kept in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "flowasd").expanduser()


def cache_folder(config: Config) -> Path:
    """`config.cache`, or the user's cache folder."""
    return Path(config.cache).expanduser() if config.cache else user_cache()


def resolved(config: Config) -> Config:
    """A copy of a run's config whose `data.root`, if there is one, is absolute."""
    copy = config.copy_and_resolve_references()
    if copy.data.root:
        copy.data.root = str(Path(copy.data.root).expanduser().resolve())
    return copy


def open_source(config: Config, seed: int) -> Source:
    """Finds the clips and splits them.

    Args:
        config: The `data` part of a run's config; without a root, the built-in corpus is used.
        seed: Seed of the split.

    Raises:
        UserError: If the root is missing or is not a DCASE tree, or too few clips are there.
    """
    root = Path(config.root) if config.root else _built_in(config)
    dataset = read_dataset(root)
    labelled = any(clip.label is not None for clip in dataset.test)
    held_out = 0.0 if dataset.test else config.test
    splits = split_clips(dataset.train, seed, config.validation, held_out)
    return Source(
        machine_type=dataset.machine_type,
        simulated=not config.root,
        labelled=labelled,
        splits={"test": dataset.test} | splits,
    )


def _built_in(config: Config) -> Path:
    corpus, cache = config.simulated, cache_folder(config)
    try:
        return simulated_corpus(cache, corpus.seed, corpus.n_train, corpus.n_test)
    except OSError as error:
        raise UserError(
            f"{cache}: the built-in corpus cannot be written here ({error.strerror}); "
            "name another folder with --config.data.cache"
        ) from error
