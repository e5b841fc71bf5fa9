"""From files to scores: clips/s, times real time, and where the time goes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from experiments.speed.detectors import recordings
from experiments.speed.side import Side, interleaved
from experiments.speed.tables import Row


def measure(workdir: Path, data: str, rounds: int) -> Iterator[Row]:
    """The figures of files that the system holds in its cache, as a second run finds them."""
    paths = recordings(workdir, data)
    side = Side("experiments.speed.files_ours:score_tasks", str(workdir), paths)
    duration = sum(soundfile.info(path).duration for path in paths)

    def median(task: str) -> float:
        return float(np.median(interleaved({"flowasd": side}, task, rounds)["flowasd"]))

    seconds = median("score")
    yield Row("file_to_score", len(paths) / seconds, "clips/s")
    yield Row("file_to_score_real_time", duration / seconds, "times")
    for part in ("decode", "front-end", "flow", "rules"):
        yield Row(f"file_to_score_{part}", 1000 * median(part) / len(paths), "ms/clip")
    yield Row("file_to_score_memory", side.peak_mib(), "MiB")
    side.close()
