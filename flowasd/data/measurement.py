"""What is measured of a recording before any training, in one pass over its samples."""

import hashlib
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.fft import rfft  # of float32, nine times as fast as NumPy's

from flowasd.data.audio import BLOCK, read_audio, read_each
from flowasd.data.opening import open_audio
from flowasd.data.suspicious import QUIETEST, suspicion
from flowasd.errors import UserError

RATE = 16000  # Hz, at which the front-ends hear
WINDOW = 16384  # samples; the default front-end's, of which a recording must hold half
N_BANDS = 32  # of equal width, up to half of the rate
EDGES = np.linspace(0, RATE / 2, N_BANDS + 1)  # Hz

RUN = 3  # samples in a row at the highest or lowest value, which are cut off and no peak
LOUD = 0.1  # of full scale, 3277 steps of 16 bits; a softer tone has flat tops
_FRAME = 1024  # samples of a frame of the spectrum
_FRAMES = 1024  # frames that are transformed at once


class Measurement(NamedTuple):
    """What a recording is, and how it sounds.

    Attributes:
        rate: Samples a second in the file.
        channels: Channels of the file.
        seconds: How long it lasts.
        encoding: The file's format and type of sample, such as `"WAV PCM_16"`.
        recording: Digest of the samples that training hears.
        suspicion: Why it cannot be judged; `None` if it can.
        level: Level of the channel that is read in dB, with 0 for a deviation of 1.
        offset: Mean of the channel that is read, in units of its deviation.
        clipped: Largest share of a channel's samples that are cut off at its peak.
        dead: Channels without a signal, counted from 0.
        bands: Mean power of bands of equal width in dB; white noise has its level in all of them.
    """

    rate: int
    channels: int
    seconds: float
    encoding: str
    recording: str
    suspicion: str | None
    level: float
    offset: float
    clipped: float
    dead: tuple[int, ...]
    bands: Float[np.ndarray, " band"]


def digest(samples: Float[np.ndarray, " samples"]) -> str:
    """Returns what tells recordings apart: the same for every file that decodes to the samples."""
    return hashlib.sha256(np.ascontiguousarray(samples).data).hexdigest()


def measure_all(
    paths: Iterable[Path], channel: int = 0
) -> Iterator[tuple[Path, Measurement | UserError]]:
    """Measures files, in order; yields each path with its measurement or with its error."""
    return read_each(partial(measure, channel=channel), paths)


def measure(path: Path, channel: int = 0) -> Measurement:
    """Measures a recording.

    Args:
        path: The file.
        channel: The channel that training reads.

    Raises:
        UserError: As `read_audio` does.
    """
    samples = read_audio(path, RATE, channel=channel)
    with open_audio(path) as file:
        sums = _Channels(file.channels)
        if file.channels == 1 and file.samplerate == RATE:
            sums.add(samples[:, None])  # which saves a second decoding
        else:
            for block in file.blocks(BLOCK // file.channels, dtype="float32", always_2d=True):
                sums.add(block)
        own = min(channel, file.channels - 1)
        deviation = sums.deviation
        return Measurement(
            file.samplerate,
            file.channels,
            file.frames / file.samplerate,
            f"{file.format} {file.subtype}",
            digest(samples),
            suspicion(samples, WINDOW),
            float(20 * np.log10(deviation[own] + 1e-12)),
            float(abs(sums.mean[own]) / (deviation[own] + 1e-12)),
            float(sums.clipped.max()),
            tuple(np.flatnonzero(~(deviation >= QUIETEST)).tolist()),  # NaN is no signal, either
            spectrum(samples),
        )


def spectrum(samples: Float[np.ndarray, " samples"]) -> Float[np.ndarray, " band"]:
    """Returns the mean power of bands of equal width in dB (Welch, 1967, frames side by side).

    Args:
        samples: Samples at `RATE`.
    """
    window = np.hanning(_FRAME + 1)[:-1].astype(np.float32)
    power, n_frames = np.zeros(_FRAME // 2), max(1, len(samples) // _FRAME)
    for first in range(0, n_frames, _FRAMES):
        some = samples[first * _FRAME : min(first + _FRAMES, n_frames) * _FRAME]
        padded = np.pad(some, (0, -len(some) % _FRAME)).reshape(-1, _FRAME)
        bins = np.asarray(rfft(padded * window), np.complex64)[:, 1:]
        power += (np.square(bins.real) + np.square(bins.imag)).sum(0)
    power /= n_frames * (window.astype(np.float64) ** 2).sum()
    return 10 * np.log10(power.reshape(N_BANDS, -1).mean(1) + 1e-20)


class _Channels:
    """Sums over the blocks of a file, of every channel."""

    def __init__(self, n_channels: int):
        self.count = 0
        self.total, self.squares = np.zeros(n_channels), np.zeros(n_channels)
        self.peak = np.full((2, n_channels), -np.inf)  # of the samples, and of them turned over
        self.flat = np.zeros((2, n_channels), np.int64)  # samples at the peak, in runs

    def add(self, block: Float[np.ndarray, "sample channel"]) -> None:
        """Adds consecutive samples; a run that goes on in the next block counts as two."""
        self.count += len(block)
        with np.errstate(invalid="ignore", over="ignore"):
            self.total += block.sum(0, dtype=np.float64)
            self.squares += np.einsum("sc,sc->c", block, block, dtype=np.float64)
            for side, extreme in enumerate((block.max(0), block.min(0))):
                peak = extreme if side == 0 else -extreme
                flat = _in_runs(block == extreme)
                before = np.where(peak > self.peak[side], 0, self.flat[side])
                self.flat[side] = before + np.where(peak >= self.peak[side], flat, 0)
                self.peak[side] = np.maximum(peak, self.peak[side])

    @property
    def mean(self) -> Float[np.ndarray, " channel"]:
        """Mean of every channel."""
        return self.total / self.count

    @property
    def deviation(self) -> Float[np.ndarray, " channel"]:
        """Standard deviation of every channel."""
        return np.sqrt(np.maximum(self.squares / self.count - self.mean**2, 0))

    @property
    def clipped(self) -> Float[np.ndarray, " channel"]:
        """Share of every channel's samples that are in runs at its highest or lowest value.

        A channel whose peak is below `LOUD` has 0.
        """
        return np.where(self.peak.max(0) >= LOUD, self.flat.sum(0) / self.count, 0)


def _in_runs(at: np.ndarray) -> Int[np.ndarray, " channel"]:
    """Counts the true values of every column that are in a run of `RUN` or more."""
    if not (at.sum(0) >= RUN).any():
        return np.zeros(at.shape[1], np.int64)
    starts = np.logical_and.reduce([at[i : len(at) - RUN + 1 + i] for i in range(RUN)])
    inside = np.zeros_like(at)
    for i in range(RUN):
        inside[i : len(at) - RUN + 1 + i] |= starts
    return inside.sum(0)
