"""The bands of clips of any length, by few compiled functions and in bounded memory.

Short clips are padded to one of a few lengths. Long ones are computed block by block: a frame
depends on samples within a window of its centre alone, so the frames inside a block are right.
"""

from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Float

from flowasd.features.frontend import FrontendConfig, bands
from flowasd.features.pooling import rank_weighted, window_starts

CLIPS_PER_BATCH = 4  # the overlapping frames of four of ten seconds, 5 to 12 MB, stay in the cache
LENGTHS = (1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 25, 30)  # seconds that short clips are padded to
BLOCK = 10  # seconds of a clip that are computed at once

Bands = Float[np.ndarray, "time band"]

_pool_window = jax.jit(rank_weighted, static_argnames=("decay", "background"))


def compute_bands(
    clips: Sequence[Float[np.ndarray, "_"]], frontend: FrontendConfig, rows: int
) -> list[Float[np.ndarray, "_ band"]]:
    """Computes the bands in dB of at most `rows` clips.

    Args:
        clips: Samples at the front-end's rate; there is one clip at least.
        frontend: Settings of the front-end.
        rows: How many clips of `BLOCK` seconds or less one call of the compiled function takes.
    """
    short = [clip for clip in clips if not is_long(clip, frontend)]
    computed = iter(_short_bands(short, frontend, rows) if short else ())
    return [
        _long_bands(clip, frontend) if is_long(clip, frontend) else next(computed) for clip in clips
    ]


def is_long(samples: Float[np.ndarray, "_"], frontend: FrontendConfig) -> bool:
    """Whether a clip is computed block by block."""
    return len(samples) > LENGTHS[-1] * frontend.sample_rate


def _short_bands(
    clips: Sequence[Float[np.ndarray, "_"]], frontend: FrontendConfig, rows: int
) -> list[Float[np.ndarray, "_ band"]]:
    """Pads clips with zeros, and cuts the frames of the padding off again.

    Fewer clips longer than `BLOCK` are computed at once, so that they take no more memory.
    """
    longest = max(map(len, clips))
    seconds = next(n for n in LENGTHS if n * frontend.sample_rate >= longest)
    rows = max(1, rows // -(-seconds // BLOCK))
    computed = []
    for first in range(0, len(clips), rows):
        some = clips[first : first + rows]
        padded = np.zeros((rows, seconds * frontend.sample_rate), np.float32)
        for row, samples in zip(padded, some, strict=False):
            row[: len(samples)] = samples
        n_samples = np.array([len(s) for s in some] + [1] * (rows - len(some)), np.int32)
        frames = np.asarray(bands(padded, n_samples, frontend))
        computed += [
            own[: frontend.n_frames(len(samples))]
            for own, samples in zip(frames, some, strict=False)
        ]
    return computed


def _long_bands(
    samples: Float[np.ndarray, "_"], frontend: FrontendConfig
) -> Float[np.ndarray, "_ band"]:
    hop, n_spectra = frontend.hop_length, frontend.n_spectra(len(samples))
    around = -(-frontend.n_fft // hop)  # frames at either end of a block, whose windows it cuts
    count = max(1, BLOCK * frontend.sample_rate // hop)
    block = np.zeros((1, (count + 2 * around) * hop), np.float32)
    spectra = np.empty((n_spectra, frontend.n_bands), np.float32)
    for first in range(0, n_spectra, count):
        begin = max(0, first - around)
        some = samples[begin * hop : begin * hop + block.size]
        block[0, : len(some)], block[0, len(some) :] = some, 0
        (computed,) = np.asarray(bands(block, np.full(1, block.size, np.int32), frontend.unpooled))
        own = spectra[first : first + count]
        own[:] = computed[first - begin :][: len(own)]
    return _pooled(spectra, frontend) if frontend.windows[0] else spectra


def _pooled(
    spectra: Float[np.ndarray, "_ band"], frontend: FrontendConfig
) -> Float[np.ndarray, "_ band"]:
    """The same as `pool`, one window after the other."""
    window, hop = frontend.windows
    decay, background = frontend.pooling.decay, frontend.pooling.background
    frame, pooled = np.zeros((window, frontend.n_bands), np.float32), []
    for first in window_starts(len(spectra), window, hop):
        some = spectra[first : first + window]
        frame[: len(some)] = some
        pooled.append(np.asarray(_pool_window(frame, len(some), decay, background)))
    return np.stack(pooled)
