"""Training again on some of a run's clips, up to the step that the run has kept."""

import jax
import numpy as np
from flax import nnx
from jaxtyping import Int

from flowasd.config import RunConfig
from flowasd.features.cache import Features
from flowasd.features.frontend import Standardisation, fit_standardisation
from flowasd.flow.glow import Glow
from flowasd.training.bank import make_bank
from flowasd.training.gaussian import starting_gaussian
from flowasd.training.parallel import local_mesh
from flowasd.training.step import initial_state
from flowasd.training.updates import updates


def refit(
    config: RunConfig,
    features: Features,
    machine: Int[np.ndarray, " clip"],
    step: int,
    room: Features,
) -> tuple[Glow, Standardisation]:
    """Trains a flow on this process alone, with the random numbers of the run.

    Nothing chooses the step, so no validation clip has a say.

    Args:
        config: The config of the run, `for_clips`: those of the whole run.
        features: Clips to train on; every machine ID has one.
        machine: Machine index of every clip.
        step: The step at which training ends; 0 for the Gaussian that a flow starts as.
        room: The features of all clips of the run, whose compiled program serves some of them too.

    Returns:
        The flow, and the standardisation of its input.
    """
    statistics, mesh = fit_standardisation(features.clips()), local_mesh()
    graph, state = initial_state(config, starting_gaussian(features, machine, statistics), mesh)
    if step > 0:
        size = {"batch_size": config.train.batch_size, "length": config.train.patch_length}
        bank = make_bank(features, machine, statistics, mesh, **size, room=room)
        reached = updates(config.train, graph, state, bank, mesh)
        state = next(state for state, row in reached if row["step"] == step)
    # A restored flow is on one device; on the mesh it would be compiled for once more.
    arrays = jax.device_put(jax.device_get((state.params, state.constants)), jax.local_devices()[0])
    return nnx.merge(graph, *arrays), statistics
