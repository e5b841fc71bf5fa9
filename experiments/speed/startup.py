"""Start-up: import, compilation without and with a warm cache, and the shell's wait for a score."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from experiments.speed.detectors import recordings
from experiments.speed.side import Side
from experiments.speed.tables import Row

STEPS = ("import", "load", "score", "score")


def measure(workdir: Path, data: str, rounds: int) -> Iterator[Row]:
    """The figures of one clip, each the median of processes of their own.

    The compile cache is a fresh folder in every round, so cold at first and warm then.
    """
    path = recordings(workdir, "mel", data)[0]
    steps, commands = {"cold": [], "warm": []}, {"cold": [], "warm": []}
    for _ in range(rounds):
        for measured, run in ((steps, _steps), (commands, _command)):
            with tempfile.TemporaryDirectory() as cache:
                for state in ("cold", "warm"):
                    measured[state].append(run(workdir, path, _environment(cache)))
    cold, warm = (np.median(steps[state], axis=0) for state in ("cold", "warm"))
    yield Row("startup_import", float(warm[0]), "s")
    yield Row("startup_load", float(warm[1]), "s")
    yield Row("startup_compile_cold", float(cold[2] - cold[3]), "s")
    yield Row("startup_compile_warm", float(warm[2] - warm[3]), "s")
    yield Row("first_score_cold", float(np.median(commands["cold"])), "s")
    yield Row("first_score", float(np.median(commands["warm"])), "s")


def _environment(cache: str) -> dict[str, str]:
    """A user's cache folder of its own."""
    return os.environ | {"XDG_CACHE_HOME": cache}


def _steps(workdir: Path, path: str, environment: Mapping[str, str]) -> list[float]:
    side = Side(
        "experiments.speed.startup_ours:startup_tasks", str(workdir), path, environment=environment
    )
    seconds = [side.seconds(step) for step in STEPS]
    side.close()
    return seconds


def _command(workdir: Path, path: str, environment: Mapping[str, str]) -> float:
    flags = ["--mode=score", f"--workdir={workdir}", f"--input={path}"]
    command = [sys.executable, "-m", "flowasd.main", *flags]
    start = time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start
