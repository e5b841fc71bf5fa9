"""Training: one pure step, and the loop that validates, logs and keeps checkpoints."""

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
import optax
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray, PyTree, UInt32
from tqdm import tqdm

from flowasd import parallel
from flowasd.bank import Bank, Drawn, Features, draw_patches, make_bank, source_features
from flowasd.calibration import calibrate, save_calibration, stored_step
from flowasd.checkpoint import Checkpoints
from flowasd.config import check_config
from flowasd.data.source import Source, cache_folder, open_source, resolved
from flowasd.detector import CALIBRATION, Detector
from flowasd.errors import UserError
from flowasd.flow.glow import Glow, make_glow
from flowasd.frontend import Frontend, covering_patches, fit_standardisation
from flowasd.metric_log import MetricLog, Row
from flowasd.objective import nll, objective
from flowasd.stream import Stream, stream_blocks, stream_patches
from flowasd.typing import Config
from flowasd.workdir import check_shared, open_workdir, record_splits

INITIALISATION_PATCHES = 256
# What each item of a checkpoint takes from the state: scoring reads `model` alone.
ITEMS = {"model": ("params", "constants"), "trainer": ("step", "opt_state", "key")}


class TrainState(NamedTuple):
    """All that training changes or draws from.

    Attributes:
        step: Updates done.
        params: What the optimiser moves.
        constants: What belongs to the flow and stays (the permutations of its linear maps).
        opt_state: State of the optimiser.
        key: Data of the random key of the run; a step folds its number into it.
    """

    step: Int[Array, ""]
    params: PyTree
    constants: PyTree
    opt_state: PyTree
    key: UInt32[Array, "2"]


# Patches and machine indices of the steps of one dispatch.
Block = tuple[Float[Array, "batch step time mel 1"], Int[Array, "batch step"]]


class Banks(NamedTuple):
    """What is trained on, in memory or on disk, and what is validated on."""

    train: Bank | Stream
    validation: Bank


class Patches(NamedTuple):
    """A fixed set of patches in batches of one shape; the weight of the last one's padding is 0."""

    frames: Int[Array, "step batch time"]
    machine: Int[Array, "step batch"]
    weight: Float[Array, "step batch"]


def make_optimizer(config: Config) -> optax.GradientTransformation:
    """AdamW with linear warm-up, cosine decay to zero and clipping by the global norm."""
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, config.warmup_steps, config.steps
    )
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.adamw(schedule, weight_decay=config.weight_decay),
    )


def initial_state(
    config: Config, bank: Bank | Stream, n_machines: int, mesh: Mesh
) -> tuple[nnx.GraphDef[Glow], TrainState]:
    """Builds the flow, with actnorms initialised from one batch of the bank, and the optimiser."""

    def build() -> Glow:
        return make_glow(
            config.model, n_mels=config.frontend.n_mels, n_machines=n_machines, seed=config.seed
        )

    def keys() -> tuple[PRNGKeyArray, ...]:
        key = jax.random.key(config.seed)
        return key, *step_keys(key, config.train.steps)

    size = (INITIALISATION_PATCHES, config.train.patch_length)

    @partial(jax.jit, out_shardings=parallel.replicated(mesh))
    def draw(bank: Bank) -> Drawn:
        return draw_patches(bank, keys()[1], *size)

    @jax.jit
    def initialise(x: Array, machine: Array) -> TrainState:
        key, _, noise_key = keys()
        flow = build()
        flow.initialise(with_noise(x, noise_key, config.train.noise), machine)
        _, params, constants = nnx.split(flow, nnx.Param, ...)
        params, constants = nnx.as_pure(params), nnx.as_pure(constants)
        opt_state = make_optimizer(config.train).init(params)
        return TrainState(jnp.int32(0), params, constants, opt_state, jax.random.key_data(key))

    # On one device: XLA's LAPACK calls wait for each other for ever on several simulated ones.
    drawn = draw(bank) if isinstance(bank, Bank) else stream_patches(bank, keys()[1], *size)
    state = initialise(*(whole.addressable_data(0) for whole in drawn))
    return nnx.graphdef(nnx.eval_shape(build)), parallel.replicate(mesh, state)


def step_keys(key: PRNGKeyArray, step: int | Int[Array, ""]) -> Key[Array, "2"]:
    """The keys of a step's patches and of its noise, from that of the run."""
    return jax.random.split(jax.random.fold_in(key, step))


def with_noise(
    x: Float[Array, "batch time mel 1"], key: PRNGKeyArray, noise: float
) -> Float[Array, "batch time mel 1"]:
    """Adds the noise that only training sees.

    Without it, a mel band that hardly moves would have a density without bound.
    """
    return x + noise * jax.random.normal(key, x.shape)


def train_step(
    state: TrainState, bank: Bank | Drawn, *, graph: nnx.GraphDef[Glow], config: Config, mesh: Mesh
) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
    """One update on random patches; a pure function of its arguments.

    Args:
        state: The state before.
        bank: Clips to draw from, or what a stream has drawn by the key of this step.
        graph: Structure of the flow.
        config: The `train` part of the run's config.
        mesh: The devices that the batch is split over.

    Returns:
        The state after, and the batch's mean loss and NLL in nats per dimension.
    """
    patch_key, noise_key = step_keys(jax.random.wrap_key_data(state.key), state.step)
    if isinstance(bank, Bank):
        bank = draw_patches(bank, patch_key, config.batch_size, config.patch_length)
    x, machine = jax.lax.with_sharding_constraint(bank, parallel.split(mesh))
    x = with_noise(x, noise_key, config.noise)

    def mean_loss(params: PyTree) -> tuple[Array, Array]:
        model = nnx.merge(graph, params, state.constants)
        loss, own_nll = objective(model, x, machine, config=config.objective, step=state.step)
        return loss.mean(), own_nll.mean()

    (loss, own_nll), gradient = jax.value_and_grad(mean_loss, has_aux=True)(state.params)
    updates, opt_state = make_optimizer(config).update(gradient, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return state._replace(step=state.step + 1, params=params, opt_state=opt_state), {
        "train_loss": loss,
        "train_nll": own_nll,
    }


def validation_patches(bank: Bank, length: int, batch_size: int, mesh: Mesh) -> Patches:
    """Adjacent patches that cover every clip of the bank."""
    frames, clip = covering_patches(np.asarray(bank.n_frames), length, length)
    columns = (frames, np.asarray(bank.machine)[clip], np.ones(len(clip), np.float32))
    n_batches = -(-len(clip) // batch_size)
    padding = n_batches * batch_size - len(clip)

    def batches(column: np.ndarray) -> np.ndarray:
        padded = np.pad(column, [(0, padding)] + [(0, 0)] * (column.ndim - 1))
        return padded.reshape(n_batches, batch_size, *column.shape[1:])

    return Patches(*parallel.replicate(mesh, [*map(batches, columns)]))


def mean_nll(
    state: TrainState, bank: Bank, patches: Patches, *, graph: nnx.GraphDef[Glow], mesh: Mesh
) -> Float[Array, ""]:
    """Mean NLL over a fixed set of patches, without noise, in nats per dimension."""
    flow = nnx.merge(graph, state.params, state.constants)

    def batch_sum(batch: Patches) -> Array:
        batch = jax.lax.with_sharding_constraint(batch, parallel.split(mesh))
        x = bank.frames[batch.frames][..., None]
        return (batch.weight * nll(flow, x, batch.machine)).sum()

    return jax.lax.map(batch_sum, patches).sum() / patches.weight.sum()


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
        metrics; these have a `validation_nll` every `eval_every` steps.

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
            if done % config.eval_every == 0:
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
