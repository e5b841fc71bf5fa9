"""Conditional affine coupling and the network inside it."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, ArrayLike, Float

from flowasd.flow.bijection import Bijection, LevelConfig, Site

LOG_SCALE_BOUND = 2.0


def bounded(x: Float[Array, "*shape"], bound: float) -> Float[Array, "*shape"]:
    """Smoothly limits `x` to (-bound, bound), with slope 1 at 0."""
    return bound * jnp.tanh(x / bound)


def shifted(
    x: Float[Array, "batch time band channel"], time: int, band: int
) -> Float[Array, "batch time band channel"]:
    """`x` as seen from `(time, band)` positions further on, with zeros beyond its edges."""
    padding = [(0, 0), *((abs(by), abs(by)) for by in (time, band)), (0, 0)]
    batch, n_time, n_band, channels = x.shape
    first = (0, abs(time) + time, abs(band) + band, 0)
    last = (batch, first[1] + n_time, first[2] + n_band, channels)
    return jax.lax.slice(jnp.pad(x, padding), first, last)


@jax.custom_vjp
def product(
    x: Float[Array, "batch time band channel"], weight: Float[Array, "channel out"]
) -> Float[Array, "batch time band out"]:
    """`x @ weight`, with the weight's gradient as one plain product.

    JAX's own rule makes it the transpose of a product, which XLA on CPUs turns into copies and a
    product at half the speed. In return there is no forward-mode derivative.
    """
    return x @ weight


def _product_forward(x, weight):
    return x @ weight, (x, weight)


def _product_backward(saved, by_y):
    x, weight = saved
    rows, by_rows = (a.reshape(-1, a.shape[-1]) for a in (x, by_y))
    return by_y @ weight.T, jax.lax.dot_general(rows, by_rows, (((0,), (0,)), ((), ())))


product.defvjp(_product_forward, _product_backward)


class CouplingNet(nnx.Module):
    """Convolution, pointwise layer, convolution, with a bias from the condition in the first two.

    The convolutions are matrix products, because XLA's own are slow on CPUs. The first one gathers
    shifted inputs and multiplies; the last one multiplies and adds shifted products. Each band has
    a bias of its own, since a spectrogram, unlike an image, differs from band to band. The last
    layer starts at 0, so the coupling starts as the identity. The condition's weights start at 0
    too; with `embed=0` there is no condition. Everything is computed in `dtype` except the sum that
    is returned.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        band: int,
        width: int,
        kernel: tuple[int, int],
        embed: int,
        dtype: str,
        rngs: nnx.Rngs,
    ):
        self.kernel = kernel
        self.dtype = dtype
        taps = len(self._offsets())
        he = nnx.initializers.he_normal()
        self.gather = nnx.Param(he(rngs.params(), (taps * inputs, width)))
        self.gather_bias = nnx.Param(jnp.zeros((band, width)))
        self.gather_condition = nnx.Param(jnp.zeros((embed, width))) if embed else None
        self.middle = nnx.Param(he(rngs.params(), (width, width)))
        self.middle_bias = nnx.Param(jnp.zeros((band, width)))
        self.middle_condition = nnx.Param(jnp.zeros((embed, width))) if embed else None
        self.scatter = nnx.Param(jnp.zeros((width, taps * outputs)))
        self.scatter_bias = nnx.Param(jnp.zeros((band, outputs)))

    def _offsets(self) -> list[tuple[int, int]]:
        """Where each tap of the centred kernel looks, as (time, band)."""
        time, band = self.kernel
        return [(i - time // 2, j - band // 2) for i in range(time) for j in range(band)]

    def __call__(
        self, x: Float[Array, "batch time band channel"], condition: Float[Array, "batch embed"]
    ) -> Float[Array, "batch time band out"]:
        """Returns the network's output at every position."""

        def cast(array: ArrayLike) -> Array:
            return jnp.asarray(array, self.dtype)

        def bias(rows: nnx.Param, weight: nnx.Param | None) -> Array:
            by_condition = 0.0 if weight is None else (condition @ weight[...])[:, None, None]
            return cast(rows[...] + by_condition)

        x = cast(x)
        taps = jnp.concatenate([shifted(x, *offset) for offset in self._offsets()], -1)
        hidden = product(taps, cast(self.gather[...]))
        hidden = hidden + bias(self.gather_bias, self.gather_condition)
        hidden = product(jax.nn.relu(hidden), cast(self.middle[...]))
        hidden = jax.nn.relu(hidden + bias(self.middle_bias, self.middle_condition))
        products = jnp.split(product(hidden, cast(self.scatter[...])), len(self._offsets()), -1)
        moved = (shifted(p, *offset) for p, offset in zip(products, self._offsets(), strict=True))
        return sum(moved, start=self.scatter_bias[...])


class ConditionalCoupling(Bijection):
    """Affine coupling (RealNVP, equations 7 and 8) whose network also sees the machine ID.

    The first half of the channels passes unchanged and sets shift and log-scale of the second
    half. The log-scale is bounded, since a free exponential is the usual source of NaN.
    """

    def __init__(self, site: Site, level: LevelConfig, rngs: nnx.Rngs):
        kept = site.channels // 2
        self.net = CouplingNet(
            kept,
            2 * (site.channels - kept),
            band=site.band,
            width=level.width,
            kernel=level.kernel,
            embed=site.embed,
            dtype=site.dtype,
            rngs=rngs,
        )

    def _split(self, x, condition):
        kept, moved = jnp.split(x, [x.shape[-1] // 2], axis=-1)
        log_scale, shift = jnp.split(self.net(kept, condition), 2, axis=-1)
        return kept, moved, bounded(log_scale, LOG_SCALE_BOUND), shift

    def forward(
        self, x: Float[Array, "batch time band channel"], condition: Float[Array, "batch embed"]
    ) -> tuple[Float[Array, "batch time band channel"], Float[Array, "batch time"]]:
        """Returns `y` and the log-determinant of every frame."""
        kept, moved, log_scale, shift = self._split(x, condition)
        y = jnp.concatenate([kept, moved * jnp.exp(log_scale) + shift], -1)
        return y, log_scale.sum((2, 3))

    def inverse(
        self, y: Float[Array, "batch time band channel"], condition: Float[Array, "batch embed"]
    ) -> Float[Array, "batch time band channel"]:
        """Returns the `x` that `forward` maps to `y`."""
        kept, moved, log_scale, shift = self._split(y, condition)
        return jnp.concatenate([kept, (moved - shift) * jnp.exp(-log_scale)], -1)

    @classmethod
    def flops(cls, site: Site, level: LevelConfig) -> int:
        """Returns the operations of the network's three products for one position."""
        kept, taps = site.channels // 2, level.kernel[0] * level.kernel[1]
        outputs = 2 * (site.channels - kept)
        return 2 * (taps * kept * level.width + level.width**2 + level.width * taps * outputs)
