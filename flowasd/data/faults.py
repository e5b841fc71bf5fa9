"""Faults for normal recordings: sounds that a healthy machine does not make, graded by severity.

They stand in for the anomalies that nobody has recorded, to estimate how well a detector will do.
"""

from collections.abc import Callable, Mapping

import numpy as np
import soxr
from jaxtyping import Float

SAMPLE_RATE = 16000

Samples = Float[np.ndarray, " samples"]
Fault = Callable[[Samples, float, np.random.Generator], Samples]


def add(samples: Samples, sound: Samples, decibel: float) -> Samples:
    """Adds `sound` at a level relative to the recording's own, by their RMS."""
    level = samples.std() * 10 ** (decibel / 20) / max(sound.std(), 1e-9)
    return samples + level * sound


def knocks(samples: Samples, severity: float, rng: np.random.Generator) -> Samples:
    """Short ringing knocks at a steady period, as of a damaged rail."""
    period = rng.uniform(0.4, 1.5)
    ring = np.arange(int(0.2 * SAMPLE_RATE)) / SAMPLE_RATE
    knock = np.sin(2 * np.pi * rng.uniform(500, 6000) * ring) * np.exp(
        -ring / rng.uniform(0.005, 0.03)
    )
    train = np.zeros(len(samples))
    times = np.arange(rng.uniform(0, period), len(samples) / SAMPLE_RATE, period)
    train[np.minimum((times * SAMPLE_RATE).astype(int), len(samples) - 1)] = 1
    return add(samples, np.convolve(train, knock)[: len(samples)], -25 + 25 * severity)


def squeal(samples: Samples, severity: float, rng: np.random.Generator) -> Samples:
    """A wavering high tone that comes and goes, as of a rail without grease."""
    time = np.arange(len(samples)) / SAMPLE_RATE
    pitch = rng.uniform(2000, 6000) * (1 + 0.01 * np.sin(2 * np.pi * rng.uniform(2, 8) * time))
    swell = np.maximum(np.sin(2 * np.pi * (rng.uniform(0.3, 1) * time + rng.uniform())), 0)
    return add(samples, swell * np.sin(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE), -35 + 30 * severity)


def hiss(samples: Samples, severity: float, rng: np.random.Generator) -> Samples:
    """Steady noise in a band of an octave."""
    low = rng.uniform(300, 3500)
    spectrum = np.fft.rfft(rng.normal(size=len(samples)))
    frequency = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    band = np.fft.irfft(spectrum * ((frequency >= low) & (frequency < 2 * low)), len(samples))
    return add(samples, band, -25 + 25 * severity)


def tones(samples: Samples, severity: float, rng: np.random.Generator) -> Samples:
    """A steady hum with harmonics."""
    time = np.arange(len(samples)) / SAMPLE_RATE
    pitch = rng.uniform(100, 1000)
    hum = sum(np.sin(2 * np.pi * pitch * k * time + rng.uniform(0, 6)) / k for k in range(1, 6))
    return add(samples, np.asarray(hum), -35 + 30 * severity)


def speed(samples: Samples, severity: float, rng: np.random.Generator) -> Samples:
    """The whole machine faster or slower, by up to a fifth."""
    factor = (1 + 0.2 * severity) ** rng.choice([-1, 1])
    faster = soxr.resample(samples, SAMPLE_RATE * factor, SAMPLE_RATE)
    return np.resize(faster, len(samples))


def lost_stroke(samples: Samples, severity: float, rng: np.random.Generator) -> Samples:
    """The machine falters: a piece of up to three seconds falls 10 dB, at a random place."""
    length = int(min(3 * severity * SAMPLE_RATE, len(samples) / 2))
    start = rng.integers(len(samples) - length)
    gain = np.ones(len(samples))
    gain[start : start + length] = 10 ** (-10 / 20)
    return samples * gain


def gain(samples: Samples, severity: float, rng: np.random.Generator) -> Samples:
    """Everything louder or softer, by up to 6 dB."""
    return samples * 10 ** (rng.choice([-1, 1]) * 6 * severity / 20)


FAULTS: Mapping[str, Fault] = {
    fault.__name__: fault for fault in (knocks, squeal, hiss, tones, speed, lost_stroke, gain)
}
