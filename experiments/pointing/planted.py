"""Normal recordings with a fault at a known time, and the cells that the fault changed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import binary_dilation

from flowasd.data.audio import read_audio
from flowasd.evaluation import faults
from flowasd.features.compute import compute_bands
from flowasd.features.frontend import FrontendConfig

SHORTEST, LONGEST = 1.0, 4.0  # seconds of a fault
FADE = 0.02  # seconds over which it comes and goes
LOWEST = 0.4  # severity; the highest is 1
CHANGED = 3.0  # dB; a cell that the fault moves by this much is part of the truth
FEWEST = 8  # cells of a truth; a fault that moves fewer cannot be heard, and does not count

Samples = Float[np.ndarray, " samples"]
Spectra = Float[np.ndarray, "time band"]


def band_gain(samples: Samples, severity: float, rng: np.random.Generator) -> Samples:
    """Makes one band, half an octave to an octave and a half wide, louder by at most 20 dB."""
    low = rng.uniform(300, 4000)
    frequency = np.fft.rfftfreq(len(samples), 1 / faults.SAMPLE_RATE)
    inside = (frequency >= low) & (frequency < low * 2 ** rng.uniform(0.5, 1.5))
    gain = np.where(inside, 10 ** (20 * severity / 20), 1.0)
    return np.fft.irfft(np.fft.rfft(samples) * gain, len(samples))


Fault = Callable[[Samples, float, np.random.Generator], Samples]
# Those faults of the package that have a place; `speed` and `loudness` change every cell.
PLANTED: Mapping[str, Fault] = {
    name: faults.FAULTS[name] for name in ("knocks", "squeal", "hiss", "tones", "lost_stroke")
} | {"band_gain": band_gain}


class Planted(NamedTuple):
    """A clip with a fault.

    Attributes:
        path: The normal clip.
        machine_id: Its ID.
        fault: Name of the fault.
        samples: Samples with the fault in them.
        spectra: Their bands before pooling, in dB.
        change: How much louder the fault made every cell, in dB.
        truth: The cells that it changed.
    """

    path: Path
    machine_id: str
    fault: str
    samples: Samples
    spectra: Spectra
    change: Spectra
    truth: Bool[np.ndarray, "time band"]


def planted(
    clips: Sequence[tuple[Path, str]], frontend: FrontendConfig, seed: int
) -> Iterator[Planted]:
    """Yields every clip with every fault in it, each in a piece of its own.

    Args:
        clips: Paths of normal clips and their machine IDs.
        frontend: Settings of the front-end; its pooling is left out.
        seed: Of all that is drawn: piece, severity, and the fault's own draws.
    """
    for i, (path, machine_id) in enumerate(clips):
        samples = read_audio(path, faults.SAMPLE_RATE)
        for j, (name, fault) in enumerate(PLANTED.items()):
            faulty = in_a_piece(samples, fault, np.random.default_rng([seed, i, j]))
            before, after = (
                compute_bands([x.astype(np.float32)], frontend.unpooled, rows=1)[0]
                for x in (samples, faulty)
            )
            truth = np.abs(after - before) >= CHANGED
            if truth.sum() >= FEWEST:
                yield Planted(path, machine_id, name, faulty, after, after - before, truth)


def in_a_piece(samples: Samples, fault: Fault, rng: np.random.Generator) -> Samples:
    """Puts a fault into a piece of the samples; all others stay as they are."""
    length = int(rng.uniform(SHORTEST, LONGEST) * faults.SAMPLE_RATE)
    first = rng.integers(max(len(samples) - length, 0) + 1)
    piece = samples[first : first + length]
    faulty = fault(piece, rng.uniform(LOWEST, 1), rng)
    ramp = np.minimum(np.arange(len(piece)) + 1, np.arange(len(piece), 0, -1))
    share = np.minimum(ramp / (FADE * faults.SAMPLE_RATE), 1)
    changed = np.array(samples, np.float64)
    changed[first : first + length] += share * (faulty - piece)
    return changed


def tolerated(truth: Bool[np.ndarray, "time band"]) -> Bool[np.ndarray, "time band"]:
    """Adds the neighbouring cells, because windows of neighbouring frames overlap by a half."""
    return binary_dilation(truth, np.ones((3, 3)))
