"""The Gaussian that a flow starts as, and a Gaussian that it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from scipy.stats import multivariate_normal

from flowasd.flow.bijection import LevelConfig
from tests.flow.made_flows import SHAPES, known_gaussian, make, started

pytestmark = pytest.mark.usefixtures("double")

MACHINE = jnp.array([0, 1, 0])


@pytest.fixture(params=["mel", pytest.param("image", marks=pytest.mark.slow)])
def shape(request):
    return request.param


@pytest.fixture
def patches(key):
    return jax.random.normal(key, (3, 16, 8, 1))


def density(mean, covariance, patches):
    """Scipy's log-density of every frame."""
    return multivariate_normal(mean, covariance).logpdf(patches[..., 0])  # pyright: ignore[reportArgumentType]


def test_it_starts_as_the_gaussian_of_every_machine(shape, patches):
    mean, covariance = known_gaussian(2, 8)
    flow = started(make(SHAPES[shape]), mean, covariance)
    every = jax.jit(flow.log_prob_machines)(patches)
    for machine in range(2):
        frames = density(mean[machine], covariance, patches)
        np.testing.assert_allclose(every[..., machine].sum(1), frames.sum(1), rtol=1e-9)


def test_in_float32_it_starts_as_the_gaussian_to_rounding(patches):
    mean, covariance = known_gaussian(2, 8)
    expected = density(mean[1], covariance, patches)
    with jax.enable_x64(False):
        flow = make(SHAPES["mel"], dtype="float32")
        single = (np.asarray(a, np.float32) for a in (mean, covariance))
        log_prob = jax.jit(started(flow, *single).log_prob_frames)
        frames = log_prob(jnp.asarray(patches, jnp.float32), jnp.ones(3, jnp.int32))
    np.testing.assert_allclose(frames, expected, rtol=1e-4)


@pytest.mark.slow
def test_constant_input_stays_finite(shape):
    """A silent recording: no variance in any band."""
    silent = jnp.full((3, 16, 8, 1), -4.0)
    flow = started(make(SHAPES[shape]), np.full((2, 8), -4.0), np.eye(8))
    graph, state = nnx.split(flow)
    density = jax.value_and_grad(lambda s: nnx.merge(graph, s).log_prob(silent, MACHINE).mean())
    value, gradient = jax.jit(density)(state)
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.slow
def test_fits_a_gaussian_with_full_covariance(key):
    """The NLL approaches the entropy, and samples have the data's mean and covariance."""
    dim = 4
    (mean,), covariance = known_gaussian(1, dim)
    root = np.linalg.cholesky(covariance)
    _, log_det = np.linalg.slogdet(covariance)
    entropy = 0.5 * (dim * np.log(2 * np.pi * np.e) + log_det)
    level = LevelConfig((1, dim), 2, 8, (1, 1))
    flow = make([level], n_bands=dim, n_machines=1, embed=1)
    machine = jnp.zeros(512, int)

    def draw(key):
        noise = jax.random.normal(key, (512, 1, dim))
        return jnp.asarray(mean + noise @ root.T)[..., None]

    graph, params, constants = nnx.split(flow, nnx.Param, ...)
    params, constants = nnx.as_pure(params), nnx.as_pure(constants)
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, 500))

    def step(carry, key):
        params, opt_state = carry
        loss, gradient = jax.value_and_grad(
            lambda p: -nnx.merge(graph, p, constants).log_prob(draw(key), machine).mean()
        )(params)
        updates, opt_state = optimizer.update(gradient, opt_state)
        return (optax.apply_updates(params, updates), opt_state), loss

    keys = jax.random.split(key, 500)
    (params, _), losses = jax.jit(lambda c: jax.lax.scan(step, c, keys))(
        (params, optimizer.init(params))
    )
    np.testing.assert_allclose(losses[-100:].mean(), entropy, atol=0.05)
    samples = np.asarray(nnx.merge(graph, params, constants).sample(key, jnp.zeros(20000, int), 1))
    samples = samples.reshape(-1, dim)
    np.testing.assert_allclose(samples.mean(0), mean, atol=0.15)
    np.testing.assert_allclose(np.cov(samples.T), covariance, atol=0.05 * np.trace(covariance))
