"""Frame NLLs and the clip scores made of them; the larger, the more anomalous."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PyTree

from flowasd.features.patches import covering_patches
from flowasd.flow.glow import Glow

MachineNLL = Float[np.ndarray, "time machine"]


class FrameScores(NamedTuple):
    """The frames of a recording.

    Attributes:
        seconds: Time of the centre of every frame, in seconds from the first sample.
        nll: Negative log-likelihood of every frame under the recording's machine ID, in nats per
            dimension; the larger, the more anomalous.
    """

    seconds: Float[np.ndarray, " time"]
    nll: Float[np.ndarray, " time"]


@partial(jax.jit, static_argnames="graph")
def patch_nll(
    graph: nnx.GraphDef[Glow], state: PyTree, x: Float[Array, "batch time band"]
) -> Float[Array, "batch time machine"]:
    """NLL of every frame of every patch under every machine ID, in nats per dimension.

    Matrix products keep full float32 precision on every device.
    """
    with jax.default_matmul_precision("highest"):
        return -nnx.merge(graph, state).log_prob_machines(x[..., None]) / x.shape[-1]


def frame_nll(
    model: Glow,
    clips: Sequence[Float[np.ndarray, "_ band"]],
    *,
    length: int,
    hop: int,
    batch_size: int,
) -> list[MachineNLL]:
    """NLL of every frame of every clip under every machine ID, in nats per dimension.

    A clip is covered by patches of the length that the flow was trained on; where patches
    overlap, a frame's NLL is their mean. All patches of all clips run in batches of one shape,
    whose last is padded.

    Args:
        model: The flow.
        clips: Standardised bands `(time, band)`.
        length: Frames of a patch.
        hop: Distance between patches in frames, at most `length`.
        batch_size: Patches in a batch.
    """
    if not clips:
        return []
    frames = np.concatenate(clips)
    n_frames = np.array([len(clip) for clip in clips])
    index, _ = covering_patches(n_frames, length, hop)
    graph, state = nnx.split(model)
    total = np.zeros((len(frames), model.embedding.num_embeddings))
    count = np.zeros((len(frames), 1))
    for first in range(0, len(index), batch_size):
        some = np.arange(first, first + batch_size) % len(index)  # the padding repeats patches
        nll = np.asarray(patch_nll(graph, state, jnp.asarray(frames[index[some]])))
        np.add.at(total, index[first : first + batch_size], nll[: len(index) - first])
        np.add.at(count, index[first : first + batch_size], 1)
    return np.split((total / count).astype(np.float32), np.cumsum(n_frames)[:-1])
