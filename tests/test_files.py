import os

import pytest

from flowasd.files import write_bytes, write_csv, write_text


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
