"""Objectives against scipy's and numpy's formulas, and by hand."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.special import log_softmax
from scipy.stats import norm

from flowasd.flow.bijection import LevelConfig
from flowasd.flow.glow import Glow, ModelConfig
from flowasd.flow.objective import (
    OBJECTIVES,
    ObjectiveConfig,
    contrast,
    machine_nll,
    nll,
    objective,
    outlier,
)

MACHINE = jnp.array([0, 2, 1, 2])
OWN = np.arange(4), MACHINE
CONFIG = ObjectiveConfig("contrast", weight=0.5, ramp_steps=100, temperature=0.05, margin=0.1)
TERMS = {name: term for name, term in OBJECTIVES.items() if term is not None}


def make_flow(n_machines):
    """A fresh flow but for its base density, of whose scale every ID has another.

    As a fresh flow only rotates, its density is the base density itself.
    """
    config = ModelConfig((LevelConfig((1, 8), 2, 8, (3, 1)),), embed=1)
    build = nnx.jit(lambda: Glow(config, n_bands=8, n_machines=n_machines, rngs=nnx.Rngs(0)))
    flow = build()
    flow.bases[0].log_scale[...] += jnp.linspace(-0.5, 0.5, n_machines)[:, None, None]
    return flow


@pytest.fixture
def x(key):
    return jax.random.normal(key, (4, 16, 8, 1))


@pytest.fixture
def nlls():
    return jnp.asarray(np.random.default_rng(0).normal(scale=0.1, size=(4, 3)), jnp.float32)


def expected_nlls(x, n_machines):
    scales = np.exp(3 * np.tanh(np.linspace(-0.5, 0.5, n_machines) / 3))
    nlls = [-norm.logpdf(np.asarray(x), scale=s).mean((1, 2, 3)) for s in scales]
    return jnp.asarray(np.stack(nlls, 1), jnp.float32)


@pytest.mark.slow
def test_nll_is_that_of_the_gaussian_that_the_flow_is(x):
    flow, expected = make_flow(3), expected_nlls(x, 3)
    np.testing.assert_allclose(machine_nll(flow, x), expected, rtol=1e-5)
    np.testing.assert_allclose(nll(flow, x, MACHINE), expected[OWN], rtol=1e-5)


def test_contrast_is_the_cross_entropy_of_the_ids(nlls):
    cross_entropy = -log_softmax(-nlls / 0.05, axis=1)[OWN]
    np.testing.assert_allclose(contrast(nlls, MACHINE, CONFIG), 0.05 * cross_entropy, rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 0.1, 1e3])
def test_contrast_pulls_no_harder_than_the_nll(scale, nlls):
    """By the posterior of every other ID, and by what its own lacks."""
    gradient = jax.grad(lambda nlls: contrast(nlls, MACHINE, CONFIG).sum())(scale * nlls)
    posterior = np.exp(log_softmax(-scale * nlls / 0.05, axis=1))
    np.testing.assert_allclose(gradient, np.eye(3)[MACHINE] - posterior, atol=1e-5)
    assert np.abs(gradient).max() <= 1


def test_outlier_is_how_far_the_others_fall_short_of_the_margin():
    nlls = jnp.array(
        [
            [1.0, 1.1001, 7.0],  # both beyond the margin
            [1.0, 1.0, 0.5],  # of 0.6: far beyond
            [1.03, 1.0, 1.5],  # short by 0.07, beyond
            [0.8, 1.05, 1.0],  # short by 0.3 and 0.05
        ]
    )
    np.testing.assert_allclose(outlier(nlls, MACHINE, CONFIG), [0, 0, 0.035, 0.175], atol=1e-6)


@pytest.mark.parametrize("name", TERMS)
def test_weight_rises_linearly_from_0(name, x):
    config = replace(CONFIG, name=name)
    flow, nlls = make_flow(3), expected_nlls(x, 3)
    full = np.asarray(TERMS[name](nlls, MACHINE, CONFIG))
    assert full.max() > 0.1
    for step, part in ((0, 0.0), (25, 0.25), (100, 1.0), (1000, 1.0)):
        loss, own_nll = objective(flow, x, MACHINE, config=config, step=jnp.int32(step))
        np.testing.assert_allclose(own_nll, nlls[OWN], rtol=1e-5)
        np.testing.assert_allclose(loss - own_nll, 0.5 * part * full, rtol=1e-4, atol=1e-6)


def test_plain_objective_is_the_nll(x):
    config = replace(CONFIG, name="nll")
    loss, own_nll = objective(make_flow(3), x, MACHINE, config=config, step=jnp.int32(1000))
    np.testing.assert_array_equal(loss, own_nll)
    np.testing.assert_allclose(loss, expected_nlls(x, 3)[OWN], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", TERMS)
def test_one_id_has_nothing_to_be_set_against(name, x):
    config, flow = replace(CONFIG, name=name), make_flow(1)

    def losses(params):
        model = nnx.merge(graph, params, rest)
        return objective(model, x, jnp.zeros(4, int), config=config, step=jnp.int32(1000))

    graph, params, rest = nnx.split(flow, nnx.Param, ...)
    loss, own_nll = losses(params)
    np.testing.assert_allclose(loss, own_nll, atol=1e-6)
    pulls = jax.jit(jax.jacrev(lambda params: [each.sum() for each in losses(params)]))(params)
    for of_loss, of_nll in zip(*map(jax.tree.leaves, pulls), strict=True):
        np.testing.assert_allclose(of_loss, of_nll, atol=1e-6)
