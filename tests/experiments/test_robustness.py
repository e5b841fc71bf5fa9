"""The studies of damaged files and of processes that run for long."""

import csv

import pytest

from experiments.robustness import reading
from experiments.robustness.made import DAMAGES
from experiments.robustness.state import State, grown
from tests.experiments.conftest import experiment


def test_every_file_is_counted_once(tmp_path):
    flags = ("--count=40", "--seed=3", f"--workdir={tmp_path}")
    result = experiment("robustness.files", *flags)
    assert result.status == 0, result.stderr
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40
    ends = [sum(row["end"] == end for row in rows) for end in reading.ENDS]
    assert ends[2] == 0
    assert f"| all | 40 | {ends[0]} | {ends[1]} | 0 |" in result.stdout
    assert all(f"| {damage} | " in result.stdout for damage in DAMAGES)


@pytest.mark.parametrize("error", [ValueError("odd"), MemoryError()])
def test_another_exception_is_neither(tmp_path, monkeypatch, error):
    def broken(_):
        raise error

    monkeypatch.setattr(reading, "read_audio", broken)
    assert reading.end_of(tmp_path / "a.wav") == ("neither", repr(error))


def test_scoring_many_clips_leaves_nothing_behind(run):
    flags = (f"--workdir={run}", "--count=400", "--first=200", "--longest=2")
    result = experiment("robustness.process", *flags)
    assert result.status == 0, result.stderr
    assert "| after 200 clips | " in result.stdout
    assert "| after 400 clips | " in result.stdout


def test_a_watch_of_some_minutes_scores_every_recording_once(run, development_set):
    flags = (f"--workdir={run}", f"--input={development_set / 'train'}", "--kept=20")
    result = experiment("robustness.week", *flags, "--count=60", "--first=20")
    assert "60 of 60 recordings have one row" in result.stdout, result.stderr
    held = [line.split("|")[1:-1] for line in result.stdout.splitlines() if "| after" in line]
    files, programs = ({row[column] for row in held} for column in (2, 4))
    assert (len(held), len(files), len(programs)) == (3, 1, 1)


def test_what_has_grown_is_named():
    before = State(memory=100.0, files=5, threads=9, programs=3)
    assert grown(before, before._replace(memory=104.0, files=4)) == []
    assert grown(before, before._replace(memory=106.0, programs=4)) == ["memory", "programs"]
