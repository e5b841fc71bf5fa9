"""Training curves on disk: metrics.jsonl, and event files for TensorBoard where it is installed.

Every row of metrics.jsonl has a digest of its own, so that rows can be appended.
"""

import importlib.util
import json
import time
from pathlib import Path
from typing import Any

from flowasd.files import append, write_text, writing
from flowasd.run.records import damaged, sealed, unsealed

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
    return [_row(path, row) for row in rows]


def _row(path: Path, content: Any) -> Row:
    row = unsealed(path, content, REMEDY)
    numbers = all(isinstance(value, int | float) for value in row.values())
    if not numbers or not {"step", "seconds"} <= row.keys():
        raise damaged(path, "a row without step, seconds and numbers", REMEDY)
    return row


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
        self._path, self._file = path, path.open("ab", buffering=0)
        self._events = _Events(workdir, step) if _has_tensorboard() else None

    def write(self, row: Row) -> None:
        """Writes one row, which has a `step`, and the seconds trained so far.

        Raises:
            UserError: If it cannot be written, such as on a full disk.
        """
        row = {**row, "seconds": round(time.perf_counter() - self._start, 3)}
        append(self._path, self._file, _line(row).encode())
        if self._events is not None:
            self._events.add(row)

    def close(self) -> None:
        """Flushes and closes both files."""
        self._file.close()
        if self._events is not None:
            self._events.close()


def _line(row: Row) -> str:
    return json.dumps(sealed(row)) + "\n"


def _has_tensorboard() -> bool:
    return importlib.util.find_spec("tensorboardX") is not None


class _Events:
    """An event file, written in this thread.

    The `SummaryWriter` of tensorboardX has a thread of its own. When that dies, on a full disk,
    training waits for ever for room in its queue.

    Args:
        workdir: Folder of the run.
        step: The step that training goes on from; TensorBoard hides what comes after it.
    """

    def __init__(self, workdir: Path, step: int | None):
        # This imports torch wherever torch is installed.
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2
        from tensorboardX.summary import scalar

        made: Any = event_pb2  # its classes are made at run time
        self._event, self._scalar, self._path = made.Event, scalar, workdir / "events"
        with writing(self._path):
            self._writer = EventsWriter(str(self._path))
        if step:
            self._write(step=step + 1, session_log=made.SessionLog(status=made.SessionLog.START))

    def add(self, row: Row) -> None:
        """Writes every number of a row."""
        for name, value in row.items():
            if name != "step":
                self._write(step=int(row["step"]), summary=self._scalar(name, value))

    def close(self) -> None:
        """Flushes and closes the file."""
        with writing(self._path):
            self._writer.close()

    def _write(self, **fields: Any) -> None:
        with writing(self._path):
            self._writer.write_event(self._event(wall_time=time.time(), **fields))
