"""A watch on a folder: what it scores, when, and what a restart finds."""

import json
import math
import os
import sys

import pytest

from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.scoring.stream_test import begin, observe
from flowasd.serving.watch import watch
from flowasd.serving.watch_log import COLUMNS, open_log
from tests.serving.recorder import lines_about, name, names, rows_of, write


class Days:
    """Stands for time: between two looks it does the next thing, and it ends after the last."""

    def __init__(self, *actions):
        self.actions = list(actions)

    def __call__(self, seconds):
        if seconds and not self.actions:
            return True
        if seconds and (action := self.actions.pop(0)):
            action()
        return False


PASS = None  # a look at which nothing has happened


@pytest.fixture(scope="module")
def loaded(run):
    return Detector.load(run)


@pytest.fixture
def detector(loaded, monkeypatch):
    monkeypatch.setattr(Detector, "load", lambda *_: loaded)
    return loaded


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "in"
    path.mkdir()
    return path


@pytest.fixture
def output(tmp_path):
    return tmp_path / "watch.csv"


@pytest.fixture
def seen(run, folder, output, detector):
    """Watches the folder through some days, and returns the rows of the CSV."""

    def watched(*actions, **options):
        wait = Days(*actions)
        arguments = {"output": str(output), "machine_id": None} | options
        assert watch(run, [str(folder)], wait=wait, **arguments) == 0
        return rows_of(output)

    return watched


def test_a_row_has_the_score_and_the_evidence(seen, folder, detector):
    paths = [write(folder / name(i), i) for i in range(3)]
    for i, path in enumerate(paths):
        os.utime(path, (1000 - i, 1000 - i))  # the oldest comes first, and not the first name
    rows = seen(PASS, PASS, PASS)
    assert [*rows[0]] == [*COLUMNS]
    stream = begin("id_00", detector.normal_scores("id_00"))
    for row, result in zip(rows, detector.results(paths[::-1]), strict=True):
        stream = observe(stream, result.score)
        assert row["path"] == str(result.path)
        assert float(row["score"]) == pytest.approx(result.score, rel=1e-5)
        assert float(row["p_value"]) == result.p_value
        assert float(row["evidence"]) == pytest.approx(stream.log_evidence, abs=1e-6)
        assert int(row["decision"]) == (result.p_value <= detector.config.score.alpha)
        assert row["alarm"] == "0"


def test_a_renamed_and_a_growing_recording_are_scored_once_and_whole(seen, folder, capsys):
    whole = write(folder.parent / "whole.wav").read_bytes()
    growing, hidden = folder / name(0), folder / ".part.wav"

    def grow(size):
        return lambda: growing.write_bytes(whole[:size])

    rows = seen(
        lambda: (grow(0)(), hidden.write_bytes(whole[:500])),
        PASS,
        grow(3000),
        grow(9000),
        lambda: (grow(len(whole))(), hidden.write_bytes(whole)),
        lambda: hidden.rename(folder / name(1)),
        PASS,
        PASS,
    )
    assert sorted(names(rows)) == [name(0), name(1)]
    assert rows[0]["score"] == rows[1]["score"]
    assert rows[0]["bytes"] == str(len(whole))
    assert not lines_about(capsys.readouterr().err, "cut short")


def test_a_bad_file_is_told_once_and_tried_again_when_it_changes(seen, folder, capsys):
    """Damaged, cut short for a while, of an unknown machine, of a broken name."""
    whole = write(folder.parent / "whole.wav").read_bytes()
    (folder / name(0)).write_bytes(b"no audio")
    (folder / name(1)).write_bytes(whole[:3000])
    write(folder / "normal_id_77_00000000.wav")
    write(folder / "normal_id_00_0\n.wav")
    write(folder / name(2))
    rows = seen(PASS, PASS, PASS, lambda: (folder / name(1)).write_bytes(whole), PASS, PASS)
    assert names(rows) == [name(2), name(1)]
    err = capsys.readouterr().err
    for word in (f"{name(0)}: cannot be read", "cut short, its header", "id_77", "line break"):
        assert len(lines_about(err, word)) == 1, word


def test_a_file_that_is_written_to_while_it_is_scored_waits(seen, folder, detector, monkeypatch):
    path, results = write(folder / name(0)), Detector.results

    def slow(self, paths, machine_id=None):
        found = list(results(self, paths, machine_id))
        if paths and calls.append(1) is None and len(calls) == 1:
            write(path, 1, 2.0)
        return iter(found)

    calls = []
    monkeypatch.setattr(Detector, "results", slow)
    rows = seen(PASS, PASS, PASS, PASS)
    assert [row["bytes"] for row in rows] == [str(path.stat().st_size)]
    assert len(calls) == 2


def test_an_overwritten_recording_is_new_and_a_touched_one_is_not(seen, folder):
    path = write(folder / name(0))
    rows = seen(PASS, PASS, lambda: os.utime(path, (1, 1)), PASS, lambda: write(path, 1), PASS)
    assert names(rows) == [name(0), name(0)]
    assert rows[0]["score"] != rows[1]["score"]
    os.utime(path, (2, 2))
    assert seen(PASS, PASS) == rows


