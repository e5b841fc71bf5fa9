"""What every bijection of the flow offers, and what it is told when it is built."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

from flax import nnx
from jaxtyping import Array, Float

from flowasd.settings import key


@dataclass(frozen=True)
class LevelConfig:
    """A level of the flow; pairs are (time, band)."""

    squeeze: tuple[int, int] = key(
        (1, -1),
        "block of positions that becomes channels; a band of -1 takes all bands",
        minimum=-1,
    )
    steps: int = key(8, "number of identical flow steps", minimum=1)
    width: int = key(128, "hidden width of the coupling networks", minimum=1)
    kernel: tuple[int, int] = key((5, 1), "kernel of the coupling networks, odd", minimum=1)
    bijections: tuple[str, ...] = key(
        ("actnorm", "invertible_linear", "coupling"), "bijections of a step, in order"
    )
    conditional: bool = key(
        False, "whether the steps see the machine ID; only if they do not, machines can be enrolled"
    )
    remat: bool = key(
        False, "whether to recompute activations for the gradient instead of keeping them"
    )


class Site(NamedTuple):
    """Where in the flow a bijection stands.

    Attributes:
        band: Bands of its input.
        channels: Channels of its input.
        embed: Size of the condition that it sees; 0 if it sees none.
        dtype: What its networks compute in, such as `"bfloat16"`. What mixes channels or sums
            densities stays in the input's type.
    """

    band: int
    channels: int
    embed: int = 0
    dtype: str = "float32"


class Bijection(nnx.Module, ABC):
    """An invertible map of `(batch, time, band, channel)` arrays, with its log-determinant.

    A bijection that may stand in `LevelConfig.bijections` keeps the shape of its input.

    Args:
        site: Where it stands.
        level: The shape of its level.
        rngs: Source of the initial parameters.
    """

    def __init__(self, site: Site, level: LevelConfig, rngs: nnx.Rngs):
        pass

    @abstractmethod
    def forward(
        self, x: Float[Array, "batch time band channel"], condition: Float[Array, "batch embed"]
    ) -> tuple[Float[Array, "batch time_out band_out channel_out"], Float[Array, "batch time_out"]]:
        """Returns `y` and the log-determinant of every frame of `y`."""

    @abstractmethod
    def inverse(
        self, y: Float[Array, "batch time band channel"], condition: Float[Array, "batch embed"]
    ) -> Float[Array, "batch time_out band_out channel_out"]:
        """Returns the `x` that `forward` maps to `y`."""

    @classmethod
    def flops(cls, site: Site, level: LevelConfig) -> int:
        """Returns the operations of its matrix products for one position; by default none.

        A multiply and an add count as two operations.
        """
        return 0
