"""Odd files and names in a batch: each costs its own row at most, and nothing is overwritten."""

import csv
import os

import numpy as np
import pytest
import soundfile
import soxr

from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.evaluation.evaluate import evaluate
from flowasd.evaluation.results import FILE_COLUMNS
from flowasd.file_results import Result
from flowasd.files import csv_line, refuse_overwriting, write_csv
from flowasd.serving.score_files import score_files
from flowasd.serving.watch import watch
from flowasd.serving.watch_log import open_log
from tests.full_disk import FULL, needs_full_disk

NOISE = np.random.default_rng(0).normal(size=16000) / 10


def rows_of(path):
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.reader(file))


def test_bad_files_cost_their_own_rows_only(evaluated, tmp_path, capsys):
    clips, output = tmp_path / "clips", tmp_path / "scores.csv"
    clips.mkdir()
    for name in ("a.wav", "slow.wav", "z.wav"):
        soundfile.write(clips / name, NOISE, 16000)
    slow = (clips / "slow.wav").read_bytes()
    (clips / "slow.wav").write_bytes(slow[:24] + (1).to_bytes(4, "little") + slow[28:])
    soundfile.write(clips / "silent.wav", 0 * NOISE, 16000)
    os.mkfifo(clips / "pipe.wav")
    assert score_files(evaluated, [str(clips)], "id_00", str(output)) == 1
    assert [row[0] for row in rows_of(output)[1:]] == [f"{clips}/a.wav", f"{clips}/z.wav"]
    *lines, last = capsys.readouterr().err.splitlines()[-4:]
    for name, reason in {"pipe": "regular", "silent": "silent", "slow": "rate of 1 Hz"}.items():
        assert any(f"{name}.wav: " in line and reason in line for line in lines)
    assert last == "flowasd: 3 of 5 files were not scored"


def test_no_score_that_is_not_finite_leaves_any_mode(evaluated, tmp_path, monkeypatch, capsys):
    judge = Detector.judge

    def second_is_nan(self, *args):
        judged = judge(self, *args)
        scores = dict.fromkeys(judged[1].scores, np.nan)
        return [judged[0], judged[1]._replace(scores=scores), *judged[2:]]

    monkeypatch.setattr(Detector, "judge", second_is_nan)
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.wav", NOISE, 16000)
    output = tmp_path / "scores.csv"
    assert score_files(evaluated, [str(tmp_path)], "id_00", str(output)) == 1
    assert [row[0] for row in rows_of(output)[1:]] == [f"{tmp_path}/a.wav"]
    assert f"{tmp_path}/b.wav: its score is not a finite number" in capsys.readouterr().err
    detector = Detector.load(evaluated)
    with pytest.raises(UserError, match=r"b\.wav: its score is not a finite number"):
        detector.score([tmp_path / "a.wav", tmp_path / "b.wav"], "id_00")
    with pytest.raises(UserError, match=r"flac: its score is not a finite number"):
        evaluate(evaluated)


def test_rows_that_were_made_stay_when_scoring_is_cut_off(evaluated, tmp_path, monkeypatch):
    output, partial = tmp_path / "scores.csv", tmp_path / "scores.csv.partial"
    soundfile.write(tmp_path / "a.wav", NOISE, 16000)

    def results(*_):
        yield Result(tmp_path / "a.wav", "id_00", 0.5)
        assert len(rows_of(partial)) == 2  # on the disk at once
        raise KeyboardInterrupt

    monkeypatch.setattr(Detector, "results", results)
    with pytest.raises(KeyboardInterrupt):
        score_files(evaluated, [str(tmp_path / "a.wav")], None, str(output))
    assert [row[0] for row in rows_of(partial)] == ["path", f"{tmp_path}/a.wav"]
    assert not output.exists()


