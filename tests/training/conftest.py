"""Features on disk, as the cache leaves them, without any audio; and the sizes of a batch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flowasd.features.cache import Features


def save_features(folder: Path, clips: Sequence[np.ndarray]) -> Features:
    """Writes the bands of every clip to a file of its own."""
    paths = tuple(folder / f"{i}.bands" for i in range(len(clips)))
    for path, clip in zip(paths, clips, strict=True):
        clip.astype(np.float32).tofile(path)
    n_frames = np.array([len(clip) for clip in clips])
    return Features(paths, n_frames, clips[0].shape[1], tuple(path.name for path in paths))


def size_of(config):
    """Patches of a batch and frames of a patch."""
    return config.train.batch_size, config.train.patch_length
