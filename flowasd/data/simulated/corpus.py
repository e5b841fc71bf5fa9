"""The built-in corpus: simulated slide rails in a simulated factory, in DCASE's layout.

The corpus replaces recordings in tests and trials. Every ID is another machine (`slide_rail.py`),
and no two recordings of a machine are alike. An anomaly is a fault of one of several causes, of
graded severity. Factory noise covers the machines, so that the anomalies are neither trivial nor
impossible to find.
"""

import csv
import tempfile
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from jaxtyping import Float
from tqdm import tqdm

from flowasd.data.simulated.slide_rail import (
    CAUSES,
    FREQUENCY,
    N_SAMPLES,
    RAILS,
    SAMPLE_RATE,
    TIME,
    damage,
    harmonic_sum,
    rail_sound,
    vary,
    wander,
)
from flowasd.errors import UserError
from flowasd.files import read_ahead

VERSION = 1  # of the simulation; raise it whenever a sample changes
_PARTS = (("train", "normal"), ("test", "normal"), ("test", "anomaly"))
_FANS = (187.0, 263.0, 412.0)  # Hz
_RMS = 0.01  # of the factory noise; MIMII's recordings of slide rails lie at about -40 dB


class CorpusClip(NamedTuple):
    """A clip of the corpus: float32 samples, the cause of its fault if it has one, the severity."""

    sound: Float[np.ndarray, " samples"]
    cause: str | None
    severity: float


def simulate_clip(
    machine_id: str, rng: np.random.Generator, fault: str | None = None, severity: float = 0.0
) -> Float[np.ndarray, " samples"]:
    """Simulates ten seconds of a slide rail at 16 kHz.

    Args:
        machine_id: One of `RAILS`.
        rng: Source of all random numbers.
        fault: Cause of the fault, one of `CAUSES`; `None` for a healthy machine.
        severity: Severity of the fault, from 0 to 1.

    Returns:
        float32 samples in [-1, 1].
    """
    rail = vary(RAILS[machine_id], rng)
    if fault is not None:
        rail = damage(rail, fault, severity, place=rng.uniform(0.2, 0.8))
    machine = rng.lognormal(sigma=0.15) * rail_sound(rail, rng)
    microphone = (FREQUENCY / 150) ** rng.normal(0, 0.1)
    spectrum = microphone * np.fft.rfft(machine + _factory(rng))
    sound = _RMS * rng.lognormal(sigma=0.05) * np.fft.irfft(spectrum, N_SAMPLES)
    return np.clip(sound, -1, 1)


def corpus_clip(seed: int, part: str, state: str, machine_id: str, number: int) -> CorpusClip:
    """Simulates one clip of the corpus.

    Every clip has a random stream of its own: a larger corpus has all clips of a smaller one.

    Args:
        seed: Seed of the corpus.
        part: `"train"` or `"test"`.
        state: `"normal"` or `"anomaly"`; an anomaly is always of the part `"test"`.
        machine_id: One of `RAILS`.
        number: Number of the clip, from 0.
    """
    stream = _PARTS.index((part, state))
    rng = np.random.default_rng([seed, stream, int(machine_id[-2:]), number])
    cause, severity = None, 0.0
    if state == "anomaly":
        cause, severity = CAUSES[number % len(CAUSES)], round(rng.uniform(0.3, 1.0), 3)
    return CorpusClip(simulate_clip(machine_id, rng, cause, severity), cause, severity)


