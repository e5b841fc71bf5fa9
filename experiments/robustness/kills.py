"""Kills training at random moments, goes on, and compares with a run that nothing has disturbed.

python -m experiments.robustness.kills [--count=50] [--signal=KILL]

Every time, a run of configs/smoke.py on SIMULATED recordings is killed once and then goes on to its
end. What counts as the same is every bit of parameters, optimiser and calibration, every row of the
metrics but for the seconds, and every score.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from experiments.runs import command
from flowasd.errors import UserError
from flowasd.run.checkpoint import Checkpoints
from flowasd.run.metric_log import read_metrics

COUNT = flags.DEFINE_integer("count", 50, "Runs that are killed once each.", lower_bound=1)
SIGNAL = flags.DEFINE_enum("signal", "KILL", ["KILL", "TERM", "INT"], "What they are killed by.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the moments.")
TRAIN = ("-m", "flowasd.main", "--config=configs/smoke.py", "--config.train.log_every=1")


def train(workdir: Path, seconds: float | None = None, by: int = signal.SIGKILL) -> int:
    """Trains a run, or goes on with it; returns the status, negative for a signal.

    Args:
        workdir: Folder of the run.
        seconds: When it gets a signal; never without.
        by: The signal.
    """
    line = [sys.executable, *TRAIN, f"--workdir={workdir}"]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, by)
        process.communicate()
    return process.returncode


def remains(workdir: Path) -> dict[str, Any]:
    """What a run has left that must not depend on how often it was cut off."""
    with closing(Checkpoints(workdir)) as checkpoints:
        digests = {step: checkpoints.card(step)["digests"] for step in checkpoints.steps}
    with np.load(workdir / "calibration.npz") as calibration:
        arrays = {name: calibration[name].tobytes() for name in calibration}
    rows = [{**row, "seconds": 0} for row in read_metrics(workdir)]
    results = {path.name: path.read_bytes() for path in (workdir / "results").glob("*.csv")}
    return {"checkpoints": digests, "metrics": rows, "calibration": arrays, "results": results}


def phase_of(workdir: Path) -> str:
    """How far a run had got."""
    phases = ("results/summary.json", "results/assess.csv", "calibration.npz", "metrics.jsonl")
    return next((name for name in phases if (workdir / name).exists()), "before the first step")


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        top, rng = Path(folder), np.random.default_rng(SEED.value)
        train(top / "warm")  # the second run finds what is compiled
        start = time.perf_counter()
        if train(top / "whole"):
            raise UserError("the undisturbed run fails; run its command to see why")
        lasts = time.perf_counter() - start
        expected, different, phases = remains(top / "whole"), 0, dict[str, int]()
        for i, moment in enumerate(rng.uniform(0, lasts, COUNT.value)):
            workdir = top / str(i)
            status = train(workdir, moment, getattr(signal, f"SIG{SIGNAL.value}"))
            at = f"{phase_of(workdir)}, status {status}"
            phases[at] = phases.get(at, 0) + 1
            ended = train(workdir)
            same = ended == 0 and remains(workdir) == expected
            different += not same
            if not same:
                print(f"run {i}: signal after {moment:.2f} s ({at}), then status {ended}: differs")
    for at, count in sorted(phases.items()):
        print(f"{count:4} ended by SIG{SIGNAL.value} after it had written: {at}")
    print(
        f"{COUNT.value} SIMULATED runs, {different} of which ended otherwise than without a signal"
    )
    return 1 if different else 0


if __name__ == "__main__":
    command(main)
