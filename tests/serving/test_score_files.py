"""Scores of single files, as tables."""

import csv
import io
import os
import sys

import numpy as np
import pytest

from flowasd.detector import Detector
from flowasd.file_results import Result
from flowasd.scoring.rules import RULES
from flowasd.serving.score_files import score_files


def read_csv(path):
    with path.open() as file:
        return list(csv.reader(file))


def test_score_mode_gives_the_scores_of_the_evaluation(evaluated, test_clips, tmp_path):
    """Two ways to the same scores: the cached bank and the files themselves."""
    output = tmp_path / "scores.csv"
    assert score_files(evaluated, [str(p) for p in test_clips], None, str(output)) == 0
    header, *rows = read_csv(output)
    assert header == ["path", "machine_id", "score", "p_value", "decision"]
    scores = {row[0].split("/")[-1]: float(row[2]) for row in rows}
    header, *rows = read_csv(evaluated / "results" / "scores.csv")
    assert header[:6] == ["path", "machine_id", "label", "score", "p_value", "decision"]
    assert header[6:] == [*RULES, "data"]
    assert np.isfinite([[float(score) for score in row[3:-1]] for row in rows]).all()
    expected = {row[0].split("/")[-1]: float(row[3]) for row in rows}
    assert scores.keys() == expected.keys()
    for name in scores:
        assert scores[name] == pytest.approx(expected[name], rel=1e-4)


def test_names_that_cannot_be_encoded_are_written_with_question_marks(
    evaluated, tmp_path, monkeypatch
):
    """Not Unicode, or more than the terminal knows: neither ends the scoring midway."""
    clips, output = tmp_path / "clips", tmp_path / "scores.csv"
    clips.mkdir()
    for name in (b"\xff.wav", "ö.wav".encode()):
        (clips / os.fsdecode(name)).touch()
    results = [Result(path, "id_00", 0.5) for path in sorted(clips.iterdir())]
    monkeypatch.setattr(Detector, "results", lambda *_: iter(results))
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert score_files(evaluated, [str(clips)], None, None) == 0
    terminal.seek(0)
    assert [row[0] for row in csv.reader(terminal)] == ["path", *[f"{clips}/?.wav"] * 2]
    assert score_files(evaluated, [str(clips)], None, str(output)) == 0
    rows = csv.reader(output.read_text(encoding="utf-8").splitlines())
    assert [row[0] for row in rows] == ["path", f"{clips}/ö.wav", f"{clips}/?.wav"]
