"""The command that fetches recordings, from a server on this machine that has Zenodo's records."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from filelock import FileLock

from flowasd.data import editions, transfer
from flowasd.data.dataset import read_dataset
from flowasd.data.download import fetch_dcase, unpack_dcase
from flowasd.data.editions import EDITIONS
from flowasd.errors import UserError
from tests.commands import command
from tests.conftest import REPO
from tests.data.server import Answer, serving
from tests.data.test_archives import below, zipped
from tests.data.test_archives import files as all_files

LIST = b"fan\nid_01_00000000.wav,normal_id_01_00000000.wav,0\n"


def files(folder):
    """All below a folder but the locks, which stay there."""
    return {name: content for name, content in all_files(folder).items() if ".lock" not in name}


@pytest.fixture
def zenodo(monkeypatch, tmp_path):
    """A server with 2020's fan and slider, its labels and 2021's fan."""
    with serving() as server:
        monkeypatch.setattr(editions, "ZENODO", server.url)
        monkeypatch.setattr(transfer, "sleep", lambda _: None)
        part = EDITIONS["2020"]["development"]  # the archives here have other checksums
        monkeypatch.setitem(
            EDITIONS["2020"], "development", part._replace(types={"fan": None, "slider": None})
        )
        archives = {
            name: zipped(tmp_path / "a.zip", below(f"{name}/")).read_bytes()
            for name in ("fan", "slider")
        }
        server.publish(3678171, {f"dev_data_{name}.zip": archives[name] for name in archives})
        server.publish(4562016, {"dev_data_fan.zip": archives["fan"]})
        server.publish(3951620, {"eval_data_list.csv": LIST})
        yield server


def download(*flags):
    return command("flowasd.data.download", *flags)


def refused(*flags):
    """The one line of a command that ends with status 2."""
    result = download(*flags)
    assert result.status == 2
    (line,) = result.stderr.splitlines()
    return line


def test_an_archive_becomes_a_data_set(zenodo, tmp_path):
    root = tmp_path / "root"
    result = download(f"--root={root}")
    assert (result.status, result.stdout, result.stderr) == (0, f"{root}/development\n", "")
    assert files(root) == below("development/slider/")
    dataset = read_dataset(root / "development")
    assert (dataset.machine_type, len(dataset.train), len(dataset.test)) == ("slider", 1, 1)
    asked = len(zenodo.asked)
    assert fetch_dcase(root) == root / "development"  # what is there is not fetched again
    assert len(zenodo.asked) == asked == 2


@pytest.mark.parametrize("flag", ["--type=all", "--machine_type=all"])
def test_all_types_that_are_not_there_yet(flag, zenodo, tmp_path):
    fetch_dcase(tmp_path / "root", machine_type="fan")
    assert not download(f"--root={tmp_path / 'root'}", flag).status
    assert files(tmp_path / "root") == below("development/fan/") | below("development/slider/")
    assert [path for path, *_ in zenodo.asked].count("/records/3678171/files/dev_data_fan.zip") == 1


def test_later_editions_have_a_folder_each(zenodo, tmp_path):
    root = tmp_path / "root"
    result = download(f"--root={root}", "--edition=2021", "--type=fan")
    assert result.stdout == f"{root}/2021/development\n"
    assert files(root) == below("2021/development/fan/")


def test_the_labels_are_a_file(zenodo, tmp_path):
    for _ in range(2):
        assert not download(f"--root={tmp_path / 'root'}", "--part=labels").status
        assert files(tmp_path / "root") == {"labels/eval_data_list.csv": LIST}
    assert len(zenodo.asked) == 2


def test_a_bad_day(zenodo, tmp_path):
    zenodo.answers.extend([Answer(403), Answer(429, {"Retry-After": "1"}), Answer()])
    zenodo.answers.extend([Answer(limit=500), Answer(503), Answer(limit=-1)])
    fetch_dcase(tmp_path / "root")
    assert files(tmp_path / "root") == below("development/slider/")
    assert zenodo.ranges == [None, None, None, None, "bytes=500-", "bytes=500-", "bytes=500-"]


def test_wrong_bytes_leave_nothing(zenodo, tmp_path):
    zenodo.answers.extend([Answer(), Answer(content=b"?" * 2000)])
    assert "the file was removed, fetch it again" in refused(f"--root={tmp_path / 'root'}")
    assert files(tmp_path / "root") == {}
    fetch_dcase(tmp_path / "root")


@pytest.mark.parametrize(
    ("members", "words"), [({}, "no train/ or test/ of fan"), ({"../x": b""}, "'../x'")]
)
def test_an_archive_that_is_not_what_it_should_be(members, words, zenodo, tmp_path):
    zenodo.publish(4562016, {"fan.zip": zipped(tmp_path / "b.zip", members).read_bytes()})
    assert words in refused(f"--root={tmp_path / 'root'}", "--edition=2021", "--type=fan")
    assert list(files(tmp_path / "root")) == ["2021/development/.fan.zip"]


def test_two_processes_do_not_fetch_the_same(zenodo, tmp_path):
    (tmp_path / "development").mkdir()
    with FileLock(tmp_path / "development" / ".slider.lock"):
        assert "another process is fetching it" in refused(f"--root={tmp_path}")
    fetch_dcase(tmp_path)


def test_an_interrupted_transfer_goes_on(zenodo, tmp_path):
    released, root = threading.Event(), tmp_path / "root"
    zenodo.answers.extend([Answer(), Answer(limit=500, hold=released)])
    code = (
        # A shell that starts the tests in the background has them ignore the signal.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "import flowasd.data.editions as editions; from flowasd.data.download import main;"
        f"editions.ZENODO = {zenodo.url!r}; main()"
    )
    line = [sys.executable, "-c", code, f"--root={root}", "--edition=2021", "--type=fan"]
    process = subprocess.Popen(line, cwd=REPO, stderr=subprocess.PIPE, text=True)
    partial = root / "2021" / "development" / ".fan.zip"
    end = time.monotonic() + 60
    while len(zenodo.asked) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.2)  # until the bytes are there
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    released.set()
    assert (process.returncode, errors) == (
        130,
        "flowasd: interrupted; the same command goes on\n",
    )
    have = partial.stat().st_size
    assert not (root / "2021" / "development" / "fan").exists()
    fetch_dcase(root, machine_type="fan", edition="2021")
    assert files(root) == below("2021/development/fan/")
    assert zenodo.ranges[-1] == (f"bytes={have}-" if have else None)


@pytest.mark.parametrize("flag", ["--from_archive", "--from-archive"])
def test_an_archive_that_the_user_has(flag, tmp_path):
    archive = zipped(tmp_path / "kaggle.zip", below("dev_data_slider/slider/slider/"))
    root = tmp_path / "root"
    result = download(f"--root={root}", f"{flag}={archive}")
    assert (result.status, result.stdout) == (0, f"{root}/development\n")
    assert files(root) == below("development/slider/")
    assert read_dataset(root / "development").machine_type == "slider"
    assert "is there already" in refused(f"--root={root}", f"{flag}={archive}")


def test_one_type_of_an_archive_that_the_user_has(tmp_path):
    archive = zipped(tmp_path / "a.zip", below("fan/") | below("valve/") | {"fan/x.csv": b""})
    unpack_dcase(archive, tmp_path / "root", "evaluation", "valve", "2022")
    assert files(tmp_path / "root") == below("2022/evaluation/valve/")
    assert "no train/ or test/ of pump" in refused(
        f"--root={tmp_path}", f"--from_archive={archive}", "--type=pump"
    )
    with pytest.raises(UserError, match="part labels: is no archive"):
        unpack_dcase(archive, tmp_path, "labels")


def test_a_bad_archive_that_the_user_has(tmp_path):
    archive = zipped(tmp_path / "a.zip", below("slider/"))
    archive.write_bytes(archive.read_bytes()[:-100])
    for path in (archive, tmp_path / "none.zip", tmp_path):
        line = refused(f"--root={tmp_path / 'root'}", f"--from_archive={path}")
        assert line.startswith(f"flowasd: {path}: ")
    assert archive.exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "--root"),
        (["--root=data", "--part=test"], "<development|additional_training|evaluation|labels>"),
        (["--root=data", "--edition=2019"], "<2020|2021|2022|2023|2024|2025|2026>"),
        (["--root=data", "--type=rail"], "fan, pump, slider, ToyCar, ToyConveyor, valve, all"),
        (["--root=data", "--edition=2026"], "ToyCarEmu, bearingEmu, fan, gearboxEmu, sliderEmu"),
        (["--root=data", "--edition=2021", "--part=labels"], "edition 2021 has development"),
        (["--root=data", "--part=labels", "--type=fan"], "one list of all types"),
        (["--root=data", "--machinetype=fan"], "machinetype"),
        (["--root=data", "fan"], "not a flag: fan"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(flags, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = refused(*flags)
    assert line.startswith("flowasd: ")
    assert words in line


def test_help_names_the_records_and_every_flag():
    result = download("--help")
    assert result.status == 0
    text = " ".join(result.stdout.split())
    names = ("root", "edition", "part", "type", "machine_type", "from_archive")
    assert all(f"--{flag}:" in text for flag in names)
    for edition, parts in EDITIONS.items():
        for name, part in parts.items():
            assert f"{edition} {name}, zenodo.org/records/{part.record}: " in text


def test_without_a_network_it_is_one_line(tmp_path):
    line = [sys.executable, "-m", "flowasd.data.download", f"--root={tmp_path}"]
    env = os.environ | {"https_proxy": "http://127.0.0.1:9"}  # nobody listens there
    result = subprocess.run(line, cwd=REPO, env=env, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("flowasd: https://zenodo.org/api/records/3678171: cannot be reached")
