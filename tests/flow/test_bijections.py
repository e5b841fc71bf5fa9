"""Every bijection against the autodiff Jacobian, in float64.

The table of cases reads the registry, so a bijection that is added there is tested here.
"""

import dataclasses
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from flowasd.flow.bijection import Bijection, LevelConfig, Site
from flowasd.flow.coupling import ConditionalCoupling
from flowasd.flow.level import BIJECTIONS, Level, Step
from flowasd.flow.squeeze import Squeeze
from flowasd.flow.whitening import Whitening
from tests.conftest import randomise
from tests.flow.counting import dot_flops

pytestmark = pytest.mark.usefixtures("double")

BATCH, TIME, BAND, EMBED = 3, 4, 2, 5
SITE = Site(BAND, 4, EMBED, "float64")
ODD = SITE._replace(channels=5)
LEVEL = LevelConfig((2, 1), 2, 8, (3, 3), bijections=tuple(BIJECTIONS), conditional=True)


class Case(NamedTuple):
    """A bijection of the table: its class and what it is built from."""

    cls: type[Bijection]
    site: Site
    level: LevelConfig

    def build(self, dtype: str = "float64") -> Any:
        return self.cls(self.site._replace(dtype=dtype), self.level, nnx.Rngs(0))

    def randomised(self) -> Any:
        return randomise(self.build())


def level(**changes: Any) -> LevelConfig:
    return dataclasses.replace(LEVEL, **changes)


def registered() -> dict[str, Case]:
    shapes = {"4_channels": (SITE, LEVEL), "5_channels": (ODD, level(kernel=(5, 1)))}
    return {
        f"{name}_{shape}": Case(cls, *built_from)
        for name, cls in BIJECTIONS.items()
        for shape, built_from in shapes.items()
    }


def table() -> dict[str, Case]:
    return registered() | {
        "squeeze_time": Case(Squeeze, SITE, LEVEL),
        "squeeze_band": Case(Squeeze, SITE, level(squeeze=(1, 2))),
        "squeeze_all_bands": Case(Squeeze, SITE, level(squeeze=(2, -1))),
        "whitening": Case(Whitening, SITE, LEVEL),
        "step": Case(Step, SITE, LEVEL),
        "level": Case(Level, SITE, LEVEL),
        "level_unconditional": Case(Level, SITE, level(conditional=False)),
    }


SLOW = {"level", "level_unconditional"}


@pytest.fixture(
    params=[pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in table()]
)
def case(request):
    return table()[request.param]


def input_of(case):
    key = jax.random.key(1)
    return jax.random.normal(key, (BATCH, TIME, case.site.band, case.site.channels))


@pytest.fixture
def condition():
    return another_condition_in_every_row()


def another_condition_in_every_row():
    return jax.random.normal(jax.random.key(2), (BATCH, EMBED))


class Behaviour(NamedTuple):
    """What a bijection makes of an input, and the input that it makes of that again."""

    y: jax.Array
    log_det: jax.Array
    back: jax.Array


@cache
def plain(case: Case) -> Behaviour:
    bijection, condition = case.randomised(), another_condition_in_every_row()
    y, log_det = bijection.forward(input_of(case), condition)
    return Behaviour(y, log_det, bijection.inverse(y, condition))


@cache
def compiled_by_row(case: Case) -> tuple[Behaviour, jax.Array]:
    """The same by `jit` and `vmap`, with the autodiff Jacobian of every row."""
    bijection, x = case.randomised(), input_of(case)

    @jax.jit
    @jax.vmap
    def row(v, c):
        def flat(v):
            y, log_det = bijection.forward(v.reshape(1, *x.shape[1:]), c[None])
            return y.ravel(), (y, log_det)

        jacobian, (y, log_det) = jax.jacrev(flat, has_aux=True)(v.ravel())
        return Behaviour(y[0], log_det[0], bijection.inverse(y, c[None])[0]), jacobian

    return row(x, another_condition_in_every_row())


def check_inverse(case):
    np.testing.assert_allclose(plain(case).back, input_of(case), atol=1e-9)


def check_log_determinant(case):
    y, log_det, _ = plain(case)
    assert log_det.shape == y.shape[:2]
    _, jacobian = compiled_by_row(case)
    _, expected = np.linalg.slogdet(jacobian)
    np.testing.assert_allclose(log_det.sum(1), expected, atol=1e-9)


def test_inverse_undoes_forward(case):
    check_inverse(case)


def test_log_determinant_is_the_jacobians(case):
    check_log_determinant(case)


def test_jit_and_vmap_change_nothing(case):
    by_row, _ = compiled_by_row(case)
    for one, expected in zip(by_row, plain(case), strict=True):
        np.testing.assert_allclose(one, expected, atol=1e-9)


