"""Our side of the race to an AUC, and the data that both sides share."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from flax import nnx
from jaxtyping import Float

from experiments.speed.shapes import shape_config
from experiments.speed.side import Tasks
from flowasd.config import RunConfig
from flowasd.data.source import Source, open_source
from flowasd.evaluation import metrics
from flowasd.features.cache import source_features
from flowasd.features.frontend import fit_standardisation, standardise
from flowasd.scoring.frame_nll import frame_nll
from flowasd.scoring.rules import FRAME_STATISTICS
from flowasd.training.bank import make_bank
from flowasd.training.gaussian import Gaussian, starting_gaussian
from flowasd.training.loop import Data, run_steps
from flowasd.training.parallel import data_mesh
from flowasd.training.step import initial_state


class Fold(NamedTuple):
    """A data set as the default config sees it.

    Attributes:
        config: The default config.
        source: The clips.
        data: Clips of `train` and `validation`.
        start: The Gaussian that the flow starts as.
        test: Standardised log-mels of the test clips.
    """

    config: RunConfig
    source: Source
    data: Data
    start: Gaussian
    test: list[Float[np.ndarray, "_ mel"]]

    def auc(self, nlls: Sequence[Float[np.ndarray, " _"]], *rules: str) -> float:
        """AUC in percent of the best of some rules, the average over machine IDs."""
        clips = self.source.splits["test"]
        ids, labels = [clip.machine_id for clip in clips], [clip.label for clip in clips]
        statistics = (FRAME_STATISTICS[rule] for rule in rules)
        columns = ([statistic(nll[None], axis=1)[0] for nll in nlls] for statistic in statistics)
        rows = (metrics.per_machine(ids, labels, np.array(scores)) for scores in columns)
        return 100 * max(metrics.average(row).auc for row in rows)


def open_fold(config: RunConfig) -> Fold:
    """Reads the data set of a config, which has a labelled `test`."""
    source = open_source(config.data, config.seed)
    source, features = source_features(source, config.frontend, config.data)
    statistics = fit_standardisation(features["train"].clips())
    train, validation = (
        make_bank(
            features[split],
            source.machine_index(split),
            statistics,
            data_mesh(),
            config.train.batch_size,
            config.train.patch_length,
        )
        for split in ("train", "validation")
    )
    test = [standardise(clip, statistics) for clip in features["test"].clips()]
    start = starting_gaussian(features["train"], source.machine_index("train"), statistics)
    config = config.for_clips(len(features["train"].n_frames))
    return Fold(config, source, Data(train, validation), start, test)


def race_tasks(data: str) -> Tasks:
    """`train`: on to the next validation; `auc`: the AUC then; `ended`: whether it was the last."""
    fold = open_fold(shape_config("mel", {"data.root": data}))
    config, machines = fold.config, fold.source.machine_index("test")
    now: dict[str, Any] = {"ended": False}

    def validated() -> Iterator[None]:
        mesh = data_mesh()
        graph, state = initial_state(config, fold.start, mesh)
        for reached, row in run_steps(config.train, graph, state, fold.data, mesh):
            if "validation_nll" in row:
                now["flow"] = nnx.merge(graph, reached.params, reached.constants)
                now["ended"] = row["step"] == config.train.steps
                yield
        now["ended"] = True

    updates = validated()

    def auc() -> float:
        nlls = frame_nll(
            now["flow"],
            fold.test,
            length=config.train.patch_length,
            hop=config.score.hop,
            batch_size=config.score.batch_size,
        )
        return fold.auc([nll[:, m] for nll, m in zip(nlls, machines, strict=True)], "std")

    return {
        "train": lambda: next(updates, None),
        "auc": auc,
        "ended": lambda: now["ended"],
    }
