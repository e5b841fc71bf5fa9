"""The pure functions of training: state, optimiser, one update."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray, PyTree, UInt32

from flowasd.compiling import compiled_quickly
from flowasd.config import RunConfig, TrainConfig
from flowasd.flow.glow import Glow, ModelConfig, make_glow
from flowasd.flow.objective import objective
from flowasd.training import parallel
from flowasd.training.bank import Batch
from flowasd.training.gaussian import Gaussian


class TrainState(NamedTuple):
    """All that training changes or draws from.

    Attributes:
        step: Updates done.
        params: What the optimiser moves.
        constants: What belongs to the flow and stays (the permutations of its linear maps).
        opt_state: State of the optimiser.
        key: Data of the random key of the run; a step folds its number into it.
        rollbacks: How often training has gone back to a checkpoint, each time to go on with half
            the learning rate.
    """

    step: Int[Array, ""]
    params: PyTree
    constants: PyTree
    opt_state: PyTree
    key: UInt32[Array, "2"]
    rollbacks: Int[Array, ""]


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """AdamW with linear warm-up, cosine decay to zero and clipping by the global norm.

    An update by a gradient that is not finite is skipped and counted.
    """
    assert config.steps is not None, "see TrainConfig.for_clips"
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, config.warmup_steps, config.steps
    )
    clipped = optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.adamw(schedule, weight_decay=config.weight_decay),
    )
    never = jnp.iinfo(jnp.int32).max  # is the update by such a gradient accepted
    return optax.apply_if_finite(clipped, max_consecutive_errors=never)


def initial_state(
    config: RunConfig, start: Gaussian, mesh: Mesh
) -> tuple[nnx.GraphDef[Glow], TrainState]:
    """Builds the flow, which starts as a Gaussian, and the optimiser.

    Args:
        config: The config of the run.
        start: The Gaussian; it has a mean for every machine ID.
        mesh: The devices, each of which gets the whole state.
    """
    # On one device, because XLA's LAPACK calls wait for each other for ever on several simulated
    # devices.
    density = (jnp.asarray(a, jnp.float32) for a in (start.mean, start.precision_factor))
    shape = config.model, config.train, config.frontend.n_bands
    with compiled_quickly():
        graph, state = _initialise(jax.random.key(config.seed), *density, shape=shape)
    return graph, parallel.replicate(mesh, state)


@partial(jax.jit, static_argnames="shape")
def _initialise(
    key: PRNGKeyArray,
    mean: Float[Array, "machine band"],
    precision_factor: Float[Array, "band band"],
    shape: tuple[ModelConfig, TrainConfig, int],
) -> tuple[nnx.GraphDef[Glow], TrainState]:
    model, train, n_bands = shape
    flow = make_glow(model, n_bands=n_bands, n_machines=len(mean), seed=key)
    flow.start_at(mean, precision_factor)
    graph, params, constants = nnx.split(flow, nnx.Param, ...)
    params, constants = nnx.as_pure(params), nnx.as_pure(constants)
    opt_state = make_optimizer(train).init(params)
    zero, data = jnp.int32(0), jax.random.key_data(key)
    return graph, TrainState(zero, params, constants, opt_state, data, rollbacks=zero)


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
        The state after, and the batch's mean loss and NLL in nats per dimension, which are NaN if
        the update was `skipped`, because the loss or the gradient is not finite.
    """
    _, noise_key = step_keys(jax.random.wrap_key_data(state.key), state.step)
    x, machine = jax.lax.with_sharding_constraint(batch, parallel.split(mesh))
    assert config.noise is not None, "see TrainConfig.for_clips"
    x = with_noise(x, noise_key, config.noise)

    def mean_loss(params: PyTree) -> tuple[Array, Array]:
        model = nnx.merge(graph, params, state.constants)
        loss, own_nll = objective(model, x, machine, config=config.objective, step=state.step)
        return loss.mean(), own_nll.mean()

    (loss, own_nll), gradient = jax.value_and_grad(mean_loss, has_aux=True)(state.params)
    # The optimiser looks at the gradient alone.
    gradient = jax.tree.map(lambda g: jnp.where(jnp.isfinite(loss), g, jnp.nan), gradient)
    optimizer = make_optimizer(config)
    updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
    assert isinstance(opt_state, optax.ApplyIfFiniteState)
    scale = 0.5**state.rollbacks
    params = optax.apply_updates(state.params, jax.tree.map(lambda u: scale * u, updates))
    done = opt_state.last_finite
    return state._replace(step=state.step + 1, params=params, opt_state=opt_state), {
        "train_loss": jnp.where(done, loss, jnp.nan),
        "train_nll": jnp.where(done, own_nll, jnp.nan),
        "skipped": jnp.logical_not(done).astype(jnp.float32),
    }
