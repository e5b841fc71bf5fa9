"""A data set of SIMULATED noise, and one fault of each kind to plant in it."""

from pathlib import Path

import numpy as np
import soundfile
import soxr

RATE, SECONDS = 16000, 1
N_TRAIN, N_TEST = 10, 4  # sound clips
BAD = "normal_id_00_00000100"  # name of a faulty training clip


def noise(seed, rate=RATE):
    return 0.05 * np.random.default_rng(seed).normal(size=SECONDS * rate)


def sound(folder: Path) -> Path:
    """Writes a machine type without faults."""
    for split, count in (("train", N_TRAIN), ("test", N_TEST)):
        (folder / split).mkdir(parents=True)
        for i in range(count):
            state = "anomaly" if split == "test" and i % 2 else "normal"
            name = f"{state}_id_00_{i:08d}.wav"
            soundfile.write(folder / split / name, noise(len(split) * 100 + i), RATE)
    return folder


def _write(samples, rate=RATE, subtype="PCM_16", name=f"train/{BAD}.wav"):
    def write(folder):
        soundfile.write(folder / name, samples, rate, subtype)

    return write


def _bytes(name):
    return lambda folder: (folder / name).write_bytes(b"not audio")


def _copy(split, name):
    """The first training clip again, as FLAC."""

    def write(folder):
        first = "anomaly_id_00_00000001" if split == "test" else "normal_id_00_00000000"
        samples, rate = soundfile.read(folder / split / f"{first}.wav", dtype="int16")
        soundfile.write(folder / name, samples, rate)

    return write


CLIPPED = np.clip(3 * noise(13), -0.2, 0.2)
UPSAMPLED = soxr.resample(noise(12, 8000), 8000, RATE)
STEREO = np.stack([noise(14), np.zeros(RATE)], 1)

# Name of a fault → its kind, whether training refuses it, what plants it, words of the finding.
FAULTS = {
    "name": ("names", True, _write(noise(1), name="train/rail.wav"), "rail.wav"),
    "anomaly": (
        "split",
        True,
        _write(noise(2), name="train/anomaly_id_00_00000100.wav"),
        "1 anomalous clips",
    ),
    "unknown": ("split", True, _write(noise(3), name="test/normal_id_02_00000100.wav"), "id_02"),
    "unreadable": ("unreadable", True, _bytes(f"train/{BAD}.wav"), "cannot be read"),
    "untestable": (
        "unreadable",
        False,
        _bytes("test/normal_id_00_00000100.wav"),
        "leaves it out of the test",
    ),
    "silent": ("suspicious", True, _write(np.zeros(RATE)), "is silent"),
    "scale": ("suspicious", True, _write(32768 * noise(4), subtype="FLOAT"), "too large"),
    "short": ("suspicious", True, _write(noise(5)[:1000]), "has 1000 samples"),
    "across": (
        "duplicate",
        True,
        _copy("train", "test/normal_id_00_00000100.flac"),
        "remove one of them",
    ),
    "within": (
        "duplicate",
        False,
        _copy("test", "test/anomaly_id_00_00000100.flac"),
        "more than once",
    ),
    "rate": ("rate", False, _write(noise(11, 8000), 8000), "no sound above 4 kHz"),
    "upsampled": ("highs", False, _write(UPSAMPLED), "no sound above 4"),
    "dead": ("dead", False, _write(STEREO), "channel 1 of 2"),
    "clipped": ("clipped", False, _write(CLIPPED), "cut off at its peak"),
    "offset": ("offset", False, _write(0.3 * noise(15) + 0.25), "away from 0"),
    "level": ("level", False, _write(noise(16) / 100), "dB below"),
}


def all_faults(folder: Path) -> Path:
    """Writes a machine type with every fault, each in clips of its own."""
    sound(folder)
    for i, (_, _, plant, _) in enumerate(FAULTS.values()):
        plant(folder)
        for split in ("train", "test"):
            for path in (folder / split).glob("*_00000100.*"):  # makes room for the next one
                path.rename(path.with_name(path.name.replace("_00000100", f"_{200 + i:08d}")))
    return folder


def narrow(folder: Path) -> Path:
    """Writes a machine type that was recorded at 8 kHz throughout, and upsampled."""
    for path in sound(folder).rglob("*.wav"):
        samples, _ = soundfile.read(path)
        soundfile.write(path, soxr.resample(samples[::2], 8000, RATE), RATE)
    return folder
