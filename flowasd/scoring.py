"""Frame NLLs and the clip scores made of them; the larger, the more anomalous."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, PyTree

from flowasd.flow.glow import Glow
from flowasd.frontend import covering_patches

FrameNLL = Float[np.ndarray, " time"]


@partial(jax.jit, static_argnames="graph")
def patch_nll(
    graph: nnx.GraphDef[Glow],
    state: PyTree,
    x: Float[Array, "batch time mel"],
    machine: Int[Array, " batch"],
) -> Float[Array, "batch time"]:
    """NLL of every frame of every patch in nats per dimension.

    Matrix products keep full float32 precision on every device.
    """
    with jax.default_matmul_precision("highest"):
        return -nnx.merge(graph, state).log_prob_frames(x[..., None], machine) / x.shape[-1]


def frame_nll(
    model: Glow,
    clips: Sequence[Float[np.ndarray, "_ mel"]],
    machine: Sequence[int],
    *,
    length: int,
    hop: int,
    batch_size: int,
) -> list[FrameNLL]:
    """NLL of every frame of every clip, in nats per dimension.

    A clip is covered by patches of the length that the flow was trained on; where patches
    overlap, a frame's NLL is their mean. All patches of all clips run in batches of one shape,
    whose last is padded.

    Args:
        model: The flow.
        clips: Standardised log-mels `(time, mel)`.
        machine: Machine index of every clip.
        length: Frames of a patch.
        hop: Distance between patches in frames, at most `length`.
        batch_size: Patches in a batch.
    """
    if not clips:
        return []
    frames = np.concatenate(clips)
    n_frames = np.array([len(clip) for clip in clips])
    index, clip = covering_patches(n_frames, length, hop)
    ids = np.asarray(machine, np.int32)[clip]
    graph, state = nnx.split(model)
    total, count = np.zeros(len(frames)), np.zeros(len(frames))
    for first in range(0, len(index), batch_size):
        some = np.arange(first, first + batch_size) % len(index)  # the padding repeats patches
        x, own = jnp.asarray(frames[index[some]]), jnp.asarray(ids[some])
        nll = np.asarray(patch_nll(graph, state, x, own))[: len(index) - first]
        np.add.at(total, index[first : first + batch_size], nll)
        np.add.at(count, index[first : first + batch_size], 1)
    mean = (total / count).astype(np.float32)
    return np.split(mean, np.cumsum(n_frames)[:-1])


def top10(nll: FrameNLL) -> float:
    """Mean of the highest tenth of the frames, of one frame at least."""
    highest = max(1, round(len(nll) / 10))
    return float(np.sort(nll)[-highest:].mean())


RULES: Mapping[str, Callable[[FrameNLL], float]] = {
    "mean": lambda nll: float(nll.mean()),
    "std": lambda nll: float(nll.std()),
    "max": lambda nll: float(nll.max()),
    "p75": lambda nll: float(np.percentile(nll, 75)),
    "top10": top10,
}


def clip_scores(nll: FrameNLL) -> dict[str, float]:
    """Every rule's score of one clip from its frame NLLs."""
    return {name: rule(nll) for name, rule in RULES.items()}
