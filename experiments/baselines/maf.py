"""Masked autoregressive flow (Papamakarios et al., 2017), one for all machine IDs.

Haunschmid & Praher (2020) brought it to DCASE 2020 Task 2. Here it sees four frames at a time,
is conditioned on the machine ID, and is trained with the noise that our own flow is trained with.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from experiments.baselines.clips import Clips, by_rules
from experiments.baselines.training import fit
from experiments.baselines.windows import Windows, draw, every_window, windows_of

LENGTH = 4  # frames of an input
HOP = 2  # frames between the windows that are scored
BLOCKS = 5
WIDTH = 512
LOG_SCALE_BOUND = 2.0
NOISE = 0.1  # standard deviation
STEPS = 1000
BATCH = 256
LEARNING_RATE = 1e-3


def scores(train: Clips, test: Clips, *, seed: int) -> dict[str, Float[np.ndarray, " clip"]]:
    """The flow's rules on the NLL of every window in nats per dimension."""
    windows = every_window(train, LENGTH)
    flow = MAF(
        LENGTH * windows.frames.shape[1],
        blocks=BLOCKS,
        width=WIDTH,
        machines=int(train.machine.max()) + 1,
        rngs=nnx.Rngs(seed),
    )
    flow = fit(flow, _loss, windows, steps=STEPS, learning_rate=LEARNING_RATE, seed=seed)
    nll = nnx.jit(nll_per_dimension)
    nlls = []
    for clip, machine in zip(test.log_mels, test.machine, strict=True):
        x = windows_of(clip, LENGTH, HOP)
        nlls.append(np.asarray(nll(flow, x, jnp.full(len(x), machine))))
    return by_rules(nlls)


class MADE(nnx.Module):
    """One autoregressive block: shift and log-scale of every input from the inputs before it.

    The masks are those of Germain et al. (2015) with two hidden layers. The last layer starts
    at 0, so that the block starts as the identity.
    """

    def __init__(self, inputs: int, width: int, machines: int, *, backwards: bool, rngs: nnx.Rngs):
        self.backwards = backwards
        he = nnx.initializers.he_normal()
        self.first = nnx.Param(he(rngs.params(), (inputs, width)))
        self.second = nnx.Param(he(rngs.params(), (width, width)))
        self.last = nnx.Param(jnp.zeros((width, 2 * inputs)))
        self.first_bias = nnx.Param(jnp.zeros((machines, width)))
        self.second_bias = nnx.Param(jnp.zeros(width))
        self.last_bias = nnx.Param(jnp.zeros((machines, 2 * inputs)))

    def __call__(
        self, x: Float[Array, "batch input"], machine: Int[Array, " batch"]
    ) -> tuple[Float[Array, "batch input"], Float[Array, " batch"]]:
        """Returns the block's output and the log-determinant of its Jacobian."""
        inputs, width = self.first.shape
        place = np.arange(inputs)[:: -1 if self.backwards else 1]
        unit = np.arange(width) % (inputs - 1)  # the last input that a hidden unit may see
        hidden = x @ (self.first[...] * (place[:, None] <= unit))
        hidden = jax.nn.relu(hidden + self.first_bias[...][machine])
        hidden = hidden @ (self.second[...] * (unit[:, None] <= unit))
        hidden = jax.nn.relu(hidden + self.second_bias[...])
        out = hidden @ (self.last[...] * (unit[:, None] < np.tile(place, 2)))
        shift, log_scale = jnp.split(out + self.last_bias[...][machine], 2, axis=1)
        log_scale = LOG_SCALE_BOUND * jnp.tanh(log_scale / LOG_SCALE_BOUND)
        return (x - shift) * jnp.exp(-log_scale), -log_scale.sum(1)


class MAF(nnx.Module):
    """Autoregressive blocks, every other one in the opposite order, and a standard normal base."""

    def __init__(self, inputs: int, *, blocks: int, width: int, machines: int, rngs: nnx.Rngs):
        self.blocks = nnx.List(
            [MADE(inputs, width, machines, backwards=i % 2 == 1, rngs=rngs) for i in range(blocks)]
        )

    def log_prob(
        self, x: Float[Array, "batch input"], machine: Int[Array, " batch"]
    ) -> Float[Array, " batch"]:
        """Log-density of every input in nats."""
        total = jnp.zeros(len(x))
        for block in self.blocks:
            x, log_det = block(x, machine)
            total += log_det
        return total + jax.scipy.stats.norm.logpdf(x).sum(1)


def nll_per_dimension(
    flow: MAF, x: Float[Array, "window length mel"], machine: Int[Array, " window"]
) -> Float[Array, " window"]:
    """NLL of every window in nats per dimension."""
    x = x.reshape(len(x), -1)
    return -flow.log_prob(x, machine) / x.shape[1]


def _loss(flow: MAF, windows: Windows, key: PRNGKeyArray) -> Float[Array, ""]:
    draw_key, noise_key = jax.random.split(key)
    x, machine = draw(windows, draw_key, BATCH, LENGTH)
    noise = NOISE * jax.random.normal(noise_key, x.shape)
    return nll_per_dimension(flow, x + noise, machine).mean()
