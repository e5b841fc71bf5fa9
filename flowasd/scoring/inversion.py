"""Whether the flow can be inverted in float32: its densities are right only where it can."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, PyTree

from flowasd.compiling import compiled_quickly
from flowasd.features.patches import covering_patches
from flowasd.flow.glow import Glow

ALLOWED = 1e-3  # of standardised bands
PATCHES = 256  # at most, of all clips


def inversion_error(
    flow: Glow,
    clips: Sequence[Float[np.ndarray, "_ band"]],
    machine: Int[np.ndarray, " clip"],
    length: int,
) -> float:
    """Returns the largest difference of `inverse(forward(x))` from patches `x`; NaN counts as inf.

    Args:
        flow: The flow.
        clips: Standardised bands `(time, band)`; there is one clip at least.
        machine: Machine index of every clip.
        length: Frames of a patch.
    """
    n_frames = np.array([len(clip) for clip in clips])
    frames, clip = covering_patches(n_frames, length, length)
    chosen = np.linspace(0, len(clip) - 1, PATCHES).astype(int)  # one shape for any number of clips
    x = np.concatenate(clips)[frames[chosen]]
    graph, state = nnx.split(flow)
    owners = jnp.asarray(machine[clip[chosen]])
    with compiled_quickly():
        error = float(_error(graph, state, jnp.asarray(x[..., None]), owners))
    return error if np.isfinite(error) else float("inf")


@partial(jax.jit, static_argnames="graph")
def _error(
    graph: nnx.GraphDef[Glow],
    state: PyTree,
    x: Float[Array, "batch time band 1"],
    machine: Int[Array, " batch"],
) -> Float[Array, ""]:
    with jax.default_matmul_precision("highest"):
        flow = nnx.merge(graph, state)
        latents, _ = flow.forward(x, machine)
        return jnp.abs(flow.inverse(latents, machine) - x).max()
