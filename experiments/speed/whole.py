"""The whole main command on a data set, from the shell to the report."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from experiments.speed.tables import Row

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "slider.py"


def measure(data: str) -> Iterator[Row]:
    """One run with nothing in the user's cache folder, and one with all that it left there."""
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("run_cold", "run"):
            workdir = Path(scratch, name)
            yield Row(name, _seconds(data, workdir, Path(scratch, "cache")), "s")
        average = json.loads((workdir / "results" / "summary.json").read_text())["metrics"]["mean"]
        yield Row("run_auc", 100 * average["Average"]["auc"], "%")
        yield Row("run_pauc", 100 * average["Average"]["pauc"], "%")


def _seconds(data: str, workdir: Path, cache: Path) -> float:
    flags = [f"--config={CONFIG}", f"--config.data.root={data}", f"--workdir={workdir}"]
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "flowasd.main", *flags],
        env=environment,
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - start
