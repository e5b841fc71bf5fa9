"""Training curves on disk: metrics.jsonl, and the same for TensorBoard."""

import json
import time
from pathlib import Path

from tensorboardX import SummaryWriter

from flowasd.files import write_text

Row = dict[str, int | float]


def read_metrics(workdir: Path) -> list[Row]:
    """The rows of metrics.jsonl, none if there is no such file.

    A last line that was cut off by a crash is left out.
    """
    path = workdir / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


class MetricLog:
    """Appends rows to metrics.jsonl and TensorBoard's event file.

    Args:
        workdir: Folder of the run.
        step: The step that training goes on from; later rows, of a run that was cut off, go.
    """

    def __init__(self, workdir: Path, step: int):
        kept = [row for row in read_metrics(workdir) if row["step"] <= step]
        path = workdir / "metrics.jsonl"
        write_text(path, "".join(json.dumps(row) + "\n" for row in kept))
        self._start = time.perf_counter() - (kept[-1]["seconds"] if kept else 0.0)
        self._file = path.open("a", buffering=1)
        self._events = SummaryWriter(str(workdir), purge_step=step + 1 if step else None)

    def write(self, row: Row) -> None:
        """Writes one row, which has a `step`, and the seconds trained so far."""
        row = {**row, "seconds": round(time.perf_counter() - self._start, 3)}
        self._file.write(json.dumps(row) + "\n")
        for name, value in row.items():
            if name != "step":
                self._events.add_scalar(name, value, int(row["step"]))

    def close(self) -> None:
        """Flushes and closes both files."""
        self._file.close()
        self._events.close()
