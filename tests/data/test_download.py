"""Archives from a server on this machine, which is cut off, knows no ranges, or lies."""

import hashlib
import http.server
import os
import re
import subprocess
import sys
import threading
import zipfile
from typing import cast

import pytest

from flowasd.data.dataset import read_dataset
from flowasd.data.download import PARTS, fetch
from flowasd.errors import UserError
from tests.conftest import REPO

CLIPS = {
    "slider/train/normal_id_00_00000000.wav": os.urandom(100_000),
    "slider/test/anomaly_id_00_00000000.wav": os.urandom(50_000),
}


class Server(http.server.HTTPServer):
    """Serves `content` as /a.zip; of each answer at most `limit` bytes, and ranges if `ranges`."""

    content = b""
    limit = None
    ranges = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []  # for which ranges
        self.url = f"http://127.0.0.1:{self.server_port}/a.zip"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, asked = cast(Server, self.server), self.headers["Range"]
        server.asked.append(asked)
        first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        first *= server.ranges
        if self.path != "/a.zip" or (first > 0 and first >= len(server.content)):
            self.send_error(416 if first else 404)
            return
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(server.content) - first))
        self.end_headers()
        self.wfile.write(server.content[first:][: server.limit])

    def log_message(self, format, *args):
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def zipped(path, members):
    """Writes an archive; returns its content and its MD5."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    content = path.read_bytes()
    return content, hashlib.md5(content).hexdigest()


def files(folder):
    """All below a folder, hidden files and all."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_an_archive_becomes_a_data_set(tmp_path):
    source, root = tmp_path / "a.zip", tmp_path / "root"
    _, md5 = zipped(source, CLIPS)
    fetch(source.as_uri(), md5, root / "slider")
    assert files(root) == CLIPS
    dataset = read_dataset(root)
    assert (dataset.machine_type, len(dataset.train), len(dataset.test)) == ("slider", 1, 1)
    source.unlink()  # what is there is not fetched again
    fetch(source.as_uri(), md5, root / "slider")


def test_a_transfer_that_was_cut_off_goes_on(server, tmp_path):
    server.content, md5 = zipped(tmp_path / "a.zip", CLIPS)
    server.limit, root = 60_000, tmp_path / "root"
    for _ in range(2):
        with pytest.raises(UserError, match=r"cut off; repeat"):
            fetch(server.url, md5, root / "slider")
        assert not (root / "slider").exists()
    fetch(server.url, md5, root / "slider")
    assert server.asked == [None, "bytes=60000-", "bytes=120000-"]
    assert files(root) == CLIPS


def test_a_server_may_know_no_ranges(server, tmp_path):
    server.content, md5 = zipped(tmp_path / "a.zip", CLIPS)
    server.limit, server.ranges, root = 60_000, False, tmp_path / "root"
    with pytest.raises(UserError, match="cut off"):
        fetch(server.url, md5, root / "slider")
    server.limit = None
    fetch(server.url, md5, root / "slider")
    assert server.asked == [None, "bytes=60000-"]
    assert files(root) == CLIPS


def test_an_archive_that_was_fetched_but_not_unpacked(server, tmp_path):
    server.content, md5 = zipped(tmp_path / "a.zip", CLIPS)
    root = tmp_path / "root"
    root.mkdir()
    (root / ".slider.zip").write_bytes(server.content)
    fetch(server.url, md5, root / "slider")
    assert server.asked == [f"bytes={len(server.content)}-"]
    assert files(root) == CLIPS


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    server.content, md5 = zipped(tmp_path / "a.zip", CLIPS)
    server.content = server.content[:-1] + b"?"
    with pytest.raises(UserError, match=f"not {md5}"):
        fetch(server.url, md5, tmp_path / "root" / "slider")
    assert files(tmp_path / "root") == {}


@pytest.mark.parametrize("name", ["../evil", "/evil", "slider/../../evil", "other/evil"])
def test_nothing_is_written_outside_the_folder(tmp_path, name):
    _, md5 = zipped(tmp_path / "a.zip", CLIPS | {name: b"evil"})
    with pytest.raises(UserError, match=re.escape(name)):
        fetch((tmp_path / "a.zip").as_uri(), md5, tmp_path / "root" / "slider")
    assert not list(tmp_path.rglob("*evil*"))
    assert not (tmp_path / "root" / "slider").exists()


def test_what_is_no_archive(server, tmp_path):
    server.content = b"not a zip"
    with pytest.raises(UserError, match="cannot be unpacked"):
        fetch(server.url, hashlib.md5(server.content).hexdigest(), tmp_path / "slider")
    with pytest.raises(UserError, match="404"):
        fetch(server.url + "x", "", tmp_path / "pump")


def test_every_machine_type_has_an_archive_of_its_own():
    sums = [md5 for part in PARTS.values() for md5 in part.md5.values()]
    assert len(set(sums)) == len(sums) == 3 * 6
    assert all(re.fullmatch("[0-9a-f]{32}", md5) for md5 in sums)


def download(*flags):
    command = [sys.executable, "-m", "flowasd.data.download", *flags]
    env = os.environ | {"https_proxy": "http://127.0.0.1:9"}  # nobody listens there
    return subprocess.run(command, cwd=REPO, env=env, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "--root"),
        (["--root=data", "--part=test"], "<development|additional_training|evaluation>"),
        (["--root=data", "--machine_type=rail"], "<fan|pump|slider|ToyCar|ToyConveyor|valve>"),
        (["--root=data", "--machinetype=fan"], "machinetype"),
        (["--root=data", "fan"], "not a flag: fan"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(flags, words):
    result = download(*flags)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("flowasd: ")
    assert words in line


def test_help_names_the_records_and_every_flag():
    text = " ".join(download("--help").stdout.split())
    assert all(f"--{flag}:" in text for flag in ("root", "part", "machine_type"))
    assert all(f"zenodo.org/records/{part.record}" in text for part in PARTS.values())


def test_without_a_network_it_is_one_line(tmp_path):
    result = download(f"--root={tmp_path}")
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("flowasd: https://zenodo.org/records/3678171/files/dev_data_slider.zip")
