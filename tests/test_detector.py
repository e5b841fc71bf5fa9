import csv
import io
import json
import os
import shutil
import sys

import jax.numpy as jnp
import numpy as np
import pytest
import soundfile
from sklearn.metrics import roc_auc_score

from flowasd.data.audio import find_audio
from flowasd.detector import Detector, Result
from flowasd.errors import UserError
from flowasd.evaluation.assess import BLEND, SEVERITIES
from flowasd.evaluation.calibrate import calibrate_run
from flowasd.evaluation.evaluate import describe, evaluate
from flowasd.evaluation.results import write_results
from flowasd.features.cache import Heard, hear
from flowasd.features.frontend import standardise
from flowasd.report.report import write_report
from flowasd.scoring.rules import RULES
from flowasd.serving.score_files import score_files
from flowasd.training.train import train
from tests.conftest import smoke_config
from tests.evaluation.assessments import rows, write_assessment


@pytest.fixture(scope="module")
def evaluated(run, tmp_path_factory):
    """A copy of the smoke run with its results."""
    workdir = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(run, workdir)
    evaluation = evaluate(workdir)
    write_results(workdir, evaluation)
    write_report(workdir / "report.html", evaluation)
    return workdir


@pytest.fixture(scope="module")
def test_clips(own_cache):
    return find_audio([f"{os.environ['XDG_CACHE_HOME']}/flowasd/**/test/*.flac"])


def read_csv(path):
    with path.open() as file:
        return list(csv.reader(file))


def test_score_mode_gives_the_scores_of_the_evaluation(evaluated, test_clips, tmp_path):
    """Two ways to the same scores: the cached bank and the files themselves."""
    output = tmp_path / "scores.csv"
    assert score_files(evaluated, [str(p) for p in test_clips], None, str(output)) == 0
    header, *rows = read_csv(output)
    assert header == ["path", "machine_id", "score"]
    scores = {row[0].split("/")[-1]: float(row[2]) for row in rows}
    header, *rows = read_csv(evaluated / "results" / "scores.csv")
    assert header[:4] == ["path", "machine_id", "label", "score"]
    assert header[4:] == [*RULES, "data"]
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
    monkeypatch.setattr(Detector, "score", lambda *_: iter(results))
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert score_files(evaluated, [str(clips)], None, None) == 0
    terminal.seek(0)
    assert [row[0] for row in csv.reader(terminal)] == ["path", *[f"{clips}/?.wav"] * 2]
    assert score_files(evaluated, [str(clips)], None, str(output)) == 0
    rows = csv.reader(output.read_text(encoding="utf-8").splitlines())
    assert [row[0] for row in rows] == ["path", f"{clips}/ö.wav", f"{clips}/?.wav"]


def test_results_are_scikit_learns_on_the_written_scores(evaluated):
    _, *rows = read_csv(evaluated / "results" / "scores.csv")
    machine_type, header, *table = read_csv(evaluated / "results" / "result.csv")
    assert (machine_type, header) == (["slider", "SIMULATED"], ["id", "AUC", "pAUC"])
    aucs = []
    for number, auc, pauc in table[:-1]:
        machine_id = f"id_{number}"
        own = [row for row in rows if row[1] == machine_id]
        labels, scores = [int(row[2]) for row in own], [float(row[3]) for row in own]
        assert float(auc) == pytest.approx(roc_auc_score(labels, scores))
        assert float(pauc) == pytest.approx(roc_auc_score(labels, scores, max_fpr=0.1))
        aucs.append(float(auc))
        evaluator = read_csv(evaluated / "results" / f"anomaly_score_slider_{machine_id}.csv")
        assert evaluator == [[row[0].removeprefix("test/"), row[3]] for row in own]
    assert table[-1][0] == "Average"
    assert float(table[-1][1]) == pytest.approx(np.mean(aucs))


def test_summary_and_report_say_simulated(evaluated):
    summary = json.loads((evaluated / "results" / "summary.json").read_text())
    assert summary["data"] == "SIMULATED"
    assert summary["seed"] == 0
    assert {"jax", "flax", "python"} <= set(summary["versions"])
    assert "SIMULATED" in (evaluated / "report.html").read_text()


def assess_as(folder, better):
    """Leaves an assessment in a folder, by which `spectrum` is best."""

    def auc(stand_in, severity, rule):
        more = better + 0.125 * (rule == "spectrum")
        return 0.5 + 0.125 * SEVERITIES.index(severity) + more if stand_in == BLEND else 1.0

    write_assessment(folder / "results" / "assess.csv", rows(auc))