def simulated_corpus(cache_dir: Path, seed: int, n_train: int, n_test: int) -> Path:
    """Writes the corpus in the layout of DCASE 2020, unless it is there already.

    Args:
        cache_dir: Folder of all corpora; each one has a folder in it, named by its settings.
        seed: Another seed gives other clips of the same machines.
        n_train: Number of training clips of each machine ID.
        n_test: Number of normal test clips of each machine ID, and of anomalous ones too.

    Returns:
        The folder that holds `slider/{train,test}/*.flac` and `slider/faults.csv`, which has
        the file, the cause and the severity of every anomalous clip.
    """
    root = cache_dir / f"slide_rail_v{VERSION}_seed{seed}_train{n_train}_test{n_test}"
    if root.is_dir():
        return root
    cache_dir.mkdir(parents=True, exist_ok=True)
    # The folder is renamed when it is complete, so that an interrupted run leaves no half corpus.
    with tempfile.TemporaryDirectory(prefix="unfinished-", dir=cache_dir) as scratch:
        complete = Path(scratch, "corpus")
        _write_corpus(complete / "slider", seed, n_train, n_test)
        try:
            complete.rename(root)
        except OSError:
            if not root.is_dir():  # otherwise another process has written the same clips
                raise
    return root


def _write_corpus(folder: Path, seed: int, n_train: int, n_test: int) -> None:
    faults: list[tuple[str, str, str | float]] = [("file", "cause", "severity")]
    counts = zip(_PARTS, (n_train, n_test, n_test), strict=True)
    clips = [
        (part, state, machine_id, number)
        for (part, state), count in counts
        for machine_id, number in product(RAILS, range(count))
    ]
    for part in ("train", "test"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    simulated = read_ahead(lambda clip: corpus_clip(seed, *clip), clips, 16)
    bar = tqdm(simulated, "simulate", len(clips), unit="clip", disable=None)
    for (part, state, machine_id, number), clip in zip(clips, bar, strict=True):
        path = folder / part / f"{state}_{machine_id}_{number:08d}.flac"
        if clip.cause is not None:
            faults.append((path.name, clip.cause, clip.severity))
        try:
            soundfile.write(path, clip.sound, SAMPLE_RATE, "PCM_16")
        except soundfile.LibsndfileError as error:  # on a full disk
            raise UserError(
                f"{path}: cannot be written ({error.error_string}); make room, or name another "
                "--config.data.cache"
            ) from error
    with (folder / "faults.csv").open("w", newline="") as file:
        csv.writer(file).writerows(faults)


def _factory(rng: np.random.Generator) -> Float[np.ndarray, " samples"]:
    """Sound of other machines: noise that falls with frequency, often a hum, sometimes an event."""
    fall = (1 + FREQUENCY / 150) ** -rng.normal(1.1, 0.1)
    noise = np.fft.rfft(rng.standard_normal(N_SAMPLES, dtype=np.float32))
    sound = np.fft.irfft(fall * noise, N_SAMPLES)
    sound = sound / sound.std()
    if rng.uniform() < 0.6:
        sound += _hum(rng)
    for _ in range(rng.poisson(1.5)):
        event = _event(rng)
        rest = sound[rng.integers(N_SAMPLES) :]
        rest[: len(event)] += event[: len(rest)]
    return sound


def _hum(rng: np.random.Generator) -> Float[np.ndarray, " samples"]:
    """Sound of a fan: tones at all multiples of its pitch, which wavers a little."""
    pitch = rng.choice(_FANS) * rng.normal(1, 0.002)
    cycles = pitch * TIME + 0.3 * np.cumsum(wander(rng, 1.0)) / SAMPLE_RATE
    level = 0.3 * rng.lognormal(sigma=0.3)
    return harmonic_sum(cycles, level / np.arange(1, 13))


def _event(rng: np.random.Generator) -> Float[np.ndarray, " samples"]:
    """Sound of a beep or of struck metal."""
    if rng.uniform() < 0.3:
        beep = TIME[: int(rng.uniform(0.2, 0.8) * SAMPLE_RATE)]
        return 0.1 * np.sin(2 * np.pi * 6400 * beep)
    decay = rng.uniform(0.03, 0.2)
    clang = TIME[: int(6 * decay * SAMPLE_RATE)]
    ring = np.sin(2 * np.pi * rng.uniform(300, 4000, size=(4, 1)) * clang).sum(axis=0)
    return 0.4 * rng.lognormal(sigma=0.5) * ring * np.exp(-clang / decay)
