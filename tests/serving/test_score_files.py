"""Scores of single files, as tables."""

import csv
import io
import os
import shutil
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


def decisions_of(evaluated, test_clips, output, **rates):
    assert score_files(evaluated, [*map(str, test_clips)], None, str(output), **rates) == 0
    header, *rows = read_csv(output)
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    return np.array(columns["p_value"], float), np.array(columns["decision"], int)


def test_a_clip_is_an_alarm_where_its_p_value_is_at_most_alpha(evaluated, test_clips, tmp_path):
    for alpha in (None, 0.3, 0.6):
        p, decision = decisions_of(evaluated, test_clips, tmp_path / "a.csv", alpha=alpha)
        np.testing.assert_array_equal(decision, p <= (alpha or 0.1))


def test_a_batch_decides_together(evaluated, test_clips, tmp_path):
    """By the step-up procedure: the k lowest, of which the k-th is at most k rate / m."""
    for rate in (0.05, 0.5, 0.9):
        p, decision = decisions_of(evaluated, test_clips, tmp_path / "a.csv", fdr=rate)
        ranked = np.sort(p)
        below = np.flatnonzero(ranked <= rate * np.arange(1, len(p) + 1) / len(p) + 1e-12)
        threshold = ranked[below[-1]] if len(below) else 0.0
        np.testing.assert_array_equal(decision, p <= threshold)


def test_one_line_says_that_the_clips_are_too_few(evaluated, test_clips, tmp_path, capsys):
    decisions_of(evaluated, test_clips, tmp_path / "a.csv", alpha=0.01)
    assert "no alarm is possible at 1 % false alarms" in capsys.readouterr().err
    decisions_of(evaluated, test_clips, tmp_path / "a.csv", alpha=0.5)
    assert "no alarm" not in capsys.readouterr().err


def test_files_that_tell_no_machine_share_a_line(evaluated, test_clips, tmp_path, capsys):
    """One is told by its folder, three by nothing, and one is no audio, which has its own line."""
    for name in ("id_00/a.flac", "b.flac", "c.flac", "d.flac"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(test_clips[0], tmp_path / name)
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    output = tmp_path / "scores.csv"
    assert score_files(evaluated, [str(tmp_path)], None, str(output)) == 1
    assert [row[:2] for row in read_csv(output)[1:]] == [[str(tmp_path / "id_00/a.flac"), "id_00"]]
    lines = [line for line in capsys.readouterr().err.splitlines() if str(tmp_path) in line]
    assert len(lines) == 2
    assert lines[0].startswith(f"flowasd: {tmp_path}/bad.wav: ")
    assert lines[1].startswith(f"flowasd: 3 files tell no machine ID, such as {tmp_path}/b.flac: ")
    assert lines[1].endswith("--machine_id (machine_ids): id_00, id_02, id_04, id_06")
