"""Frame NLLs and the clip scores made of them; the larger, the more anomalous."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, PyTree

from flowasd.flow.glow import Glow
from flowasd.frontend import patch_starts

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
        hop: Distance between patches in frames.
        batch_size: Patches in a batch.
    """
    starts = [patch_starts(len(clip), length, hop) for clip in clips]
    frames = [  # the frames of each patch; a clip shorter than a patch is repeated to fill it
        (clip, (start + np.arange(length)) % len(clips[clip]))
        for clip, clip_starts in enumerate(starts)
        for start in clip_starts
    ]
    graph, state = nnx.split(model)
    total = [np.zeros(len(clip)) for clip in clips]
    count = [np.zeros(len(clip)) for clip in clips]
    for first in range(0, len(frames), batch_size):
        batch = frames[first : first + batch_size]
        x = np.zeros((batch_size, length, clips[0].shape[1]), np.float32)
        for row, (clip, index) in zip(x, batch, strict=False):
            row[:] = clips[clip][index]
        ids = np.zeros(batch_size, np.int32)
        ids[: len(batch)] = [machine[clip] for clip, _ in batch]
        nll = np.asarray(patch_nll(graph, state, jnp.asarray(x), jnp.asarray(ids)))
        for row, (clip, index) in zip(nll, batch, strict=False):
            np.add.at(total[clip], index, row)
            np.add.at(count[clip], index, 1)
    return [(t / c).astype(np.float32) for t, c in zip(total, count, strict=True)]


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
