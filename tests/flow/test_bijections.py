"""Every bijection against the autodiff Jacobian, in float64."""

import jax
import numpy as np
import pytest
from flax import nnx

from flowasd.flow.actnorm import ActNorm
from flowasd.flow.coupling import ConditionalCoupling
from flowasd.flow.glow import Level, LevelSpec, Step
from flowasd.flow.invertible_linear import InvertibleLinear
from flowasd.flow.squeeze import Squeeze
from tests.conftest import randomise

pytestmark = pytest.mark.usefixtures("double")

BATCH, TIME, MEL, CHANNEL, EMBED = 3, 4, 2, 4, 5
SPEC = LevelSpec(squeeze=(2, 1), steps=3, width=8, kernel=(3, 3))
SIZES = {"mel": MEL, "channels": CHANNEL, "embed": EMBED}


def coupling(rngs, kernel):
    return ConditionalCoupling(CHANNEL, mel=MEL, width=8, kernel=kernel, embed=EMBED, rngs=rngs)


BIJECTIONS = {
    "actnorm": lambda rngs: ActNorm(CHANNEL),
    "invertible_linear": lambda rngs: InvertibleLinear(CHANNEL, rngs),
    "squeeze_time": lambda rngs: Squeeze(2, 1),
    "squeeze_mel": lambda rngs: Squeeze(1, 2),
    "coupling_3x3": lambda rngs: coupling(rngs, (3, 3)),
    "coupling_5x1": lambda rngs: coupling(rngs, (5, 1)),
    "step": lambda rngs: Step(SPEC, rngs=rngs, **SIZES),
    "level": lambda rngs: Level(SPEC, mel=MEL, channels=2 * CHANNEL, embed=EMBED, rngs=rngs),
    "level_unconditional": lambda rngs: Level(
        SPEC._replace(conditional=False), mel=MEL, channels=2 * CHANNEL, embed=EMBED, rngs=rngs
    ),
}


@pytest.fixture(params=BIJECTIONS)
def bijection(request):
    return randomise(BIJECTIONS[request.param](nnx.Rngs(0)))


@pytest.fixture
def x(key):
    return jax.random.normal(jax.random.fold_in(key, 1), (BATCH, TIME, MEL, CHANNEL))


@pytest.fixture
def condition(key):
    return jax.random.normal(jax.random.fold_in(key, 2), (BATCH, EMBED))


def test_inverse_undoes_forward(bijection, x, condition):
    y, _ = jax.jit(bijection.forward)(x, condition)
    back = jax.jit(bijection.inverse)(y, condition)
    np.testing.assert_allclose(back, x, atol=1e-9)


def test_log_determinant_is_the_jacobians(bijection, x, condition):
    _, log_det = bijection.forward(x, condition)

    @jax.jit
    def jacobian(v, c):
        def flat(v):
            return bijection.forward(v.reshape(1, TIME, MEL, CHANNEL), c[None])[0].ravel()

        return jax.jacrev(flat)(v.ravel())

    expected = [np.linalg.slogdet(jacobian(v, c))[1] for v, c in zip(x, condition, strict=True)]
    np.testing.assert_allclose(log_det.sum(1), expected, atol=1e-9)


def test_forward_is_the_same_under_vmap(bijection, x, condition):
    y, log_det = bijection.forward(x, condition)
    alone = jax.jit(jax.vmap(lambda v, c: bijection.forward(v[None], c[None])))(x, condition)
    np.testing.assert_allclose(alone[0][:, 0], y, atol=1e-9)
    np.testing.assert_allclose(alone[1][:, 0], log_det, atol=1e-9)


@pytest.mark.parametrize("name", ["coupling_3x3", "step", "level"])
def test_condition_changes_the_map(name, x, condition):
    bijection = randomise(BIJECTIONS[name](nnx.Rngs(0)))
    y, log_det = bijection.forward(x, condition)
    other_y, other_log_det = bijection.forward(x, condition + 1)
    assert np.abs(y - other_y).max() > 1e-3
    assert np.abs(log_det - other_log_det).max() > 1e-3


def test_unconditional_level_does_not_look_at_the_condition(x, condition):
    level = randomise(BIJECTIONS["level_unconditional"](nnx.Rngs(0)))
    for one, other in zip(
        level.forward(x, condition), level.forward(x, condition + 1), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_coupling_without_embedding_is_one_with_the_condition_at_zero(x, condition):
    sizes = {"mel": MEL, "width": 8, "kernel": (3, 3)}
    without = ConditionalCoupling(CHANNEL, embed=0, rngs=nnx.Rngs(0), **sizes)
    fresh = ConditionalCoupling(CHANNEL, embed=EMBED, rngs=nnx.Rngs(0), **sizes)
    scatter = 0.1 * jax.random.normal(jax.random.key(0), without.net.scatter.shape)
    for flow in (without, fresh):
        flow.net.scatter[...] = scatter.astype(np.float32)
    y, log_det = without.forward(x, condition[:, :0])
    assert np.abs(y - x).max() > 0.01
    for expected in (fresh.forward(x, condition), fresh.forward(x, 0 * condition)):
        np.testing.assert_allclose(y, expected[0], atol=1e-9)
        np.testing.assert_allclose(log_det, expected[1], atol=1e-9)


def test_coupling_is_the_convolution_it_stands_for(x, condition):
    """The network against `lax.conv` with the same weights."""
    net = randomise(coupling(nnx.Rngs(0), (3, 3))).net
    kept = x[..., : CHANNEL // 2]

    def conv(h, kernel):
        return jax.lax.conv_general_dilated(
            h, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    first = net.gather[...].reshape(3, 3, CHANNEL // 2, 8)
    last = net.scatter[...].reshape(8, 3, 3, CHANNEL).transpose(1, 2, 0, 3)
    bias = net.gather_bias[...] + (condition @ net.gather_condition[...])[:, None, None]
    h = conv(kept, first) + bias
    h = jax.nn.relu(h) @ net.middle[...] + net.middle_bias[...]
    h = jax.nn.relu(h + (condition @ net.middle_condition[...])[:, None, None])
    np.testing.assert_allclose(
        net(kept, condition), conv(h, last) + net.scatter_bias[...], atol=1e-9
    )
