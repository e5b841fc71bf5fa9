"""The loop of updates: from a state to the last step, some steps at a time."""

import math
from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Key, PyTree

from flowasd.config import TrainConfig
from flowasd.errors import UserError
from flowasd.flow.glow import Glow
from flowasd.run.metric_log import Row
from flowasd.training import parallel
from flowasd.training.bank import BatchSource, Drawable
from flowasd.training.step import TrainState, step_keys, train_step

SKIPPED_IN_A_ROW = 10  # updates after which training has diverged


class Diverged(UserError):
    """Loss or gradient are no longer finite.

    Attributes:
        step: The step reached.
        state: The state there, whose parameters are the last finite ones.
    """

    def __init__(self, step: int, state: TrainState):
        super().__init__(
            f"training diverged before step {step}: the loss or its gradient is not finite; "
            "lower --config.train.learning_rate"
        )
        self.step = step
        self.state = state


def patch_keys(state: TrainState, steps: int) -> Key[Array, " step"]:
    """The keys that draw the patches of the steps from the state's on to the last."""
    key = jax.random.wrap_key_data(jnp.asarray(np.asarray(state.key)))  # on this process alone
    return jax.vmap(partial(step_keys, key))(jnp.arange(int(state.step), steps))[:, 0]


@partial(jax.jit, static_argnames=("graph", "config", "mesh"), donate_argnums=0)
def dispatch(
    state: TrainState,
    drawable: Drawable,
    by: PyTree,
    *,
    graph: nnx.GraphDef[Glow],
    config: TrainConfig,
    mesh: Mesh,
) -> tuple[TrainState, dict[str, Array]]:
    """Some updates, each on what it draws; the state after them, and the means of their metrics.

    `skipped` is the number of updates that were skipped, and not a mean.

    Runs of one config and one number of clips share the compiled function.
    """

    def step(state: TrainState, one: PyTree) -> tuple[TrainState, dict[str, Array]]:
        return train_step(state, drawable.draw(one), graph=graph, config=config, mesh=mesh)

    state, rows = jax.lax.scan(step, state, by)
    skipped = rows.pop("skipped").sum()
    reached = state, jax.tree.map(jnp.nanmean, rows) | {"skipped": skipped}
    return jax.lax.with_sharding_constraint(reached, parallel.replicated(mesh))


def updates(
    config: TrainConfig,
    graph: nnx.GraphDef[Glow],
    state: TrainState,
    source: BatchSource,
    mesh: Mesh,
) -> Iterator[tuple[TrainState, Row]]:
    """Trains from a state to the last step, `log_every` steps at a time.

    Args:
        config: The `train` part of the run's config, `for_clips`.
        graph: Structure of the flow.
        state: The state to train from; its memory is used again after the first update.
        source: Where batches come from.
        mesh: The devices.

    Yields:
        The state (valid until the next one is asked for, since its memory is used again) and its
        metrics. Among these is `skipped` if updates were skipped because loss or gradient were not
        finite.

    Raises:
        Diverged: If ten updates or more were skipped, one after the other.
    """
    assert config.steps is not None, "see TrainConfig.for_clips"
    reached = int(state.step)
    for drawable, by in source.feed(patch_keys(state, config.steps), config.log_every, mesh):
        state, means = dispatch(state, drawable, by, graph=graph, config=config, mesh=mesh)
        reached += config.log_every
        numbers = {key: float(mean) for key, mean in means.items()}
        skipped = numbers.pop("skipped")
        if skipped and int(state.opt_state.notfinite_count) >= SKIPPED_IN_A_ROW:
            raise Diverged(reached, state)
        row: Row = {"step": reached} | {k: v for k, v in numbers.items() if math.isfinite(v)}
        yield state, row | ({"skipped": skipped} if skipped else {})
