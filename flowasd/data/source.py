"""From a config to the clips of every split: the user's recordings or the built-in corpus."""

from collections import ChainMap
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from flowasd.data.audio import MAX_SECONDS
from flowasd.data.clips import Clip, Dataset
from flowasd.data.dataset import (
    ID,
    check,
    conditioned,
    join,
    machine_types,
    read_dataset,
    read_test_clips,
    type_of,
)
from flowasd.data.layouts import AUTO, LAYOUTS, parse_clip
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
    layout: str = key(
        AUTO,
        "how the recordings are laid out; auto recognises all layouts but `folder`",
        choices=ChainMap({AUTO: LAYOUTS["dcase2020"]}, LAYOUTS),
    )
    machine_type: str = key(
        "", "the machine type, where the root has several, or where the layout does not tell it"
    )
    train_on: str = key(
        "",
        "folders below the root whose training clips are joined, such as "
        "development+additional_training; if empty, the root",
    )
    test_on: str = key(
        "", "folder below the root whose test clips are scored; if empty, those beside the training"
    )
    condition: str = key(
        ID,
        "what the flow is conditioned on: `id` (the machine ID or section), or beside it `domain` "
        "or the name of an attribute",
    )
    channel: int = key(0, "the channel that is read of recordings that have several", minimum=0)
    cache: str = key("", "folder of features and built-in corpus; if empty, the user's cache")
    bank_gb: float = key(
        4.0, "training features kept in memory; more are read from disk", unit="GB", minimum=0
    )
    max_clip_seconds: float = key(
        MAX_SECONDS, "longest recording that is read; a longer one is refused", unit="s", above=0
    )
    suspicious: str = key(
        "refuse",
        "training recordings that cannot be judged, such as silent ones: refused; left out with a "
        "warning; or used, and then scored, too",
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
        labelled: Whether `test` is a labelled test set. If not, there is no AUC.
        splits: Clips of `train`, `validation`, `test` and, if there are enough, `calibration`.
        edition: The challenge whose evaluator judges the test clips, as in `Dataset`.
        withheld: Whether `test` holds training clips, withheld because there is no test set.
    """

    machine_type: str
    simulated: bool
    labelled: bool
    splits: dict[str, tuple[Clip, ...]]
    edition: int = 2020
    withheld: bool = False

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
    dataset = _with_conditions(_dataset(config), config.condition)
    check(dataset, Path(config.root))
    held_out = 0.0 if dataset.test else config.test
    splits = split_clips(dataset.train, seed, config.validation, held_out, config.calibration)
    source = _source(dataset, {"test": dataset.test} | splits, config, simulated=not config.root)
    return source._replace(withheld=not dataset.test)


def open_test(config: DataConfig) -> Source:
    """Finds the test clips alone of a data set that the run was not trained on.

    Raises:
        UserError: If there is no such folder, or it holds no test clips.
    """
    dataset = _with_conditions(_test_clips(config), config.condition)
    return _source(dataset, {"test": dataset.test}, config, simulated=False)


def clip_of(path: Path, config: DataConfig) -> Clip:
    """Reads what the path of one file tells, the machine ID with all that the flow is given.

    Raises:
        UserError: If the path does not tell it.
    """
    return conditioned(parse_clip(path, config.layout), config.condition)


def types_of(config: DataConfig) -> list[str]:
    """Lists the machine types that a config's root has training clips of.

    Raises:
        UserError: If there is no root, or there are none.
    """
    if not config.root or config.machine_type:
        raise UserError(
            "name the folder of all machine types with --config.data.root, and no machine_type"
        )
    return machine_types(training_folders(config)[0], config.layout)


def training_folders(config: DataConfig) -> list[Path]:
    """Returns the folders whose training clips are joined."""
    root = Path(config.root) if config.root else _built_in(config)
    return (
        [root / name.strip() for name in config.train_on.split("+")] if config.train_on else [root]
    )


def _dataset(config: DataConfig) -> Dataset:
    found = config.layout, config.machine_type
    dataset = join([read_dataset(folder, *found) for folder in training_folders(config)])
    if not config.test_on:
        return dataset
    return replace(_test_clips(config), machine_type=dataset.machine_type, train=dataset.train)


def _test_clips(config: DataConfig) -> Dataset:
    folder = Path(config.root, config.test_on)
    return read_test_clips(folder, config.layout, config.machine_type)


def _with_conditions(dataset: Dataset, condition: str) -> Dataset:
    train, test = (
        tuple(conditioned(clip, condition) for clip in clips)
        for clips in (dataset.train, dataset.test)
    )
    return replace(dataset, train=train, test=test)


def _source(
    dataset: Dataset, splits: dict[str, tuple[Clip, ...]], config: DataConfig, simulated: bool
) -> Source:
    machine_type = dataset.machine_type or config.machine_type or type_of(Path(config.root))
    labelled = any(clip.label is not None for clip in dataset.test)
    return Source(machine_type, simulated, labelled, splits, dataset.edition)


def _built_in(config: DataConfig) -> Path:
    corpus, cache = config.simulated, config.cache_folder
    try:
        return simulated_corpus(cache, corpus.seed, corpus.n_train, corpus.n_test)
    except OSError as error:
        raise UserError(
            f"{cache}: the built-in corpus cannot be written here ({error.strerror}); "
            "name another folder with --config.data.cache"
        ) from error
