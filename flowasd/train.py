"""Training of a run: the loop that updates, validates, logs and keeps checkpoints."""

import json
import math
from collections.abc import Iterator
from contextlib import closing, nullcontext
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int
from tqdm import tqdm

from flowasd import parallel
from flowasd.bank import Bank, Features, make_bank, source_features
from flowasd.calibration import calibrate, save_calibration, stored_step
from flowasd.checkpoint import Checkpoints
from flowasd.config import check_config
from flowasd.data.source import Source, cache_folder, open_source, resolved
from flowasd.detector import CALIBRATION, Detector
from flowasd.errors import UserError
from flowasd.flow.glow import Glow
from flowasd.frontend import Frontend, fit_standardisation
from flowasd.metric_log import MetricLog, Row
from flowasd.step import (
    TrainState,
    initial_state,
    mean_nll,
    step_keys,
    train_step,
    validation_patches,
)
from flowasd.stream import Stream, stream_blocks
from flowasd.typing import Config
from flowasd.workdir import check_shared, open_workdir, record_splits

# What each item of a checkpoint takes from the state: scoring reads `model` alone.
ITEMS = {"model": ("params", "constants"), "trainer": ("step", "opt_state", "key")}

# Patches and machine indices of the steps of one dispatch.
Block = tuple[Float[Array, "batch step time mel 1"], Int[Array, "batch step"]]


class Banks(NamedTuple):
    """What is trained on, in memory or on disk, and what is validated on."""

    train: Bank | Stream
    validation: Bank


def restore_state(checkpoints: Checkpoints, state: TrainState) -> TrainState:
    """The state of the last checkpoint; `state` gives the shapes."""
    step = checkpoints.latest
    if step is None:
        return state
    fields = state._asdict()
    for item, names in ITEMS.items():
        template = {name: fields[name] for name in names}
        fields |= checkpoints.restore(step, item, template)
    return TrainState(**fields)


def drawn_blocks(stream: Stream, state: TrainState, config: Config, mesh: Mesh) -> Iterator[Block]:
    """The patches of the steps to come, `log_every` steps at once, read from disk."""
    key = jax.random.wrap_key_data(jnp.asarray(np.asarray(state.key)))  # on this process alone
    steps = np.arange(int(state.step), config.steps)
    keys = jax.vmap(partial(step_keys, key))(steps)[:, 0]
    size = (config.batch_size, config.patch_length, config.log_every)
    blocks = stream_blocks(stream, keys, *size)
    return (parallel.global_batch(mesh, block) for block in blocks)


def run_steps(
    config: Config, graph: nnx.GraphDef[Glow], state: TrainState, banks: Banks, mesh: Mesh
) -> Iterator[tuple[TrainState, Row]]:
    """Trains on to the last step, `log_every` steps a dispatch.

    Yields:
        The state (valid until the next one is asked for, since its memory is used again) and its
        metrics; these have a `validation_nll` every `eval_every` steps and after the last.

    Raises:
        UserError: If the loss is no longer finite.
    """
    step = partial(train_step, graph=graph, config=config, mesh=mesh)
    everywhere = parallel.replicated(mesh)

    @partial(jax.jit, donate_argnums=0, out_shardings=everywhere)
    def dispatch(state: TrainState, bank: Bank | Block) -> tuple[TrainState, dict[str, Array]]:
        if isinstance(bank, Bank):
            state, rows = jax.lax.scan(lambda s, _: step(s, bank), state, length=config.log_every)
        else:
            x, machine = bank
            state, rows = jax.lax.scan(step, state, (x.swapaxes(0, 1), machine.swapaxes(0, 1)))
        return state, jax.tree.map(jnp.mean, rows)

    validate = jax.jit(partial(mean_nll, graph=graph, mesh=mesh), out_shardings=everywhere)
    patches = validation_patches(banks.validation, config.patch_length, config.batch_size, mesh)
    feed = (
        repeat(banks.train)
        if isinstance(banks.train, Bank)
        else drawn_blocks(banks.train, state, config, mesh)
    )
    first, hidden = int(state.step), not parallel.is_first()
    with tqdm(total=config.steps, initial=first, unit="step", desc="train", disable=hidden) as bar:
        ends = range(first + config.log_every, config.steps + 1, config.log_every)
        for done, bank in zip(ends, feed, strict=False):
            state, means = dispatch(state, bank)
            row: Row = {"step": done} | {key: float(mean) for key, mean in means.items()}
            if done % config.eval_every == 0 or done == config.steps:
                row["validation_nll"] = float(validate(state, banks.validation, patches))
                bar.set_postfix(validation_nll=f"{row['validation_nll']:.4f}", refresh=False)
            if not all(map(math.isfinite, row.values())):
                raise UserError(
                    f"training diverged before step {done}: the loss is not finite; "
                    "lower --config.train.learning_rate"
                )
            yield state, row
            bar.update(config.log_every)


