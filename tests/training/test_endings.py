"""How a training ends before its last step: on a signal, on numbers that are not finite, twice."""

import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from filelock import FileLock
from orbax.checkpoint import CheckpointManager

from flowasd.errors import UserError
from flowasd.run import lock
from flowasd.run.checkpoint import Checkpoints
from flowasd.run.metric_log import MetricLog, read_metrics
from flowasd.training import train
from tests.conftest import smoke_config
from tests.training.test_train import saved_arrays

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("number", "ends"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)]
)
def test_a_signal_saves_the_step_and_the_run_goes_on_to_the_same_bits(
    number, ends, run, tmp_path, monkeypatch
):
    """The signal comes at step 5, between two validations."""
    config = smoke_config({"train.log_every": 5})
    write = MetricLog.write

    def write_and_signal(self, row):
        write(self, row)
        if row["step"] == 5:
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(MetricLog, "write", write_and_signal)
        with pytest.raises(ends) as ended:
            train.train(config, tmp_path)
    assert number == signal.SIGINT or ended.value.code == 143
    assert signal.getsignal(number) is not None
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest == 5
    assert checkpoints.best == 0
    checkpoints.close()
    train.train(config, tmp_path)
    assert [row["step"] for row in read_metrics(tmp_path)] == [0, 5, 10, 15, 20]
    for resumed, whole in zip(saved_arrays(tmp_path, 20), saved_arrays(run, 20), strict=True):
        np.testing.assert_array_equal(resumed, whole)


def test_divergence_rolls_back_three_times_and_names_recordings(tmp_path, capfd):
    with pytest.raises(UserError, match="training diverged before step") as caught:
        train.train(smoke_config({"train.learning_rate": 1e30}), tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(re.findall(r"/train/normal_id_0\d_\d+\.flac", message)) == 3
    assert re.search(r"the largest latent is (inf|[\d.e+]+)$", message)
    said = capfd.readouterr().err
    assert [f"({i} of 3)" in said for i in (1, 2, 3)] == [True] * 3
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest == 0
    checkpoints.close()


def test_a_workdir_that_vanishes_is_not_made_again(tmp_path, monkeypatch):
    workdir, write = tmp_path / "run", MetricLog.write

    def write_and_remove(self, row):
        write(self, row)
        if row["step"] == 5:
            shutil.rmtree(workdir)

    monkeypatch.setattr(MetricLog, "write", write_and_remove)
    with pytest.raises(UserError, match="the folder of this run has vanished"):
        train.train(smoke_config(), workdir)
    assert not (workdir / "checkpoints").exists()


def test_a_checkpoint_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    """On a full disk."""
    save = CheckpointManager.save

    def full(self, step, *args, **kwargs):
        if step == 10:
            raise ValueError("No space left on device\nmore")
        return save(self, step, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(CheckpointManager, "save", full)
        with pytest.raises(UserError, match=r"checkpoints/10 cannot be written .No space left"):
            train.train(smoke_config(), tmp_path)
    train.train(smoke_config(), tmp_path)
    assert [row["step"] for row in read_metrics(tmp_path)] == [0, 5, 10, 15, 20]


def test_a_second_training_in_one_workdir_is_refused(tmp_path):
    with FileLock(tmp_path / lock.NAME), pytest.raises(UserError, match="process is training here"):
        train.train(smoke_config(), tmp_path)
    assert not (tmp_path / "config.json").exists()


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path):
    code = (
        "import os, pathlib, sys; from flowasd.run.lock import sole_training\n"
        "with sole_training(pathlib.Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], timeout=60)
    assert ended.returncode == -9
    with lock.sole_training(tmp_path):
        pass
