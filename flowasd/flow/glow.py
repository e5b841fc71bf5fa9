"""Glow: levels of squeeze, flow steps and split, conditioned on the machine ID.

After Kingma & Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions", 2018, and Dinh
et al., "Density estimation using Real NVP", 2017.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from flowasd.flow.base import ConditionalGaussian
from flowasd.flow.bijection import LevelConfig, Site
from flowasd.flow.level import Level
from flowasd.flow.whitening import Whitening
from flowasd.settings import key

DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class ModelConfig:
    """The flow."""

    levels: tuple[LevelConfig, ...] = key(
        (LevelConfig(),), "levels of the flow, from the input inwards"
    )
    embed: int = key(16, "size of the embedding of the machine ID", minimum=1)
    dtype: str = key(
        "float32", "type of the coupling networks; bfloat16 suits accelerators", choices=DTYPES
    )


class Glow(nnx.Module):
    """A multi-scale conditional Glow over patches of spectrogram bands `(batch, time, band, 1)`.

    A linear map of the bands comes first: with it the flow starts as a Gaussian, see `start_at`.
    Every level but the last hands half of its channels to its base density and passes the other
    half on. The condition is a machine's index: each base density has a mean and a scale for it,
    and the levels that are conditional see a learned embedding of it.

    Args:
        config: The levels, from the input inwards, and the size of the embedding.
        n_bands: Number of bands of the input.
        n_machines: Number of machine IDs.
        rngs: Source of the initial parameters.

    Raises:
        ValueError: If a squeeze does not divide the band axis or leaves a single channel, which
            no coupling can halve.
    """

    def __init__(self, config: ModelConfig, *, n_bands: int, n_machines: int, rngs: nnx.Rngs):
        self.embedding = nnx.Embed(n_machines, config.embed, rngs=rngs)
        self.frames_per_latent = 1
        site = Site(n_bands, 1, config.embed, config.dtype)
        self.whitening = Whitening(site, LevelConfig(), rngs)
        built, bases = [], []
        for spec in config.levels:
            built.append(Level(site, spec, rngs))
            site = built[-1].out
            self.frames_per_latent *= spec.squeeze[0]
            passed_on = site.channels // 2 if len(built) < len(config.levels) else 0
            bases.append(ConditionalGaussian(site.band, site.channels - passed_on, n_machines))
            site = site._replace(channels=passed_on)
        self.levels = nnx.List(built)
        self.bases = nnx.List(bases)

    def forward(
        self, x: Float[Array, "batch time band 1"], machine: Int[Array, " batch"]
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
        latents = []
        x, log_prob = self.whitening.forward(x, condition)
        for i, (level, base) in enumerate(zip(self.levels, self.bases, strict=True)):
            x, nats = level.forward(x, condition)
            z = x
            if i + 1 < len(self.levels):
                x, z = jnp.split(x, [x.shape[-1] // 2], axis=-1)
            nats = nats + base.log_prob(z, machine)
            frames = log_prob.shape[1] // nats.shape[1]
            log_prob = log_prob + jnp.repeat(nats / frames, frames, axis=1)
            latents.append(z)
        return latents, log_prob

    def inverse(
        self, latents: Sequence[Float[Array, "batch _ _ _"]], machine: Int[Array, " batch"]
    ) -> Float[Array, "batch time band 1"]:
        """Maps the latents of `forward` back to patches."""
        condition = self.embedding(machine)
        x = None
        for level, z in zip(reversed(self.levels), reversed(latents), strict=True):
            x = level.inverse(z if x is None else jnp.concatenate([x, z], -1), condition)
        if x is None:
            raise ValueError("a flow without levels has no inverse")
        return self.whitening.inverse(x, condition)

    def sample(
        self, key: PRNGKeyArray, machine: Int[Array, " batch"], time: int
    ) -> Float[Array, "batch time band 1"]:
        """Draws a patch of `time` frames for every machine index."""
        keys = jax.random.split(key, len(self.bases))
        latents = []
        for key, level, base in zip(keys, self.levels, self.bases, strict=True):
            time = time // level.squeeze.time
            latents.append(base.sample(key, time, machine))
        return self.inverse(latents, machine)

    def log_prob_frames(
        self, x: Float[Array, "batch time band 1"], machine: Int[Array, " batch"]
    ) -> Float[Array, "batch time"]:
        """Log-density of every frame in nats; their sum over time is `log_prob`."""
        return self.forward(x, machine)[1]

    def log_prob_machines(
        self, x: Float[Array, "batch time band 1"]
    ) -> Float[Array, "batch time machine"]:
        """`log_prob_frames` under every machine ID; what does not depend on the ID runs once."""

        def under(machine: Int[Array, ""]) -> Float[Array, "batch time"]:
            return self.log_prob_frames(x, jnp.full(x.shape[0], machine))

        return jax.vmap(under, out_axes=-1)(jnp.arange(self.embedding.num_embeddings))

    def log_prob(
        self, x: Float[Array, "batch time band 1"], machine: Int[Array, " batch"]
    ) -> Float[Array, " batch"]:
        """Log-density of every patch in nats."""
        return self.log_prob_frames(x, machine).sum(1)

    def flops(self, time: int) -> int:
        """Floating-point operations of the log-density of one patch of `time` frames.

        Only matrix products count, with two operations for each multiply and add. What is done once
        for a batch, such as the product of the invertible linear's factors, does not count.
        """
        n_bands = len(self.whitening.mean)
        total = time * 2 * n_bands**2
        for level in self.levels:
            time //= level.squeeze.time
            total += time * level.flops_per_frame()
        return total

    def start_at(
        self, mean: Float[Array, "machine band"], precision_factor: Float[Array, "band band"]
    ) -> None:
        """Makes a fresh flow the density of independent Gaussian frames, one Gaussian for each ID.

        The first linear map whitens. The couplings of a fresh flow are the identity and its other
        maps are rotations, so a Gaussian stays one. The base densities take the means' latents.

        Args:
            mean: Mean of every ID.
            precision_factor: The upper triangular `U` with `U^T U` the inverse of the covariance,
                which all IDs share.
        """
        self.whitening.set(mean.mean(0), precision_factor)
        x = jnp.repeat(mean[:, None, :, None], self.frames_per_latent, axis=1)
        latents, _ = self.forward(x, jnp.arange(len(mean)))
        for base, z in zip(self.bases, latents, strict=True):
            base.mean[...] = z[:, 0]  # the same at every time


def make_glow(
    config: ModelConfig, *, n_bands: int, n_machines: int, seed: int | PRNGKeyArray
) -> Glow:
    """Builds the flow that the `model` part of a run's config describes."""
    return Glow(config, n_bands=n_bands, n_machines=n_machines, rngs=nnx.Rngs(seed))


@cache
def glow_structure(
    config: ModelConfig, n_bands: int, n_machines: int
) -> tuple[nnx.GraphDef[Glow], PyTree, PyTree]:
    """Returns the structure of a flow, and the shapes of its parameters and constants.

    To trace it takes a while, so a process does it once.
    """
    make = partial(make_glow, config, n_bands=n_bands, n_machines=n_machines, seed=0)
    graph, params, constants = nnx.split(nnx.eval_shape(make), nnx.Param, ...)
    return graph, nnx.as_pure(params), nnx.as_pure(constants)
