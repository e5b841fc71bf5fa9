"""`--mode=explain` from end to end, on the smoke run."""

import io
import json
import shutil
import sys

import numpy as np
import pytest
import soundfile
from PIL import Image

from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.explaining import explain_heard
from flowasd.features.hearing import hear_all
from flowasd.report.explained import explain_files
from flowasd.report.explained_plot import as_png
from flowasd.scoring.rules import RULES
from tests.conftest import smoke_config
from tests.report.evaluations import make_explanation


@pytest.fixture(scope="module")
def detector(run):
    return Detector.load(run)


def test_the_map_adds_up_to_the_score_that_scoring_gives(detector, test_clips):
    (result,) = detector.results(test_clips[:1])
    explanation = detector.explain(test_clips[0])
    assert explanation.score == pytest.approx(result.score, rel=1e-5)
    assert explanation.map.sum() == pytest.approx(explanation.explained - explanation.normal)
    assert explanation.map.shape == explanation.spectra.shape
    assert (len(explanation.times), len(explanation.bands)) == tuple(
        1 + n for n in explanation.map.shape
    )
    assert np.isclose(explanation.curve.mean(), explanation.explained)
    assert {clip.machine_id for clip in explanation.nearest} == {explanation.machine_id}


def test_a_waveform_is_explained_as_its_file(detector, test_clips):
    samples, rate = soundfile.read(test_clips[0], dtype="float32")
    by_file = detector.explain(test_clips[0], "id_00")
    by_samples = detector.explain(samples, "00", sample_rate=rate)
    np.testing.assert_array_equal(by_samples.map, by_file.map)
    assert (by_samples.score, by_samples.machine_id) == (by_file.score, "id_00")


def test_a_training_clip_is_its_own_nearest(detector, run):
    from flowasd.run.splits import open_recorded

    source, _ = open_recorded(run, detector.config)
    clip = source.splits["train"][3]
    nearest = detector.explain(clip.path).nearest[0]
    assert (nearest.name, nearest.distance) == (clip.name, pytest.approx(0, abs=1e-3))


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_explained(run, test_clips, rule):
    detector = Detector.load(run, smoke_config({"score.rule": rule}))
    (heard,) = hear_all(test_clips[:1], detector.frontend)
    explanation = explain_heard(detector, heard, "id_00")
    assert explanation.rule == rule
    scores = next(iter(detector.results(test_clips[:1], "id_00"))).scores
    assert explanation.score == pytest.approx(scores[rule], rel=1e-4, abs=1e-6)
    assert explanation.explained == pytest.approx(
        scores["relative" if rule == "relative" else "mean"], rel=1e-4, abs=1e-6
    )
    assert explanation.curve.mean() == pytest.approx(explanation.explained, rel=1e-3, abs=1e-5)


def test_a_planted_tone_is_pointed_at(detector, test_clips, tmp_path):
    samples, rate = soundfile.read(test_clips[0])
    time = np.arange(len(samples)) / rate
    samples += 3 * np.std(samples) * np.sin(2 * np.pi * 3000 * time) * (abs(time - 6) < 1)
    path = tmp_path / "normal_id_00_00000000.wav"
    soundfile.write(path, 0.1 * samples / np.abs(samples).max(), rate)
    explanation = detector.explain(path)
    t, band = np.unravel_index(explanation.map.argmax(), explanation.map.shape)
    assert explanation.times[t] < 7.5
    assert explanation.times[t + 1] > 4.5
    assert explanation.bands[band - 1] < 3000 < explanation.bands[band + 2]  # bands overlap


def test_an_enrolled_machine_is_explained(detector, test_clips):
    own = [path for path in test_clips if path.name.startswith("normal_id_02")]
    explanation = detector.enrol(own[:2], "id_08").explain(own[2], "id_08")
    assert explanation.machine_id == "id_08"
    assert np.isfinite(explanation.map).all()
    assert explanation.nearest


def test_files_are_written_and_bad_ones_listed(run, test_clips, tmp_path, capsys):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    name = "normal_id_00_00000000.flac"
    shutil.copy(test_clips[0], folder / name)
    (folder / "anomaly_id_00_00000000.wav").write_bytes(b"")
    assert explain_files(run, [str(folder)], None, str(out)) == 1
    assert {path.suffix for path in out.iterdir()} == {".png", ".html", ".json"}
    written, errors = capsys.readouterr()
    (result,) = Detector.load(run).results([folder / name])
    assert written.startswith(f"{name}: score {result.score:.4g}, p-value {result.p_value:.2g}; ")
    assert "SIMULATED" in errors
    assert errors.splitlines()[-1] == "flowasd: 1 of 2 files were not explained"
    record = json.loads((out / "normal_id_00_00000000.json").read_text())
    assert record["data"] == "SIMULATED"
    assert record["p_value"] == pytest.approx(result.p_value)
    assert record["decision"] == (result.p_value <= 0.1)
    assert record["words"] == [region["words"] for region in record["regions"]]
    page = (out / "normal_id_00_00000000.html").read_text()
    assert "SIMULATED" in page
    for words in [*record["words"], record["nearest"][0]["name"]]:
        assert words in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert (out / "normal_id_00_00000000.png").read_bytes().startswith(b"\x89PNG")


def test_progress_is_shown_where_the_lines_go_elsewhere(run, test_clips, tmp_path, monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", terminal)
    for stdout, shown in ((io.StringIO(), True), (terminal, False)):
        terminal.truncate(0)
        monkeypatch.setattr(sys, "stdout", stdout)
        assert explain_files(run, [str(test_clips[0])], None, str(tmp_path)) == 0
        assert ("explain: 100%" in terminal.getvalue()) == shown


def test_files_that_tell_no_machine_share_a_line(run, test_clips, tmp_path, capsys):
    for name in ("b.flac", "c.flac", "d.flac"):
        shutil.copy(test_clips[0], tmp_path / name)
    assert explain_files(run, [str(tmp_path)], None, str(tmp_path / "out")) == 1
    first, last = capsys.readouterr().err.splitlines()[-2:]
    assert first.startswith(f"flowasd: 3 files tell no machine ID, such as {tmp_path}/b.flac: ")
    assert first.endswith("--machine_id (machine_ids): id_00, id_02, id_04, id_06")
    assert last == "flowasd: 3 of 3 files were not explained"


@pytest.mark.parametrize("name", ["id_02_fl.flac", f"{'W' * 100}.wav", ".wav"])
def test_the_name_is_seen_whole_above_the_picture(name):
    picture = Image.open(io.BytesIO(as_png(make_explanation(), name))).convert("L")
    pixels = np.array(picture)[:60]  # the name and no other ink
    assert pixels.min() < 128
    for edge in (pixels[0], pixels[:, 0], pixels[:, -1]):
        assert edge.min() == 255


def test_bad_use_is_refused(run, test_clips, tmp_path):
    with pytest.raises(UserError, match="nothing to explain"):
        explain_files(run, [], None, None)
    with pytest.raises(UserError, match="has not seen machine ID id_99"):
        explain_files(run, [str(test_clips[0])], "id_99", None)
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "reference.npz").unlink()
    with pytest.raises(UserError, match=r"no reference\.npz; repeat its training"):
        explain_files(copy, [str(test_clips[0])], None, None)
    (copy / "reference.npz").write_bytes(b"x")
    with pytest.raises(UserError, match=r"reference\.npz: damaged"):
        Detector.load(copy)
