"""Shares of a score against closed forms, and their sum against the flow's own NLLs."""

import jax.numpy as jnp
import numpy as np
import pytest

from flowasd.features.frontend import FrontendConfig
from flowasd.features.pooling import PoolingConfig, pool
from flowasd.flow.bijection import LevelConfig
from flowasd.flow.glow import ModelConfig, make_glow
from flowasd.scoring.attribution import integrated_gradients, spread
from flowasd.scoring.explanation import versus
from flowasd.scoring.frame_nll import frame_nll
from tests.conftest import randomise

BANDS, MACHINES = 6, 3
MODEL = ModelConfig(levels=(LevelConfig(steps=2, width=8, kernel=(3, 1)),), embed=4)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def gaussian(rng):
    """A flow that is a Gaussian for every ID, with its means and its precision matrix."""
    mean = rng.normal(size=(MACHINES, BANDS))
    upper = np.triu(rng.normal(size=(BANDS, BANDS)), 1) + np.diag(rng.uniform(0.5, 2, BANDS))
    flow = make_glow(MODEL, n_bands=BANDS, n_machines=MACHINES, seed=0)
    flow.start_at(jnp.asarray(mean, jnp.float32), jnp.asarray(upper, jnp.float32))
    return flow, mean, upper.T @ upper


def test_shares_of_a_gaussian_are_half_the_products_of_its_quadratic_form(rng):
    """From the mean, the share of band i of frame t is d_i (P d)_i / 2, over frames and bands."""
    flow, mean, precision = gaussian(rng)
    x = rng.normal(size=(5, BANDS))
    own = versus("mean", 1, MACHINES)
    shares = integrated_gradients(flow, x, mean[1], own, length=4, hop=2)
    away = x - mean[1]
    expected = 0.5 * away * (away @ precision) / (len(x) * BANDS)
    np.testing.assert_allclose(shares, expected, rtol=1e-3, atol=1e-4)


def test_shares_of_relative_are_those_of_a_linear_form(rng):
    """With one covariance, the squares cancel: the slope is P (mean of means - own mean)."""
    flow, mean, precision = gaussian(rng)
    x, normal = rng.normal(size=(3, BANDS)), rng.normal(size=BANDS)
    weights = versus("relative", 0, MACHINES)
    shares = integrated_gradients(flow, x, normal, weights, length=4, hop=2)
    slope = precision @ (mean.mean(0) - mean[0])
    expected = (x - normal) * slope / (len(x) * BANDS)
    np.testing.assert_allclose(shares, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("n_frames", [3, 4, 11])
def test_shares_add_up_to_the_difference_of_the_scores(rng, n_frames):
    """Of a flow with couplings that do something; clips shorter and longer than a patch.

    The networks have kinks, at which a rule of 16 nodes errs by some thousandths.
    """
    flow = randomise(make_glow(MODEL, n_bands=BANDS, n_machines=MACHINES, seed=0))
    x, normal = 2 * rng.normal(size=(n_frames, BANDS)), rng.normal(size=BANDS)
    settings = {"length": 4, "hop": 3}
    for rule in ("mean", "relative", "max"):
        weights = versus(rule, 2, MACHINES)
        both = frame_nll(flow, [x, np.tile(normal, (n_frames, 1))], **settings, batch_size=2)
        score, least = (nll.mean(0) @ weights for nll in both)
        shares = integrated_gradients(flow, x, normal, weights, **settings)
        assert shares.sum() == pytest.approx(score - least, rel=2e-2, abs=1e-3)


POOLED = FrontendConfig(
    sample_rate=100, n_fft=20, hop_length=10, n_bands=BANDS, pooling=PoolingConfig(window=2.0)
)


@pytest.mark.parametrize("frontend", [POOLED, POOLED.unpooled])
def test_spreading_keeps_the_sum_of_every_band_but_for_the_smoothing(rng, frontend):
    spectra = rng.normal(size=(35, BANDS))
    count = len(frontend.frame_windows(len(spectra)))
    assert count == frontend.n_frames(349)
    shares, away = rng.normal(size=(2, count, BANDS))
    cells = spread(shares, away, spectra, np.zeros(BANDS), frontend)
    assert cells.shape == spectra.shape
    assert cells.sum() == pytest.approx(shares.sum())


def test_a_share_goes_to_the_time_at_which_its_band_departs():
    spectra = np.zeros((30, BANDS))
    spectra[20, 2], spectra[5, 4] = 9.0, -9.0
    spectra[10, 4] = 3.0  # on the other side of normal than its frame
    frontend = FrontendConfig(
        sample_rate=100, n_fft=20, hop_length=10, n_bands=BANDS, pooling=PoolingConfig(window=3.0)
    )
    shares = np.array([[0, 0, 1.0, 0, 2.0, 0]])
    away = np.array([[0, 0, 1.0, 0, -1.0, 0]])
    cells = spread(shares, away, spectra, np.zeros(BANDS), frontend)
    assert np.unravel_index(cells.argmax(), cells.shape) == (5, 4)
    assert cells[18:23].sum() == pytest.approx(1, abs=0.15)
    assert cells[10, 4] == pytest.approx(0, abs=0.05)


def test_windows_are_those_of_the_pooling(rng):
    """A pooled frame depends on the spectra of its window and on no others."""
    window, hop = POOLED.windows
    spectra = jnp.asarray(rng.normal(size=(35, 2)), jnp.float32)

    def pooled(x):
        return np.asarray(pool(x, jnp.asarray(len(x)), window=window, hop=hop, decay=0.9))

    before = pooled(spectra)
    for i, times in enumerate(POOLED.frame_windows(len(spectra))):
        outside = np.ones(len(spectra), bool)
        outside[times] = False
        np.testing.assert_array_equal(pooled(spectra.at[outside].set(7.0))[i], before[i])
        np.testing.assert_allclose(pooled(spectra.at[times].set(7.0))[i], 7.0, rtol=1e-6)
