import csv
import json
import shutil

import numpy as np
import pytest
import soundfile
from sklearn.metrics import roc_auc_score

from flowasd.data.dcase import find_audio
from flowasd.detector import Detector, score_to_csv
from flowasd.errors import UserError
from flowasd.evaluate import evaluate, write_evaluation_report, write_results


@pytest.fixture(scope="module")
def evaluated(run, tmp_path_factory):
    """A copy of the smoke run with its results."""
    workdir = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(run, workdir)
    evaluation = evaluate(workdir)
    write_results(workdir, evaluation)
    write_evaluation_report(workdir, evaluation)
    return workdir


@pytest.fixture(scope="module")
def test_clips(own_cache):
    import os

    return find_audio([f"{os.environ['XDG_CACHE_HOME']}/flowasd/**/test/*.flac"])


def read_csv(path):
    with path.open() as file:
        return list(csv.reader(file))


def test_score_mode_gives_the_scores_of_the_evaluation(evaluated, test_clips, tmp_path):
    """Two ways to the same scores: the cached bank and the files themselves."""
    output = tmp_path / "scores.csv"
    assert score_to_csv(evaluated, [str(p) for p in test_clips], None, str(output)) == 0
    header, *rows = read_csv(output)
    assert header == ["path", "machine_id", "score"]
    scores = {row[0].split("/")[-1]: float(row[2]) for row in rows}
    header, *rows = read_csv(evaluated / "results" / "scores.csv")
    assert header == ["path", "machine_id", "label", "score", "mean", "std", "max", "p75", "top10"]
    expected = {row[0].split("/")[-1]: float(row[3]) for row in rows}
    assert scores.keys() == expected.keys()
    for name in scores:
        assert scores[name] == pytest.approx(expected[name], rel=1e-4)


def test_results_are_scikit_learns_on_the_written_scores(evaluated):
    _, *rows = read_csv(evaluated / "results" / "scores.csv")
    machine_type, header, *table = read_csv(evaluated / "results" / "result.csv")
    assert (machine_type, header) == (["slider"], ["id", "AUC", "pAUC"])
    aucs = []
    for machine_id, auc, pauc in table[:-1]:
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


def test_conditional_scores_differ_between_ids(evaluated, test_clips):
    detector = Detector.load(evaluated)
    (own,) = detector.score(test_clips[:1])
    (other,) = detector.score(test_clips[:1], "id_06")
    assert own.machine_id == "id_00"
    assert own.score != other.score


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


def test_scoring_reads_the_model_alone(evaluated, test_clips, tmp_path):
    """Neither optimiser nor config file is needed."""
    copy = tmp_path / "run"
    shutil.copytree(evaluated / "checkpoints", copy / "checkpoints")
    for trainer in copy.glob("checkpoints/*/trainer"):
        shutil.rmtree(trainer)
    (before,) = Detector.load(evaluated).score(test_clips[:1])
    (after,) = Detector.load(copy).score(test_clips[:1])
    assert before.scores == after.scores
