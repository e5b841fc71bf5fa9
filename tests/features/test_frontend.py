from dataclasses import replace

import jax.numpy as jnp
import librosa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowasd.data.audio import read_audio
from flowasd.features.frontend import (
    FRONTENDS,
    POWER_FLOOR,
    FrontendConfig,
    bands,
    filtered,
    fit_standardisation,
    linear_filterbank,
    log_mel,
    mel_filterbank,
    standardise,
)
from flowasd.features.patches import covering_patches, patch_starts

FRONTEND = FrontendConfig(n_fft=1024, hop_length=512)
FLOOR_DB = 10 * np.log10(POWER_FLOOR)


def librosa_log_mel(samples, frontend):
    power = librosa.feature.melspectrogram(
        y=samples.astype(np.float64),
        sr=frontend.sample_rate,
        n_fft=frontend.n_fft,
        hop_length=frontend.hop_length,
        n_mels=frontend.n_bands,
        center=True,
        pad_mode="constant",
        power=2.0,
    )
    return 10 * np.log10(np.maximum(power, POWER_FLOOR)).T


def assert_parity(samples, frontend):
    ours = np.asarray(log_mel(jnp.asarray(samples), frontend))
    reference = librosa_log_mel(samples, frontend)
    assert ours.shape == reference.shape == (frontend.n_frames(len(samples)), frontend.n_bands)
    above = reference > FLOOR_DB + 1e-3
    np.testing.assert_allclose(ours[above], reference[above], atol=1e-3)
    np.testing.assert_allclose(ours[~above], FLOOR_DB, atol=1e-2)


@pytest.mark.filterwarnings("ignore:n_fft=.* is too large:UserWarning")
@pytest.mark.parametrize("n_samples", [16000, 15999, 100, 1])
def test_equals_librosa_on_noise(n_samples):
    samples = np.random.default_rng(0).normal(size=n_samples).astype(np.float32) * 0.1
    assert_parity(samples, FRONTEND)


@pytest.mark.parametrize(
    "frontend",
    [
        FrontendConfig(),
        replace(FRONTEND, n_fft=2048),
        replace(FRONTEND, n_bands=64),
        replace(FRONTEND, sample_rate=8000),
    ],
)
@pytest.mark.filterwarnings("ignore:n_fft=.* is too large:UserWarning")
def test_equals_librosa_with_other_settings(frontend):
    assert_parity(np.random.default_rng(1).normal(size=8000).astype(np.float32), frontend)


def test_equals_librosa_on_recordings(recordings):
    for path in sorted((recordings / "slider" / "test").iterdir())[::150]:
        assert_parity(read_audio(path), FRONTEND)


def test_filterbank_equals_librosa():
    reference = librosa.filters.mel(sr=16000, n_fft=1024, n_mels=128).T
    np.testing.assert_allclose(mel_filterbank(FRONTEND), reference, atol=1e-7)


@pytest.mark.parametrize("n_bands", [1, 40, 500])  # some of 500 mel bands pass nothing
@pytest.mark.parametrize("filterbank", [mel_filterbank, linear_filterbank])
@pytest.mark.parametrize("n_fft", [1024, 4096])
def test_filtering_is_one_product(n_fft, filterbank, n_bands):
    filters = filterbank(FrontendConfig(n_fft=n_fft, n_bands=n_bands))
    power = np.random.default_rng(0).random((3, len(filters)), np.float32)
    np.testing.assert_allclose(
        filtered(jnp.asarray(power), filters), power.astype(np.float64) @ filters, rtol=1e-5
    )


@pytest.mark.parametrize("name", FRONTENDS)
def test_batch_is_each_clip_alone(name):
    """For every front-end of the registry, with the shape that its config promises."""
    frontend = replace(FRONTEND, name=name)
    clips = np.random.default_rng(2).normal(size=(3, 4000)).astype(np.float32)
    lengths = jnp.full(len(clips), clips.shape[1])
    together = bands(jnp.asarray(clips), lengths, frontend)
    assert together.shape == (3, frontend.n_frames(4000), frontend.n_bands)
    assert together.dtype == np.float32
    for row, clip in zip(together, clips, strict=True):
        alone = FRONTENDS[name](jnp.asarray(clip), frontend)
        np.testing.assert_allclose(row, alone, atol=1e-3)


@pytest.mark.parametrize("name", FRONTENDS)
def test_silence_is_finite_and_constant(name):
    frontend = replace(FRONTEND, name=name)
    silent = np.asarray(FRONTENDS[name](jnp.zeros(5000), frontend))
    assert np.isfinite(silent).all()
    np.testing.assert_array_equal(silent, silent[:1].repeat(len(silent), 0))


def test_silence_is_the_floor():
    np.testing.assert_allclose(log_mel(jnp.zeros(5000), FRONTEND), FLOOR_DB, rtol=1e-6)


def test_standardised_frames_have_mean_0_and_deviation_1():
    """Over the frames of all clips, however these are cut."""
    frames = np.random.default_rng(3).normal(-80, 2, size=(200, 4)).astype(np.float32)
    statistics = fit_standardisation(np.split(frames, [1, 50, 60]))
    np.testing.assert_allclose(statistics.mean, np.mean(frames, 0), rtol=1e-5)
    np.testing.assert_allclose(statistics.std, np.std(frames, 0), rtol=1e-5)
    standard = standardise(frames, statistics)
    np.testing.assert_allclose(standard.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(standard.std(0), 1, rtol=1e-5)


def test_silent_band_is_not_blown_up():
    silent = np.full((10, 3), FLOOR_DB, np.float32)
    statistics = fit_standardisation([silent])
    np.testing.assert_allclose(standardise(silent, statistics), 0, atol=1e-4)


@given(st.integers(1, 400), st.integers(1, 64), st.data())
def test_patches_cover_every_frame(n_frames, length, data):
    hop = data.draw(st.integers(1, length))
    starts = patch_starts(n_frames, length, hop)
    covered = {start + i for start in starts for i in range(length)}
    assert set(range(n_frames)) <= covered
    assert starts[0] == 0
    assert starts[-1] == max(n_frames - length, 0)


def test_covering_patches_stay_within_their_clips_and_repeat_short_ones():
    # A first clip of 10 frames lies at 0 … 9, a second of 3 at 10 … 12.
    index, clip = covering_patches(np.array([10, 3]), length=5, hop=5)
    np.testing.assert_array_equal(clip, [0, 0, 1])
    np.testing.assert_array_equal(index, [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11, 12, 10, 11]])


def test_no_clips_no_patches():
    index, clip = covering_patches(np.zeros(0, int), length=5, hop=5)
    assert index.shape == (0, 5)
    assert clip.shape == (0,)
