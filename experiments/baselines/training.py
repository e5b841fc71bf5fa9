"""The training loop of the neural baselines."""

from collections.abc import Callable
from typing import TypeVar

import jax
import optax
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from experiments.baselines.windows import Windows

Model = TypeVar("Model", bound=nnx.Module)


def fit(
    model: Model,
    loss: Callable[[Model, Windows, PRNGKeyArray], Float[Array, ""]],
    windows: Windows,
    *,
    steps: int,
    learning_rate: float,
    seed: int,
) -> Model:
    """Trains by Adam, whose rate falls to zero as a cosine; all steps are one `lax.scan`.

    Args:
        model: The model to start from; it is left as it is.
        loss: Draws a batch of the windows with the key and returns its loss.
        windows: What to draw from.
        steps: Number of updates.
        learning_rate: Adam's rate at the start.
        seed: Seed of the batches.

    Returns:
        The trained model.
    """
    graph, params, others = nnx.split(model, nnx.Param, ...)
    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))

    @jax.jit
    def trained(params, others, windows, keys):
        def step(state, key):
            params, others, opt_state = state

            def objective(params):
                model = nnx.merge(graph, params, others, copy=True)
                value = loss(model, windows, key)
                return value, nnx.split(model, nnx.Param, ...)[2]  # with new batch statistics

            grads, others = jax.grad(objective, has_aux=True)(params)
            updates, opt_state = optimizer.update(grads, opt_state, params)
            return (optax.apply_updates(params, updates), others, opt_state), None

        return jax.lax.scan(step, (params, others, optimizer.init(params)), keys)[0][:2]

    keys = jax.random.split(jax.random.key(seed), steps)
    return nnx.merge(graph, *trained(params, others, windows, keys))
