"""Which frames of a clip make a patch."""

import numpy as np
from jaxtyping import Int


def patch_starts(n_frames: int, length: int, hop: int) -> Int[np.ndarray, " patch"]:
    """First frames of the patches that cover a clip; the last one ends where the clip ends.

    Args:
        n_frames: Frames of the clip; a clip shorter than a patch has one patch, at 0.
        length: Frames of a patch.
        hop: Distance between patches in frames, at most `length`.
    """
    last = max(n_frames - length, 0)
    return np.unique(np.minimum(np.arange(0, last + hop, hop), last))


def covering_patches(
    n_frames: Int[np.ndarray, " clip"], length: int, hop: int
) -> tuple[Int[np.ndarray, "patch length"], Int[np.ndarray, " patch"]]:
    """The patches that cover clips whose frames lie one after the other in one array.

    A clip shorter than a patch is repeated to fill it.

    Returns:
        The frames of every patch, as indices into that array, and the clip of every patch.
    """
    starts = [patch_starts(int(n), length, hop) for n in n_frames]
    clip = np.repeat(np.arange(len(starts)), [len(s) for s in starts])
    offset = np.concatenate([np.zeros(0, int), *starts])[:, None] + np.arange(length)
    first = np.cumsum(n_frames) - n_frames
    return first[clip, None] + offset % n_frames[clip, None], clip
