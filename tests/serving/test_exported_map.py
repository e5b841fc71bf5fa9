"""The map of a batch, which is exported, against that of one clip."""

import jax.numpy as jnp
import numpy as np
import pytest

from flowasd.features.frontend import FrontendConfig
from flowasd.features.pooling import PoolingConfig
from flowasd.scoring import attribution
from flowasd.serving.exported_map import spread

POOLED = FrontendConfig(
    sample_rate=100, n_fft=20, hop_length=10, n_bands=6, pooling=PoolingConfig(window=2.0)
)


@pytest.mark.parametrize("frontend", [POOLED, POOLED.unpooled], ids=["pooled", "unpooled"])
@pytest.mark.parametrize("n_spectra", [3, 35])
def test_shares_are_spread_as_in_the_explanation(frontend, n_spectra):
    """Also over a clip that is shorter than a window, and over a band that is normal."""
    rng = np.random.default_rng(0)
    n_frames = len(frontend.frame_windows(n_spectra))
    spectra = rng.normal(size=(2, n_spectra, 6)).astype(np.float32)
    level = rng.normal(size=(2, 6)).astype(np.float32)
    shares, away = rng.normal(size=(2, 2, n_frames, 6)).astype(np.float32)
    away[0, 0, 3] = 0
    above = jnp.asarray(spectra - level[:, None])
    maps = spread(jnp.asarray(shares), jnp.asarray(away), above, frontend)
    for i, own in enumerate(np.asarray(maps)):
        expected = attribution.spread(shares[i], away[i], spectra[i], level[i], frontend)
        np.testing.assert_allclose(own, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
