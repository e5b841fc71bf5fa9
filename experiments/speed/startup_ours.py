"""What happens between the shell and the first score, step by step."""

import importlib
from pathlib import Path

from experiments.speed.side import Tasks


def startup_tasks(workdir: str, path: str) -> Tasks:
    """`import`, `load` and `score`, to be run in this order; a second `score` compiles nothing."""
    detectors = []

    def start() -> None:
        importlib.import_module("flowasd.compiling").keep_compiled()
        importlib.import_module("flowasd.detector")

    def load() -> None:
        detectors.append(importlib.import_module("flowasd.detector").Detector.load(Path(workdir)))

    return {
        "import": start,
        "load": load,
        "score": lambda: [result.score for result in detectors[0].results([Path(path)])],
    }
