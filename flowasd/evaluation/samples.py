"""Frames that the flow samples, beside frames of real clips."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from flowasd.compiling import compiled_quickly
from flowasd.detector import Detector
from flowasd.features.frontend import EDGES
from flowasd.flow.glow import Glow

PATCHES = 64  # sampled for every machine
SHARES = (0.05, 0.5, 0.95)


class Spectra(NamedTuple):
    """Levels of a machine's bands in dB that 5, 50 and 95 % of the frames stay below.

    Attributes:
        edges: Edges of the bands, one more than there are.
        hertz: Whether the edges are in Hz; else the bands are numbered.
        real: Of the frames of test clips.
        sampled: Of the frames that the flow samples.
    """

    edges: Float[np.ndarray, " edge"]
    hertz: bool
    real: Float[np.ndarray, "3 band"]
    sampled: Float[np.ndarray, "3 band"]


def sample_spectra(
    detector: Detector, machine_id: str, clips: Sequence[Float[np.ndarray, "_ band"]]
) -> Spectra:
    """Samples frames of a machine from the flow and compares them with real ones.

    Args:
        detector: The detector.
        machine_id: An ID that it knows.
        clips: Bands of clips of this machine in dB; there is one clip at least.
    """
    owner = detector.enrolled.get(machine_id, detector)
    machine = jnp.full(PATCHES, owner.machine_ids.index(machine_id))
    length = detector.config.train.patch_length
    graph, state = nnx.split(owner.flow)
    with compiled_quickly():
        standardised = _sample(graph, state, jax.random.key(0), machine, time=length)[..., 0]
    frames = np.asarray(standardised).reshape(-1, standardised.shape[-1])
    sampled = frames * detector.statistics.std + detector.statistics.mean
    edges = EDGES.get(detector.frontend.name)
    real = np.concatenate(clips)
    return Spectra(
        edges(detector.frontend) if edges else np.arange(real.shape[1] + 1.0),
        edges is not None,
        np.quantile(real, SHARES, axis=0),
        np.quantile(sampled, SHARES, axis=0),
    )


@partial(jax.jit, static_argnames=("graph", "time"))
def _sample(
    graph: nnx.GraphDef[Glow],
    state: PyTree,
    key: PRNGKeyArray,
    machine: Int[Array, " batch"],
    time: int,
) -> Float[Array, "batch time band 1"]:
    return nnx.merge(graph, state).sample(key, machine, time)
