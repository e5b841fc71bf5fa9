"""The whole flow: its density, its gradient, its IDs, its precision."""

from dataclasses import replace
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from flowasd.config import RunConfig
from flowasd.flow.bijection import LevelConfig
from flowasd.flow.glow import Glow, make_glow
from tests.conftest import randomise
from tests.flow.counting import dot_flops
from tests.flow.made_flows import SHAPES, abstract, make

pytestmark = pytest.mark.usefixtures("double")


@pytest.fixture(params=["mel", pytest.param("image", marks=pytest.mark.slow)])
def shape(request):
    return request.param


class Compiled(NamedTuple):
    """A flow, and its methods, which the tests share because it takes seconds to compile them."""

    flow: Glow
    forward: Any
    inverse: Any
    log_prob: Any
    log_prob_frames: Any


@cache
def compiled(shape: str) -> Compiled:
    flow = randomise(make(SHAPES[shape]))
    return Compiled(flow, *(jax.jit(getattr(flow, name)) for name in Compiled._fields[1:]))


@pytest.fixture
def glow(shape):
    return compiled(shape)


@pytest.fixture
def patches(key):
    return jax.random.normal(key, (3, 16, 8, 1))


MACHINE = jnp.array([0, 1, 0])


def test_frame_log_probs_sum_to_log_prob(glow, patches):
    frames = glow.log_prob_frames(patches, MACHINE)
    assert frames.shape == (3, 16)
    np.testing.assert_allclose(frames.sum(1), glow.log_prob(patches, MACHINE), rtol=1e-9)


def test_log_prob_is_the_change_of_variables(glow, patches):
    """Log p(x) against the latents' density and the autodiff Jacobian of the whole flow."""
    one, machine = patches[:1], MACHINE[:1]

    def latents(v):
        parts, _ = glow.flow.forward(v.reshape(one.shape), machine)
        base = sum(
            b.log_prob(z, machine).sum() for b, z in zip(glow.flow.bases, parts, strict=True)
        )
        return jnp.concatenate([part.ravel() for part in parts]), base

    jacobian, base = jax.jit(jax.jacrev(latents, has_aux=True))(one.ravel())
    _, log_det = np.linalg.slogdet(jacobian)
    log_prob = glow.log_prob(patches, MACHINE)[0]
    np.testing.assert_allclose(log_prob, base + log_det, rtol=1e-9)


def test_glow_inverts(glow, patches):
    latents, _ = glow.forward(patches, MACHINE)
    np.testing.assert_allclose(glow.inverse(latents, MACHINE), patches, atol=1e-8)


def test_machine_changes_the_density(glow, patches):
    own = glow.log_prob(patches, MACHINE)
    assert np.abs(own - glow.log_prob(patches, 1 - MACHINE)).min() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    "conditional", [(True, True), (False, True), (False, False)], ids=["own", "mixed", "shared"]
)
def test_every_machine_is_each_machine(conditional, patches):
    levels = [LevelConfig((2, 2), 1, 16, (3, 3), conditional=seen) for seen in conditional]
    flow = randomise(make(levels, n_machines=3))
    every, log_prob_frames = jax.jit(flow.log_prob_machines)(patches), jax.jit(flow.log_prob_frames)
    assert every.shape == (3, 16, 3)
    assert np.abs(np.diff(every)).min(2).max() > 0.1
    for machine in range(3):
        alone = log_prob_frames(patches, jnp.full(3, machine))
        np.testing.assert_allclose(every[..., machine], alone, rtol=1e-9)


@pytest.mark.slow
def test_machines_of_one_base_and_shared_levels_are_the_same(patches):
    levels = [LevelConfig((1, 8), 2, 16, (5, 1))]
    flow = randomise(make(levels, n_machines=3))
    own = jax.jit(flow.log_prob_machines)(patches)
    assert np.abs(own[..., 1:] - own[..., :1]).max() > 0.1  # by their bases
    for table in (flow.bases[0].mean, flow.bases[0].log_scale):
        table[...] *= 0
    same = jax.jit(flow.log_prob_machines)(patches)
    np.testing.assert_array_equal(same[..., 1:], same[..., :1].repeat(2, -1))


@pytest.mark.slow
def test_fresh_flow_is_the_same_for_all_machines(patches):
    flow = make(SHAPES["mel"])
    one, other = jnp.moveaxis(jax.jit(flow.log_prob_machines)(patches), -1, 0)
    np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize(("conditional", "least", "most"), [(False, 1.0, 1.3), (True, 3.0, 4.0)])
