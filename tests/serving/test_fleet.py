"""Scoring a fleet: two actors on this machine, in processes of their own."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.serving.remote import content_of, find_recordings
from tests.conftest import REPO

CORRUPT = "normal_id_00_00000099.wav"
SCORE = """
import sys
from pathlib import Path
from flowasd.serving.fleet import score_fleet
workdir, output, *inputs = sys.argv[1:]
sys.exit(score_fleet(Path(workdir), inputs, None, output, actors=2, files_per_block=4))
"""


@pytest.fixture(scope="module")
def fleet():
    """The module, which takes seconds to import: only workers that run its tests do."""
    from flowasd.serving import fleet

    return fleet


@pytest.fixture(scope="module")
def scratch():
    """A folder for Ray, short: sockets lie below it, whose paths may not exceed 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder:
        yield folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Two folders of one-second clips, with a corrupt one in each."""
    rng = np.random.default_rng(0)
    folders = [tmp_path_factory.mktemp(name) for name in ("near", "far")]
    for folder, n in zip(folders, (25, 9), strict=True):
        for i in range(n):
            name = f"normal_id_0{2 * (i % 4)}_{i:08d}.wav"
            soundfile.write(folder / name, rng.normal(size=16000) * 0.1, 16000)
        (folder / CORRUPT).write_bytes(b"RIFF")
    return folders


@pytest.fixture(scope="module")
def scored(run, clips, scratch, tmp_path_factory):
    """What two actors leave, one of which was killed as it scored, and what the command said."""
    near, far = clips
    output = tmp_path_factory.mktemp("fleet") / "scored"
    with started(scratch, run, output, near, f"file://{far}") as process:
        os.kill(scoring_actor(process, scratch), signal.SIGKILL)
        _, stderr = process.communicate(timeout=200)
    return output, process.returncode, stderr


@contextlib.contextmanager
def started(scratch, workdir, output, *inputs):
    """A fleet of two actors at work, on a Ray of its own."""
    command = [sys.executable, "-c", SCORE, *map(str, (workdir, output, *inputs))]
    env = os.environ | {"RAY_ADDRESS": "local", "RAY_TMPDIR": scratch, "HOME": scratch}
    process = subprocess.Popen(command, cwd=REPO, env=env, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def scoring_actor(process, scratch):
    """The first actor of a fleet that scores a block; Ray says so in the title of its process."""
    while process.poll() is None:
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # the process has ended
                title = (folder / "cmdline").read_bytes()
                scores = title.startswith(b"ray::MapWorker") and b".submit" in title
                if scores and f"={scratch}".encode() in (folder / "environ").read_bytes():
                    return int(folder.name)
        time.sleep(0.01)
    raise AssertionError(process.stderr.read())


def rows(folder):
    return [row for shard in sorted(folder.iterdir()) for row in pq.read_table(shard).to_pylist()]


@pytest.mark.slow
def test_scores_are_those_of_the_plain_path(run, scored, clips):
    near, far = clips
    names = {str(path): path for path in near.iterdir()}
    names |= {f"file://{path}": path for path in far.iterdir()}
    names = {name: path for name, path in names.items() if path.name != CORRUPT}
    plain = Detector.load(run).results(list(names.values()))
    expected = dict(zip(names, plain, strict=True))
    found = rows(scored[0] / "scores")
    # An actor was killed: no file is lost, and none is there twice.
    assert sorted(row["path"] for row in found) == sorted(expected)
    for row in found:
        assert row["machine_id"] == expected[row["path"]].machine_id
        assert row["score"] == pytest.approx(expected[row["path"]].score, rel=1e-5)


@pytest.mark.slow
def test_a_corrupt_file_is_a_row_of_the_errors(scored, clips):
    output, status, stderr = scored
    near, far = clips
    errors = {row["path"]: row["error"] for row in rows(output / "errors")}
    assert errors.keys() == {f"{near / CORRUPT}", f"file://{far / CORRUPT}"}
    for path, error in errors.items():
        assert error.startswith(f"{path}: cannot be read")
    assert status == 1
    assert f"2 of 36 files were not scored: {output / 'errors'}" in stderr
    assert "Traceback" not in stderr


@pytest.fixture
def altered(clips):
    """A clip that was replaced at the same size and time, and a corrupt one that was mended."""
    near, _ = clips
    replaced, other = sorted(near.glob("normal_id_06*"))[-1], sorted(near.glob("normal_id_04*"))[0]
    before, times = replaced.read_bytes(), replaced.stat()
    replaced.write_bytes(other.read_bytes())
    os.utime(replaced, ns=(times.st_atime_ns, times.st_mtime_ns))
    shutil.copy(other, near / CORRUPT)
    yield replaced, near / CORRUPT
    replaced.write_bytes(before)
    (near / CORRUPT).write_bytes(b"RIFF")


@pytest.mark.slow
def test_a_second_run_does_what_is_missing_has_changed_or_failed(
    run, scored, clips, altered, scratch, tmp_path
):
    (near, far), output = clips, tmp_path / "again"
    shutil.copytree(scored[0], output)
    before = {path: path.stat().st_mtime_ns for path in output.glob("*/*")}
    assert len(list(output.glob("scores/*"))) == 9  # of four files each
    missing = sorted(near.glob("normal_id_02*"))[0]
    failed = {output / "scores" / path.name for path in output.glob("errors/*")}
    redone = {shard_of(output, path) for path in (missing, altered[0])}
    assert len(redone | failed) == 4
    shard_of(output, missing).unlink()
    with started(scratch, run, output, f"{near}/*.wav", f"file://{far}/*.wav") as process:
        _, stderr = process.communicate(timeout=200)
    assert process.returncode == 1, stderr
    after = {path: path.stat().st_mtime_ns for path in output.glob("*/*")}
    (still,) = output.glob("errors/*")  # one of two was mended, and both were tried again
    assert {path for path in after if after[path] != before[path]} == redone | failed | {still}
    assert "20 of 36 files had been scored before" in stderr
    detector, found = Detector.load(run), rows(output / "scores")
    scores = {row["path"]: row["score"] for row in found}
    assert len(scores) == len(found) == 35
    for path in (missing, *altered):
        assert scores[str(path)] == pytest.approx(detector.score([path])[0], rel=1e-5)


def shard_of(output, path):
    """The file that holds the score of a recording."""
    shards = output.glob("scores/*")
    return next(s for s in shards if str(path) in pq.read_table(s).to_pydict()["path"])


@pytest.mark.slow
def test_a_folder_with_other_scores_is_refused(scored, fleet):
    output, _, _ = scored
    with pytest.raises(UserError, match="another --output"):
        fleet.score_blocks(output, {"0123": ["a.wav"]}, (Path("run"), None, None, 0.1), 2)


def test_names_of_blocks_hold_still(fleet):
    """The same for the same files and settings; another for any other."""
    paths = [f"/clips/{i}.wav" for i in range(5)]
    cut_blocks = fleet.cut_blocks
    blocks = cut_blocks(paths, ["model", {"rule": "mean"}], 2)
    assert list(blocks.values()) == [paths[:2], paths[2:4], paths[4:]]
    assert cut_blocks(paths, ["model", {"rule": "mean"}], 2) == blocks
    assert not blocks.keys() & cut_blocks(paths, ["model", {"rule": "std"}], 2).keys()
    assert not blocks.keys() & cut_blocks(paths[1:], ["model", {"rule": "mean"}], 2).keys()


@pytest.mark.parametrize(
    ("nodes", "actors", "cpus"),
    [
        ([{"CPU": 16}, {"CPU": 16}], 1, 16),  # not 32, which no node has
        ([{"CPU": 16}, {"CPU": 16}], 3, 8),
        ([{"CPU": 16}, {"CPU": 16}], 32, 1),
        ([{"CPU": 2}], 4, 0.5),
        ([{"CPU": 64}, {"CPU": 8, "GPU": 2}], 2, 4),  # no actor on a node without a GPU
        ([{"CPU": 16, "GPU": 1}, {"CPU": 16, "GPU": 4}], 5, 4),
        ([{"CPU": 2, "GPU": 4}], 4, 0.5),
        ([{"memory": 1.0}, {"CPU": 3}], 1, 3),
    ],
)
def test_all_actors_can_be_placed(nodes, actors, cpus, fleet):
    nodes = [{"Alive": True, "Resources": node} for node in nodes]
    dead = {"Alive": False, "Resources": {"CPU": 99, "GPU": 9}}
    assert fleet.cpus_per_actor([dead, *nodes], actors) == cpus


def test_urls_are_found_as_files_are(tmp_path):
    (tmp_path / "below").mkdir()
    for name in ("b.FLAC", "._b.wav", "notes.txt", "below/a.wav"):
        (tmp_path / name).touch()
    expected = [f"file://{tmp_path}/b.FLAC", f"file://{tmp_path}/below/a.wav"]
    assert find_recordings([f"file://{tmp_path}"]) == expected
    assert find_recordings([f"file://{tmp_path}/*", f"file://{tmp_path}/b.FLAC"]) == expected
    assert find_recordings([str(tmp_path)]) == [name.removeprefix("file://") for name in expected]
    for wrong in ("file:///nowhere", "file:///nowhere/*.wav", "nosuch://a", "file:///etc/hosts"):
        with pytest.raises(UserError, match=wrong.replace("*", ".")):
            find_recordings([wrong])


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.wav")
    os.mkfifo(tmp_path / "b.wav")
    (tmp_path / "c.wav").write_bytes(b"RIFF")
    a, b, c = (content_of([str(tmp_path / name)]) for name in ("a.wav", "b.wav", "c.wav"))
    assert a == b != c


@pytest.mark.slow
def test_what_no_actor_can_do_is_one_line(run, clips, scratch, tmp_path):
    flags = [f"--workdir={run}", f"--input={clips[0]}", f"--output={tmp_path}", "--engine=ray"]
    command = [sys.executable, "-m", "flowasd.main", "--mode=score", *flags]
    env = os.environ | {"RAY_TMPDIR": scratch, "HOME": scratch, "JAX_PLATFORMS": "cuda"}
    result = subprocess.run(command, cwd=REPO, env=env, capture_output=True, text=True, timeout=200)
    assert result.returncode == 2
    *_, line = result.stderr.splitlines()
    assert line.startswith("flowasd: --engine=ray: JAX_PLATFORMS=cuda: JAX does not find such a")


@pytest.mark.slow
def test_without_ray_the_extra_is_named(tmp_path):
    code = "import sys; sys.modules['ray'] = None; from flowasd import main; main.run()"
    flags = ["--mode=score", "--engine=ray", f"--workdir={tmp_path}", "--input=.", "--output=out"]
    command = [sys.executable, "-c", code, *flags]
    result = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("flowasd: --engine=ray")
    assert "flowasd[ray]" in line
