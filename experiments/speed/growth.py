"""What grows with the batch, with the number of clips, and with the data set."""

from collections.abc import Iterator

import numpy as np

from experiments.speed.side import Side
from experiments.speed.tables import Row

BATCHES = (1, 4, 16, 64, 256, 1024)  # patches
BATCH = 32  # where the data set grows
CLIPS = (100, 1000, 10000, 100000)
STEPS = 5  # of a dispatch
ROUNDS = 5


def measure() -> Iterator[Row]:
    """The figures, each of a process of its own."""
    for batch in BATCHES:
        side = Side("experiments.speed.growth_ours:train_tasks", batch, 100, STEPS)
        yield Row(f"train_batch_{batch}", batch * STEPS / _median(side, "train"), "patches/s")
        yield Row(f"train_batch_{batch}_memory", _peak(side), "MiB")
    for clips in CLIPS:
        side = Side("experiments.speed.growth_ours:score_tasks", clips)
        side.value("warm_up")
        rounds = ROUNDS if clips <= 1000 else 1
        seconds = float(np.median([side.seconds("score") for _ in range(rounds)]))
        yield Row(f"score_clips_{clips}", clips / seconds, "clips/s")
        yield Row(f"score_clips_{clips}_memory", _peak(side), "MiB")
    for clips in CLIPS:
        side = Side("experiments.speed.growth_ours:train_tasks", BATCH, clips, STEPS)
        yield Row(f"bank_clips_{clips}", STEPS / _median(side, "train"), "steps/s")
        yield Row(f"bank_clips_{clips}_memory", _peak(side), "MiB")


def _median(side: Side, task: str) -> float:
    side.seconds(task)  # compiles
    return float(np.median([side.seconds(task) for _ in range(ROUNDS)]))


def _peak(side: Side) -> float:
    peak = side.peak_mib()
    side.close()
    return peak
