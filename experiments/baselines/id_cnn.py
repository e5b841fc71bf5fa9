"""No density: a small CNN that tells the machine IDs apart, and doubts the own ID of an anomaly."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from experiments.baselines.clips import Clips
from experiments.baselines.training import fit
from experiments.baselines.windows import Windows, draw, every_window, windows_of

LENGTH = 128  # frames of an input
HOP = 32  # frames between the windows that are scored
LAYERS = ((4, 4, 32), (3, 2, 64), (3, 2, 128), (3, 2, 128))  # kernel, stride, channels
EMBED = 128
SCALE = 16.0  # of the cosines, and so the inverse temperature of the softmax
MARGIN = 0.2
STEPS = 1000
BATCH = 64
LEARNING_RATE = 1e-3


def scores(train: Clips, test: Clips, *, seed: int) -> dict[str, Float[np.ndarray, " clip"]]:
    """-log p(own ID), averaged over the windows of a clip."""
    windows = every_window(train, LENGTH)
    machines = int(train.machine.max()) + 1
    net = IDNet(windows.frames.shape[1], machines, rngs=nnx.Rngs(seed))
    net = fit(net, _loss, windows, steps=STEPS, learning_rate=LEARNING_RATE, seed=seed)
    net.eval()
    surprise = nnx.jit(_surprise)
    clips = zip(test.log_mels, test.machine, strict=True)
    means = [surprise(net, windows_of(c, LENGTH, HOP), m).mean() for c, m in clips]
    return {"mean": np.array(means, np.float64)}


class IDNet(nnx.Module):
    """Strided convolutions over time and mel, a mean over time, cosines.

    Convolutions are matrix products of gathered taps, because XLA's own are slow on CPUs.
    """

    def __init__(self, n_mels: int, machines: int, *, rngs: nnx.Rngs):
        self.convolutions, self.norms = nnx.List(), nnx.List()
        inputs, rows = 1, n_mels
        for kernel, stride, channels in LAYERS:
            convolution = nnx.Linear(kernel**2 * inputs, channels, use_bias=False, rngs=rngs)
            self.convolutions.append(convolution)
            self.norms.append(nnx.BatchNorm(channels, rngs=rngs))
            inputs, rows = channels, -(-rows // stride)
        self.embed = nnx.Linear(rows * inputs, EMBED, rngs=rngs)
        self.centres = nnx.Param(jax.random.normal(rngs.params(), (EMBED, machines)))

    def __call__(self, x: Float[Array, "batch time mel"]) -> Float[Array, "batch machine"]:
        """Cosine between the embedding of a window and the centre of every ID."""
        y = x[..., None]
        for size, convolution, norm in zip(LAYERS, self.convolutions, self.norms, strict=True):
            kernel, stride, _ = size
            y = jax.nn.relu(norm(convolution(taps(y, kernel, stride))))
        embedding = self.embed(y.mean(1).reshape(len(y), -1))
        return unit(embedding, 1) @ unit(self.centres[...], 0)


def taps(
    x: Float[Array, "batch time mel channel"], kernel: int, stride: int
) -> Float[Array, "batch out_time out_mel tap"]:
    """What every place of a strided convolution sees of `x`, with zeros beyond its edges."""
    margin = (kernel - stride, kernel)
    padded = jnp.pad(x, [(0, 0), margin, margin, (0, 0)])
    _, time, mel, _ = x.shape
    offsets = [(i, j) for i in range(kernel) for j in range(kernel)]
    seen = [padded[:, i : i + time : stride, j : j + mel : stride] for i, j in offsets]
    return jnp.concatenate(seen, -1)


def unit(x: Float[Array, "*shape"], axis: int) -> Float[Array, "*shape"]:
    """`x` with length 1 along an axis."""
    return x * jax.lax.rsqrt(jnp.square(x).sum(axis, keepdims=True) + 1e-12)


def minus_log_p(
    logits: Float[Array, "batch machine"], machine: int | Array
) -> Float[Array, " batch"]:
    """-log softmax at `machine`, exact also where p rounds to 1."""
    others = jnp.where(jnp.arange(logits.shape[1]) == machine, -jnp.inf, logits)
    return jax.nn.softplus(jax.nn.logsumexp(others, 1) - logits[:, machine])


def _surprise(net: IDNet, x: Float[Array, "window length mel"], machine: Array):
    return minus_log_p(SCALE * net(x), machine)


def _loss(net: IDNet, windows: Windows, key: PRNGKeyArray) -> Float[Array, ""]:
    """Softmax with additive margin (Wang et al., 2018), on mixed pairs (Zhang et al., 2018)."""
    draw_key, mix_key = jax.random.split(key)
    x, machine = draw(windows, draw_key, BATCH, LENGTH)
    target = jax.nn.one_hot(machine, net.centres.shape[1])
    share = jax.random.uniform(mix_key, (BATCH, 1))
    target = share * target + (1 - share) * jnp.roll(target, 1, 0)
    x = share[..., None] * x + (1 - share[..., None]) * jnp.roll(x, 1, 0)
    logits = SCALE * (net(x) - MARGIN * target)
    return optax.softmax_cross_entropy(logits, target).mean()
