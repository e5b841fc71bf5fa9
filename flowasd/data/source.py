"""From a config to the clips of every split: the user's recordings or the built-in corpus."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from flowasd.data.audio import MAX_SECONDS
from flowasd.data.clips import Clip
from flowasd.data.layouts import LAYOUTS
from flowasd.data.simulated.corpus import simulated_corpus
from flowasd.data.simulated.slide_rail import N_SAMPLES
from flowasd.data.splits import split_clips
from flowasd.data.suspicious import ANSWERS as SUSPICIOUS
from flowasd.errors import UserError
from flowasd.files import user_cache
from flowasd.settings import key


@dataclass(frozen=True)
class SimulatedConfig:
    """The built-in corpus."""

    seed: int = key(0, "seed of the corpus", minimum=0)
    n_train: int = key(60, "training clips of each machine ID", minimum=2)
    n_test: int = key(25, "normal and also anomalous test clips of each ID", minimum=1)

    @property
    def n_samples(self) -> int:
        """Samples of a clip."""
        return N_SAMPLES


@dataclass(frozen=True)
class DataConfig:
    """The recordings."""

    root: str = key("", "folder of the recordings; if empty, the built-in simulated corpus")
    layout: str = key("dcase2020", "how the recordings are laid out", choices=LAYOUTS)
    cache: str = key("", "folder of features and built-in corpus; if empty, the user's cache")
    bank_gb: float = key(
        4.0, "training features kept in memory; more are read from disk", unit="GB", minimum=0
    )
    max_clip_seconds: float = key(
        MAX_SECONDS, "longest recording that is read; a longer one is refused", unit="s", above=0
    )
    suspicious: str = key(
        "refuse",
        "recordings that cannot be judged, such as silent ones: refused; left out of training with "
        "a warning, and not scored; or used",
        choices=SUSPICIOUS,
    )
    validation: float = key(0.05, "fraction of the training clips held out", above=0, below=1)
    test: float = key(
        0.2, "the same for testing, where there is no test folder", minimum=0, below=1
    )
    calibration: int = key(
        100,
        "training clips of each ID held out for p-values, if every ID has four times as many; "
        "otherwise p-values are cross-fitted",
        minimum=0,
    )
    simulated: SimulatedConfig = field(default_factory=SimulatedConfig)

    @property
    def cache_folder(self) -> Path:
        """`cache`, or the user's cache folder if it is empty."""
        return Path(self.cache).expanduser() if self.cache else user_cache()


class Source(NamedTuple):
    """Where the clips of a run come from and how they are split.

    Attributes:
        machine_type: Name of the type's folder.
        simulated: Whether this is the built-in corpus.
        labelled: Whether `test` is a labelled test set. If not, it holds normal clips that were
            held out of training, or an evaluation set, and there is no AUC.
        splits: Clips of `train`, `validation`, `test` and, if there are enough, `calibration`.
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
        """The IDs of the training clips, in order; a machine index is a position in this list."""
        return sorted({clip.machine_id for clip in self.splits["train"]})

    def machine_index(self, split: str) -> Int[np.ndarray, " clip"]:
        """Machine index of every clip of a split."""
        ids = self.machine_ids
        return np.array([ids.index(clip.machine_id) for clip in self.splits[split]], np.int32)


def open_source(config: DataConfig, seed: int) -> Source:
    """Finds the clips and splits them.

    Args:
        config: Where the recordings are; without a root, the built-in corpus is used.
        seed: Seed of the split.

    Raises:
        UserError: If the root is missing or is not laid out as it should be, or too few clips are
            there.
    """
    root = Path(config.root) if config.root else _built_in(config)
    dataset = LAYOUTS[config.layout].read_dataset(root)
    labelled = any(clip.label is not None for clip in dataset.test)
    held_out = 0.0 if dataset.test else config.test
    splits = split_clips(dataset.train, seed, config.validation, held_out, config.calibration)
    return Source(
        machine_type=dataset.machine_type,
        simulated=not config.root,
        labelled=labelled,
        splits={"test": dataset.test} | splits,
    )


def open_test(config: DataConfig) -> Source:
    """Finds the test clips alone of a data set that the run was not trained on.

    Raises:
        UserError: If there is no such folder, or it holds no test clips.
    """
    dataset = LAYOUTS[config.layout].read_test_clips(Path(config.root))
    labelled = any(clip.label is not None for clip in dataset.test)
    return Source(dataset.machine_type, False, labelled, {"test": dataset.test})


def _built_in(config: DataConfig) -> Path:
    corpus, cache = config.simulated, config.cache_folder
    try:
        return simulated_corpus(cache, corpus.seed, corpus.n_train, corpus.n_test)
    except OSError as error:
        raise UserError(
            f"{cache}: the built-in corpus cannot be written here ({error.strerror}); "
            "name another folder with --config.data.cache"
        ) from error