def test_shared_levels_run_once_however_many_machines(conditional, least, most):
    """By XLA's count of floating-point operations for four machines and for one."""
    x = jnp.zeros((2, 16, 32, 1))

    def flops(n_machines):
        levels = [LevelConfig((1, 32), 2, 64, (3, 1), conditional=conditional)]
        graph, state = abstract(levels, n_bands=32, n_machines=n_machines)
        every = jax.jit(lambda state, x: nnx.merge(graph, state).log_prob_machines(x))
        cost = every.lower(state, x).cost_analysis()
        assert cost is not None
        return cost["flops"]

    assert least <= flops(4) / flops(1) <= most


@pytest.mark.slow
def test_float32_agrees_with_float64(shape, glow, patches):
    double = glow.log_prob(patches, MACHINE)
    with jax.enable_x64(False):
        graph, _ = abstract(SHAPES[shape], dtype="float32")
        single = nnx.merge(graph, jax.tree.map(jnp.float32, nnx.state(glow.flow)))
        log_prob = jax.jit(single.log_prob)(jnp.asarray(patches, jnp.float32), MACHINE)
    assert log_prob.dtype == np.float32
    np.testing.assert_allclose(log_prob, double, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("squeeze", [(1, 8), (2, 2)])
def test_gradient_is_the_same_when_activations_are_computed_again(squeeze, key):
    machine = jnp.array([0, 1])
    x = jax.random.normal(key, (2, 4, 8, 1))
    level = LevelConfig(squeeze, steps=2, width=8, kernel=(3, 1))
    flow = randomise(make([level], embed=3))

    def gradient(remat):
        graph, _ = abstract([replace(level, remat=remat)], embed=3)
        return nnx.jit(nnx.grad(lambda flow: flow.log_prob(x, machine).sum()))(
            nnx.merge(graph, nnx.state(flow))
        )

    kept, again = (nnx.as_pure(nnx.state(gradient(remat))) for remat in (False, True))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), kept, again)


@pytest.mark.slow
def test_bfloat16_stays_inside_the_coupling_networks(key):
    """An exact inverse and a float32 log-determinant, near those of float32 throughout."""
    with jax.enable_x64(False):
        x = jax.random.normal(key, (2, 4, 8, 1))
        machine = jnp.array([0, 1])
        level = LevelConfig((1, 8), steps=3, width=16, kernel=(3, 1))

        half = randomise(make([level], embed=3, dtype="bfloat16"))
        nnx.update(half, jax.tree.map(jnp.float32, nnx.as_pure(nnx.state(half))))
        graph, _ = abstract([level], embed=3, dtype="float32")
        full = nnx.merge(graph, nnx.state(half))
        latents, nats = jax.jit(half.forward)(x, machine)
        assert nats.dtype == jnp.float32
        np.testing.assert_allclose(jax.jit(half.inverse)(latents, machine), x, atol=1e-4)
        expected = jax.jit(full.log_prob_frames)(x, machine)
        assert not np.array_equal(nats, expected)
        np.testing.assert_allclose(nats, expected, rtol=0.1, atol=0.5)


def test_impossible_shapes_are_refused():
    with pytest.raises(ValueError, match="does not divide"):
        make([LevelConfig((1, 3), 1, 8, (1, 1))])
    with pytest.raises(ValueError, match="one channel"):
        make([LevelConfig((1, 1), 1, 8, (1, 1))])


def test_default_config_is_the_mel_shape():
    flow = nnx.eval_shape(partial(make_glow, RunConfig().model, n_bands=128, n_machines=4, seed=0))
    assert flow.frames_per_latent == 1
    (level,) = flow.levels
    assert (level.squeeze.time, level.squeeze.band) == (1, 128)
    assert (level.out.band, level.out.channels) == (1, 128)


def test_flops_are_those_of_the_products_of_every_frame(shape):
    """By the shapes of the products that JAX traces; what a batch does once cancels out."""
    flow = compiled(shape).flow

    def counted(time):
        x = jnp.zeros((3, time, 8, 1))
        return dot_flops(jax.make_jaxpr(flow.log_prob)(x, MACHINE))

    assert flow.flops(16) == (counted(24) - counted(8)) / len(MACHINE) > 0


def test_flops_are_nearly_all_that_xla_counts():
    """The rest are sums, exponentials and the like, which wide networks leave far behind."""
    graph, state = abstract([LevelConfig((1, -1), 2, 256, (3, 1))], n_bands=32)
    x = jnp.zeros((1, 64, 32, 1))
    log_prob = jax.jit(lambda state, x: nnx.merge(graph, state).log_prob(x, MACHINE[:1]))
    cost = log_prob.lower(state, x).cost_analysis()
    assert cost is not None
    assert 0.9 <= nnx.merge(graph, state).flops(64) / cost["flops"] <= 1
