"""Files that are written whole or not at all, the cache folder, and reading ahead in threads."""

import csv
import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text beside its place and moves it there, so that no half file is left.

    A file name need not be Unicode: what cannot be encoded is written as "?".
    """
    write_bytes(path, text.encode("utf-8", errors="replace"))


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file as `write_text` does."""
    # A name of its own, so that two processes that write the same file do not disturb each other.
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_bytes(content)
    os.replace(partial, path)


def write_csv(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Writes rows as CSV, whole or not at all."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(path, text.getvalue())


def user_cache() -> Path:
    """Returns the folder of what may be kept between runs and may be removed at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "flowasd").expanduser()


def read_ahead(
    read: Callable[[Item], Result], items: Iterable[Item], ahead: int, workers: int = 4
) -> Iterator[Result]:
    """Yields `read(item)` of every item in order, computed in threads before it is asked for.

    Args:
        read: What to do with an item; its exceptions are raised here.
        items: The items.
        ahead: Results that may wait in memory.
        workers: Number of threads.
    """
    waiting = deque()
    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            waiting.append(pool.submit(read, item))
            if len(waiting) == ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
