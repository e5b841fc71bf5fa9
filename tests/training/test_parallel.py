"""One program on many devices and processes: the losses of a single device, and what may fail."""

import os
import shutil
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from flowasd.run.metric_log import read_metrics
from flowasd.training import parallel, train
from tests.conftest import REPO, smoke_config

MAIN = ("-m", "flowasd.main")
# Dies at once after its first checkpoint, as if killed.
DYING = """
import os, signal
from flowasd.run.checkpoint import Checkpoints
from flowasd.main import run
save = Checkpoints.save
def save_and_die(self, *args, **kwargs):
    save(self, *args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
Checkpoints.save = save_and_die
run()
"""
# Trains in every folder that is named; then refuses a batch that the devices cannot share.
TRAINING = """
import sys
from pathlib import Path
import jax
from configs import smoke
from flowasd.config import parse
from flowasd.errors import UserError
from flowasd.training.train import train
assert jax.device_count() == 8
config = smoke.get_config()
for workdir in sys.argv[1:]:
    train(parse(config), Path(workdir))
config.train.batch_size = 12
try:
    train(parse(config), Path(workdir))
except UserError as error:
    print(error)
"""


def python(*args, devices=1):
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    env = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, *map(str, args)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=REPO, env=env, stdout=pipe, stderr=pipe, text=True)


def two_processes(workdir, programs=(MAIN, MAIN), flags=()):
    """Runs two processes of one run; returns the exit status, output and errors of each."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    running = [
        python(
            *program,
            "--config=configs/smoke.py",
            f"--workdir={workdir}",
            f"--config.parallel.coordinator=localhost:{port}",
            "--config.parallel.num_processes=2",
            f"--config.parallel.process_id={i}",
            *flags,
        )
        for i, program in enumerate(programs)
    ]
    texts = [process.communicate(timeout=300) for process in running]
    return [(process.returncode, *text) for process, text in zip(running, texts, strict=True)]


def last_line(text):
    return text.strip().splitlines()[-1]


def losses(workdir):
    """Every loss of a run by step and name; the gain is a difference of two of them."""
    others = ("seconds", "validation_gain")
    rows = read_metrics(workdir)
    return {(row["step"], key): row[key] for row in rows for key in row if key not in others}


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory):
    """The workdir of a run of two processes, the second of which was killed half way."""
    workdir = tmp_path_factory.mktemp("two") / "run"
    (status, _, errors), (killed, _, _) = two_processes(workdir, (MAIN, ("-c", DYING)))
    assert killed < 0
    assert status == 2
    assert "process 0 cannot go on with the others" in last_line(errors)
    assert "Traceback" not in errors
    assert max(step for step, _ in losses(workdir)) != smoke_config().train.steps
    return workdir


@pytest.fixture
def copy(cut_off, tmp_path):
    """A copy of that run, to be taken up again."""
    return shutil.copytree(cut_off, tmp_path / "copy")


@pytest.mark.slow
def test_two_processes_take_up_their_run_and_report_once(copy, run):
    """They go on from disk, where each reads its own rows of every batch."""
    flags = ["--config.data.bank_gb=0"]
    (status, output, errors), (other, silence, _) = two_processes(copy, flags=flags)
    assert (status, other) == (0, 0), errors
    assert losses(copy) == pytest.approx(losses(run), abs=1e-5)
    assert "Average" in output
    assert "Average" not in silence
    assert (copy / "report.html").exists()
    assert len(list(copy.glob("events.out.tfevents*"))) == 2  # one a start, of process 0 alone


@pytest.mark.slow
def test_one_device_takes_up_the_run_of_two_processes(copy, run):
    train.train(smoke_config(), copy)
    assert losses(copy) == pytest.approx(losses(run), abs=1e-5)


@pytest.mark.slow
def test_eight_devices_have_the_losses_of_one_and_take_up_the_run_of_two(copy, run, tmp_path):
    eight = python("-c", TRAINING, tmp_path / "whole", copy, devices=8)
    output, errors = eight.communicate(timeout=300)
    assert eight.returncode == 0, errors
    assert losses(tmp_path / "whole") == pytest.approx(losses(run), abs=1e-5)
    assert losses(copy) == pytest.approx(losses(run), abs=1e-5)
    assert "batch_size=12 is not a multiple of the number of devices, 8" in output


@pytest.mark.slow
def test_error_of_one_process_stops_all(tmp_path):
    flags = [f"--config.data.root={tmp_path / 'nowhere'}"]
    first, second = two_processes(tmp_path / "run", flags=flags)
    assert first[0] == 2
    assert second[0] != 0
    assert str(tmp_path / "nowhere") in last_line(first[2])
    assert "because process 0 did" in second[2]


def test_rows_are_split_with_padding_and_host_rows_joined():
    mesh = parallel.data_mesh()
    rows = np.arange(6.0).reshape(3, 2)
    split = parallel.split_rows(mesh, rows)
    assert len(split) % mesh.size == 0
    np.testing.assert_array_equal(split[:3], rows)
    batch = parallel.global_batch(mesh, {"x": rows[: mesh.size]})
    np.testing.assert_array_equal(batch["x"], rows[: mesh.size])
    assert batch["x"].sharding.is_equivalent_to(parallel.split(mesh), 2)


@pytest.mark.parametrize(
    ("error", "others"),
    [
        (jax.errors.JaxRuntimeError("UNKNOWN: Gloo all-reduce failed: Connection closed"), True),
        (ValueError("FAILED_PRECONDITION: Gloo all-reduce failed"), True),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes"), False),
        (ValueError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes"), False),
        (ValueError("Incompatible shapes for broadcasting: (2,) and (3,)"), False),
        (RuntimeError("Array has been deleted with shape=float32[2]."), False),
    ],
)
def test_a_bug_is_not_taken_for_a_lost_process(error, others):
    assert parallel.tells_of_others(error) == others


SLURM = {"SLURM_JOB_ID": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
STEP = {"SLURM_STEP_NODELIST": "n[0-1]"}
POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}


@pytest.mark.parametrize(
    ("env", "together"),
    [
        ({}, False),
        (SLURM | {"SLURM_NTASKS": "4"}, False),  # the batch script itself, outside of srun
        (SLURM | STEP | {"SLURM_NTASKS": "1"}, False),
        (SLURM | STEP | {"SLURM_NTASKS": "4"}, True),
        # An interactive step of a job that has more tasks.
        (SLURM | STEP | {"SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "1"}, False),
        ({"OMPI_COMM_WORLD_SIZE": "1"}, False),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, True),
        (POD, False),
        (POD | {"JOB_COMPLETION_INDEX": "0"}, True),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, False),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, True),
    ],
)
def test_only_a_launcher_of_several_processes_joins_them(env, together):
    assert parallel.launched_together(env) == together


def test_a_process_whose_others_do_not_come_says_so_and_ends():
    """In a process of its own, which JAX would end by an abort."""
    code = (
        "from flowasd.config import ParallelConfig; from flowasd.training import parallel\n"
        "parallel.SILENT, parallel.WAIT = 0.5, 2\n"
        "with parallel.processes(ParallelConfig()): pass"
    )
    env = os.environ | SLURM | {"SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "4"}
    line = [sys.executable, "-c", code]
    ended = subprocess.run(line, env=env, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    waits, gives_up = ended.stderr.splitlines()
    assert waits.startswith("flowasd: this process waits for the others")
    assert gives_up.startswith("flowasd: the other processes did not come")
