"""Recordings of noise, and their features by the front-end alone."""

import jax.numpy as jnp
import numpy as np
import soundfile

from flowasd.features.frontend import FrontendConfig, log_mel

FRONTEND = FrontendConfig(n_fft=1024, hop_length=512, n_bands=16)


def record(path, seconds=0.5, seed=0):
    """Writes noise of 16 bits."""
    noise = np.random.default_rng(seed).normal(size=int(seconds * 16000)) * 0.1
    soundfile.write(path, noise, 16000, "PCM_16")
    return path


def expected_bands(path):
    samples, _ = soundfile.read(path, dtype="float32")
    return np.asarray(log_mel(jnp.asarray(samples), FRONTEND))


def assert_right(features, paths):
    """Every way to read the features gives those of the files, in order."""
    assert len(features.n_frames) == len(features.recordings) == len(paths)
    for i, (path, clip) in enumerate(zip(paths, features.clips(), strict=True)):
        np.testing.assert_allclose(clip, expected_bands(path), atol=1e-3)
        np.testing.assert_array_equal(features.clip(i), clip)
        assert features.n_frames[i] == len(clip)
    assert features.nbytes == sum(clip.nbytes for clip in features.clips())
