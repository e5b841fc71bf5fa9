import io
import os
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest

from flowasd.errors import UserError
from flowasd.files import append, read_ahead_by, write_bytes, write_csv, write_text
from tests.full_disk import FULL, needs_full_disk


def test_content_is_written_over_what_was_there(tmp_path):
    path = tmp_path / "file"
    for content in (b"a long first content\r\n\x00", b"second"):
        write_bytes(path, content)
        assert path.read_bytes() == content
    write_text(path, "Öl\n\udcff")
    assert path.read_bytes() == b"\xc3\x96l\n?"
    write_csv(path, [("a", 1), ('"b",', None)])
    assert path.read_bytes() == b'a,1\n"""b"",",\n'
    assert list(tmp_path.iterdir()) == [path]


def test_interrupted_write_leaves_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"


def test_what_is_appended_is_whole_even_if_the_system_takes_it_in_parts(tmp_path):
    class Slow(io.FileIO):
        def write(self, content):
            return super().write(content[:3])

    path = tmp_path / "file"
    with Slow(path, "w") as file:
        append(path, file, b"a line\n")
        append(path, file, b"another\n")
    assert path.read_bytes() == b"a line\nanother\n"


@needs_full_disk
def test_a_full_disk_is_one_line_that_names_the_file(tmp_path, monkeypatch):
    full, path = io.FileIO(FULL, "w"), tmp_path / "file"
    with full, pytest.raises(UserError, match=r"file: cannot be written \(No space left"):
        append(path, full, b"a line")
    write_bytes(path, b"old")
    usual = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda self, mode: usual(FULL, mode))
        with pytest.raises(UserError, match=r"file: cannot be written \(No space left"):
            write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_closing_what_is_read_ahead_leaves_the_rest_unread():
    """The one thread is busy with the second item when the stream is closed."""
    begun, goes_on, read = threading.Event(), threading.Event(), []

    def reading(item):
        read.append(item)
        if item == 1:
            begun.set()
            goes_on.wait()
        return item

    with ThreadPoolExecutor(1) as pool:
        stream = cast(Generator, read_ahead_by(pool, reading, range(100), 8))
        assert next(stream) == 0
        begun.wait()
        stream.close()
        goes_on.set()
    assert read == [0, 1]
