"""The bands of real recordings, and of copies that have lost their high tones."""

from pathlib import Path

import numpy as np
import soxr
from jaxtyping import Float

from flowasd.data.audio import find_audio, read_audio, read_each
from flowasd.data.findings import FEWEST, HIGH, depth
from flowasd.data.measurement import RATE, spectrum
from flowasd.errors import UserError


def upsampled(samples: Float[np.ndarray, " sample"]) -> Float[np.ndarray, " sample"]:
    """Returns what a recording at half of the rate holds, at the full one, rounded to 16 bits."""
    narrow = soxr.resample(soxr.resample(samples, RATE, RATE // 2), RATE // 2, RATE)
    return (np.round(narrow * 2**15) / 2**15).astype(np.float32)


def measure_bands(data: Path, others: Path, narrowed: int) -> dict[str, float]:
    """Measures the bands of all recordings, and of upsampled copies.

    Args:
        data: The machine type's folder of the development set.
        others: Folder of other machine types.
        narrowed: Every n-th clip of the development set is upsampled.

    Returns:
        Numbers of recordings, and levels in dB.
    """
    machines: dict[str, list[Path]] = {}
    for path in sorted((*data.glob("train/*"), *data.glob("test/*"))):
        machines.setdefault(path.name.split("_")[2], []).append(path)
    found: dict[str, list[float]] = {"depth": [], "narrow_depth": [], "softest": [], "narrow": []}
    for paths in machines.values():
        sounds = [
            samples
            for _, samples in read_each(read_audio, paths)
            if not isinstance(samples, UserError)
        ]
        real = np.stack([spectrum(samples) for samples in sounds])
        if len(real) < FEWEST:
            continue
        found["depth"] += depth(real)[:, HIGH].min(1).tolist()
        found["softest"].append(float(real.min()))
        for i in range(0, len(real), narrowed):
            changed = real.copy()
            changed[i] = spectrum(upsampled(sounds[i]))
            found["narrow_depth"].append(float(depth(changed)[i, HIGH].min()))
            found["narrow"].append(float(changed[i, HIGH].max()))
    found_others = read_each(read_audio, find_audio([str(others)]))
    softest = [float(spectrum(s).min()) for _, s in found_others if not isinstance(s, UserError)]
    return {
        "recordings": len(found["depth"]),
        "deepest of them": max(found["depth"]),
        "softest band of them": min(found["softest"]),
        "softest band of other machine types": min(softest),
        "upsampled copies": len(found["narrow"]),
        "least deep of these": min(found["narrow_depth"]),
        "loudest high band of these": max(found["narrow"]),
    }
