"""Statistics of normal clips, against NumPy and the pooling itself."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from flowasd.features.frontend import FrontendConfig, Standardisation
from flowasd.features.pooling import PoolingConfig, pool
from flowasd.flow.bijection import LevelConfig
from flowasd.flow.glow import ModelConfig, make_glow
from flowasd.scoring.reference import (
    Reference,
    mean_level,
    mean_quantiles,
    normal_frame,
    quantiles_of,
    ranked,
)

FRONTEND = FrontendConfig(
    sample_rate=100, n_fft=20, hop_length=10, n_bands=4, pooling=PoolingConfig(window=30.0)
)
LOUDER = replace(FRONTEND, pooling=PoolingConfig(window=30.0, background=0.5))


@pytest.fixture
def clip():
    return np.random.default_rng(0).normal(-40, 5, size=(300, 4))


@pytest.mark.parametrize("frontend", [FRONTEND, LOUDER])
def test_the_normal_frame_of_one_clip_is_its_pooled_frame(clip, frontend):
    """But for what 40 quantiles leave out, which is small beside a spread of 5 dB."""
    quantiles = mean_quantiles([clip])
    window, hop = frontend.windows
    pooled = pool(
        jnp.asarray(clip, jnp.float32),
        jnp.asarray(300),
        window=window,
        hop=hop,
        decay=0.95,
        background=frontend.pooling.background,
    )
    np.testing.assert_allclose(normal_frame(quantiles, 300, frontend), pooled[0], atol=0.3)
    np.testing.assert_allclose(mean_level(quantiles), clip.mean(0), atol=0.3)
    np.testing.assert_allclose(
        normal_frame(quantiles, 300, frontend.unpooled), clip.mean(0), atol=0.3
    )
    ordered = np.sort(clip, 0)[::-1]
    np.testing.assert_allclose(ranked(quantiles, 300)[5:-30], ordered[5:-30], atol=0.6)


def test_quantiles_are_averaged_over_clips(clip):
    both = mean_quantiles([clip, clip + 6])
    np.testing.assert_allclose(both, mean_quantiles([clip]) + 3, rtol=1e-4)


@pytest.mark.parametrize("frontend", [FRONTEND, LOUDER, FRONTEND.unpooled])
def test_an_enrolled_machine_is_normal_at_the_mean_of_its_base_density(clip, frontend):
    """The flow is a Gaussian at its start, so this is the mean that it was given."""
    rng = np.random.default_rng(1)
    mean = rng.normal(size=(3, 4)).astype(np.float32)
    config = ModelConfig(levels=(LevelConfig(steps=2, width=8, kernel=(1, 1)),))
    flow = make_glow(config, n_bands=4, n_machines=3, seed=0)
    flow.start_at(jnp.asarray(mean), jnp.asarray(np.triu(np.ones((4, 4))), jnp.float32))
    two = np.stack([mean_quantiles([clip]), mean_quantiles([clip + 1])])
    known = Reference(two, np.zeros((0, 4)), np.zeros(0, int), ())
    statistics = Standardisation(np.full(4, -40.0), np.full(4, 3.0))
    own = quantiles_of(known, 2, flow, statistics, 300, frontend)
    expected = mean[2] * 3 - 40
    np.testing.assert_allclose(normal_frame(own, 300, frontend), expected, atol=1e-3)
    np.testing.assert_array_equal(quantiles_of(known, 1, flow, statistics, 300, frontend), two[1])
