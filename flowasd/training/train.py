"""Training of a run, from its config to its last step."""

import sys
import warnings
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flowasd.config import RunConfig
from flowasd.data.source import Source, open_source
from flowasd.errors import UserError
from flowasd.features.cache import Features, source_features
from flowasd.features.frontend import fit_standardisation
from flowasd.features.outliers import training_doubts
from flowasd.run.devices import require_devices
from flowasd.run.lock import sole_training
from flowasd.run.splits import Opened, check_shared, record_splits
from flowasd.run.workdir import open_workdir, record_config
from flowasd.training import parallel
from flowasd.training.bank import make_bank
from flowasd.training.fit import fit
from flowasd.training.gaussian import starting_gaussian
from flowasd.training.loop import Data
from flowasd.training.stream import Stream


def train(config: RunConfig, workdir: Path, given: Opened | None = None) -> None:
    """Trains a flow on a run's data, or goes on from the last checkpoint in `workdir`.

    All processes of a run call it.

    Args:
        config: The config of the run.
        workdir: Folder that takes config, splits, checkpoints and metrics.
        given: The clips and their features; without them, the config says where the clips are.

    Raises:
        UserError: Before the first step, if data, config or workdir do not allow the run, or
            another process trains in the workdir.
    """
    with parallel.processes(config.parallel), ExitStack() as held:
        devices = require_devices()
        parallel.check_batch_size(config.train.batch_size)
        with parallel.first_before_others():  # the others find corpus and features in the cache
            if parallel.is_first():
                held.enter_context(sole_training(workdir))
            source, features = open_run(config, workdir, given)
        if parallel.is_first():
            print(f"flowasd: trains on {devices}", file=sys.stderr)
        train_together(config, workdir, source, features)


def open_run(config: RunConfig, workdir: Path, given: Opened | None = None) -> Opened:
    """Opens or takes up the run in `workdir`; returns its clips and their features."""
    first = parallel.is_first()
    if first:
        open_workdir(workdir, config)
    if given is None:
        source = open_source(config.data, config.seed)
        source, features = source_features(source, config.frontend, config.data)
    else:
        source, features = given
    pooled = config.frontend.pooling.window > 0
    if (
        not pooled and features["train"].n_frames.max() == 1
    ):  # a frame is always there, centred on sample 0
        raise UserError(
            f"config.frontend.hop_length={config.frontend.hop_length} is longer than every clip; "
            "lower it"
        )
    if not first:
        check_shared(workdir, source, features)
        return source, features
    record_splits(workdir, source, features)
    record_config(workdir, config)
    if source.withheld and (count := len(source.splits.get("test", ()))):
        print(
            f"flowasd: there are no test clips, so {count} normal clips are tested instead of "
            "trained on; --config.data.test=0 trains on them too",
            file=sys.stderr,
        )
    for doubt in training_doubts(source.splits["train"], features["train"], config.frontend):
        warnings.warn(doubt, stacklevel=2)
    return source, features


def train_together(
    config: RunConfig, workdir: Path, source: Source, features: dict[str, Features]
) -> None:
    """Places the features on the devices of all processes, and trains to the last step."""
    mesh = parallel.data_mesh()
    statistics = fit_standardisation(features["train"].clips())
    size: dict[str, Any] = {
        "batch_size": config.train.batch_size,
        "length": config.train.patch_length,
    }
    known, held_out = (
        (features[split], source.machine_index(split), statistics)
        for split in ("train", "validation")
    )
    in_memory = features["train"].nbytes <= config.data.bank_gb * 1e9
    train_source = make_bank(*known, mesh, **size) if in_memory else Stream(*known, **size)
    names = [str(clip.path) for clip in source.splits["train"]]
    data = Data(train_source, make_bank(*held_out, mesh, **size), names)
    start = starting_gaussian(*known)
    settled = config.for_clips(len(known[1]))
    card = {
        "data": source.kind,
        "config": asdict(config),
        "steps": settled.train.steps,
        "noise": settled.train.noise,
        "machine_ids": source.machine_ids,
        "mean": statistics.mean.tolist(),
        "std": statistics.std.tolist(),
        "start": start.structure,
    }
    fit(settled, workdir, start, data, card, mesh)
