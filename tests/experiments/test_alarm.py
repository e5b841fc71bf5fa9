"""The study of alarms, on the recordings of the smoke run."""

import numpy as np
import pytest

from experiments.alarm.recorded import AFTER, Delay, Scored, delays
from experiments.alarm.simulated import NEVER
from experiments.alarm.tables import summary
from tests.experiments.conftest import experiment
from tests.experiments.test_commands import rows_of


def test_delays_of_a_machine_that_becomes_loud_and_of_one_that_does_not():
    rng = np.random.default_rng(0)
    normal, loud, same = rng.normal(size=80), rng.normal(9, size=30), rng.normal(size=30)
    found = delays(Scored(normal[:60], normal[60:], loud), 100, 20, seed=0)
    assert all(1 <= delay.clips <= 5 for delay in found)
    assert {delay.normal_clips for delay in found} == {20}
    never = delays(Scored(normal[:60], normal[60:], same), 10_000, 20, seed=0)
    assert [delay.clips for delay in never].count(NEVER) >= 18


def test_a_stream_without_an_alarm_counts_as_the_latest():
    found = [Delay(1, 0, 20), Delay(3, 1, 20), Delay(NEVER, 0, 20), Delay(2, 0, 20)]
    assert summary(found) == (3, np.inf, 0.25, 1 / 80)


def test_without_data_it_simulates_the_false_alarms(tmp_path):
    arguments = ("--streams=20", "--clips=30", "--normal=5", "--every=2", f"--workdir={tmp_path}")
    result = experiment("alarm", *arguments)
    assert result.status == 0, result.stderr
    rows = rows_of(tmp_path / "simulated.csv")
    assert [row["reference"] for row in rows] == ["online", "kept", "fixed"]
    assert float(rows[0]["alarms"]) <= float(rows[0]["alarms_bound"]) == 15
    assert (tmp_path / "tables.md").read_text() in result.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("unreported")
def test_the_delays_are_of_every_machine_and_run(development_set, tmp_path):
    arguments = ("--configs=smoke", "--folds=0", "--seeds=0", "--every=5", "--orders=3")
    few = ("--streams=10", "--clips=10", "--normal=5", f"--workdir={tmp_path}")
    result = experiment("alarm", f"--data={development_set}", *arguments, *few)
    assert result.status == 0, result.stderr
    rows = rows_of(tmp_path / "results.csv")
    assert len(rows) == 2 * len({row["machine_id"] for row in rows}) > 0
    for one, together in zip(rows[::2], rows[1::2], strict=True):
        assert one | {"fold": "all", "seed": "all"} == together
        assert 1 <= float(one["median"]) <= AFTER or float(one["never"]) > 0
    assert f"no alarm within {AFTER} clips" in result.stdout


def test_a_config_that_is_not_there_is_one_line_and_status_2(tmp_path):
    result = experiment("alarm", "--data=nowhere", "--configs=sldier", f"--workdir={tmp_path}")
    assert result.status == 2
    assert result.stderr == "experiments: --configs: there is no configs/sldier.py\n"
