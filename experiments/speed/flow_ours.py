"""Our side of the comparison of flows."""

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from experiments.speed.shapes import shape_config
from experiments.speed.side import Tasks
from flowasd.config import RunConfig
from flowasd.flow.glow import Glow
from flowasd.scoring.frame_nll import patch_nll
from flowasd.training.bank import Bank
from flowasd.training.gaussian import Gaussian
from flowasd.training.loop import Data, run_steps
from flowasd.training.parallel import data_mesh, replicate, split_rows
from flowasd.training.step import TrainState, initial_state

CLIPS, FRAMES = 16, 320  # of a bank of noise
DISPATCHES = 10_000  # more than are ever measured


def flow_tasks(shape: str, gemm: int) -> Tasks:
    """Training and scoring of a shape, and a large matrix product.

    `train` is one dispatch of the training loop (`log_every` steps, patches drawn from a bank,
    noise, clipping, metrics read back), `score` one batch of scoring. There is one machine ID, so
    that both sides compute one density a patch.
    """
    config = shape_config(shape)
    bank = noise_bank(config, CLIPS, FRAMES)
    graph, state = initial_state(config, noise_start(config), data_mesh())
    flow_state = nnx.split(nnx.merge(graph, state.params, state.constants))[1]
    flow_state = jax.tree.map(jnp.copy, flow_state)  # training uses the memory of its own again
    n_parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    batch, length = config.train.batch_size, config.train.patch_length
    patches = bank.frames[: batch * length].reshape(batch, length, -1)
    train = train_task(config, bank, graph, state)
    rng = np.random.default_rng(0)
    square = jnp.asarray(rng.standard_normal((gemm, gemm), np.float32))
    product = jax.jit(jnp.dot)

    def multiply() -> None:
        product(square, square).block_until_ready()

    return {
        "train": train,
        "score": lambda: float(np.asarray(patch_nll(graph, flow_state, patches)).mean()),
        "gemm": multiply,
        "parameters": lambda: n_parameters,
    }


def noise_bank(config: RunConfig, clips: int, frames: int) -> Bank:
    """A bank of clips of noise, all of one machine ID."""
    counts, machine = np.full(clips, frames), np.zeros(clips, np.int32)
    shape = (clips * frames, config.frontend.n_bands)
    noise = np.random.default_rng(0).standard_normal(shape, np.float32)
    mesh = data_mesh()
    first, counts, machine = replicate(mesh, (np.arange(clips) * frames, counts, machine))
    return Bank(
        frames=split_rows(mesh, noise),
        first=first,
        n_frames=counts,
        machine=machine,
        batch_size=config.train.batch_size,
        length=config.train.patch_length,
    )


def noise_start(config: RunConfig) -> Gaussian:
    """The Gaussian that such noise has."""
    n_bands = config.frontend.n_bands
    return Gaussian(np.zeros((1, n_bands)), np.eye(n_bands), "known")


def train_task(
    config: RunConfig, bank: Bank, graph: nnx.GraphDef[Glow], state: TrainState
) -> Callable[[], float]:
    """A task: the next dispatch of the training loop, which never comes to a validation."""
    steps = DISPATCHES * config.train.log_every
    settings = replace(config.train, steps=steps, eval_every=steps)
    data, mesh = Data(bank, bank), data_mesh()
    updates = run_steps(settings, graph, state, data, mesh, restored=state)  # without a validation
    return lambda: next(updates)[1]["train_loss"]
