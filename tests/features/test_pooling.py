"""Pooling against plain loops, and what a pooled front-end gives for clips of any length."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowasd.features.compute import compute_bands
from flowasd.features.frontend import FrontendConfig, bands
from flowasd.features.patches import patch_starts
from flowasd.features.pooling import PoolingConfig, descending, n_pooled, pool, rank_weighted

FRAMES = np.random.default_rng(0).normal(-40, 10, size=(23, 5)).astype(np.float32)


def by_hand(frames, decay, background=0.0):
    """Guan et al. 2023: sorted from the loudest on, weighted by powers of the decay.

    Of what comes out when it is sorted from the softest on, a share is taken away.
    """
    pooled = np.zeros(frames.shape[1])
    for band, share in product(range(frames.shape[1]), (1.0, -background)):
        ranked = sorted(frames[:, band].tolist(), reverse=share > 0)
        weights = [decay**rank for rank in range(len(ranked))]
        average = sum(w * v for w, v in zip(weights, ranked, strict=True)) / sum(weights)
        pooled[band] += share * average
    return pooled


@pytest.mark.parametrize("background", [0.0, 0.5])
@pytest.mark.parametrize("decay", [0.5, 0.95, 1.0])
@pytest.mark.parametrize("n_frames", [1, 7, 23])
def test_rank_weighting_is_that_of_the_paper_less_the_background(decay, n_frames, background):
    pooled = rank_weighted(jnp.asarray(FRAMES), jnp.int32(n_frames), decay, background)
    np.testing.assert_allclose(pooled, by_hand(FRAMES[:n_frames], decay, background), rtol=1e-5)


def test_any_floats_are_sorted():
    odd = [0.0, 1e-45, -1e-45, 3.4e38, -3.4e38, np.inf, -np.inf, -1.5, 1.5, -1.5]
    values = np.stack([np.random.default_rng(0).permutation(odd) for _ in range(3)], 1)
    values = values.astype(np.float32)
    expected = [sorted(band, reverse=True) for band in values.T.tolist()]
    np.testing.assert_array_equal(descending(jnp.asarray(values)).T, expected)


def test_decay_of_one_is_the_mean_and_of_zero_the_maximum():
    np.testing.assert_allclose(
        rank_weighted(jnp.asarray(FRAMES), jnp.int32(23), 1.0), FRAMES.mean(0), rtol=1e-6
    )
    np.testing.assert_array_equal(
        rank_weighted(jnp.asarray(FRAMES), jnp.int32(23), 0.0), FRAMES.max(0)
    )


@pytest.mark.parametrize("n_frames", [3, 8, 9, 15, 23])
def test_windows_cover_a_clip_and_the_last_ends_where_it_ends(n_frames):
    window, hop = 8, 3
    pooled = jax.jit(lambda f, n: pool(f, n, window=window, hop=hop, decay=0.9))(
        FRAMES, jnp.int32(n_frames)
    )
    starts = patch_starts(n_frames, window, hop)
    assert n_pooled(n_frames, window, hop) == len(starts)
    expected = [by_hand(FRAMES[s : min(s + window, n_frames)], 0.9) for s in starts]
    np.testing.assert_allclose(pooled[: len(starts)], expected, rtol=1e-5)


def test_the_same_under_vmap():
    both = jnp.stack([FRAMES, FRAMES[::-1]])
    lengths = jnp.array([23, 11])

    def one(frames, n):
        return pool(frames, n, window=8, hop=3, decay=0.9)

    together = jax.vmap(one)(both, lengths)
    for frames, n, pooled in zip(both, lengths, together, strict=True):
        np.testing.assert_allclose(pooled, one(frames, n), rtol=1e-6)


@pytest.mark.parametrize(("seconds", "frames"), [(0.4, 1), (3.0, 1), (5.0, 2), (8.0, 4)])
def test_clips_of_any_length_are_pooled_over_what_is_there(seconds, frames):
    """Padding to whole seconds, and the neighbours in a batch, have no part in it."""
    frontend = FrontendConfig(
        n_fft=512, hop_length=256, n_bands=16, pooling=PoolingConfig(window=4.0, hop=2.0, decay=0.9)
    )
    rng = np.random.default_rng(0)
    n_samples = int(seconds * 16000)
    clip, other = (0.1 * rng.normal(size=n).astype(np.float32) for n in (n_samples, 160_000))
    pooled = compute_bands([clip, other], frontend, rows=4)[0]
    assert len(pooled) == frontend.n_frames(n_samples) == frames
    whole = FrontendConfig(n_fft=512, hop_length=256, n_bands=16)
    padded = -(-n_samples // 16000) * 16000  # as computed: silence follows the clip
    spectra = bands(
        np.pad(clip, (0, padded - n_samples))[None], np.array([n_samples], np.int32), whole
    )[0]
    spectra = np.asarray(spectra)[: frontend.n_spectra(n_samples)]
    window, hop = frontend.windows
    starts = patch_starts(len(spectra), window, hop)
    expected = [by_hand(spectra[s : s + window], 0.9) for s in starts]
    np.testing.assert_allclose(pooled, expected, rtol=1e-4)


def test_bands_of_equal_width_are_means_of_the_power():
    frontend = FrontendConfig(name="log_linear", n_fft=512, hop_length=256, n_bands=16)
    clip = 0.1 * np.random.default_rng(0).normal(size=4096).astype(np.float32)
    found = np.asarray(bands(clip[None], np.array([4096], np.int32), frontend))[0]
    window = np.hanning(513)[:-1]
    padded = np.pad(clip, 256)
    for i, row in enumerate(found):
        power = np.abs(np.fft.rfft(padded[256 * i : 256 * i + 512] * window)) ** 2
        expected = 10 * np.log10(power[1:].reshape(16, 16).mean(1))  # 0 Hz is in no band
        np.testing.assert_allclose(row, expected, atol=1e-3)
