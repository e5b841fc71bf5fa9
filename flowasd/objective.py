"""What training minimises, chosen by `config.train.objective.name`.

Every objective begins with a patch's NLL under its own machine ID; all but `nll` add to it what
sets that ID against the others. All is in nats per dimension.
"""

import math
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from flowasd.flow.glow import Glow
from flowasd.typing import Config

PerPatch = Float[Array, " batch"]
PerMachine = Float[Array, "batch machine"]
Patches = Float[Array, "batch time mel 1"]
Machine = Int[Array, " batch"]


def nll(model: Glow, x: Patches, machine: Machine) -> PerPatch:
    """Negative log-likelihood of each patch under its own machine ID, in nats per dimension."""
    return -model.log_prob(x, machine) / math.prod(x.shape[1:])


def machine_nll(model: Glow, x: Patches) -> PerMachine:
    """Negative log-likelihood of each patch under every machine ID, in nats per dimension."""
    return -model.log_prob_machines(x).sum(1) / math.prod(x.shape[1:])


def contrast(nlls: PerMachine, machine: Machine, config: Config) -> PerPatch:
    """Cross-entropy of the flow as a classifier of machine IDs.

    After Ardizzone et al., "Training Normalizing Flows with the Information Bottleneck for
    Competitive Generative Classification", 2020, equation 12 (and Mackowiak et al., 2021): the
    posterior over IDs is the softmax of their log-likelihoods, here divided by a temperature. The
    cross-entropy is multiplied by it in turn, so that its pull on a log-likelihood is never more
    than that of the NLL itself, however far apart the IDs are.
    """
    logits = -nlls / config.temperature
    return config.temperature * optax.softmax_cross_entropy_with_integer_labels(logits, machine)


def outlier(nlls: PerMachine, machine: Machine, config: Config) -> PerPatch:
    """How far the NLL under the other IDs falls short of a bound, on average over them.

    After Dohi et al., "Flow-based Self-supervised Density Estimation for Anomalous Sound
    Detection", 2021, section 3: clips of other IDs are outliers whose likelihood is pushed down
    to a threshold. Here it lies `margin` above the patch's NLL under its own ID.
    """
    short = jax.nn.relu(own(nlls, machine)[:, None] + config.margin - nlls)
    others = short.sum(1) - config.margin  # its own ID is always short by the whole margin
    return others / max(nlls.shape[1] - 1, 1)


CONTRASTS: Mapping[str, Callable[[PerMachine, Machine, Config], PerPatch]] = {
    "contrast": contrast,
    "outlier": outlier,
}
OBJECTIVES = ("nll", *CONTRASTS)


def objective(
    model: Glow, x: Patches, machine: Machine, *, config: Config, step: Int[Array, ""]
) -> tuple[PerPatch, PerPatch]:
    """The loss of every patch by the chosen objective, and the NLL in it.

    Args:
        model: The flow.
        x: Patches.
        machine: Machine index of each patch.
        config: The `train.objective` part of a run's config: `name`; for all but `nll` also
            `weight`, `warmup_steps` over which the weight rises from 0, and each one's own keys.
        step: Updates done.
    """
    if config.name == "nll":
        own_nll = nll(model, x, machine)
        return own_nll, own_nll
    nlls = machine_nll(model, x)
    own_nll = own(nlls, machine)
    weight = config.weight * jnp.minimum(step / max(config.warmup_steps, 1), 1.0)
    return own_nll + weight * CONTRASTS[config.name](nlls, machine, config), own_nll


def own(nlls: PerMachine, machine: Machine) -> PerPatch:
    """The NLL of each patch under its own ID."""
    return jnp.take_along_axis(nlls, machine[:, None], 1)[:, 0]
