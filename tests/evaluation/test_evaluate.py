"""What an evaluation leaves, against scikit-learn and the detector, and what it refuses."""

import csv
import io
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.evaluation.assess import BLEND, SEVERITIES
from flowasd.evaluation.describe import describe, describe_step
from flowasd.evaluation.evaluate import evaluate
from flowasd.evaluation.results import write_results
from flowasd.report.report import write_report
from flowasd.run.records import read_record, write_record
from flowasd.scoring.rules import RULES
from flowasd.training.validation import FEWEST
from tests.conftest import smoke_config
from tests.evaluation.assessments import rows, write_assessment
from tests.run.recordings import splits

SUMMARY = Path("results", "summary.json")


def read_csv(path):
    with path.open() as file:
        return list(csv.reader(file))


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


def test_another_data_set_may_shorten_the_ids(evaluated, tmp_path):
    paths = [clip.path for clip in splits()["test"]]
    rows = [f"{path},{path.name.split('id_')[1][:2]},test" for path in paths]
    (tmp_path / "list.csv").write_text("\n".join(["path,machine_id,split", *rows]))
    config = smoke_config({"data.root": str(tmp_path / "list.csv")})
    evaluation = evaluate(evaluated, config, illustrated=False)
    _, *written = read_csv(evaluated / "results" / "scores.csv")
    expected = {row[0].removeprefix("test/"): (row[1], float(row[3])) for row in written}
    for clip in evaluation.clips:
        machine_id, score = expected[clip.name]
        assert clip.machine_id == machine_id
        assert clip.scores[evaluation.rule] == pytest.approx(score, rel=1e-5)
    (tmp_path / "list.csv").write_text(f"path,machine_id,split\n{paths[0]},99,test\n")
    with pytest.raises(UserError, match=r"has not seen machine ID 99; it knows id_00"):
        evaluate(evaluated, config, illustrated=False)


def test_summary_and_report_say_simulated(evaluated):
    summary = json.loads((evaluated / "results" / "summary.json").read_text())
    assert summary["data"] == "SIMULATED"
    assert summary["seed"] == 0
    assert {"jax", "flax", "python"} <= set(summary["versions"])
    assert "SIMULATED" in (evaluated / "report.html").read_text()


def assess_as(folder, better):
    """Leaves an assessment in a folder, by which `relative` is best."""

    def auc(stand_in, severity, rule):
        more = better + 0.125 * (rule == "relative")
        return 0.5 + 0.125 * SEVERITIES.index(severity) + more if stand_in == BLEND else 1.0

    write_assessment(folder / "results" / "assess.csv", rows(auc))


@pytest.mark.slow
def test_what_to_expect_is_told_where_it_was_assessed(evaluated, tmp_path):
    """The file of the folder that is written counts, else that of the run."""
    bare = evaluate(evaluated, folder=tmp_path / "bare", illustrated=False)
    for summary in (bare.summary, json.loads((evaluated / SUMMARY).read_text())):
        assert "proxy_auc" not in summary
    assert "Without labels" not in (evaluated / "report.html").read_text()

    run, own = tmp_path / "run", tmp_path / "own"
    shutil.copytree(evaluated, run)
    assess_as(run, 0.0)
    assess_as(own, 0.1)
    for folder, others, most in ((run, 0.625, 0.75), (own, 0.725, 0.85), (tmp_path, 0.625, 0.75)):
        evaluation = evaluate(run, folder=folder, illustrated=False)
        write_results(folder, evaluation)
        summary = json.loads((folder / SUMMARY).read_text())
        expected = dict.fromkeys(RULES, others) | {"relative": most}
        assert summary["proxy_auc"] == pytest.approx(expected)
    write_report(folder / "report.html", evaluation)
    report = (folder / "report.html").read_text()
    assert f"On stand-ins, AUC {100 * others:.1f} % by “{summary['rule']}”" in report
    assert f'<th scope="row">relative</th><td>{100 * most:.1f}</td>' in report
    assert 'aria-label="AUC over severity"' in report


def test_another_data_set_needs_its_test_folder_alone(evaluated, test_clips, tmp_path):
    """Unlabelled clips, by another rule, against the scores of the run."""
    folder = tmp_path / "slider" / "test"
    folder.mkdir(parents=True)
    for i, path in enumerate(test_clips[:3]):
        (folder / f"id_00_{i:08d}.flac").symlink_to(path)
    config = smoke_config({"data.root": str(tmp_path), "score.rule": "std"})
    evaluation = evaluate(evaluated, config)
    expected = [result.scores["std"] for result in Detector.load(evaluated).results(test_clips[:3])]
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


def test_clips_that_were_trained_on_are_not_evaluated(evaluated, tmp_path):
    """The run's own data set has changed since."""
    copy = tmp_path / "run"
    shutil.copytree(evaluated, copy)
    record = read_record(copy / "splits.json", "")
    del record["splits"]["train"][min(record["splits"]["train"])]
    write_record(copy / "splits.json", record)
    with pytest.raises(UserError, match="1 of the train split differ"):
        evaluate(copy)


def test_a_rule_by_which_all_clips_are_alike_is_printed_blank(evaluated):
    evaluation = evaluate(evaluated, illustrated=False)
    before = {line.split()[0]: line for line in describe(evaluation).splitlines()}
    alike = [replace(c, scores=c.scores | {"std": 0.0, "max": 1.0}) for c in evaluation.clips]
    lines = describe(replace(evaluation, clips=alike)).splitlines()
    assert "Blank, since every clip has the same score: std, max." in lines
    after = {line.split()[0]: line for line in lines if line}
    assert after["mean"] == before["mean"]
    assert after["std"].split() == ["std"]


def test_it_is_said_which_step_was_kept_and_why(evaluated):
    """The smoke run keeps its start, because it has few clips."""
    evaluation = evaluate(evaluated)
    held_out = evaluation.summary["clips"]["validation"]
    assert held_out < FEWEST
    words = f"a Gaussian, was kept: {held_out} validation clips are too few to tell"
    assert words in describe(evaluation)
    clips = {"clips": {"train": 300, "validation": FEWEST, "test": 20}}
    nlls = {"validation_nll": -0.5, "validation_nll_at_start": 0.0}
    kept = describe_step({"best_step": 0, "steps": 20, **nlls, **clips})
    assert "a Gaussian, was kept: 20 steps did not lower its held-out NLL, 0.000, by more" in kept
    trained = {"best_step": 40, "steps": 120, **nlls, **clips}
    assert describe_step(trained) == (
        "Step 40 of 120 was kept: its held-out NLL, -0.500, is lower than that of the start, a "
        "Gaussian, 0.000, by more than chance explains (paired t test over held-out clips at 1 %)."
    )
    unknown = trained | {"validation_nll": None, "validation_nll_at_start": None}
    assert describe_step(unknown) == "Step 40 was kept."


def test_progress_is_shown_on_a_terminal(evaluated, monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", terminal)
    evaluate(evaluated)
    assert "explain: 100%" in terminal.getvalue()