def test_of_many_settled_recordings_every_one_is_asked_in_its_turn(seen, folder, monkeypatch):
    monkeypatch.setattr("flowasd.serving.watch.ASKED_AGAIN", 2)
    paths = [write(folder / name(i), i) for i in range(5)]
    rows = seen(PASS, PASS, lambda: write(paths[3], 9), PASS, PASS, PASS, PASS)
    assert names(rows) == [name(i) for i in (0, 1, 2, 3, 4, 3)]
    asked = []
    monkeypatch.setattr("flowasd.serving.watch.version_of", lambda path: asked.append(path))
    assert seen(PASS, PASS) == rows
    assert sorted(asked) == [str(path) for path in paths]


def test_a_restart_neither_doubles_nor_loses_a_clip(seen, folder, output):
    """After every way in which the last row can be torn; the rows are those of one long watch."""
    for i, one in enumerate(("normal_id_00_ö,0.wav", name(1))):
        os.utime(write(folder / one, i), (i, i))
    rows = seen(PASS, PASS)
    content = output.read_bytes()
    last = content.rstrip().rfind(b"\n") + 1
    for size in (last, last + 1, (last + len(content)) // 2, len(content) - 1, len(content), 0, 5):
        output.write_bytes(content[:size])
        again = seen(PASS, PASS)
        for old, new in zip(rows, again, strict=True):
            assert old | {"time": ""} == new | {"time": ""}
    os.utime(write(folder / name(2), 2), (2, 2))
    longer = seen(PASS, PASS)
    output.unlink()
    assert [r["evidence"] for r in seen(PASS, PASS)] == [r["evidence"] for r in longer]


def test_an_alarm_starts_the_command_and_the_stream_anew(seen, folder, tmp_path, capfd):
    """Loud noise instead of a machine; also over a restart. A failing command is one line."""
    told, script = tmp_path / "told.jsonl", tmp_path / "tell.py"
    script.write_text(f"import sys\nopen({str(told)!r}, 'a').write(sys.stdin.read())\nprint('x')")
    for i in range(12):
        os.utime(write(folder / name(i), i, level=0.5), (i, i))
    command = f"{sys.executable} '{script}'"
    rows = seen(PASS, PASS, on_alarm=command, false_alarm_every=4.0)
    alarms = [row for row in rows if row["alarm"] == "1"]
    assert alarms
    assert all((float(r["evidence"]) >= math.log(4)) == (r["alarm"] == "1") for r in rows)
    lines = [json.loads(line) for line in told.read_text().splitlines()]
    assert [line["path"] for line in lines] == [row["path"] for row in alarms]
    assert lines[0]["evidence"] == pytest.approx(float(alarms[0]["evidence"]))
    assert [line["decision"] for line in lines] == [int(row["decision"]) for row in alarms]
    assert capfd.readouterr().out == told.read_text()
    write(folder / name(12), 12, level=0.5)
    failing = f"{sys.executable} -c 'raise SystemExit(3)'"
    rows = seen(PASS, PASS, on_alarm=failing, false_alarm_every=1.0001)
    assert (len(rows), rows[-1]["alarm"]) == (13, "1")
    assert len(lines_about(capfd.readouterr().err, "ended with status 3")) == 1


def test_every_machine_has_a_stream_of_its_own(seen, folder):
    for i, machine in enumerate(("00", "02")):
        write(folder / f"normal_id_{machine}_{i:08d}.wav", level=0.5)
    rows = seen(PASS, PASS)
    assert {row["machine_id"] for row in rows} == {"id_00", "id_02"}
    write(folder / "pump.wav", level=0.5)
    assert seen(PASS, PASS, machine_id="id_02")[-1]["machine_id"] == "id_02"


def test_it_ends_after_the_current_clip(run, folder, output, detector):
    for i in range(3):
        write(folder / name(i), i)
    looks = iter([False, True])  # of the folder, then after the first clip
    assert watch(run, [str(folder)], None, str(output), wait=lambda _: next(looks)) == 0
    assert len(rows_of(output)) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"inputs": []}, "name a folder with --input"),
        ({"inputs": ["/nowhere"]}, "/nowhere: no such folder"),
        ({"output": "scores.jsonl"}, "a watch writes CSV"),
        ({"output": "/nowhere/watch.csv"}, "cannot be written"),
        ({"machine_id": "id_77"}, "id_77"),
        ({"on_alarm": "no-such-command now"}, "no such command"),
        ({"on_alarm": "echo 'x"}, "check the quotes"),
    ],
)
def test_wrong_use_is_refused(options, words, run, folder, output, detector):
    arguments = {"inputs": [str(folder)], "machine_id": None, "output": str(output)} | options
    with pytest.raises(UserError, match=words):
        watch(run, wait=Days(), **arguments)


def test_a_csv_that_is_not_its_own_is_refused_and_left_alone(seen, folder, output):
    write(folder / name(0))
    seen(PASS, PASS)
    content = output.read_text()
    row = content.splitlines()[1].split(",")
    for other, words in (
        ("path,score\na,1\n", "not the CSV of a watch"),
        (content.replace(row[2], "0.125"), "another model or calibration"),
        (content.replace("id_00,", "id_77,"), "another model or calibration"),
        (content.replace(f",{row[2]},", ",?,"), "line 2 is damaged"),
    ):
        output.write_text(other)
        with pytest.raises(UserError, match=words):
            seen(PASS, PASS)
        assert output.read_text() == other
    output.unlink()
    with open_log(output), pytest.raises(UserError, match="another watch writes to it"):
        seen(PASS)
