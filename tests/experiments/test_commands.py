"""The commands of the experiments, on the recordings of the smoke run."""

import csv
import json
import re
import sys

import pytest
from absl import flags
from sklearn.metrics import roc_auc_score

from configs import smoke
from experiments import runs
from experiments.ablations.variants import VARIANTS
from experiments.runs import command, numbers
from flowasd.errors import UserError
from flowasd.evaluation.faults import FAULTS
from flowasd.scoring.rules import RULES
from tests.experiments.conftest import experiment

SMALL = {"level.steps": 2, "level.width": 16, "data.validation": 0.1}
SMALL |= {"frontend.n_bands": 32, "score.folds": 2}
SMALL |= {"train.steps": 20, "train.warmup_steps": 5, "train.log_every": 5, "train.eval_every": 10}


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def auc_by_scikit_learn(scores, rule, machine_id):
    own = [row for row in rows_of(scores) if row["machine_id"] == machine_id]
    return roc_auc_score([int(row["label"]) for row in own], [float(row[rule]) for row in own])


def check_figures(workdir, scores_of_config):
    """Compares every AUC of results.csv that is of one run with the run's own scores."""
    checked = set()
    for row in rows_of(workdir / "results.csv"):
        if row["config"] in scores_of_config and row["machine_id"] != "Average":
            run = workdir / row["config"].replace(" ", "_") / f"fold{row['fold']}_seed{row['seed']}"
            scores = run / scores_of_config[row["config"]]
            truth = auc_by_scikit_learn(scores, row["rule"], row["machine_id"])
            assert float(row["auc"]) == pytest.approx(truth)
            checked.add((row["config"], row["seed"], row["rule"]))
    return checked


@pytest.fixture(scope="module")
def fewshot(development_set, tmp_path_factory):
    """What the few-shot study leaves of a flow and a baseline with two seeds, and its output."""
    workdir = tmp_path_factory.mktemp("fewshot")
    methods = ("--methods=smoke,mahalanobis", "--folds=0", "--seeds=0,1")
    result = experiment(
        "slider_fewshot", f"--data={development_set}", *methods, f"--workdir={workdir}"
    )
    assert result.status == 0, result.stderr
    return workdir, result.stdout


@pytest.mark.slow
def test_the_fewshot_study_reports_the_scores_of_its_runs(fewshot):
    workdir, output = fewshot
    scores = {"smoke": "results/scores.csv", "mahalanobis": "scores.csv"}
    rules = [*(("smoke", rule) for rule in RULES), ("mahalanobis", "mean")]
    rules.append(("mahalanobis", "mean+std+max"))
    expected = {(name, seed, rule) for name, rule in rules for seed in ("0", "1")}
    assert check_figures(workdir, scores) == expected
    assert (workdir / "tables.md").read_text() in output
    for picture in ("roc.svg", "scores_smoke.svg", "scores_mahalanobis.svg"):
        assert "id_06" in (workdir / picture).read_text()
    assert (workdir / "smoke" / "fold0_seed0" / "report.html").exists()


@pytest.mark.slow
def test_a_run_that_is_done_is_not_done_again(fewshot):
    workdir = fewshot[0] / "smoke" / "fold0_seed1"
    kept = [*workdir.glob("checkpoints/*"), *workdir.glob("results/*"), workdir / "report.html"]
    before = {path: path.stat().st_mtime_ns for path in kept}
    summary = runs.run(smoke.get_config(), fewshot[0] / "folds" / "fold0", workdir, 1)
    assert summary.items() <= json.loads((workdir / "results" / "summary.json").read_text()).items()
    assert {path: path.stat().st_mtime_ns for path in kept} == before


@pytest.mark.slow
def test_detectors_are_ranked_by_what_the_runs_left(fewshot, tmp_path):
    workdir, _ = fewshot
    result = experiment("assess", f"--runs={workdir}", f"--output={tmp_path}")
    assert result.status == 0, result.stderr
    table = (tmp_path / "tables.md").read_text()
    assert f"2 trained flows\n{table}" in result.stdout
    title, _, *lines = table.splitlines()
    assert title == f"several machines, {2 * len(RULES)} detectors"
    proxies = {line.split("|")[1].strip() for line in lines[2:]}
    assert proxies == {
        *FAULTS,
        "blend",
        "blend and lost_stroke",
        "all faults",
        "held-out NLL, negative",
    }
    figures = {
        (f"smoke (seed{row['seed']})", row["rule"]): row["auc"]
        for row in rows_of(workdir / "results.csv")
        if (row["config"], row["machine_id"]) == ("smoke", "Average")
    }
    detectors = rows_of(tmp_path / "results.csv")
    assert {(row["flow"], row["rule"]): row["auc"] for row in detectors} == figures


@pytest.mark.slow
@pytest.mark.usefixtures("unreported")
def test_an_ablation_reports_the_scores_of_its_run(development_set, tmp_path, monkeypatch):
    monkeypatch.setitem(VARIANTS, "as small as smoke", SMALL)
    chosen = ("--variants=as small as smoke", "--folds=0")
    result = experiment("ablations", f"--data={development_set}", *chosen, f"--workdir={tmp_path}")
    assert result.status == 0, result.stderr
    checked = check_figures(tmp_path, {"as small as smoke": "results/scores.csv"})
    assert checked == {("as small as smoke", "0", rule) for rule in RULES}
    assert (tmp_path / "tables.md").read_text() in result.stdout


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("slider_fewshot", ["--data=nowhere", "--methods=sldier"], "no configs/sldier.py"),
        ("slider_fewshot", ["--data=nowhere", "--methods=id_cnn", "--machines=one"], "two machine"),
        ("ablations", ["--data=nowhere", "--variants=bse"], "--variants=bse"),
        ("assess", ["--runs=/nowhere"], "no finished run in /nowhere"),
        ("speed", ["--only=auc"], "name a data set with --data"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(name, arguments, words):
    result = experiment(name, *arguments)
    assert result.status == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("experiments: ")
    assert words in line


def test_help_names_every_flag():
    result = experiment("ablations", "--help")
    assert result.stdout.startswith("Trains every variant")
    for flag in ("data", "variants", "folds", "seeds", "workdir"):
        assert f"--{flag}:" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "error"),
    [([], "no such folder"), (["surplus"], "not a flag: surplus"), (["--x_y"], "unknown .* 'x_y'")],
)
def test_what_the_user_can_mend_is_one_line_and_status_2(arguments, error, monkeypatch, capsys):
    def main():
        raise UserError("no such folder")

    monkeypatch.setattr(sys, "argv", ["experiments", *arguments])
    with pytest.raises(SystemExit) as ended:
        command(main)
    assert ended.value.code == 2
    assert re.fullmatch(f"experiments: {error}\n", capsys.readouterr().err, re.IGNORECASE)


def test_numbers_stand_between_commas():
    values = flags.FlagValues()
    folds = flags.DEFINE_list("folds", ["0", "4"], "Folds.", flag_values=values)
    values(["experiments"])
    assert numbers(folds) == [0, 4]
    values(["experiments", "--folds=3,1"])
    assert numbers(folds) == [3, 1]
    values(["experiments", "--folds=0;4"])
    with pytest.raises(UserError, match="--folds=0,4"):
        numbers(folds)
