"""The study of maps, on the recordings of the smoke run; its measures against brute force."""

from pathlib import Path

import numpy as np
import pytest

from experiments.pointing.maps import MAPS
from experiments.pointing.measures import measured
from experiments.pointing.planted import PLANTED, Planted, in_a_piece
from tests.experiments.conftest import experiment
from tests.experiments.test_commands import rows_of


def test_a_fault_changes_one_piece_alone():
    samples = np.random.default_rng(0).normal(size=160000)
    for fault in PLANTED.values():
        faulty = in_a_piece(samples, fault, np.random.default_rng(1))
        changed = np.flatnonzero(faulty != samples)
        assert 0 < changed[-1] - changed[0] <= 4 * 16000


def test_measures_of_maps_that_know_all_and_nothing():
    truth = np.zeros((20, 10), bool)
    truth[5:9, 2:4] = True
    one = Planted(Path(), "id_00", "hiss", np.zeros(1), 1.0 * truth, 1.0 * truth, truth)
    assert measured(1.0 * truth, one) == (1, 1, 1)
    away = np.zeros(truth.shape)
    away[0, 0], away[4, 1] = 1, 0.5
    assert measured(away, one)[0] == 0
    away[4, 1] = 2  # a neighbour of the truth, which is tolerated
    assert measured(away, one)[0] == 1


@pytest.mark.slow
def test_the_study_reports_every_map(development_set, tmp_path):
    chosen = ("--configs=smoke", "--folds=0", "--seeds=0", "--clips=1", f"--workdir={tmp_path}")
    result = experiment("pointing", f"--data={development_set}", *chosen)
    assert result.status == 0, result.stderr
    rows = rows_of(tmp_path / "results.csv")
    assert {row["map"] for row in rows} == {*MAPS}
    for row in rows:
        assert all(0 <= float(row[name]) <= 1 for name in ("pointing", "overlap", "precision"))
    assert (tmp_path / "tables.md").read_text() in result.stdout


def test_a_config_that_is_not_there_is_one_line_and_status_2(development_set, tmp_path):
    arguments = (f"--data={development_set}", "--configs=sldier", f"--workdir={tmp_path}")
    result = experiment("pointing", *arguments)
    assert (result.status, result.stderr) == (
        2,
        "experiments: --configs: there is no configs/sldier.py\n",
    )
