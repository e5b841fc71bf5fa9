"""Faults that are put into normal recordings, graded by severity from 0 to 1.

They take the place of anomalies that nobody has recorded, to estimate how well a detector will do.
The level of an added sound is relative to the RMS of the recording, so that a fault is as hard to
find in a loud recording as in a soft one.
"""

from collections.abc import Callable, Mapping

import numpy as np
import soxr
from jaxtyping import Float

SAMPLE_RATE = 16000  # Hz

Samples = Float[np.ndarray, " samples"]


def knocks(samples: Samples, severity: float, rng: np.random.Generator) -> Samples:
    """Adds short ringing knocks at a steady period, as of a damaged rail; up to the RMS."""
    time = _time(samples)
    since = (time + rng.uniform(0, 1)) % rng.uniform(0.4, 1.5)
    ring = np.sin(2 * np.pi * rng.uniform(500, 6000) * since)
    return _added(samples, ring * np.exp(-since / rng.uniform(0.005, 0.03)), -25 + 25 * severity)


def squeal(samples: Samples, severity: float, rng: np.random.Generator) -> Samples:
    """Adds a wavering high tone that comes and goes, as of a dry rail; up to 5 dB below the RMS."""
    time = _time(samples)
    pitch = rng.uniform(2000, 6000) * (1 + 0.01 * np.sin(2 * np.pi * rng.uniform(2, 8) * time))
    swell = np.maximum(np.sin(2 * np.pi * (rng.uniform(0.3, 1) * time + rng.uniform())), 0)
    tone = np.sin(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE)
    return _added(samples, swell * tone, -35 + 30 * severity)


def hiss(samples: Samples, severity: float, rng: np.random.Generator) -> Samples:
    """Adds steady noise in a band of an octave; up to the RMS."""
    low = rng.uniform(300, 3500)
    frequency = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    spectrum = np.fft.rfft(rng.normal(size=len(samples)))
    spectrum[(frequency < low) | (frequency >= 2 * low)] = 0
    return _added(samples, np.fft.irfft(spectrum, len(samples)), -25 + 25 * severity)


def tones(samples: Samples, severity: float, rng: np.random.Generator) -> Samples:
    """Adds a steady hum with four overtones; up to 5 dB below the RMS."""
    turn = np.exp(2j * np.pi * rng.uniform(100, 1000) * _time(samples))
    order = np.arange(5, 0, -1)
    phase = rng.uniform(size=len(order))[::-1]
    hum = np.polyval([*np.exp(2j * np.pi * phase) / order, 0], turn).imag  # faster than five sines
    return _added(samples, hum, -35 + 30 * severity)


def speed(samples: Samples, severity: float, rng: np.random.Generator) -> Samples:
    """Makes the recording faster or slower by at most a fifth, which also changes its pitch."""
    factor = (1 + 0.2 * severity) ** rng.choice([-1, 1])
    resampled = soxr.resample(samples, SAMPLE_RATE * factor, SAMPLE_RATE)
    return np.resize(resampled, len(samples))


def lost_stroke(samples: Samples, severity: float, rng: np.random.Generator) -> Samples:
    """Makes a piece of at most three seconds 10 dB softer, as if the machine faltered."""
    length = min(int(3 * severity * SAMPLE_RATE), len(samples))
    start = rng.integers(len(samples) - length + 1)
    gain = np.ones(len(samples))
    gain[start : start + length] = 10 ** (-10 / 20)
    return samples * gain


def loudness(samples: Samples, severity: float, rng: np.random.Generator) -> Samples:
    """Makes the recording louder or softer by at most 6 dB."""
    return samples * 10 ** (rng.choice([-1, 1]) * 6 * severity / 20)


FAULTS: Mapping[str, Callable[[Samples, float, np.random.Generator], Samples]] = {
    fault.__name__: fault for fault in (knocks, squeal, hiss, tones, speed, lost_stroke, loudness)
}


def _time(samples: Samples) -> Samples:
    return np.arange(len(samples)) / SAMPLE_RATE


def _added(samples: Samples, sound: Samples, decibel: float) -> Samples:
    """Adds a sound at a level relative to the RMS of the recording; silence adds nothing."""
    rms, own = (np.sqrt(np.mean(np.square(s, dtype=np.float64))) for s in (samples, sound))
    return samples + sound * (rms / own * 10 ** (decibel / 20)) if own > 0 else samples
