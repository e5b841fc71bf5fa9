"""The objectives: what training minimises, in one registry.

Every objective contains a patch's NLL under its own machine ID. All except `nll` add a term that
sets this ID against the others. To add an objective, write a function like `contrast` and add a
line to `OBJECTIVES`. All values are in nats per dimension.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from flowasd.flow.glow import Glow
from flowasd.settings import key

PerPatch = Float[Array, " batch"]
PerMachine = Float[Array, "batch machine"]
Patches = Float[Array, "batch time band 1"]
Machine = Int[Array, " batch"]
# What an objective adds to the NLL of a patch, from its NLLs under all IDs; `None`: nothing.
Term = Callable[[PerMachine, Machine, Any], PerPatch] | None

OBJECTIVES: dict[str, Term] = {}


@dataclass(frozen=True)
class ObjectiveConfig:
    """What training minimises."""

    name: str = key("nll", "objective; `nll` is the NLL alone", choices=OBJECTIVES)
    weight: float = key(1.0, "weight of the term that is added to the NLL", minimum=0)
    ramp_steps: int = key(60, "steps over which that weight rises from 0", minimum=0)
    temperature: float = key(0.05, "temperature of `contrast`", unit="nats per dimension", above=0)
    margin: float = key(0.1, "margin of `outlier`", unit="nats per dimension", minimum=0)


def nll(model: Glow, x: Patches, machine: Machine) -> PerPatch:
    """Returns the NLL of each patch under its own machine ID, in nats per dimension."""
    return -model.log_prob(x, machine) / math.prod(x.shape[1:])


def machine_nll(model: Glow, x: Patches) -> PerMachine:
    """Returns the NLL of each patch under every machine ID, in nats per dimension."""
    return -model.log_prob_machines(x).sum(1) / math.prod(x.shape[1:])


def contrast(nlls: PerMachine, machine: Machine, config: ObjectiveConfig) -> PerPatch:
    """Cross-entropy of the flow as a classifier of machine IDs.

    After Ardizzone et al., "Training Normalizing Flows with the Information Bottleneck for
    Competitive Generative Classification", 2020, equation 12 (and Mackowiak et al., 2021): the
    posterior over IDs is the softmax of their log-likelihoods, here divided by a temperature. The
    cross-entropy is multiplied by the temperature in turn. Its gradient with respect to a
    log-likelihood is then never larger than that of the NLL, however far apart the IDs are.
    """
    logits = -nlls / config.temperature
    return config.temperature * optax.softmax_cross_entropy_with_integer_labels(logits, machine)


def outlier(nlls: PerMachine, machine: Machine, config: ObjectiveConfig) -> PerPatch:
    """How far the NLL under the other IDs falls short of a bound, on average over these IDs.

    After Dohi et al., "Flow-based Self-supervised Density Estimation for Anomalous Sound
    Detection", 2021, section 3: clips of other IDs are outliers whose likelihood is pushed down
    to a threshold. Here the threshold lies `margin` above the patch's NLL under its own ID.
    """
    short = jax.nn.relu(own(nlls, machine)[:, None] + config.margin - nlls)
    others = short.sum(1) - config.margin  # its own ID is always short by the whole margin
    return others / max(nlls.shape[1] - 1, 1)


OBJECTIVES["nll"] = None
OBJECTIVES["contrast"] = contrast
OBJECTIVES["outlier"] = outlier


def objective(
    model: Glow, x: Patches, machine: Machine, *, config: ObjectiveConfig, step: Int[Array, ""]
) -> tuple[PerPatch, PerPatch]:
    """Returns the loss of every patch by the configured objective, and the NLL in it.

    Args:
        model: The flow.
        x: Patches.
        machine: Machine index of each patch.
        config: The `train.objective` part of a run's config.
        step: Updates done.
    """
    term = OBJECTIVES[config.name]
    if term is None:  # the NLLs under the other IDs are not needed
        own_nll = nll(model, x, machine)
        return own_nll, own_nll
    nlls = machine_nll(model, x)
    own_nll = own(nlls, machine)
    weight = config.weight * jnp.minimum(step / max(config.ramp_steps, 1), 1.0)
    return own_nll + weight * term(nlls, machine, config), own_nll


def own(nlls: PerMachine, machine: Machine) -> PerPatch:
    """Returns the NLL of each patch under its own ID."""
    return jnp.take_along_axis(nlls, machine[:, None], 1)[:, 0]
