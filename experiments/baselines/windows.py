"""Windows of consecutive frames, for the baselines that look at more than one frame."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from experiments.baselines.clips import Clips


class Windows(NamedTuple):
    """Every window of some clips: the clips' frames in a row, and where each window starts."""

    frames: Float[Array, "frame mel"]
    start: Int[Array, " window"]
    machine: Int[Array, " window"]


def every_window(clips: Clips, length: int) -> Windows:
    """All windows of `length` frames; a clip shorter than that has none."""
    n_frames = np.array([len(clip) for clip in clips.log_mels])
    first = np.cumsum(n_frames) - n_frames
    count = np.maximum(n_frames - length + 1, 0)
    start = [f + np.arange(n) for f, n in zip(first, count, strict=True)]
    frames = np.concatenate(clips.log_mels)
    arrays = (frames, np.concatenate(start), np.repeat(clips.machine, count))
    return Windows(*map(jnp.asarray, arrays))


def draw(
    windows: Windows, key: PRNGKeyArray, count: int, length: int
) -> tuple[Float[Array, "count length mel"], Int[Array, " count"]]:
    """Draws windows, each as likely as any other; returns them with their machine indices."""
    chosen = jax.random.randint(key, (count,), 0, len(windows.start))
    frame = windows.start[chosen][:, None] + jnp.arange(length)
    return windows.frames[frame], windows.machine[chosen]


def windows_of(
    clip: Float[np.ndarray, "time mel"], length: int, hop: int = 1
) -> Float[Array, "window length mel"]:
    """The windows of one clip, whose last frames may be left over if `hop` is above 1."""
    start = np.arange(0, len(clip) - length + 1, hop)
    return jnp.asarray(clip[start[:, None] + np.arange(length)])