@pytest.mark.slow
def test_what_to_expect_is_told_where_it_was_assessed(evaluated, tmp_path):
    """The file of the folder that is written counts, else that of the run."""
    for folder in (evaluated, tmp_path / "bare"):
        evaluation = evaluate(evaluated, folder=folder)
        write_results(folder, evaluation)
        write_report(folder / "report.html", evaluation)
        assert "proxy_auc" not in json.loads((folder / "results" / "summary.json").read_text())
        assert "Without labels" not in (folder / "report.html").read_text()

    run, own = tmp_path / "run", tmp_path / "own"
    shutil.copytree(evaluated, run)
    assess_as(run, 0.0)
    assess_as(own, 0.1)
    for folder, others, most in ((run, 0.625, 0.75), (own, 0.725, 0.85), (tmp_path, 0.625, 0.75)):
        evaluation = evaluate(run, folder=folder)
        write_results(folder, evaluation)
        write_report(folder / "report.html", evaluation)
        summary = json.loads((folder / "results" / "summary.json").read_text())
        expected = dict.fromkeys(RULES, others) | {"spectrum": most}
        assert summary["proxy_auc"] == pytest.approx(expected)
        report = (folder / "report.html").read_text()
        assert f"On stand-ins, AUC {100 * others:.1f} % by “{summary['rule']}”" in report
        assert f"the most, {100 * most:.1f} %, by “spectrum”" in report
        assert 'aria-label="AUC over severity"' in report


def test_the_score_is_the_flows_nll_under_the_id_that_was_named(evaluated, test_clips):
    """Against the flow's log-density of the patches themselves, averaged by hand."""
    detector = Detector.load(evaluated)
    ((_, heard),) = hear(test_clips[:1], detector.frontend)
    assert isinstance(heard, Heard)
    x = standardise(heard.bands, detector.statistics)
    length = detector.config.train.patch_length
    assert len(x) == 40  # hence patches at 0 and 8, which share 24 frames
    patches = jnp.asarray(np.stack([x[:length], x[-length:]]))[..., None]
    for index, machine_id in enumerate(detector.machine_ids):
        frames = detector.flow.log_prob_frames(patches, jnp.full(2, index)) / -x.shape[1]
        total, count = np.zeros(len(x)), np.zeros(len(x))
        for nll, first in zip(np.asarray(frames), (0, len(x) - length), strict=True):
            total[first : first + length] += nll
            count[first : first + length] += 1
        (result,) = detector.score(test_clips[:1], machine_id)
        assert result.scores["mean"] == pytest.approx((total / count).mean(), rel=1e-4)
    (own,) = detector.score(test_clips[:1])
    assert own.machine_id == "id_00"


def test_unseen_id_lists_the_known_ones(evaluated, test_clips, tmp_path):
    detector = Detector.load(evaluated)
    with pytest.raises(UserError, match=r"id_99.*id_00, id_02, id_04, id_06"):
        list(detector.score(test_clips[:1], "id_99"))
    path = tmp_path / "id_99_00000000.wav"
    soundfile.write(path, np.zeros(16000), 16000)
    (result,) = detector.score([path])
    assert "id_00, id_02, id_04, id_06" in str(result.error)


def test_odd_files_are_scored_and_bad_ones_reported(evaluated, tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=16000 * 2) * 0.1
    good = {
        "silent": (np.zeros(16000 * 10), 16000, "PCM_16"),
        "short": (noise[:100], 16000, "PCM_16"),
        "eight_channels": (np.tile(noise[:, None], 8), 16000, "PCM_24"),
        "rate": (noise, 44100, "FLOAT"),
    }
    for name, (samples, rate, subtype) in good.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, rate, subtype)
    (tmp_path / "bad.wav").write_bytes(b"")
    detector = Detector.load(evaluated)
    results = {r.path.stem: r for r in detector.score(find_audio([str(tmp_path)]), "id_00")}
    assert set(results) == {*good, "bad"}
    assert results["bad"].error is not None
    for name in good:
        assert results[name].error is None
        assert np.isfinite(list(results[name].scores.values())).all()


def test_workdir_without_checkpoint_is_an_error(tmp_path):
    with pytest.raises(UserError, match="train first"):
        Detector.load(tmp_path)


