"""The pure functions of training: state, optimiser, one update, the mean NLL of validation."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray, PyTree, UInt32

from flowasd.config import RunConfig, TrainConfig
from flowasd.features.patches import covering_patches
from flowasd.flow.glow import Glow, make_glow
from flowasd.flow.objective import nll, objective
from flowasd.training import parallel
from flowasd.training.bank import Bank, Batch
from flowasd.training.gaussian import Gaussian


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


class Patches(NamedTuple):
    """A fixed set of patches in batches of one shape; the weight of the last one's padding is 0."""

    frames: Int[Array, "step batch time"]
    machine: Int[Array, "step batch"]
    weight: Float[Array, "step batch"]


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """AdamW with linear warm-up, cosine decay to zero and clipping by the global norm."""
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, config.warmup_steps, config.steps
    )
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.adamw(schedule, weight_decay=config.weight_decay),
    )


def initial_state(
    config: RunConfig, start: Gaussian, mesh: Mesh
) -> tuple[nnx.GraphDef[Glow], TrainState]:
    """Builds the flow, which starts as a Gaussian, and the optimiser.

    Args:
        config: The config of the run.
        start: The Gaussian; it has a mean for every machine ID.
        mesh: The devices, each of which gets the whole state.
    """

    def build(seed: int | PRNGKeyArray) -> Glow:
        n_bands, n_machines = config.frontend.n_bands, len(start.mean)
        return make_glow(config.model, n_bands=n_bands, n_machines=n_machines, seed=seed)

    @jax.jit
    def initialise(key: PRNGKeyArray, mean: Array, precision_factor: Array) -> TrainState:
        flow = build(key)
        flow.start_at(mean, precision_factor)
        _, params, constants = nnx.split(flow, nnx.Param, ...)
        params, constants = nnx.as_pure(params), nnx.as_pure(constants)
        opt_state = make_optimizer(config.train).init(params)
        return TrainState(jnp.int32(0), params, constants, opt_state, jax.random.key_data(key))

    # On one device, because XLA's LAPACK calls wait for each other for ever on several simulated
    # devices.
    density = (jnp.asarray(a, jnp.float32) for a in (start.mean, start.precision_factor))
    state = initialise(jax.random.key(config.seed), *density)
    return nnx.graphdef(nnx.eval_shape(partial(build, config.seed))), parallel.replicate(
        mesh, state
    )


def step_keys(key: PRNGKeyArray, step: int | Int[Array, ""]) -> Key[Array, "2"]:
    """The keys of a step's patches and of its noise, from that of the run."""
    return jax.random.split(jax.random.fold_in(key, step))


def with_noise(
    x: Float[Array, "batch time band 1"], key: PRNGKeyArray, noise: float
) -> Float[Array, "batch time band 1"]:
    """Adds the noise that only training sees.

    Without it, a band that hardly moves would have a density without bound.
    """
    return x + noise * jax.random.normal(key, x.shape)


def train_step(
    state: TrainState, batch: Batch, *, graph: nnx.GraphDef[Glow], config: TrainConfig, mesh: Mesh
) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
    """One update on a batch; a pure function of its arguments.

    Args:
        state: The state before.
        batch: The patches that the key of this step draws.
        graph: Structure of the flow.
        config: The `train` part of the run's config.
        mesh: The devices that the batch is split over.

    Returns:
        The state after, and the batch's mean loss and NLL in nats per dimension.
    """
    _, noise_key = step_keys(jax.random.wrap_key_data(state.key), state.step)
    x, machine = jax.lax.with_sharding_constraint(batch, parallel.split(mesh))
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


def validation_patches(bank: Bank, mesh: Mesh) -> Patches:
    """Adjacent patches that cover every clip of the bank."""
    length, batch_size = bank.length, bank.batch_size
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
