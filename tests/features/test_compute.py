"""The bands of clips of any length."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from flowasd.features import compute
from flowasd.features.compute import LENGTHS, compute_bands
from flowasd.features.frontend import FRONTENDS, FrontendConfig, bands
from flowasd.features.pooling import PoolingConfig

SHORT = FrontendConfig(n_fft=1024, hop_length=512, n_bands=16)
LONG = FrontendConfig(name="log_linear", n_fft=16384, hop_length=4096, n_bands=16)
POOLED = replace(SHORT, pooling=PoolingConfig(window=1.0, hop=0.7))
WIDE = replace(SHORT, pooling=PoolingConfig(window=100.0, hop=1.0))


def in_one_go(samples, frontend):
    n_samples = jnp.array([len(samples)])
    return np.asarray(bands(jnp.asarray(samples[None]), n_samples, frontend))[0]


@pytest.mark.parametrize("frontend", [SHORT, LONG, POOLED, WIDE])
@pytest.mark.parametrize("n_samples", [16001, 40000, 65536])
def test_blocks_give_the_bands_of_one_go(frontend, n_samples, monkeypatch):
    monkeypatch.setattr(compute, "LENGTHS", (1,))
    monkeypatch.setattr(compute, "BLOCK", 1)
    samples = np.random.default_rng(0).normal(size=n_samples).astype(np.float32) / 10
    (computed,) = compute_bands([samples], frontend, rows=1)
    assert len(computed) == frontend.n_frames(n_samples)
    np.testing.assert_allclose(computed, in_one_go(samples, frontend), atol=1e-4)


def test_fewer_clips_of_20_s_at_once_give_the_bands_of_one_go():
    """Of clips of 20 s two are computed at once where four of 10 s are."""
    rng = np.random.default_rng(0)
    clips = [rng.normal(size=n).astype(np.float32) / 10 for n in (310000, 20000, 320000, 250000)]
    computed = compute_bands(clips, SHORT, rows=4)
    for one, samples in zip(computed, clips, strict=True):
        assert len(one) == SHORT.n_frames(len(samples))
        np.testing.assert_allclose(one, in_one_go(samples, SHORT), atol=1e-4)


def test_many_lengths_share_a_few_compiled_functions(monkeypatch):
    """Seen by the shapes that the front-end is traced with."""
    traced = set()

    def front_end(samples, frontend):
        traced.add(samples.shape)
        return jnp.zeros((frontend.n_spectra(len(samples)), frontend.n_bands))

    monkeypatch.setitem(FRONTENDS, "traced", front_end)
    frontend = FrontendConfig(name="traced", sample_rate=100, n_fft=64, hop_length=32, n_bands=2)
    for n_samples in range(30, 12000, 50):
        compute_bands([np.ones(n_samples, np.float32)], frontend, rows=1)
    assert len(traced) <= len(LENGTHS) + 1
    assert (1000,) in traced  # a clip of ten seconds is not padded
