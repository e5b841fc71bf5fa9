"""Transfers from a server on this machine that cuts connections, is busy, or lies."""

import hashlib
import random

import pytest

import flowasd
from flowasd.data import transfer
from flowasd.data.transfer import fetch_file, fetch_json
from flowasd.errors import UserError
from tests.data.server import Answer, serving
from tests.full_disk import FULL, needs_full_disk

CONTENT = random.Random(0).randbytes(200_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def server():
    with serving() as server:
        server.files["/a"] = CONTENT
        yield server


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """The seconds that were waited for, in no time."""
    waits = []
    monkeypatch.setattr(transfer, "sleep", waits.append)
    return waits


@pytest.fixture
def fetch(server, tmp_path):
    """Fetches the file; returns its content."""

    def fetch(path=tmp_path / "a"):
        fetch_file(f"{server.url}/a", path, len(CONTENT), MD5)
        return path.read_bytes()

    return fetch


def test_a_file_is_fetched_by_name(server, fetch, waits):
    assert fetch() == CONTENT
    assert server.asked == [("/a", None, f"flowasd/{flowasd.__version__}")]
    assert waits == []


def test_a_cut_connection_goes_on_from_there(server, fetch, waits):
    server.answers.extend([Answer(limit=60_000), Answer(limit=-1), Answer(limit=10_000)])
    assert fetch() == CONTENT
    assert server.ranges == [None, "bytes=60000-", "bytes=60000-", "bytes=70000-"]
    assert waits == [2, 4, 8]


@pytest.mark.parametrize("length", ["", "many", "-5", "1e5", "0x30d40"])
def test_a_length_that_is_no_number_or_not_told(length, server, fetch, waits):
    """A cut is noticed without it."""
    headers = {"Content-Length": length}
    server.answers.extend([Answer(headers=headers, limit=60_000), Answer(headers=headers)])
    assert fetch() == CONTENT
    assert server.ranges == [None, "bytes=60000-"]
    assert waits == [2]


@needs_full_disk
def test_a_disk_that_is_full_meanwhile_is_one_line(server, tmp_path):
    (tmp_path / "a").symlink_to(FULL)
    with pytest.raises(UserError, match=r"a: cannot be written \(No space left"):
        fetch_file(f"{server.url}/a", tmp_path / "a", len(CONTENT), MD5)


def test_the_next_command_goes_on_too(server, fetch):
    server.answers.extend([Answer(limit=10_000)] * 6)
    with pytest.raises(UserError, match=r"cut off, 6 times\); repeat the command"):
        fetch()
    assert fetch() == CONTENT
    assert server.ranges[-1] == "bytes=60000-"


def test_a_whole_file_is_not_fetched_again(server, fetch, tmp_path):
    (tmp_path / "a").write_bytes(CONTENT)
    assert fetch() == CONTENT
    assert server.asked == []


@pytest.mark.parametrize("answer", [Answer(ranges=False), Answer(shift=7), Answer(shift=-7)])
def test_a_server_that_sends_another_part_than_asked_for(answer, server, fetch):
    server.answers.extend([Answer(limit=60_000), answer])
    assert fetch() == CONTENT
    assert server.ranges[:2] == [None, "bytes=60000-"]


def test_a_busy_server_says_how_long_to_wait(server, fetch, waits):
    server.answers.append(Answer(429, {"Retry-After": "77"}))
    assert fetch() == CONTENT
    assert waits == [77]


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("0", 2),
        ("99999", 300),
        ("soon", 2),
        ("-5", 2),
        ("²", 2),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 2),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 2),
        ("Fri, 21 Oct 2095 07:28:00 GMT", 300),
    ],
)
def test_other_words_on_how_long_to_wait(text, wait, server, fetch, waits):
    server.answers.append(Answer(503, {"Retry-After": text.encode().decode("latin-1")}))
    assert fetch() == CONTENT
    assert waits == [wait]


@pytest.mark.parametrize("status", [403, 429, 500, 502, 503])
def test_a_refusal_that_passes(status, server, fetch, waits):
    server.answers.extend([Answer(status), Answer(status)])
    assert fetch() == CONTENT
    assert waits == [2, 4]


def test_six_tries_are_enough(server, fetch, waits, tmp_path):
    server.answers.extend([Answer(503)] * 7)
    with pytest.raises(UserError, match=r"/a: .*503.*, 6 times\); repeat the command later$"):
        fetch()
    assert len(server.asked) == 6
    assert waits == [2, 4, 8, 16, 32]
    assert not (tmp_path / "a").exists()


def test_what_does_not_pass_is_not_tried_again(server, fetch):
    server.answers.append(Answer(410))
    with pytest.raises(UserError, match="410"):
        fetch()
    assert len(server.asked) == 1


def test_a_server_that_is_not_there(waits, tmp_path):
    with pytest.raises(UserError, match=r"cannot be reached .*repeat the command"):
        fetch_file("http://127.0.0.1:9/a", tmp_path / "a", 1, MD5)
    assert waits == []


@pytest.mark.parametrize(
    "content",
    [CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]), CONTENT + b"more", CONTENT + bytes(5_000_000)],
    ids=["one bit", "some more", "much more"],
)
def test_wrong_bytes_leave_nothing(content, server, fetch, tmp_path):
    server.answers.append(Answer(content=content))
    with pytest.raises(UserError, match=f"not {MD5}; the file was removed"):
        fetch()
    assert list(tmp_path.iterdir()) == []
    assert fetch() == CONTENT


def test_a_server_that_never_ends_does_not_fill_the_disk(server, fetch, monkeypatch, tmp_path):
    server.answers.append(Answer(content=CONTENT + bytes(50_000_000)))
    written = []
    monkeypatch.setattr(type(tmp_path), "unlink", lambda path: written.append(path.stat().st_size))
    with pytest.raises(UserError, match="MD5"):
        fetch()
    assert len(CONTENT) < written[0] <= len(CONTENT) + transfer.CHUNK


def test_a_file_that_is_too_long_is_some_other_file(server, fetch, tmp_path):
    (tmp_path / "a").write_bytes(CONTENT + b"more")
    assert fetch() == CONTENT
    assert server.ranges == [None]


def test_a_file_that_the_disk_has_no_room_for(server, tmp_path):
    with pytest.raises(UserError, match=r"1000000\.00 GB are needed"):
        fetch_file(f"{server.url}/a", tmp_path / "a", 10**15, MD5)
    assert server.asked == []


def test_json(server, waits):
    server.files["/j"] = b'{"a": [1]}'
    server.answers.extend([Answer(limit=4), Answer(429)])
    assert fetch_json(f"{server.url}/j") == {"a": [1]}
    assert waits == [2, 4]
    with pytest.raises(UserError, match="not JSON"):
        fetch_json(f"{server.url}/a")
