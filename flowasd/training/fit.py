"""Training in a workdir: on from a checkpoint, back to one, and to an end when a signal asks."""

import math
import sys
from collections.abc import Iterable, Mapping
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh
from tqdm import tqdm

from flowasd.config import RunConfig
from flowasd.errors import UserError
from flowasd.flow.glow import Glow
from flowasd.run.checkpoint import Checkpoints
from flowasd.run.metric_log import MetricLog, Row, read_metrics
from flowasd.run.records import Damaged
from flowasd.run.workdir import check_there
from flowasd.training import parallel
from flowasd.training.divergence import describe_divergence
from flowasd.training.gaussian import Gaussian
from flowasd.training.interruption import interruptible
from flowasd.training.loop import Data, run_steps
from flowasd.training.step import TrainState, initial_state
from flowasd.training.updates import Diverged

# What each item of a checkpoint takes from the state: scoring reads `model` alone.
ITEMS = {"model": ("params", "constants"), "trainer": ("step", "opt_state", "key", "rollbacks")}
ROLLBACKS = 3  # to the last checkpoint, each of which halves the learning rate


def fit(
    config: RunConfig,
    workdir: Path,
    start: Gaussian,
    data: Data,
    card: Mapping[str, Any],
    mesh: Mesh,
) -> None:
    """Trains to the end, from the last checkpoint in `workdir` if there is one.

    Every validation is followed by a checkpoint, so that a run that is cut off and started again
    ends with the same bits as one that was not. If training diverges, it goes back to the last
    checkpoint, and on with half the learning rate.

    Args:
        config: The config of the run, `for_clips`.
        workdir: Folder that takes checkpoints and metrics.
        start: The Gaussian that the flow starts as.
        data: Clips to train and to validate on.
        card: What a checkpoint says of itself.
        mesh: The devices.

    Raises:
        UserError: If training diverges again after three times, or the workdir vanishes.
        KeyboardInterrupt: On Ctrl-C, when the step that was reached is saved.
        SystemExit: On SIGTERM, likewise.
    """
    rollbacks, done = 0, False
    while not done:
        graph, state = initial_state(config, start, mesh)
        with closing(Checkpoints(workdir, create=True)) as checkpoints:
            restored = restore_state(checkpoints, state)
            if restored is not None:
                restored = restored._replace(rollbacks=jnp.maximum(restored.rollbacks, rollbacks))
            nlls = [] if restored is None else _validated(workdir, int(restored.step))
            steps = run_steps(config.train, graph, state, data, mesh, restored, nlls)
            try:
                _write(steps, workdir, checkpoints, card)
                done = True
            except Diverged as diverged:
                rollbacks = int(diverged.state.rollbacks) + 1
                _roll_back(rollbacks, diverged, graph, data)


def _validated(workdir: Path, step: int) -> list[float]:
    """The held-out NLL of every validation up to a step."""
    rows = (row for row in read_metrics(workdir) if row["step"] <= step)
    return [row["validation_nll"] for row in rows if "validation_nll" in row]


def _write(
    steps: Iterable[tuple[TrainState, Row]],
    workdir: Path,
    checkpoints: Checkpoints,
    card: Mapping[str, Any],
) -> None:
    """Writes metrics, and a checkpoint after every validation and when a signal has come."""
    log = MetricLog(workdir, checkpoints.latest) if parallel.is_first() else None
    with closing(log) if log else nullcontext(), interruptible() as noted:
        for reached, row in steps:
            if log:
                check_there(workdir)  # orbax would make the folder again
                log.write(row)
            if "validation_gain" in row or noted.asked:
                fields = reached._asdict()
                items = {item: {n: fields[n] for n in names} for item, names in ITEMS.items()}
                gain = row.get("validation_gain", -math.inf)  # such a step is never the best
                checkpoints.save(int(reached.step), **items, card=card, gain=gain)
            if noted.asked:
                noted.leave()


def _roll_back(rollbacks: int, diverged: Diverged, graph: nnx.GraphDef[Glow], data: Data) -> None:
    """Says that training goes back to the last checkpoint, unless it has done so too often."""
    if rollbacks > ROLLBACKS:
        why = ""
        if data.names and jax.process_count() == 1:
            why = "; " + describe_divergence(diverged, graph, data.train, data.names)
        raise UserError(f"{diverged}{why}") from diverged
    if parallel.is_first():
        tqdm.write(
            f"flowasd: training diverged before step {diverged.step}; it goes back to the last "
            f"checkpoint, with half the learning rate ({rollbacks} of {ROLLBACKS})",
            sys.stderr,
        )


def restore_state(checkpoints: Checkpoints, state: TrainState) -> TrainState | None:
    """The state of the last intact checkpoint, if there is one; `state` gives the shapes.

    All checkpoints are read, and a damaged one is removed, with a warning.
    """
    restored = None
    for step in checkpoints.steps:
        fields = state._asdict()
        try:
            for item, names in ITEMS.items():
                fields |= checkpoints.restore(step, item, {name: fields[name] for name in names})
        except Damaged as error:
            if parallel.is_first():
                tqdm.write(f"flowasd: {str(error).split(';')[0]}; it is removed", sys.stderr)
            checkpoints.remove(step)
        else:
            restored = TrainState(**fields)
    return restored