def test_run_that_has_not_ended_does_not_score(evaluated, test_clips, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(evaluated, copy)
    (copy / "calibration.npz").unlink()
    with pytest.raises(UserError, match=r"calibration\.npz is missing"):
        Detector.load(copy)
    with pytest.raises(UserError, match="no calibration"):
        list(Detector.restore(copy).score(test_clips[:1]))


def test_scoring_reads_the_model_alone(evaluated, test_clips, tmp_path):
    """Neither optimiser nor config file is needed."""
    copy = tmp_path / "run"
    shutil.copytree(evaluated / "checkpoints", copy / "checkpoints")
    shutil.copy(evaluated / "calibration.npz", copy)
    for trainer in copy.glob("checkpoints/*/trainer"):
        shutil.rmtree(trainer)
    (before,) = Detector.load(evaluated).score(test_clips[:1])
    (after,) = Detector.load(copy).score(test_clips[:1])
    assert before.scores == after.scores


def test_another_data_set_needs_its_test_folder_alone(evaluated, test_clips, tmp_path):
    """Unlabelled clips, by another rule, against the scores of the run."""
    folder = tmp_path / "slider" / "test"
    folder.mkdir(parents=True)
    for i, path in enumerate(test_clips[:3]):
        (folder / f"id_00_{i:08d}.flac").symlink_to(path)
    config = smoke_config({"data.root": str(tmp_path), "score.rule": "std"})
    evaluation = evaluate(evaluated, config)
    expected = [result.scores["std"] for result in Detector.load(evaluated).score(test_clips[:3])]
    assert [clip.scores["std"] for clip in evaluation.clips] == pytest.approx(expected, rel=1e-4)
    assert evaluation.summary["rule"] == "std"
    assert evaluation.summary["data"] == "real"
    assert "SIMULATED" in describe(evaluation)
    assert evaluation.summary["trained_on"] == "SIMULATED"
    assert evaluation.columns == {}
    assert "No AUC for id_00" in describe(evaluation)
    write_results(tmp_path / "out", evaluation)
    assert [p.name for p in (tmp_path / "out" / "results").glob("anomaly_score_*")] == [
        "anomaly_score_slider_id_00.csv"
    ]


def test_unseen_ids_of_another_data_set_are_an_error(evaluated, test_clips, tmp_path):
    folder = tmp_path / "slider" / "test"
    folder.mkdir(parents=True)
    (folder / "id_99_00000000.flac").symlink_to(test_clips[0])
    config = smoke_config({"data.root": str(tmp_path)})
    with pytest.raises(UserError, match="id_99"):
        evaluate(evaluated, config)


def test_config_of_another_model_is_an_error(evaluated):
    config = smoke_config({"model.embed": 3})
    with pytest.raises(UserError, match=r"model\.embed"):
        evaluate(evaluated, config)


def test_damaged_checkpoint_is_one_line(evaluated, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(evaluated, copy)
    for path in copy.glob("checkpoints/*/card/metadata"):
        path.write_text("{")
    with pytest.raises(UserError, match=r"checkpoints/\d+: this checkpoint is damaged"):
        Detector.load(copy)


def test_scoring_settings_are_taken_from_a_config(evaluated, test_clips):
    config = smoke_config({"score.rule": "max"})
    detector = Detector.load(evaluated, config)
    (result,) = detector.score(test_clips[:1])
    assert result.score == result.scores["max"]
    assert detector.config == config


def test_a_run_taken_up_with_another_rule_scores_by_it(evaluated, test_clips, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(evaluated, copy)
    train(smoke_config({"score.rule": "max"}), copy)
    (result,) = Detector.load(copy).score(test_clips[:1])
    assert result.score == result.scores["max"]


@pytest.mark.slow
def test_a_calibration_serves_the_settings_that_it_was_made_with(evaluated, tmp_path):
    """Another hop gives other frame NLLs, so that the statistics of normal clips differ."""
    copy, config = tmp_path / "run", smoke_config({"score.hop": 8})
    shutil.copytree(evaluated, copy)
    with pytest.raises(UserError, match=r"calibration\.npz was made .* --config\.score\.hop"):
        Detector.load(copy, config)
    before = (copy / "calibration.npz").read_bytes()
    train(config, copy)
    calibrate_run(copy)
    assert (copy / "calibration.npz").read_bytes() != before
    Detector.load(copy, config)


def test_clips_that_were_trained_on_are_not_evaluated(evaluated, tmp_path):
    """The run's own data set has changed since."""
    copy = tmp_path / "run"
    shutil.copytree(evaluated, copy)
    record = json.loads((copy / "splits.json").read_text())
    del record["splits"]["train"][min(record["splits"]["train"])]
    (copy / "splits.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="1 of the train split differ"):
        evaluate(copy)
