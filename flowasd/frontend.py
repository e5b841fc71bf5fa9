"""Waveform to standardised log-mel: pure functions of arrays."""

from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

POWER_FLOOR = 1e-10  # -100 dB, librosa's `amin`
STD_FLOOR = 0.1  # dB; a silent mel band has no spread of its own


class Frontend(NamedTuple):
    """Settings of the log-mel; hashable, so that `jit` takes it as a static argument.

    Attributes:
        sample_rate: Sampling rate in Hz.
        n_fft: Window length and FFT size in samples.
        hop_length: Distance between frames in samples.
        n_mels: Number of mel bands between 0 Hz and half the sample rate.
    """

    sample_rate: int = 16000
    n_fft: int = 1024
    hop_length: int = 512
    n_mels: int = 128

    def n_frames(self, n_samples: int) -> int:
        """Number of frames of a clip of `n_samples`, the first centred on its first sample."""
        return 1 + n_samples // self.hop_length


class Standardisation(NamedTuple):
    """Mean and standard deviation of every mel bin over the training clips, in dB."""

    mean: Float[np.ndarray, " mel"]
    std: Float[np.ndarray, " mel"]


def hz_to_mel(hz: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Slaney's mel scale (Auditory Toolbox, 1998): linear below 1 kHz, logarithmic above."""
    linear = hz * 3 / 200
    return np.where(hz < 1000, linear, 15 + 27 * np.log(np.maximum(hz, 1000) / 1000) / np.log(6.4))


def mel_to_hz(mel: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Inverse of `hz_to_mel`."""
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((np.maximum(mel, 15) - 15) / 27))


def mel_filterbank(frontend: Frontend) -> Float[np.ndarray, "frequency mel"]:
    """Triangular filters of unit area (Slaney's normalisation), as float32."""
    nyquist = frontend.sample_rate / 2
    frequency = np.linspace(0, nyquist, frontend.n_fft // 2 + 1)
    top = hz_to_mel(np.array([nyquist]))[0]
    edge = mel_to_hz(np.linspace(0, top, frontend.n_mels + 2))
    rising = (frequency[:, None] - edge[:-2]) / np.diff(edge)[:-1]
    falling = (edge[2:] - frequency[:, None]) / np.diff(edge)[1:]
    triangle = np.maximum(0, np.minimum(rising, falling))
    return (triangle * 2 / (edge[2:] - edge[:-2])).astype(np.float32)


def log_mel(samples: Float[Array, " samples"], frontend: Frontend) -> Float[Array, "time mel"]:
    """Log-mel power spectrogram of one clip in dB, as `librosa.feature.melspectrogram` defines it.

    Frames are centred, the signal is padded with zeros, the window is a periodic Hann window.
    Power below `POWER_FLOOR` counts as the floor.
    """
    n_fft, hop = frontend.n_fft, frontend.hop_length
    window = jnp.asarray(np.hanning(n_fft + 1)[:-1], jnp.float32)
    padded = jnp.pad(samples, n_fft // 2)
    start = hop * jnp.arange(frontend.n_frames(samples.shape[0]))
    frames = jax.vmap(lambda first: jax.lax.dynamic_slice(padded, (first,), (n_fft,)))(start)
    spectrum = jnp.fft.rfft(frames * window)
    power = spectrum.real**2 + spectrum.imag**2
    mel = jnp.dot(power, mel_filterbank(frontend), precision=jax.lax.Precision.HIGHEST)
    return 10 * jnp.log10(jnp.maximum(mel, POWER_FLOOR))


@partial(jax.jit, static_argnames="frontend")
def log_mel_batch(
    samples: Float[Array, "clip samples"], frontend: Frontend
) -> Float[Array, "clip time mel"]:
    """`log_mel` of clips of one length."""
    return jax.vmap(partial(log_mel, frontend=frontend))(samples)


def fit_standardisation(clips: Iterable[Float[np.ndarray, "_ mel"]]) -> Standardisation:
    """Statistics of every mel bin over the frames of all training clips, a clip at a time."""
    count, total, squares = 0, np.zeros(1), np.zeros(1)
    for clip in clips:
        precise = clip.astype(np.float64)
        count += len(clip)
        total = total + precise.sum(0)
        squares = squares + (precise**2).sum(0)
    mean = total / count
    # The floor also takes what rounding leaves of a variance of 0.
    std = np.sqrt(np.maximum(squares / count - mean**2, STD_FLOOR**2))
    return Standardisation(mean.astype(np.float32), std.astype(np.float32))


def standardise(
    frames: Float[np.ndarray, "*batch frame mel"], statistics: Standardisation
) -> Float[np.ndarray, "*batch frame mel"]:
    """Frames with mean 0 and standard deviation 1 in every mel bin."""
    return (frames - statistics.mean) / statistics.std


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
