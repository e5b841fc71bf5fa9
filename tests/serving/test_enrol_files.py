"""Adding a machine to a trained run: from the shell, from Python, and what is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.evaluation.evaluate import evaluate
from flowasd.run.enrolment_file import load_enrolments
from flowasd.serving.enrol_files import enrol_files
from tests.conftest import smoke_config
from tests.run.recordings import copy_run
from tests.test_main import assert_refused, flowasd

NEW = "id_08"


@pytest.fixture
def workdir(run, tmp_path):
    return copy_run(run, tmp_path / "run")


@pytest.fixture
def own(test_clips):
    """Normal clips of one machine, which is enrolled under a new name."""
    return [path for path in test_clips if path.name.startswith("normal_id_02")]


def scores(detector, paths, machine_id):
    return [result.scores for result in detector.results(paths, machine_id)]


def test_a_machine_is_enrolled_and_the_others_keep_their_scores(workdir, own, test_clips):
    """To the last bit; in the run itself, and as another detector in Python."""
    before = Detector.load(workdir)
    old = [result.scores for result in before.results(test_clips)]
    text = enrol_files(workdir, [str(path) for path in own[:2]], NEW, None)
    assert text.startswith(f"{NEW} is enrolled in {workdir}, from 2 recordings.\nOne in 3 normal")
    after, added = Detector.load(workdir), before.enrol(own[:2], NEW)
    assert (before.known_ids, after.known_ids) == (before.machine_ids, [*before.machine_ids, NEW])
    for detector in (after, added):
        assert [result.scores for result in detector.results(test_clips)] == old
    assert scores(after, own, NEW) == scores(added, own, NEW)
    as_itself, as_other = (scores(after, own[2:], m)[0]["relative"] for m in (NEW, "id_06"))
    assert as_itself < as_other


def test_both_kinds_of_machines_are_scored_together(workdir, own, test_clips, tmp_path):
    detector = Detector.load(workdir).enrol(own[:1], NEW)
    renamed = tmp_path / f"normal_{NEW}_00000000.flac"
    renamed.symlink_to(own[2])
    mixed = [test_clips[0], renamed, test_clips[1]]
    results = list(detector.results(mixed))
    assert [result.path for result in results] == mixed
    assert results[1].machine_id == NEW
    assert results[1].scores == scores(detector, [own[2]], NEW)[0]
    assert [r.scores for r in results[::2]] == [r.scores for r in detector.results(test_clips[:2])]


def test_several_machines_and_one_that_is_replaced(workdir, own):
    enrol_files(workdir, [str(own[0])], NEW, None)
    enrol_files(workdir, [str(own[0])], "id_10", None)
    detector = Detector.load(workdir)
    assert detector.known_ids[-2:] == [NEW, "id_10"]
    assert scores(detector, own, NEW) == scores(detector, own, "id_10")
    other = scores(detector, own, "id_10")
    text = enrol_files(workdir, [str(path) for path in own], NEW, None)
    assert text.startswith(f"{NEW} is replaced in {workdir}, from 3 recordings.")
    detector = Detector.load(workdir)
    assert scores(detector, own, "id_10") == other != scores(detector, own, NEW)


def test_the_same_recording_counts_once(workdir, own, tmp_path):
    copy = shutil.copy(own[0], tmp_path / "copy.flac")
    text = enrol_files(workdir, [str(own[0]), str(copy)], NEW, None)
    assert "from 1 recording.\nOne in 2" in text


def test_output_takes_the_run_and_leaves_the_first_as_it_was(workdir, own, tmp_path):
    enrol_files(workdir, [str(own[0])], NEW, str(tmp_path / "wider"))
    assert Detector.load(workdir).known_ids == Detector.load(workdir).machine_ids
    assert NEW in Detector.load(tmp_path / "wider").known_ids
    with pytest.raises(UserError, match="wider is not empty"):
        enrol_files(workdir, [str(own[0])], NEW, str(tmp_path / "wider"))


def test_clips_of_an_enrolled_machine_are_evaluated_but_for_those_it_was_enrolled_from(
    workdir, own, tmp_path
):
    folder = tmp_path / "slider" / "test"
    folder.mkdir(parents=True)
    for i, path in enumerate(own):
        (folder / f"normal_{NEW}_{i:08d}.flac").symlink_to(path)
    enrol_files(workdir, [str(own[0])], NEW, None)
    config = smoke_config({"data.root": str(tmp_path / "slider")})
    with pytest.raises(UserError, match="1 clips belong to the enrolled split"):
        evaluate(workdir, config)
    (folder / f"normal_{NEW}_00000000.flac").unlink()
    assert {clip.machine_id for clip in evaluate(workdir, config).clips} == {NEW}


@pytest.mark.parametrize(
    ("inputs", "machine_id", "words"),
    [
        ([], NEW, "name recordings of the machine with --input"),
        (["{own}"], None, "--machine_id=id_08"),
        (["{own}"], "../id_08", "--machine_id=id_08"),
        (["{own}"], "id_02", "id_02 was trained on; name another ID"),
        (["{bad}"], NEW, "bad.wav"),
        (["{own}", "/nowhere"], NEW, "/nowhere"),
    ],
)
def test_what_cannot_be_enrolled_is_refused_and_nothing_is_written(
    inputs: list[str], machine_id, words, workdir, own, tmp_path
):
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    named = [name.format(own=own[0], bad=tmp_path / "bad.wav") for name in inputs]
    with pytest.raises(UserError, match=words):
        enrol_files(workdir, named, machine_id, None)
    assert not (workdir / "enrolled").exists()


def test_a_damaged_or_stale_enrolment_is_one_line(workdir, own):
    enrol_files(workdir, [str(own[0])], NEW, None)
    path, rng = workdir / "enrolled" / f"{NEW}.npz", np.random.default_rng(0)
    content = path.read_bytes()
    for cut in (0, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:cut])
        with pytest.raises(UserError, match=rf"{NEW}\.npz: damaged .*enrol the machine again"):
            Detector.load(workdir)
    for _ in range(30):
        damaged = bytearray(content)
        damaged[int(rng.integers(len(content)))] ^= 255
        path.write_bytes(damaged)
        try:
            Detector.load(workdir)
        except UserError as error:
            assert path.name in str(error)  # noqa: PT017  a byte may not matter
    path.write_bytes(content)
    with pytest.raises(UserError, match="made for another step or with another"):
        load_enrolments(workdir, "another key")


@pytest.mark.slow
def test_from_the_shell(workdir, own):
    result = flowasd(
        "--mode=enrol", f"--workdir={workdir}", f"--input={own[0]}", f"--machine_id={NEW}"
    )
    assert result.status == 0, result.stderr
    assert result.stdout.startswith(f"{NEW} is enrolled in {workdir}, from 1 recording.")
    result = flowasd(
        "--mode=score", f"--workdir={workdir}", f"--input={own[1]}", f"--machine_id={NEW}"
    )
    row = result.stdout.splitlines()[1].split(",")
    assert row[:2] == [str(own[1]), NEW]
    expected = next(Detector.load(Path(workdir)).results([own[1]], NEW)).score
    assert float(row[2]) == pytest.approx(expected, rel=1e-5)
    assert_refused(
        flowasd("--mode=enrol", f"--workdir={workdir}", f"--input={own[0]}", "--machine_id=id_00"),
        "id_00 was trained on",
    )
