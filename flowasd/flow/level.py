"""A level of the flow: a squeeze, then identical steps; and the registry of their bijections."""

import jax
from flax import nnx
from jaxtyping import Array, Float

from flowasd.flow.actnorm import ActNorm
from flowasd.flow.bijection import Bijection, LevelConfig, Site
from flowasd.flow.coupling import ConditionalCoupling
from flowasd.flow.invertible_linear import InvertibleLinear
from flowasd.flow.squeeze import Squeeze

BIJECTIONS: dict[str, type[Bijection]] = {
    "actnorm": ActNorm,
    "invertible_linear": InvertibleLinear,
    "coupling": ConditionalCoupling,
}


class Step(Bijection):
    """One flow step: the bijections that `level.bijections` names, in order (Glow, figure 2a).

    Raises:
        ValueError: If there is no bijection of such a name.
    """

    def __init__(self, site: Site, level: LevelConfig, rngs: nnx.Rngs):
        if unknown := [name for name in level.bijections if name not in BIJECTIONS]:
            raise ValueError(f"{unknown[0]} is no bijection; there are {', '.join(BIJECTIONS)}")
        self.bijections = nnx.List([BIJECTIONS[n](site, level, rngs) for n in level.bijections])

    def forward(
        self, x: Float[Array, "batch time band channel"], condition: Float[Array, "batch embed"]
    ) -> tuple[Float[Array, "batch time band channel"], Float[Array, "batch time"]]:
        """Returns `y` and the log-determinant of every frame."""
        nats = []
        for bijection in self.bijections:
            x, log_det = bijection.forward(x, condition)
            nats.append(log_det)
        return x, sum(nats[1:], start=nats[0])

    def inverse(
        self, y: Float[Array, "batch time band channel"], condition: Float[Array, "batch embed"]
    ) -> Float[Array, "batch time band channel"]:
        """Returns the `x` that `forward` maps to `y`."""
        for bijection in reversed(self.bijections):
            y = bijection.inverse(y, condition)
        return y


class Level(Bijection):
    """A squeeze, then `level.steps` steps whose parameters are stacked and scanned over.

    Attributes:
        out: The site behind it.
        site: The site of its steps, which see no condition if the level is not conditional.

    Raises:
        ValueError: If the squeeze does not fit, a bijection is unknown, or a single channel is
            left, which no coupling can halve.
    """

    def __init__(self, site: Site, level: LevelConfig, rngs: nnx.Rngs):
        self.squeeze = Squeeze(site, level, rngs)
        self.out = self.squeeze.out
        if self.out.channels < 2:
            raise ValueError(f"squeeze {level.squeeze} leaves one channel, nothing to couple")
        self.config = level
        self.site = self.out if level.conditional else self.out._replace(embed=0)

        @nnx.split_rngs(splits=level.steps)
        @nnx.vmap
        def stack(rngs: nnx.Rngs) -> Step:
            return Step(self.site, level, rngs)

        self.steps = stack(rngs)

    def seen(self, condition: Float[Array, "batch embed"]) -> Float[Array, "batch seen"]:
        """Returns the part of the condition that the steps see: all of it or nothing."""
        return condition[:, : self.site.embed]

    def forward(
        self, x: Float[Array, "batch time band channel"], condition: Float[Array, "batch embed"]
    ) -> tuple[Float[Array, "batch time_out band_out channel_out"], Float[Array, "batch time_out"]]:
        """Returns `y` and the log-determinant of every frame of `y`."""
        graph, stacked = nnx.split(self.steps)
        condition = self.seen(condition)

        def body(carry, state):
            y, log_det = carry
            y, by_step = nnx.merge(graph, state).forward(y, condition)
            return (y, log_det + by_step), None

        # Unrolled, the activations that the gradient needs stay where they are.
        body = jax.checkpoint(body) if self.config.remat else body
        start = self.squeeze.forward(x, condition)
        carry, _ = jax.lax.scan(body, start, stacked, unroll=not self.config.remat)
        return carry

    def inverse(
        self, y: Float[Array, "batch time band channel"], condition: Float[Array, "batch embed"]
    ) -> Float[Array, "batch time_out band_out channel_out"]:
        """Returns the `x` that `forward` maps to `y`."""
        graph, stacked = nnx.split(self.steps)
        condition = self.seen(condition)

        def body(x, state):
            return nnx.merge(graph, state).inverse(x, condition), None

        x, _ = jax.lax.scan(body, y, stacked, reverse=True)
        return self.squeeze.inverse(x, condition)

    def flops_per_frame(self) -> int:
        """Returns the operations of all matrix products for one frame of the level's output."""
        of_step = sum(
            BIJECTIONS[name].flops(self.site, self.config) for name in self.config.bijections
        )
        return self.config.steps * self.site.band * of_step
