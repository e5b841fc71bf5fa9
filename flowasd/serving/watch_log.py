"""The CSV of `--mode=watch`: what was scored, row by row, and all that a watch has to remember."""

import contextlib
import csv
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from flowasd.errors import UserError
from flowasd.evaluation.results import FILE_COLUMNS
from flowasd.files import append, csv_line

COLUMNS = (*FILE_COLUMNS, "evidence", "alarm", "time", "bytes", "modified", "digest")

# A folder's name need not be Unicode, and must be read as it was written.
ENCODING = {"encoding": "utf-8", "errors": "surrogateescape"}


class Version(NamedTuple):
    """One state of a file: another size or time of change means that it was written since.

    Attributes:
        bytes: Its size.
        modified: Time of its last change, in nanoseconds since 1970.
    """

    bytes: int
    modified: int


class Row(NamedTuple):
    """A row of the CSV.

    Attributes:
        path: The recording, as an absolute path.
        machine_id: The ID that it was scored under.
        score: The score by the configured rule.
        p_value: How often a normal clip of this machine scores as high or higher.
        decision: 1 if this clip alone is an alarm.
        evidence: Natural logarithm of the evidence that the machine has changed.
        alarm: 1 if the machine's latest clips together are an alarm.
        time: When it was scored, in UTC (ISO 8601).
        bytes: Size of the file.
        modified: Time of the file's last change, in nanoseconds since 1970.
        digest: SHA-256 of the file's content.
    """

    path: str
    machine_id: str
    score: float
    p_value: float
    decision: int
    evidence: float
    alarm: int
    time: str
    bytes: int
    modified: int
    digest: str

    @property
    def version(self) -> Version:
        """The state of the file that was scored."""
        return Version(self.bytes, self.modified)


def version_of(path: Path | str) -> Version | None:
    """Returns the state of a file; `None` if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return Version(status.st_size, status.st_mtime_ns)


def digest_of(path: Path) -> str:
    """Returns the SHA-256 of a file's content.

    Raises:
        UserError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


class WatchLog:
    """A CSV that is appended to, by one process at a time.

    Attributes:
        path: The file.
        rows: The rows that were there when it was opened.
    """

    def __init__(self, path: Path, file: io.FileIO) -> None:
        """Reads the rows of an open file and cuts off a last line that was not written whole.

        Raises:
            UserError: As `open_log` does.
        """
        self.path, self._file = path, file
        content = file.readall()
        whole = content[: content.rfind(b"\n") + 1]
        self.rows = self._parsed(whole.decode(**ENCODING)) if whole else []
        if not whole and not csv_line(COLUMNS).encode().startswith(content):
            raise UserError(f"{self.path}: not the CSV of a watch; name another --output")
        if whole != content:
            file.truncate(len(whole))
        file.seek(len(whole))
        if not whole:
            self._write(COLUMNS)

    def append(self, row: Row) -> None:
        """Writes a row; when this returns, the row survives a crash of the machine.

        Raises:
            UserError: If it cannot be written, such as on a full disk.
        """
        self._write(row)

    def _write(self, values: tuple[object, ...]) -> None:
        append(self.path, self._file, csv_line(values).encode(**ENCODING))
        os.fsync(self._file.fileno())

    def _parsed(self, text: str) -> list[Row]:
        lines = csv.reader(io.StringIO(text))
        if tuple(next(lines)) != COLUMNS:
            raise UserError(f"{self.path}: not the CSV of a watch; name another --output")
        rows = []
        for i, line in enumerate(lines, 2):
            try:
                types = Row.__annotations__.values()
                rows.append(Row(*(kind(v) for kind, v in zip(types, line, strict=True))))
            except ValueError as error:
                raise UserError(
                    f"{self.path}: line {i} is damaged; mend or remove it, or name another --output"
                ) from error
        return rows


@contextlib.contextmanager
def open_log(path: Path) -> Iterator[WatchLog]:
    """Opens the CSV of a watch, or begins one, and keeps other watches from it.

    Args:
        path: The file; its folder must be there.

    Raises:
        UserError: If it cannot be written, is no such CSV, holds a damaged row before its last
            line, or another watch writes to it.
    """
    try:
        file = io.FileIO(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error
    with file:
        _lock(path, file)
        yield WatchLog(path, file)


def _lock(path: Path, file: io.FileIO) -> None:
    """Takes the file's lock, which goes with the process; Windows has none."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(
            f"{path}: another watch writes to it; end that one, or name another --output"
        ) from error
    except OSError:  # a network drive may have no locks
        return
