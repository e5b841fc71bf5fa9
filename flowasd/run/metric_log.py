"""Training curves on disk: metrics.jsonl, and event files for TensorBoard where it is installed."""

import importlib.util
import json
import time
from pathlib import Path
from typing import Any

from flowasd.files import write_text
from flowasd.run.records import FORMAT, check_format, damaged

Row = dict[str, int | float]
REMEDY = "remove the file; the curves of this run start anew"


def read_metrics(workdir: Path) -> list[Row]:
    """Returns the rows of metrics.jsonl, of which there are none if there is no such file.

    A last line that was cut off by a crash is left out.

    Raises:
        UserError: If the file is damaged or of another format.
    """
    path = workdir / "metrics.jsonl"
    try:
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        rows: list[Any] = [json.loads(line) for line in lines if line.endswith("\n")]
    except (OSError, ValueError) as error:
        raise damaged(path, error, REMEDY) from error
    for row in rows:
        if not isinstance(row, dict):
            raise damaged(path, "a line that is no row", REMEDY)
        check_format(path, row.pop("format", 1), REMEDY)
        numbers = all(isinstance(value, int | float) for value in row.values())
        if not numbers or not {"step", "seconds"} <= row.keys():
            raise damaged(path, "a row without step, seconds and numbers", REMEDY)
    return rows


class MetricLog:
    """Appends rows to metrics.jsonl and, with the extra `tensorboard`, to an event file.

    Args:
        workdir: Folder of the run.
        step: The step that training goes on from; `None` at its beginning. Rows of later steps,
            which a run that was cut off has left, are removed.
    """

    def __init__(self, workdir: Path, step: int | None):
        after = -1 if step is None else step
        kept = [row for row in read_metrics(workdir) if row["step"] <= after]
        path = workdir / "metrics.jsonl"
        write_text(path, "".join(_line(row) for row in kept))
        self._start = time.perf_counter() - (kept[-1]["seconds"] if kept else 0.0)
        self._file = path.open("a", buffering=1)
        self._events = _event_writer(workdir, step)

    def write(self, row: Row) -> None:
        """Writes one row, which has a `step`, and the seconds trained so far."""
        row = {**row, "seconds": round(time.perf_counter() - self._start, 3)}
        self._file.write(_line(row))
        if self._events is not None:
            for name, value in row.items():
                if name != "step":
                    self._events.add_scalar(name, value, int(row["step"]))

    def close(self) -> None:
        """Flushes and closes both files."""
        self._file.close()
        if self._events is not None:
            self._events.close()


def _line(row: Row) -> str:
    return json.dumps({"format": FORMAT} | row) + "\n"


def _event_writer(workdir: Path, step: int | None) -> Any:
    if importlib.util.find_spec("tensorboardX") is None:
        return None
    from tensorboardX import SummaryWriter  # imports torch wherever torch is installed

    return SummaryWriter(str(workdir), purge_step=step + 1 if step else None)
