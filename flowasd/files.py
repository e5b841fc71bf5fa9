"""Writes files completely or not at all, names the cache folder, reads ahead in threads."""

import csv
import io
import os
import shutil
import tempfile
import weakref
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from flowasd.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text under a temporary name, then renames the file; no half file is ever left.

    The text may hold file names that are not Unicode: characters that cannot be encoded become "?".
    """
    write_bytes(path, text.encode("utf-8", errors="replace"))


def write_bytes(path: Path, content: bytes, sync: bool = True) -> None:
    """Writes bytes under a temporary name, then renames the file; no half file is ever left.

    Args:
        path: The file.
        content: Its bytes.
        sync: Whether the bytes are on the disk before the file has its name, so that a power cut
            leaves no half file either. It takes milliseconds.

    Raises:
        UserError: If it cannot be written.
    """
    # It has the number of the process, so that two processes can write the same file, and is short
    # however long the name of the file is.
    partial = path.with_name(f".{zlib.crc32(os.fsencode(path.name)):08x}.{os.getpid()}.partial")
    with writing(path):
        try:
            with partial.open("wb") as file:
                file.write(content)
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(partial, path)
        except OSError:  # such as a full disk, on which it would take room
            with suppress(OSError):
                partial.unlink()
            raise


def append(path: Path, file: io.FileIO, content: bytes) -> None:
    """Appends bytes to an unbuffered file, of which closing it then has nothing left to write.

    Args:
        path: Its name, for the error.
        file: The file.
        content: The bytes.

    Raises:
        UserError: If they cannot all be written.
    """
    left = memoryview(content)
    with writing(path):
        while left:
            left = left[file.write(left) :]


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises a `UserError` if a file cannot be written while the block runs: on a full disk."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); mend this, and repeat the command"
        ) from error


def write_csv(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Writes rows as CSV, completely or not at all."""
    write_text(path, "".join(map(csv_line, rows)))


def csv_line(row: Sequence[object]) -> str:
    """Returns a row as CSV; a line break in a value is inside quotes, and ends no row."""
    line = io.StringIO()
    # The module quotes the characters that end a line, and files' names may hold both of them.
    csv.writer(line, lineterminator="\r\n").writerow(row)
    return line.getvalue().removesuffix("\r\n") + "\n"


def refuse_overwriting(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raises a `UserError` if a file that is to be written is one that is to be read."""
    read = {os.path.realpath(path) for path in inputs}  # Path.resolve raises where links go round
    statuses = (os.stat(path) for path in read if os.path.exists(path))
    identities = {(status.st_dev, status.st_ino) for status in statuses}
    for output in outputs:
        same = os.path.realpath(output) in read
        if output.exists():
            status = output.stat()
            same = same or (status.st_dev, status.st_ino) in identities
        if same:
            raise UserError(f"{output}: is one of the recordings; name another --output")


def require_space(folder: Path, size: int) -> None:
    """Raises a `UserError` if a folder's disk has no room for a number of bytes."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise UserError(
            f"{folder}: {size / 1e9:.2f} GB are needed and {free / 1e9:.2f} GB are free; "
            "make room, or name another folder"
        )


class Scratch:
    """A temporary folder, which goes when nothing refers to this object any more.

    Attributes:
        path: The folder.
    """

    def __init__(self):
        self.path = Path(tempfile.mkdtemp(prefix="flowasd-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def user_cache() -> Path:
    """Returns the folder of flowasd in the user's cache; it may be removed at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "flowasd").expanduser()


def read_ahead(
    read: Callable[[Item], Result], items: Iterable[Item], ahead: int, workers: int = 4
) -> Iterator[Result]:
    """Yields `read(item)` for every item, in order; threads compute the results ahead of their use.

    Args:
        read: Function of an item; an exception that it raises is raised here.
        items: The items.
        ahead: Number of results that may wait in memory.
        workers: Number of threads.
    """
    with ThreadPoolExecutor(workers) as pool:
        yield from read_ahead_by(pool, read, items, ahead)


def read_ahead_by(
    pool: ThreadPoolExecutor, read: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """Yields what `read_ahead` yields, computed by the threads of a pool.

    `read` must not use the same pool: it would wait for its own thread for ever.
    """
    waiting = deque()
    try:
        for item in items:
            waiting.append(pool.submit(read, item))
            if len(waiting) == ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for one in waiting:
            one.cancel()
