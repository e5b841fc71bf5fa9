"""Validation: the NLL of every held-out clip, and what training has gained by it."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int
from scipy.special import stdtrit

from flowasd.features.patches import covering_patches
from flowasd.flow.glow import Glow
from flowasd.flow.objective import nll
from flowasd.training import parallel
from flowasd.training.bank import Bank
from flowasd.training.step import TrainState

LEVEL = 0.01  # of the test that replaces the start
FEWEST = 16  # held-out clips of such a test; fewer do not tell of rare clips with a very high NLL

ClipNLLs = Float[np.ndarray, " clip"]


class Patches(NamedTuple):
    """A fixed set of patches in batches of one shape; the weight of the last one's padding is 0."""

    frames: Int[Array, "step batch time"]
    machine: Int[Array, "step batch"]
    clip: Int[Array, "step batch"]
    weight: Float[Array, "step batch"]


def validator(
    bank: Bank, graph: nnx.GraphDef[Glow], mesh: Mesh
) -> Callable[[TrainState], ClipNLLs]:
    """Returns the function from a state to the NLL of every clip, in nats per dimension.

    A clip's NLL is the mean over adjacent patches that cover it, without noise.

    Args:
        bank: The held-out clips.
        graph: Structure of the flow.
        mesh: The devices.
    """
    patches = validation_patches(bank, mesh)
    clip_nlls = partial(_clip_nlls, graph=graph, mesh=mesh)
    return lambda state: np.asarray(clip_nlls(state, bank, patches), np.float64)


def validation_patches(bank: Bank, mesh: Mesh) -> Patches:
    """Adjacent patches that cover every clip of the bank; a clip's patches weigh 1 together."""
    length, batch_size = bank.length, bank.batch_size
    frames, clip = covering_patches(np.asarray(bank.n_frames), length, length)
    weight = (1 / np.bincount(clip))[clip].astype(np.float32)
    columns = (frames, np.asarray(bank.machine)[clip], clip, weight)
    n_batches = -(-len(clip) // batch_size)
    padding = n_batches * batch_size - len(clip)

    def batches(column: np.ndarray) -> np.ndarray:
        padded = np.pad(column, [(0, padding)] + [(0, 0)] * (column.ndim - 1))
        return padded.reshape(n_batches, batch_size, *column.shape[1:])

    return Patches(*parallel.replicate(mesh, [*map(batches, columns)]))


@partial(jax.jit, static_argnames=("graph", "mesh"))
def _clip_nlls(
    state: TrainState, bank: Bank, patches: Patches, *, graph: nnx.GraphDef[Glow], mesh: Mesh
) -> Float[Array, " clip"]:
    flow = nnx.merge(graph, state.params, state.constants)

    def weighted(batch: Patches) -> Array:
        batch = jax.lax.with_sharding_constraint(batch, parallel.split(mesh))
        x = bank.frames[batch.frames][..., None]
        return batch.weight * nll(flow, x, batch.machine)

    nlls = jax.lax.map(weighted, patches).ravel()
    of_clips = jnp.zeros(len(bank.n_frames)).at[patches.clip.ravel()].add(nlls)
    return jax.lax.with_sharding_constraint(of_clips, parallel.replicated(mesh))


def sure_gain(start: ClipNLLs, trained: ClipNLLs) -> float:
    """By how much training has lowered the held-out NLL, at least, in nats per dimension.

    It is the lower bound of Student's confidence interval of the mean difference between the same
    clips' NLLs, at a confidence of 99 %, so a step is seldom chosen by chance. Fewer than `FEWEST`
    clips are no evidence: the result is then not above 0.

    Args:
        start: NLL of every held-out clip before the first update.
        trained: The same after some updates.
    """
    gains, count = start - trained, len(start)
    if count < FEWEST:
        return -abs(float(gains.mean()))
    error = gains.std(ddof=1) / np.sqrt(count)
    return float(gains.mean() - stdtrit(count - 1, 1 - LEVEL) * error)
