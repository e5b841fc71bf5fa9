"""What training minimises."""

import math

from jaxtyping import Array, Float, Int

from flowasd.flow.glow import Glow


def nll(
    model: Glow, x: Float[Array, "batch time mel 1"], machine: Int[Array, " batch"]
) -> Float[Array, " batch"]:
    """Negative log-likelihood of each patch under its own machine ID, in nats per dimension."""
    return -model.log_prob(x, machine) / math.prod(x.shape[1:])
