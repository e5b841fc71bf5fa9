"""Audio files as broken recorders, pipes and disks leave them, made from a seed."""

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

Made = bytes
SUBTYPES = {"WAV": ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"), "FLAC": ("PCM_16",)}
SIZES = (0, 1, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFDB, 0xFFFFFFFF)
RATES = (0, 1, 7, 999, 8000, 44100, 1_000_001, 2**31 - 1, 2**32 - 1)


def whole(rng: np.random.Generator, kind: str) -> Made:
    """Makes a good file of noise: WAV, RIFX, RF64, W64 or FLAC, of any width and up to a second."""
    channels, rate = int(rng.integers(1, 9)), int(rng.choice([8000, 16000, 44100, 96000]))
    noise = rng.normal(size=(int(rng.integers(0, rate // 2)), channels)) / 10
    wide = "FLAC" if kind == "FLAC" else "WAV"
    made = io.BytesIO()
    soundfile.write(
        made,
        noise,
        rate,
        str(rng.choice(SUBTYPES[wide])),
        endian="BIG" if kind == "RIFX" else "FILE",
        format="WAV" if kind == "RIFX" else kind,
    )
    return made.getvalue()


def cut(rng: np.random.Generator, made: Made) -> Made:
    """Cuts a file short, anywhere."""
    return made[: int(rng.integers(0, len(made) + 1))]


def other_size(rng: np.random.Generator, made: Made) -> Made:
    """Replaces the size of the samples of a WAV file, or the number of samples of FLAC."""
    if made.startswith(b"fLaC"):
        total = int(rng.choice([0, 1, len(made), 2**31, 2**36 - 1]))
        word = int.from_bytes(made[18:26], "big") >> 36 << 36 | total
        return made[:18] + word.to_bytes(8, "big") + made[26:]
    at = made.find(b"data") + 4
    near = len(made) + int(rng.integers(-100, 100))
    return made[:at] + struct.pack("<I", int(rng.choice([*SIZES, near]))) + made[at + 4 :]


def other_rate(rng: np.random.Generator, made: Made) -> Made:
    """Replaces the rate."""
    rate = int(rng.choice(RATES))
    if made.startswith(b"fLaC"):
        word = int.from_bytes(made[18:22], "big") & 0xFFF | (rate & 0xFFFFF) << 12
        return made[:18] + word.to_bytes(4, "big") + made[22:]
    at = made.find(b"fmt ") + 12
    return made[:at] + struct.pack("<I", rate) + made[at + 4 :]


def other_header(rng: np.random.Generator, made: Made) -> Made:
    """Replaces some bytes of the header by chance."""
    return _scattered(rng, made, min(len(made), 64))


def other_bytes(rng: np.random.Generator, made: Made) -> Made:
    """Replaces some bytes anywhere."""
    return _scattered(rng, made, len(made))


def longer(rng: np.random.Generator, made: Made) -> Made:
    """Appends bytes that no header counts."""
    return made + rng.bytes(int(rng.integers(0, 4000)))


def noise(rng: np.random.Generator, made: Made) -> Made:
    """Keeps nothing but the first bytes."""
    return made[:4] + rng.bytes(int(rng.integers(0, 200)))


def untouched(_: np.random.Generator, made: Made) -> Made:
    """Leaves a file whole."""
    return made


FORMATS = ("WAV", "RIFX", "RF64", "W64", "FLAC")
DAMAGES: dict[str, Callable[[np.random.Generator, Made], Made]] = {
    "whole": untouched,
    "cut short": cut,
    "another size in the header": other_size,
    "another rate": other_rate,
    "other bytes in the header": other_header,
    "other bytes anywhere": other_bytes,
    "bytes after the end": longer,
    "nothing but a beginning": noise,
}


def write(rng: np.random.Generator, folder: Path, kind: str, damage: str) -> Path:
    """Writes a file of a format with a damage, and returns its path."""
    path = folder / ("a.flac" if kind == "FLAC" else "a.wav")
    path.write_bytes(DAMAGES[damage](rng, whole(rng, kind)))
    return path


def _scattered(rng: np.random.Generator, made: Made, below: int) -> Made:
    changed = bytearray(made)
    for at in rng.integers(0, below, int(rng.integers(1, 6))) if below else ():
        changed[at] = int(rng.integers(0, 256))
    return bytes(changed)
