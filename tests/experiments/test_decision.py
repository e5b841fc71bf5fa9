"""The study of decisions: its command, and its rates against counting."""

import csv

import pytest
from scipy.stats import binomtest

from experiments.decision.tables import ALPHAS, Decided, counts, table
from tests.experiments.conftest import experiment


def test_rates_are_counted_and_their_interval_is_the_binomial_one():
    clips = [Decided("a", 0, 0, 0, "id_00", 0, (i + 1) / 20) for i in range(20)]
    clips += [Decided("a", 0, 0, 0, "id_00", 1, 0.01) for _ in range(3)]
    rows = [line.strip("|").split("|") for line in table(clips).splitlines()[2:]]
    assert [[cell.strip() for cell in row[:4]] for row in rows] == [
        ["a", "cross-fitted", "id_00", label] for label in ("normal", "anomalous")
    ]
    for alpha, cell in zip(ALPHAS, rows[0][4:], strict=True):
        alarms = sum(clip.p_value <= alpha for clip in clips[:20])
        low, high = binomtest(alarms, 20).proportion_ci(0.95, "exact")
        assert cell.strip() == f"{5 * alarms:.1f} [{100 * low:.1f}–{100 * high:.1f}]"
    assert [float(cell) for cell in rows[1][4:]] == [100.0] * len(ALPHAS)


def test_a_row_has_the_alarms_of_a_run_an_id_and_a_label():
    clips = [Decided("a", 0, 0, 1, "id_00", label, p) for label in (0, 1) for p in (0.015, 0.1, 1)]
    head, *rows = counts(clips)
    assert head[-6:] == ("clips", *(f"alarms_{alpha:g}" for alpha in ALPHAS))
    assert rows == [("a", 0, 0, 1, "id_00", label, 3, 0, 1, 1, 2, 2) for label in (0, 1)]


@pytest.mark.slow
def test_the_command_measures_every_test_clip(development_set, tmp_path):
    options = ("--configs=smoke", "--held_out=0", "--folds=0", "--seeds=0")
    result = experiment("decision", f"--data={development_set}", *options, f"--workdir={tmp_path}")
    assert result.status == 0, result.stderr
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    tested = [path for path in (tmp_path / "folds/fold0/slider/test").iterdir()]
    assert sum(int(row["clips"]) for row in rows) == len(tested)
    for row in rows:
        alarms = [int(row[f"alarms_{alpha:g}"]) for alpha in ALPHAS]
        assert alarms == sorted(alarms)
        assert alarms[-1] <= int(row["clips"])
    refused = experiment("decision", f"--data={development_set}", "--configs=none")
    assert refused.status == 2
    assert "there is no configs/none.py" in refused.stderr