def test_a_doubtful_score_has_a_warning_that_names_the_file(
    evaluated, test_clips, tmp_path, capsys
):
    samples, rate = soundfile.read(test_clips[0], dtype="float32")
    narrow = soxr.resample(soxr.resample(samples, rate, rate // 2), rate // 2, rate)
    soundfile.write(tmp_path / "narrow.wav", narrow, rate)
    both = [str(tmp_path / "narrow.wav"), str(test_clips[0])]
    assert score_files(evaluated, both, "id_00", str(tmp_path / "a.csv")) == 0
    warned = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert [line.split(": ")[2] for line in warned] == both[:1]
    assert watch(evaluated, [str(tmp_path)], "id_00", str(tmp_path / "w.csv"), wait=once()) == 0
    assert f"warning: {both[0]}: has no sound above" in capsys.readouterr().err


def once():
    """Waits through two looks, and ends the watch."""
    waits = iter([False, False, False, True])
    return lambda _: next(waits, True)


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_an_output_that_is_an_input_is_refused_before_it_is_written(evaluated, tmp_path, link):
    recording = tmp_path / "a.wav"
    soundfile.write(recording, NOISE, 16000)
    link(recording, tmp_path / "scores.csv")
    before = recording.read_bytes()
    for mode in (score_files, watch):
        with pytest.raises(UserError, match=r"scores\.csv: is one of the recordings"):
            mode(evaluated, [str(tmp_path)], "id_00", str(tmp_path / "scores.csv"))
    (tmp_path / "notes.csv").write_bytes(before)
    with pytest.raises(UserError, match=r"notes\.csv: is one of the recordings"):
        score_files(
            evaluated,
            [str(tmp_path / "notes.csv")],
            "id_00",
            f"{tmp_path}/../{tmp_path.name}/notes.csv",
        )
    link(recording, tmp_path / "new.csv.partial")
    with pytest.raises(UserError, match=r"new\.csv\.partial: is one of the recordings"):
        score_files(evaluated, [str(tmp_path)], "id_00", str(tmp_path / "new.csv"))
    assert recording.read_bytes() == (tmp_path / "notes.csv").read_bytes() == before


@needs_full_disk
def test_scores_on_a_full_disk_are_one_line(evaluated, test_clips, tmp_path):
    (tmp_path / "scores.csv").symlink_to(FULL)
    with pytest.raises(UserError, match=r"scores\.csv: cannot be written \(No space left"):
        score_files(evaluated, [str(test_clips[0])], None, str(tmp_path / "scores.csv"))


def test_links_that_go_round_are_no_outputs(tmp_path):
    (tmp_path / "a.wav").symlink_to("a.wav")
    refuse_overwriting([tmp_path / "new"], [tmp_path / "a.wav"])
    with pytest.raises(UserError):
        refuse_overwriting([tmp_path / "a.wav"], [tmp_path / "a.wav"])


def test_a_file_that_is_to_be_made_is_no_input(tmp_path):
    refuse_overwriting([tmp_path / "new"], [tmp_path / "a.wav", tmp_path / "missing.wav"])
    with pytest.raises(UserError):
        refuse_overwriting([tmp_path / "missing.wav"], [tmp_path / "." / "missing.wav"])


def test_what_is_no_csv_of_a_watch_is_not_emptied(tmp_path):
    path = tmp_path / "notes.csv"
    path.write_text("no line break")
    with pytest.raises(UserError, match="not the CSV of a watch"), open_log(path):
        pass
    assert path.read_text() == "no line break"


NAMES = [
    "carriage\rreturn.wav",
    "line\nbreak.wav",
    "both\r\n.wav",
    "a,b.wav",
    '"quoted".wav',
    "-a.wav",
]


def test_line_breaks_in_names_split_no_row(tmp_path):
    write_csv(tmp_path / "anomaly_score_a_id_00.csv", [(name, 0.5) for name in NAMES])
    assert rows_of(tmp_path / "anomaly_score_a_id_00.csv") == [[name, "0.5"] for name in NAMES]
    assert csv_line(["a.wav", 1]) == "a.wav,1\n"


def test_every_name_is_scored_and_written_whole(evaluated, tmp_path):
    clips = tmp_path / "clips"
    clips.mkdir()
    for name in [*NAMES, "x" * 251 + ".wav", os.fsdecode(b"\xff.wav")]:
        soundfile.write(clips / "a", NOISE, 16000, format="WAV")
        (clips / "a").rename(clips / name)
    assert score_files(evaluated, [str(clips)], "id_00", str(tmp_path / "scores.csv")) == 0
    header, *rows = rows_of(tmp_path / "scores.csv")
    assert tuple(header) == FILE_COLUMNS
    expected = sorted(str(path) for path in clips.iterdir())
    assert [row[0] for row in rows] == [name.replace("\udcff", "?") for name in expected]
    assert len({row[2] for row in rows}) == 1