def fit(config: Config, workdir: Path, banks: Banks, card: dict[str, Any], mesh: Mesh) -> None:
    """Trains to the end, from the last checkpoint in `workdir` if there is one.

    Every validation is followed by a checkpoint, so that a run that is cut off and started again
    ends with the same bits as one that was not.

    Args:
        config: The whole config of the run.
        workdir: Folder that takes checkpoints and metrics.
        banks: Clips to train and to validate on.
        card: What a checkpoint says of itself.
        mesh: The devices.
    """
    graph, state = initial_state(config, banks.train, len(card["machine_ids"]), mesh)
    with closing(Checkpoints(workdir, create=True)) as checkpoints:
        state = restore_state(checkpoints, state)
        first = parallel.is_first()
        with closing(MetricLog(workdir, int(state.step))) if first else nullcontext() as log:
            for reached, row in run_steps(config.train, graph, state, banks, mesh):
                if log:
                    log.write(row)
                if "validation_nll" in row:
                    fields = reached._asdict()
                    items = {item: {n: fields[n] for n in names} for item, names in ITEMS.items()}
                    checkpoints.save(
                        int(reached.step), **items, card=card, validation_nll=row["validation_nll"]
                    )


def train(config: Config, workdir: Path) -> None:
    """Trains a flow on a run's data, or goes on from the last checkpoint in `workdir`.

    It ends with the calibration of the scores by the clips of `train` and `validation`. All
    processes of a run call it; the first does alone what comes after the last step.

    Args:
        config: The whole config of the run.
        workdir: Folder that takes config, splits, checkpoints, metrics and calibration.

    Raises:
        UserError: Before the first step, if data, config or workdir do not allow the run.
    """
    check_config(config)
    config = resolved(config)
    with parallel.processes(config.parallel):
        parallel.check_batch_size(config.train.batch_size)
        with parallel.first_before_others():  # these find corpus and features in the cache
            source, features = open_run(config, workdir)
        train_together(config, workdir, source, features)
    if parallel.is_first():
        calibrate_run(workdir, source, features)


def open_run(config: Config, workdir: Path) -> tuple[Source, dict[str, Features]]:
    """Opens or takes up the run in `workdir`; returns its clips and their features."""
    first = parallel.is_first()
    if first:
        open_workdir(workdir, config)
    source = open_source(config.data, config.seed)
    features = source_features(source, Frontend(**config.frontend), cache_folder(config.data))
    if first:
        record_splits(workdir, source)
    else:
        check_shared(workdir, source)
    return source, features


def train_together(
    config: Config, workdir: Path, source: Source, features: dict[str, Features]
) -> None:
    """Places the features on the devices of all processes, and trains to the last step."""
    mesh = parallel.data_mesh()
    statistics = fit_standardisation(features["train"].clips())
    known, held_out = (
        (features[split], source.machine_index(split), statistics)
        for split in ("train", "validation")
    )
    in_memory = features["train"].nbytes <= config.data.bank_gb * 1e9
    train_bank = make_bank(*known, mesh) if in_memory else Stream(*known)
    banks = Banks(train_bank, make_bank(*held_out, mesh))
    card = {
        "data": source.kind,
        "config": json.loads(config.to_json()),
        "machine_ids": source.machine_ids,
        "mean": statistics.mean.tolist(),
        "std": statistics.std.tolist(),
    }
    fit(config, workdir, banks, card, mesh)


def calibrate_run(workdir: Path, source: Source, features: dict[str, Features]) -> None:
    """Writes calibration.npz of the best checkpoint, where it is not there yet."""
    detector, path = Detector.restore(workdir), workdir / CALIBRATION
    if path.exists() and stored_step(path) == detector.step:
        return
    train, held_out = (
        detector.clips(features[split].clips(), [clip.machine_id for clip in source.splits[split]])
        for split in ("train", "validation")
    )
    save_calibration(path, calibrate(train, held_out, detector.step))
