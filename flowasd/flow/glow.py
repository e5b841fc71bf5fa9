"""Glow: levels of squeeze, flow steps and split, conditioned on the machine ID.

After Kingma & Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions", 2018, and Dinh
et al., "Density estimation using Real NVP", 2017.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from flowasd.flow.actnorm import ActNorm
from flowasd.flow.base import ConditionalGaussian
from flowasd.flow.coupling import ConditionalCoupling
from flowasd.flow.invertible_linear import InvertibleLinear
from flowasd.flow.squeeze import Squeeze
from flowasd.typing import Config


class LevelSpec(NamedTuple):
    """The shape of one level.

    Attributes:
        squeeze: Block `(time, mel)` that is moved into channels.
        steps: Number of flow steps.
        width: Hidden width of the coupling networks.
        kernel: Kernel `(time, mel)` of the coupling networks, odd.
        conditional: Whether the coupling networks see the machine ID. The levels before the first
            that does are the same for all IDs and run once, however many IDs are asked about.
        remat: Whether a step's activations are computed again for its gradient, not kept: less
            memory, and faster where they are large. Otherwise the loop over the steps is
            unrolled, so that they stay where they are.
        dtype: What the coupling networks compute in, such as `"bfloat16"`; none: as their input.
            What mixes channels or sums densities never leaves float32.
    """

    squeeze: tuple[int, int]
    steps: int
    width: int
    kernel: tuple[int, int]
    conditional: bool = True
    remat: bool = False
    dtype: str | None = None


class Step(nnx.Module):
    """One flow step: actnorm, invertible linear, conditional affine coupling (Glow, figure 2a)."""

    def __init__(self, spec: LevelSpec, *, mel: int, channels: int, embed: int, rngs: nnx.Rngs):
        self.actnorm = ActNorm(channels)
        self.linear = InvertibleLinear(channels, rngs)
        self.coupling = ConditionalCoupling(
            channels,
            mel=mel,
            width=spec.width,
            kernel=spec.kernel,
            embed=embed,
            dtype=spec.dtype,
            rngs=rngs,
        )

    def forward(
        self, x: Float[Array, "batch time mel channel"], condition: Float[Array, "batch embed"]
    ) -> tuple[Float[Array, "batch time mel channel"], Float[Array, "batch time"]]:
        """Returns `y` and the log-determinant of every frame."""
        x, by_actnorm = self.actnorm.forward(x, condition)
        x, by_linear = self.linear.forward(x, condition)
        x, by_coupling = self.coupling.forward(x, condition)
        return x, by_actnorm + by_linear + by_coupling

    def inverse(
        self, y: Float[Array, "batch time mel channel"], condition: Float[Array, "batch embed"]
    ) -> Float[Array, "batch time mel channel"]:
        """Returns the `x` that `forward` maps to `y`."""
        y = self.coupling.inverse(y, condition)
        y = self.linear.inverse(y, condition)
        return self.actnorm.inverse(y, condition)


class Level(nnx.Module):
    """Squeeze, then `spec.steps` flow steps whose parameters are stacked and scanned over."""

    def __init__(self, spec: LevelSpec, *, mel: int, channels: int, embed: int, rngs: nnx.Rngs):
        @nnx.split_rngs(splits=spec.steps)
        @nnx.vmap
        def stack(rngs: nnx.Rngs) -> Step:
            seen = embed if spec.conditional else 0
            return Step(spec, mel=mel, channels=channels, embed=seen, rngs=rngs)

        self.conditional = spec.conditional
        self.remat = spec.remat
        self.squeeze = Squeeze(*spec.squeeze)
        self.steps = stack(rngs)

    def seen(self, condition: Float[Array, "batch embed"]) -> Float[Array, "batch seen"]:
        """The part of the condition that the steps see: all or nothing."""
        return condition if self.conditional else jnp.zeros((len(condition), 0), condition.dtype)

    def forward(
        self, x: Float[Array, "batch time mel channel"], condition: Float[Array, "batch embed"]
    ) -> tuple[Float[Array, "batch time_out mel_out channel_out"], Float[Array, "batch time_out"]]:
        """Returns `y` and the log-determinant of every frame of `y`."""
        graph, stacked = nnx.split(self.steps)
        condition = self.seen(condition)

        def body(carry, state):
            y, log_det = carry
            y, by_step = nnx.merge(graph, state).forward(y, condition)
            return (y, log_det + by_step), None

        body = jax.checkpoint(body) if self.remat else body
        start = self.squeeze.forward(x, condition)
        carry, _ = jax.lax.scan(body, start, stacked, unroll=not self.remat)
        return carry

    def initialise(
        self, x: Float[Array, "batch time mel channel"], condition: Float[Array, "batch embed"]
    ) -> Float[Array, "batch time_out mel_out channel_out"]:
        """Sets every actnorm from the data that reaches it and returns what leaves the level."""
        graph, stacked = nnx.split(self.steps)
        condition = self.seen(condition)

        def body(y, state):
            step = nnx.merge(graph, state)
            step.actnorm.initialise(y)
            return step.forward(y, condition)[0], nnx.state(step)

        y, initialised = jax.lax.scan(body, self.squeeze.forward(x, condition)[0], stacked)
        nnx.update(self.steps, initialised)
        return y

    def inverse(
        self, y: Float[Array, "batch time mel channel"], condition: Float[Array, "batch embed"]
    ) -> Float[Array, "batch time_out mel_out channel_out"]:
        """Returns the `x` that `forward` maps to `y`."""
        graph, stacked = nnx.split(self.steps)
        condition = self.seen(condition)

        def body(x, state):
            return nnx.merge(graph, state).inverse(x, condition), None

        x, _ = jax.lax.scan(body, y, stacked, reverse=True)
        return self.squeeze.inverse(x, condition)


class Glow(nnx.Module):
    """A multi-scale conditional Glow over log-mel patches `(batch, time, mel, 1)`.

    Every level but the last hands half of its channels to its base density and passes the other
    half on. The condition is a machine's index, through a learned embedding.

    Args:
        levels: The levels, from the input inwards.
        n_mels: Number of mel bands of the input.
        n_machines: Number of machine IDs.
        embed: Size of the embedding of the machine ID.
        rngs: Source of the initial parameters.

    Raises:
        ValueError: If a squeeze does not divide the mel axis or leaves a single channel, which
            no coupling can halve.
    """

    def __init__(
        self,
        levels: Sequence[LevelSpec],
        *,
        n_mels: int,
        n_machines: int,
        embed: int,
        rngs: nnx.Rngs,
    ):
        self.embedding = nnx.Embed(n_machines, embed, rngs=rngs)
        self.frames_per_latent = 1
        mel, channels = n_mels, 1
        built, bases = [], []
        for spec in levels:
            if mel % spec.squeeze[1]:
                raise ValueError(f"squeeze {spec.squeeze} does not divide {mel} mel rows")
            mel, channels = mel // spec.squeeze[1], channels * spec.squeeze[0] * spec.squeeze[1]
            if channels < 2:
                raise ValueError(f"squeeze {spec.squeeze} leaves one channel, nothing to couple")
            self.frames_per_latent *= spec.squeeze[0]
            built.append(Level(spec, mel=mel, channels=channels, embed=embed, rngs=rngs))
            passed_on = channels // 2 if len(built) < len(levels) else 0
            bases.append(ConditionalGaussian(mel, channels - passed_on, embed))
            channels = passed_on
        self.levels = nnx.List(built)
        self.bases = nnx.List(bases)

    def forward(
        self, x: Float[Array, "batch time mel 1"], machine: Int[Array, " batch"]
    ) -> tuple[list[Float[Array, "batch _ _ _"]], Float[Array, "batch time"]]:
        """Maps patches to latents.

        Args:
            x: Patches; `time` must be a multiple of `frames_per_latent`.
            machine: Index of each patch's machine ID.

        Returns:
            The latents of every level, and the log-density of every frame in nats. Where a latent
            covers several frames, its log-density is shared equally among them.
        """
        condition = self.embedding(machine)
        latents, log_prob = [], jnp.zeros(x.shape[:2], x.dtype)
        for i, (level, base) in enumerate(zip(self.levels, self.bases, strict=True)):
            x, nats = level.forward(x, condition)
            z = x
            if i + 1 < len(self.levels):
                x, z = jnp.split(x, [x.shape[-1] // 2], axis=-1)
            nats = nats + base.log_prob(z, condition)
            frames = log_prob.shape[1] // nats.shape[1]
            log_prob = log_prob + jnp.repeat(nats / frames, frames, axis=1)
            latents.append(z)
        return latents, log_prob

    def inverse(
        self, latents: Sequence[Float[Array, "batch _ _ _"]], machine: Int[Array, " batch"]
    ) -> Float[Array, "batch time mel 1"]:
        """Maps the latents of `forward` back to patches."""
        condition = self.embedding(machine)
        x = None
        for level, z in zip(reversed(self.levels), reversed(latents), strict=True):
            x = level.inverse(z if x is None else jnp.concatenate([x, z], -1), condition)
        if x is None:
            raise ValueError("a flow without levels has no inverse")
        return x

    def sample(
        self, key: PRNGKeyArray, machine: Int[Array, " batch"], time: int
    ) -> Float[Array, "batch time mel 1"]:
        """Draws a patch of `time` frames for every machine index."""
        condition = self.embedding(machine)
        keys = jax.random.split(key, len(self.bases))
        latents = []
        for key, level, base in zip(keys, self.levels, self.bases, strict=True):
            time = time // level.squeeze.time
            latents.append(base.sample(key, time, condition))
        return self.inverse(latents, machine)

    def log_prob_frames(
        self, x: Float[Array, "batch time mel 1"], machine: Int[Array, " batch"]
    ) -> Float[Array, "batch time"]:
        """Log-density of every frame in nats; their sum over time is `log_prob`."""
        return self.forward(x, machine)[1]

    def log_prob_machines(
        self, x: Float[Array, "batch time mel 1"]
    ) -> Float[Array, "batch time machine"]:
        """`log_prob_frames` under every machine ID; what does not depend on the ID runs once."""

        def under(machine: Int[Array, ""]) -> Float[Array, "batch time"]:
            return self.log_prob_frames(x, jnp.full(len(x), machine))

        return jax.vmap(under, out_axes=-1)(jnp.arange(self.embedding.num_embeddings))

    def log_prob(
        self, x: Float[Array, "batch time mel 1"], machine: Int[Array, " batch"]
    ) -> Float[Array, " batch"]:
        """Log-density of every patch in nats."""
        return self.log_prob_frames(x, machine).sum(1)

    def initialise(
        self, x: Float[Array, "batch time mel 1"], machine: Int[Array, " batch"]
    ) -> None:
        """Data-dependent initialisation of every actnorm, over one batch (Glow, section 3.1)."""
        condition = self.embedding(machine)
        for i, level in enumerate(self.levels):
            x = level.initialise(x, condition)
            if i + 1 < len(self.levels):
                x = jnp.split(x, [x.shape[-1] // 2], axis=-1)[0]


def make_glow(config: Config, *, n_mels: int, n_machines: int, seed: int) -> Glow:
    """Builds the flow that `config` (the `model` part of a run's config) describes."""
    levels = [
        LevelSpec(
            squeeze=tuple(level["squeeze"]),
            steps=level["steps"],
            width=level["width"],
            kernel=tuple(level["kernel"]),
            conditional=level["conditional"],
            remat=level["remat"],
            dtype=config.dtype,
        )
        for level in config.levels
    ]
    return Glow(
        levels, n_mels=n_mels, n_machines=n_machines, embed=config.embed, rngs=nnx.Rngs(seed)
    )
