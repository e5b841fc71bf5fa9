"""The enrolment study, on the recordings of the smoke run."""

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from experiments.enrolment.left_out import DRAWS, RULES
from flowasd.detector import Detector
from tests.experiments.conftest import experiment
from tests.experiments.test_commands import rows_of

LEFT_OUT = "id_02"


@pytest.fixture(scope="module")
def three_machines(development_set, tmp_path_factory):
    """The recordings without one of the machines; each machine that is left out takes a run."""
    folder = tmp_path_factory.mktemp("three") / "slider"
    for path in development_set.glob("*/*.flac"):
        if "id_06" not in path.name:
            (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
            (folder / path.parent.name / path.name).symlink_to(path)
    return folder


@pytest.fixture(scope="module")
def study(three_machines, tmp_path_factory):
    """What the study leaves of one fold, and its output."""
    workdir = tmp_path_factory.mktemp("enrolment")
    arguments = ("--configs=smoke", "--folds=0", "--seeds=0", f"--workdir={workdir}")
    result = experiment("enrolment", f"--data={three_machines}", *arguments)
    assert result.status == 0, result.stderr
    return workdir, result.stdout


def run_of(workdir):
    return workdir / "smoke" / f"fold0_{LEFT_OUT}_seed0"


def rows_from(workdir, clips, draw):
    return [
        row
        for row in rows_of(run_of(workdir) / "enrolled.csv")
        if (row["clips"], row["draw"]) == (clips, str(draw))
    ]


@pytest.mark.slow
def test_the_figures_are_those_of_the_scores(study):
    """The mean over the draws."""
    workdir, output = study
    figures = {
        (row["config"], row["rule"]): float(row["auc"])
        for row in rows_of(workdir / "results.csv")
        if row["machine_id"] == LEFT_OUT
    }
    settings = {"1": DRAWS, "3": DRAWS, "5": DRAWS, "all": 1}  # there are ten clips or fewer
    assert {config for config, _ in figures} >= {f"smoke, {clips} clips" for clips in settings}
    for clips, draws in settings.items():
        for rule in RULES:
            own = [rows_from(workdir, clips, draw) for draw in range(draws)]
            aucs = [
                roc_auc_score([int(r["label"]) for r in some], [float(r[rule]) for r in some])
                for some in own
            ]
            assert figures[f"smoke, {clips} clips", rule] == pytest.approx(np.mean(aucs))
    assert (workdir / "tables.md").read_text() in output


@pytest.mark.slow
def test_the_machine_is_left_out_of_training(study):
    splits = json.loads((run_of(study[0]) / "splits.json").read_text())["splits"]
    trained = [name for split in ("train", "validation") for name in splits[split].values()]
    assert trained
    assert not [name for name in trained if LEFT_OUT in name]


@pytest.mark.slow
def test_the_scores_are_those_of_a_detector_that_enrolled_all_of_its_clips(study):
    workdir, _ = study
    alone = workdir / "folds" / f"fold0_{LEFT_OUT}" / "slider"
    clips = sorted((alone / "train").iterdir())
    # The order of the clips makes the folds that calibrate.
    drawn = np.random.default_rng(0).choice(len(clips), len(clips), replace=False)
    detector = Detector.load(run_of(workdir)).enrol([clips[i] for i in drawn], LEFT_OUT)
    tested = sorted((alone / "test").iterdir())
    expected = {result.path.name: result.scores for result in detector.results(tested)}
    rows = rows_from(workdir, "all", 0)
    assert {row["path"].removeprefix("test/") for row in rows} == expected.keys()
    for row in rows:
        own = expected[row["path"].removeprefix("test/")]
        assert [float(row[rule]) for rule in RULES] == pytest.approx(
            [own[rule] for rule in RULES], rel=1e-3, abs=1e-4
        )


def test_a_config_that_is_not_there_is_one_line_and_status_2(development_set):
    result = experiment("enrolment", f"--data={development_set}", "--configs=sldier")
    assert (result.status, result.stderr) == (
        2,
        "experiments: --configs: there is no configs/sldier.py\n",
    )
