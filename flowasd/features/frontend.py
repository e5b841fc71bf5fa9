"""Waveform to standardised spectrogram bands: pure functions of arrays, and their registry.

To add a front-end, write a function like `log_mel` and add a line to `FRONTENDS`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from flowasd.features.pooling import PoolingConfig, n_pooled, pool, window_starts
from flowasd.settings import key

POWER_FLOOR = 1e-10  # -100 dB, librosa's `amin`
FREQUENCIES_PER_SLICE = 1024  # of a filterbank; a product of fewer takes no time worth saving
STD_FLOOR = 0.1  # dB; a silent band has no spread of its own

# Takes the samples of one clip and its `FrontendConfig`, returns the bands in dB.
Frontend = Callable[..., Float[Array, "time band"]]

FRONTENDS: dict[str, Frontend] = {}


@dataclass(frozen=True)
class FrontendConfig:
    """The front-end."""

    name: str = key("log_mel", "front-end", choices=FRONTENDS)
    sample_rate: int = key(16000, "rate that recordings are resampled to", unit="Hz", minimum=1)
    n_fft: int = key(16384, "window and FFT", unit="samples", minimum=1)
    hop_length: int = key(4096, "distance of frames", unit="samples", minimum=1)
    n_bands: int = key(128, "number of bands", minimum=1)

    pooling: PoolingConfig = field(default_factory=PoolingConfig)

    @property
    def spectra_per_second(self) -> float:
        """Spectra, which are frames before pooling, of a second."""
        return self.sample_rate / self.hop_length

    @property
    def windows(self) -> tuple[int, int]:
        """Window and hop of the pooling in spectra; the window is 0 if nothing is pooled."""
        window, hop = self.pooling.window, self.pooling.hop
        return round(window * self.spectra_per_second), max(1, round(hop * self.spectra_per_second))

    @property
    def seconds_per_frame(self) -> float:
        """Time from one frame to the next."""
        return (self.windows[1] if self.windows[0] else 1) / self.spectra_per_second

    @property
    def unpooled(self) -> "FrontendConfig":
        """The same front-end without its pooling: its frames are spectra."""
        return replace(self, pooling=PoolingConfig())

    def n_spectra(self, n_samples: int) -> int:
        """Number of spectra of a clip of `n_samples`, the first centred on its first sample."""
        return 1 + n_samples // self.hop_length

    def n_frames(self, n_samples: int) -> int:
        """Number of frames of a clip of `n_samples`."""
        window, hop = self.windows
        n_spectra = self.n_spectra(n_samples)
        return n_pooled(n_spectra, window, hop) if window else n_spectra

    def frame_windows(self, n_spectra: int) -> list[slice]:
        """Returns the spectra that every frame of a clip of `n_spectra` is made of."""
        window, hop = self.windows if self.windows[0] else (1, 1)
        starts = window_starts(n_spectra, window, hop).tolist()
        return [slice(first, min(first + window, n_spectra)) for first in starts]

    def frame_times(self, n_spectra: int) -> Float[np.ndarray, " time"]:
        """Returns the time of the centre of every frame of a clip of `n_spectra`, in seconds."""
        centres = [(own.start + own.stop - 1) / 2 for own in self.frame_windows(n_spectra)]
        return np.array(centres) / self.spectra_per_second


class Standardisation(NamedTuple):
    """Mean and standard deviation of every band over the training clips, in dB."""

    mean: Float[np.ndarray, " band"]
    std: Float[np.ndarray, " band"]


def hz_to_mel(hz: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Slaney's mel scale (Auditory Toolbox, 1998): linear below 1 kHz, logarithmic above."""
    linear = hz * 3 / 200
    return np.where(hz < 1000, linear, 15 + 27 * np.log(np.maximum(hz, 1000) / 1000) / np.log(6.4))


