"""The study of damaged files."""

import csv

import pytest

from experiments.robustness import reading
from experiments.robustness.made import DAMAGES
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
