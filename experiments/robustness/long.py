"""What do long recordings take in memory, and clips of many lengths in compiled programs?

python -m experiments.robustness.long [--hours=1]

The front-end of configs/slider.py hears noise: a file of so many hours beside one of ten seconds,
and clips of 240 lengths from half a second to two minutes. Each is a process of its own.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import numpy as np
import soundfile
from absl import flags

from experiments.robustness.reading import peak
from experiments.runs import command
from flowasd.config import parse, pooled_config
from flowasd.data.source import DataConfig
from flowasd.errors import UserError
from flowasd.features.hearing import hear, hear_samples

HOURS = flags.DEFINE_float("hours", 1.0, "Length of the file.", lower_bound=0.0)
PART = flags.DEFINE_enum("part", None, ["memory", "programs"], "One of the two, in this process.")

RATE = 16000
FRONTEND = parse(pooled_config()).frontend


def memory(hours: float) -> str:
    """Says what a file takes above one of ten seconds."""
    with tempfile.TemporaryDirectory() as folder:
        short, long = (_noise(Path(folder, f"{s:.0f}.wav"), s) for s in (10, 3600 * hours))
        _listen(short)
        before = peak()
        _listen(long)
    return f"{hours:g} h: {peak() - before:.0f} MiB above the {before:.0f} MiB of ten seconds"


def programs() -> str:
    """Says how many programs the clips compile."""
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, duration_secs, **_: (
            compiled.append(event) if "backend_compile" in event else None
        )
    )
    samples = np.random.default_rng(0).normal(size=120 * RATE).astype(np.float32) / 10
    clips = [(Path(str(n)), samples[:n]) for n in range(RATE // 2, 120 * RATE + 1, RATE // 2)]
    for _ in hear_samples(clips, FRONTEND):
        pass
    return f"{len(clips)} lengths: {len(compiled)} compiled programs"


def _noise(path: Path, seconds: float) -> Path:
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
        for _ in range(round(seconds / 10)):
            file.write(rng.normal(size=10 * RATE) / 10)
    return path


def _listen(path: Path) -> None:
    ((_, heard),) = hear([path], FRONTEND, DataConfig(max_clip_seconds=1e9))
    if isinstance(heard, UserError):
        raise heard


def main() -> None:
    if PART.value:
        print(memory(HOURS.value) if PART.value == "memory" else programs())
        return
    for part in ("memory", "programs"):
        line = [sys.executable, "-m", "experiments.robustness.long", f"--part={part}"]
        subprocess.run([*line, f"--hours={HOURS.value}"], check=True)


if __name__ == "__main__":
    command(main)