def test_constant_input_stays_finite(case, condition):
    """A silent band, in float32: values and gradients."""
    with jax.enable_x64(False):
        silent = jnp.full((BATCH, TIME, case.site.band, case.site.channels), -4.0)
        condition = jnp.asarray(condition, jnp.float32)

        @jax.jit
        def run(x):
            bijection = case.build("float32")
            graph, params, rest = nnx.split(bijection, nnx.Param, ...)

            def density(params, x):
                y, log_det = nnx.merge(graph, params, rest).forward(x, condition)
                return log_det.sum() - 0.5 * (y**2).sum(), y

            gradients, y = jax.grad(density, (0, 1), has_aux=True)(nnx.as_pure(params), x)
            return gradients, y, density(params, x)[0], bijection.inverse(y, condition)

        for array in jax.tree.leaves(run(silent)):
            assert np.isfinite(array).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", registered())
def test_half_precision_networks_keep_the_type_and_the_inverse(name, condition):
    case = registered()[name]
    with jax.enable_x64(False):
        bijection = case.build("bfloat16")
        x, condition = (jnp.asarray(a, jnp.float32) for a in (input_of(case), condition))
        y, log_det = bijection.forward(x, condition)
        assert y.dtype == log_det.dtype == jnp.float32
        np.testing.assert_allclose(bijection.inverse(y, condition), x, atol=1e-4)


@pytest.mark.parametrize("name", registered())
def test_flops_are_those_of_the_products_at_every_position(name, condition):
    """By the shapes of the products that JAX traces; what a batch does once cancels out."""
    case = registered()[name]
    bijection, x = case.build(), input_of(case)
    counts = [
        dot_flops(jax.make_jaxpr(bijection.forward)(part, condition)) for part in (x, x[:, :-1])
    ]
    assert bijection.flops(case.site, case.level) == (counts[0] - counts[1]) / (BATCH * BAND)


class Doubling(Bijection):
    """Inverts well, and says nothing of the volume that it changes."""

    def forward(self, x, condition):
        return 2 * x, jnp.zeros(x.shape[:2], x.dtype)

    def inverse(self, y, condition):
        return y / 2


def test_what_is_added_to_the_registry_is_tested(monkeypatch):
    monkeypatch.setitem(BIJECTIONS, "doubling", Doubling)
    (added, _) = (case for case in table().values() if case.cls is Doubling)
    check_inverse(added)
    with pytest.raises(AssertionError):
        check_log_determinant(added)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["coupling_4_channels", "coupling_5_channels", "step", "level"])
def test_condition_changes_the_map(name, condition):
    case = table()[name]
    bijection, x = case.randomised(), input_of(case)
    y, log_det = bijection.forward(x, condition)
    other_y, other_log_det = bijection.forward(x, condition + 1)
    assert np.abs(y - other_y).max() > 1e-3
    assert np.abs(log_det - other_log_det).max() > 1e-3


def test_unconditional_level_does_not_look_at_the_condition(condition):
    case = table()["level_unconditional"]
    bijection, x = case.randomised(), input_of(case)
    for one, other in zip(
        bijection.forward(x, condition), bijection.forward(x, condition + 1), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_coupling_without_embedding_is_one_with_the_condition_at_zero(condition):
    x = input_of(table()["step"])
    without = ConditionalCoupling(SITE._replace(embed=0), LEVEL, nnx.Rngs(0))
    fresh = ConditionalCoupling(SITE, LEVEL, nnx.Rngs(0))
    scatter = 0.1 * jax.random.normal(jax.random.key(0), without.net.scatter.shape)
    for flow in (without, fresh):
        flow.net.scatter[...] = scatter
    y, log_det = without.forward(x, condition[:, :0])
    assert np.abs(y - x).max() > 0.01
    for expected in (fresh.forward(x, condition), fresh.forward(x, 0 * condition)):
        np.testing.assert_allclose(y, expected[0], atol=1e-9)
        np.testing.assert_allclose(log_det, expected[1], atol=1e-9)


def test_coupling_is_the_convolution_it_stands_for(condition):
    """The network against `lax.conv` with the same weights."""
    case = table()["coupling_4_channels"]
    net, x = case.randomised().net, input_of(case)
    kept = x[..., :2]

    def conv(h, kernel):
        return jax.lax.conv_general_dilated(
            h, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    first = net.gather[...].reshape(3, 3, 2, 8)
    last = net.scatter[...].reshape(8, 3, 3, 4).transpose(1, 2, 0, 3)
    bias = net.gather_bias[...] + (condition @ net.gather_condition[...])[:, None, None]
    h = conv(kept, first) + bias
    h = jax.nn.relu(h) @ net.middle[...] + net.middle_bias[...]
    h = jax.nn.relu(h + (condition @ net.middle_condition[...])[:, None, None])
    np.testing.assert_allclose(
        net(kept, condition), conv(h, last) + net.scatter_bias[...], atol=1e-9
    )


def test_impossible_shapes_and_names_are_refused():
    with pytest.raises(ValueError, match=r"squeeze \(1, 3\) does not divide 2 bands"):
        Squeeze(SITE, level(squeeze=(1, 3)), nnx.Rngs(0))
    with pytest.raises(ValueError, match="leaves one channel"):
        Level(SITE._replace(channels=1), level(squeeze=(1, 1)), nnx.Rngs(0))
    with pytest.raises(ValueError, match="warp is no bijection; there are actnorm, "):
        Step(SITE, level(bijections=("actnorm", "warp")), nnx.Rngs(0))