def mel_to_hz(mel: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Inverse of `hz_to_mel`."""
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((np.maximum(mel, 15) - 15) / 27))


def mel_filterbank(frontend: FrontendConfig) -> Float[np.ndarray, "frequency band"]:
    """Triangular filters of unit area (Slaney's normalisation), as float32."""
    nyquist = frontend.sample_rate / 2
    frequency = np.linspace(0, nyquist, frontend.n_fft // 2 + 1)
    top = hz_to_mel(np.array([nyquist]))[0]
    edge = mel_to_hz(np.linspace(0, top, frontend.n_bands + 2))
    rising = (frequency[:, None] - edge[:-2]) / np.diff(edge)[:-1]
    falling = (edge[2:] - frequency[:, None]) / np.diff(edge)[1:]
    triangle = np.maximum(0, np.minimum(rising, falling))
    return (triangle * 2 / (edge[2:] - edge[:-2])).astype(np.float32)


def linear_filterbank(frontend: FrontendConfig) -> Float[np.ndarray, "frequency band"]:
    """Rectangular filters of equal width, each the mean of its bins; no filter takes 0 Hz."""
    n_bins = frontend.n_fft // 2
    band = np.arange(n_bins) * frontend.n_bands // n_bins
    own = (band[:, None] == np.arange(frontend.n_bands)).astype(np.float32)
    mean = own / np.maximum(own.sum(0), 1)
    return np.concatenate([np.zeros((1, frontend.n_bands), np.float32), mean])


FILTERBANKS = {"log_mel": mel_filterbank, "log_linear": linear_filterbank}


def n_empty(frontend: FrontendConfig) -> int:
    """Returns how many bands pass no frequency; 0 of a front-end without a filterbank."""
    make = FILTERBANKS.get(frontend.name)
    return int((~(make(frontend) > 0).any(0)).sum()) if make else 0


def log_mel(
    samples: Float[Array, " samples"], frontend: FrontendConfig
) -> Float[Array, "time band"]:
    """Log-mel power spectrogram of one clip in dB, as librosa's `melspectrogram` defines it."""
    return log_bands(samples, frontend, mel_filterbank(frontend))


def log_linear(
    samples: Float[Array, " samples"], frontend: FrontendConfig
) -> Float[Array, "time band"]:
    """The same with bands of equal width."""
    return log_bands(samples, frontend, linear_filterbank(frontend))


def log_bands(
    samples: Float[Array, " samples"],
    frontend: FrontendConfig,
    filterbank: Float[np.ndarray, "frequency band"],
) -> Float[Array, "time band"]:
    """Power spectrogram of one clip through a filterbank, in dB.

    Frames are centred, the signal is padded with zeros, the window is a periodic Hann window.
    Power below `POWER_FLOOR` counts as the floor.
    """
    n_fft, hop = frontend.n_fft, frontend.hop_length
    window = jnp.asarray(np.hanning(n_fft + 1)[:-1], jnp.float32)
    padded = jnp.pad(samples, n_fft // 2)
    start = hop * jnp.arange(frontend.n_spectra(samples.shape[0]))
    frames = jax.vmap(lambda first: jax.lax.dynamic_slice(padded, (first,), (n_fft,)))(start)
    spectrum = jnp.fft.rfft(frames * window)
    power = spectrum.real**2 + spectrum.imag**2
    return 10 * jnp.log10(jnp.maximum(filtered(power, filterbank), POWER_FLOOR))


def filtered(
    power: Float[Array, "time frequency"], filterbank: Float[np.ndarray, "frequency band"]
) -> Float[Array, "time band"]:
    """`power @ filterbank`.

    Neighbouring filters pass neighbouring frequencies. So a long filterbank is cut into slices of
    bands, each of which is multiplied by the frequencies that it passes and not by all.
    """
    n_slices = max(1, len(filterbank) // FREQUENCIES_PER_SLICE)
    products = []
    for some in np.array_split(filterbank, n_slices, axis=1):
        used = np.flatnonzero(some.any(1))
        rows = slice(used[0], used[-1] + 1) if len(used) else slice(0)
        products.append(jnp.dot(power[:, rows], some[rows], precision=jax.lax.Precision.HIGHEST))
    return jnp.concatenate(products, -1)


FRONTENDS["log_mel"] = log_mel
FRONTENDS["log_linear"] = log_linear


def mel_edges(frontend: FrontendConfig) -> Float[np.ndarray, " edge"]:
    """Where one filter of `mel_filterbank` hands over to the next: halfway on the mel scale."""
    top = hz_to_mel(np.array([frontend.sample_rate / 2]))[0]
    return mel_to_hz((np.arange(frontend.n_bands + 1) + 0.5) * top / (frontend.n_bands + 1))


def linear_edges(frontend: FrontendConfig) -> Float[np.ndarray, " edge"]:
    """Where the filters of `linear_filterbank` meet."""
    return np.linspace(0, frontend.sample_rate / 2, frontend.n_bands + 1)


# The edges of a front-end's bands in Hz, one more than there are bands. Without a line here the
# bands of a front-end have numbers and no frequencies.
EDGES: dict[str, Callable[[FrontendConfig], Float[np.ndarray, " edge"]]] = {
    "log_mel": mel_edges,
    "log_linear": linear_edges,
}


@partial(jax.jit, static_argnames="frontend")
def bands(
    samples: Float[Array, "clip samples"],
    n_samples: Int[Array, " clip"],
    frontend: FrontendConfig,
) -> Float[Array, "clip time band"]:
    """Returns the bands of clips in dB, by the configured front-end and pooling.

    Args:
        samples: Samples, padded at the end to one length.
        n_samples: Samples of each clip without its padding. A clip has `frontend.n_frames` of them;
            later frames are to be cut off.
        frontend: Settings of the front-end.
    """
    spectra = jax.vmap(lambda clip: FRONTENDS[frontend.name](clip, frontend))(samples)
    return pooled(spectra, 1 + n_samples // frontend.hop_length, frontend)


def pooled(
    spectra: Float[Array, "clip time band"],
    n_spectra: Int[Array, " clip"],
    frontend: FrontendConfig,
) -> Float[Array, "clip frame band"]:
    """Returns the frames of clips by the configured pooling: the spectra, if nothing is pooled.

    Args:
        spectra: Bands of clips in dB, padded at the end to one length.
        n_spectra: Spectra of each clip without its padding.
        frontend: Settings of the front-end.
    """
    window, hop = frontend.windows
    if not window:
        return spectra
    decay, background = frontend.pooling.decay, frontend.pooling.background
    one = partial(pool, window=window, hop=hop, decay=decay, background=background)
    return jax.vmap(one)(spectra, n_spectra)


def fit_standardisation(clips: Iterable[Float[np.ndarray, "_ band"]]) -> Standardisation:
    """Statistics of every band over the frames of all training clips, a clip at a time."""
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
    frames: Float[np.ndarray, "*batch band"], statistics: Standardisation
) -> Float[np.ndarray, "*batch band"]:
    """Frames with mean 0 and standard deviation 1 in every band."""
    return (frames - statistics.mean) / statistics.std
