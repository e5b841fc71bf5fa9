"""Trains a flow on pooled frames, and measures it beside the Gaussian that it starts as."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from experiments.clips.pooled import Pooled
from flowasd.config import RunConfig
from flowasd.evaluation.metrics import average, per_machine
from flowasd.features.frontend import STD_FLOOR, Standardisation, fit_standardisation, standardise
from flowasd.flow.glow import Glow
from flowasd.scoring.frame_nll import frame_nll
from flowasd.training.bank import frame_bank
from flowasd.training.gaussian import fit_gaussian
from flowasd.training.loop import Data, run_steps
from flowasd.training.parallel import data_mesh
from flowasd.training.step import initial_state


class Learnt(NamedTuple):
    """A flow after some updates, and its NLL on validation clips in nats per dimension."""

    step: int
    validation_nll: float
    flow: Glow
    statistics: Standardisation


class Measured(NamedTuple):
    """NLL of normal test clips in nats per dimension, and the mean AUC and pAUC over the IDs."""

    nll: float
    auc: float
    pauc: float


def learn(config: RunConfig, train: Pooled, validation: Pooled) -> tuple[Learnt, Learnt]:
    """Trains as a run does; returns the start and the step that a run would keep.

    Args:
        config: The config of the run, whose patches are of one frame.
        train: Normal clips to train on; every machine ID has one.
        validation: Normal clips that choose the step.
    """
    statistics, mesh = fit_standardisation(train.x[:, None]), data_mesh()
    z, ones = standardise(train.x, statistics), np.ones(len(train.x), np.int64)
    start = fit_gaussian(z[:, None], ones, train.machine, (STD_FLOOR / statistics.std) ** 2)
    config = config.for_clips(len(train.x))
    graph, state = initial_state(config, start, mesh)
    known, held_out = (
        frame_bank(standardise(own.x, statistics), own.machine, mesh, config.train.batch_size)
        for own in (train, validation)
    )
    data = Data(known, held_out)
    validated = []
    for reached, row in run_steps(config.train, graph, state, data, mesh):
        if "validation_nll" in row:
            weights = jax.tree.map(jnp.copy, (reached.params, reached.constants))
            validated.append((row, weights))
    best = max(validated, key=lambda one: one[0]["validation_gain"])
    first, kept = (
        Learnt(int(row["step"]), row["validation_nll"], nnx.merge(graph, *weights), statistics)
        for row, weights in (validated[0], best)
    )
    return first, kept


def measure(learnt: Learnt, test: Pooled) -> Measured:
    """Scores test clips under their own IDs by the rule `mean`."""
    clips = list(standardise(test.x, learnt.statistics)[:, None])
    nlls = frame_nll(learnt.flow, clips, length=1, hop=1, batch_size=256)
    own = np.stack(nlls)[np.arange(len(clips)), 0, test.machine]
    labels = [clip.label for clip in test.clips]
    areas = average(per_machine([clip.machine_id for clip in test.clips], labels, own))
    return Measured(float(own[np.array(labels) == 0].mean()), areas.auc, areas.pauc)
