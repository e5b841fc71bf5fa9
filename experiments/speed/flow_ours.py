"""Our side of the comparison of flows."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from experiments.speed.shapes import shape_config
from experiments.speed.side import Tasks
from flowasd.bank import Bank
from flowasd.scoring import patch_nll
from flowasd.train import initial_state, run_steps

CLIPS, FRAMES = 16, 320


def flow_tasks(shape: str, gemm: int) -> Tasks:
    """Training and scoring of a shape, and a large matrix product.

    `train` is one dispatch of the training loop (`log_every` steps, patches drawn from a bank,
    noise, clipping, metrics read back), `score` one batch of scoring. There is one machine ID, so
    that both sides compute one density a patch.
    """
    config = shape_config(shape)
    config.train.steps = config.train.eval_every = 10**6 * config.train.log_every
    rng = np.random.default_rng(0)
    frames = rng.standard_normal((CLIPS * FRAMES, config.frontend.n_mels), np.float32)
    counts = np.full(CLIPS, FRAMES, np.int32)
    arrays = (frames, np.cumsum(counts) - counts, counts, np.zeros(CLIPS, np.int32))
    bank = Bank(*map(jnp.asarray, arrays))
    graph, state = initial_state(config, bank, 1)
    flow_state = nnx.split(nnx.merge(graph, state.params, state.constants))[1]
    flow_state = jax.tree.map(jnp.copy, flow_state)  # training uses the memory of its own again
    batch, length = config.train.batch_size, config.train.patch_length
    patches = jnp.asarray(frames[: batch * length].reshape(batch, length, -1))
    updates = run_steps(config.train, graph, state, {"train": bank, "validation": bank})
    sizes = map(jnp.size, jax.tree.leaves(state.params))
    n_parameters = int(sum(sizes))
    square = jnp.asarray(rng.standard_normal((gemm, gemm), np.float32))
    product = jax.jit(jnp.dot)

    def multiply() -> None:
        product(square, square).block_until_ready()

    return {
        "train": lambda: next(updates)[1]["train_loss"],
        "score": lambda: float(np.asarray(patch_nll(graph, flow_state, patches)).mean()),
        "gemm": multiply,
        "parameters": lambda: n_parameters,
    }
