"""Training of a run: the loop that updates, validates, logs and keeps checkpoints."""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from flax import nnx
from jax.sharding import Mesh
from tqdm import tqdm

from flowasd.config import RunConfig, TrainConfig
from flowasd.data.source import Source, open_source
from flowasd.errors import UserError
from flowasd.features.cache import Features, source_features
from flowasd.features.frontend import fit_standardisation
from flowasd.features.outliers import unlike_others
from flowasd.flow.glow import Glow
from flowasd.run.checkpoint import Checkpoints
from flowasd.run.metric_log import MetricLog, Row, read_metrics
from flowasd.run.splits import Opened, check_shared, record_splits
from flowasd.run.workdir import open_workdir, record_config
from flowasd.training import parallel
from flowasd.training.bank import Bank, BatchSource, make_bank
from flowasd.training.gaussian import Gaussian, starting_gaussian
from flowasd.training.step import (
    TrainState,
    initial_state,
)
from flowasd.training.stream import Stream
from flowasd.training.updates import check_finite, updates
from flowasd.training.validation import sure_gain, validator

# What each item of a checkpoint takes from the state: scoring reads `model` alone.
ITEMS = {"model": ("params", "constants"), "trainer": ("step", "opt_state", "key")}


class Data(NamedTuple):
    """What is trained on, in memory or on disk, and what is validated on."""

    train: BatchSource
    validation: Bank


def restore_state(checkpoints: Checkpoints, state: TrainState) -> TrainState | None:
    """The state of the last checkpoint, if there is one; `state` gives the shapes."""
    step = checkpoints.latest
    if step is None:
        return None
    fields = state._asdict()
    for item, names in ITEMS.items():
        template = {name: fields[name] for name in names}
        fields |= checkpoints.restore(step, item, template)
    return TrainState(**fields)


def has_turned(validated: Sequence[float], patience: int, half: int) -> bool:
    """Whether the held-out NLL falls no more, which is asked from half of the updates on.

    Before that the learning rate is high, and the NLL may lie above that of the start for long.

    Args:
        validated: The NLL of every validation, the first one that of the start.
        patience: The number of the last validations, which bring no lower NLL than those before.
        half: Validations after the start in half of the updates.
    """
    enough = len(validated) > max(patience, half)
    return enough and min(validated[-patience:]) >= min(validated[:-patience])


def run_steps(
    config: TrainConfig,
    graph: nnx.GraphDef[Glow],
    start: TrainState,
    data: Data,
    mesh: Mesh,
    restored: TrainState | None = None,
    validated: Sequence[float] = (),
) -> Iterator[tuple[TrainState, Row]]:
    """Trains until the held-out NLL has turned or the last step is done.

    The NLL is validated before the first update, every `eval_every` steps, and after the last.

    Args:
        config: The `train` part of the run's config, `for_clips`.
        graph: Structure of the flow.
        start: The state before the first update.
        data: What is trained and validated on.
        mesh: The devices.
        restored: The state that training goes on from, if it is a later one.
        validated: The NLL of every validation up to the restored state.

    Yields:
        The state (valid until the next one is asked for, since its memory is used again) and its
        metrics, among them `validation_nll` and `validation_gain` where it was validated.

    Raises:
        UserError: If the loss is no longer finite.
    """
    assert config.steps is not None, "see TrainConfig.for_clips"
    nlls, half = list(validated), math.ceil(config.steps / 2 / config.eval_every)
    validate = validator(data.validation, graph, mesh)
    at_start = cache(partial(validate, start))  # a restored run computes it when it validates

    def validation(state: TrainState) -> Row:
        clips = at_start() if state is start else validate(state)
        nlls.append(float(clips.mean()))
        return {"validation_nll": nlls[-1], "validation_gain": sure_gain(at_start(), clips)}

    state = start if restored is None else restored
    if restored is None:
        yield start, {"step": 0} | validation(start)
    first, hidden = int(state.step), None if parallel.is_first() else True
    with tqdm(total=config.steps, initial=first, unit="step", desc="train", disable=hidden) as bar:
        if has_turned(nlls, config.patience, half):
            return
        for reached, row in updates(config, graph, state, data.train, mesh):
            if row["step"] % config.eval_every == 0 or row["step"] == config.steps:
                row |= validation(reached)
                check_finite(row)
                bar.set_postfix(validation_nll=f"{row['validation_nll']:.4f}", refresh=False)
            yield reached, row
            bar.update(config.log_every)
            if has_turned(nlls, config.patience, half):
                return


def fit(
    config: RunConfig, workdir: Path, start: Gaussian, data: Data, card: dict[str, Any], mesh: Mesh
) -> None:
    """Trains to the end, from the last checkpoint in `workdir` if there is one.

    Every validation is followed by a checkpoint, so that a run that is cut off and started again
    ends with the same bits as one that was not.

    Args:
        config: The config of the run, `for_clips`.
        workdir: Folder that takes checkpoints and metrics.
        start: The Gaussian that the flow starts as.
        data: Clips to train and to validate on.
        card: What a checkpoint says of itself.
        mesh: The devices.
    """
    graph, state = initial_state(config, start, mesh)
    with closing(Checkpoints(workdir, create=True)) as checkpoints:
        restored = restore_state(checkpoints, state)
        step, first = checkpoints.latest or 0, parallel.is_first()
        rows = [] if restored is None else read_metrics(workdir)
        nlls = [r["validation_nll"] for r in rows if "validation_nll" in r and r["step"] <= step]
        with closing(MetricLog(workdir, step)) if first else nullcontext() as log:
            steps = run_steps(config.train, graph, state, data, mesh, restored, nlls)
            for reached, row in steps:
                if log:
                    log.write(row)
                if "validation_gain" in row:
                    fields = reached._asdict()
                    items = {item: {n: fields[n] for n in names} for item, names in ITEMS.items()}
                    checkpoints.save(
                        int(reached.step), **items, card=card, gain=row["validation_gain"]
                    )


def train(config: RunConfig, workdir: Path, given: Opened | None = None) -> None:
    """Trains a flow on a run's data, or goes on from the last checkpoint in `workdir`.

    All processes of a run call it.

    Args:
        config: The config of the run.
        workdir: Folder that takes config, splits, checkpoints and metrics.
        given: The clips and their features; without them, the config says where the clips are.

    Raises:
        UserError: Before the first step, if data, config or workdir do not allow the run.
    """
    with parallel.processes(config.parallel):
        parallel.check_batch_size(config.train.batch_size)
        with parallel.first_before_others():  # the others find corpus and features in the cache
            source, features = open_run(config, workdir, given)
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
    if first:
        for doubt in unlike_others(source.splits["train"], features["train"]):
            warnings.warn(doubt, stacklevel=2)
        record_splits(workdir, source, features)
        record_config(workdir, config)
    else:
        check_shared(workdir, source, features)
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
    data = Data(train_source, make_bank(*held_out, mesh, **size))
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
