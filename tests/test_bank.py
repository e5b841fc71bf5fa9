import os
from pathlib import Path

import jax
import numpy as np
import pytest
import soundfile

from flowasd import bank
from flowasd.bank import Features, cached_features, compute_features, draw_patches, make_bank
from flowasd.errors import UserError
from flowasd.frontend import Frontend, Standardisation, log_mel

FRONTEND = Frontend(n_mels=16)


@pytest.fixture
def clips(tmp_path):
    """Three files of different length."""
    rng = np.random.default_rng(0)
    paths = []
    for i, seconds in enumerate((1.0, 0.3, 2.5)):
        path = tmp_path / f"normal_id_00_{i:08d}.wav"
        soundfile.write(path, rng.normal(size=int(seconds * 16000)) * 0.1, 16000, "FLOAT")
        paths.append(path)
    return paths


def test_features_are_each_clips_log_mel(clips):
    features = compute_features(clips, FRONTEND)
    for path, row, n_frames in zip(clips, features.log_mel, features.n_frames, strict=True):
        samples, _ = soundfile.read(path, dtype="float32")
        expected = log_mel(jax.numpy.asarray(samples), FRONTEND)
        assert n_frames == len(expected)
        np.testing.assert_allclose(row[:n_frames], expected, atol=1e-3)


def test_every_bad_file_is_listed(clips, tmp_path):
    bad = [tmp_path / "bad1.wav", tmp_path / "bad2.wav"]
    for path in bad:
        path.write_bytes(b"not audio")
    with pytest.raises(UserError, match=r"(?s)2 of 5 recordings.*bad1.*bad2"):
        compute_features([bad[0], *clips, bad[1]], FRONTEND)


def test_cache_is_used_until_a_file_or_setting_changes(clips, tmp_path, monkeypatch):
    computed = []
    monkeypatch.setattr(
        bank, "compute_features", lambda *args: computed.append(1) or compute_features(*args)
    )
    cache = tmp_path / "cache"
    first = cached_features(clips, FRONTEND, cache)
    second = cached_features(clips, FRONTEND, cache)
    np.testing.assert_array_equal(first.log_mel, second.log_mel)
    np.testing.assert_array_equal(first.n_frames, second.n_frames)
    assert len(computed) == 1
    cached_features(clips, FRONTEND._replace(hop_length=256), cache)
    assert len(computed) == 2
    os.utime(clips[0], ns=(1, 1))
    cached_features(clips, FRONTEND, cache)
    assert len(computed) == 3


def test_cache_that_cannot_be_written_is_a_warning(clips, tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="not cached"):
        features = cached_features(clips, FRONTEND, Path(tmp_path, "file"))
    assert len(features.log_mel) == 3


def test_drawn_patches_are_slices_of_their_own_machines_clips(key):
    # Each value tells its clip and frame, so that a patch can be traced back.
    frames = np.arange(40)[None, :] + 1000 * np.arange(6)[:, None]
    log_mel = np.repeat(frames[..., None], 4, -1).astype(np.float32)
    machine = np.array([0, 1, 0, 1, 2, 2], np.int32)
    lengths = np.array([40, 40, 40, 20, 20, 5], np.int32)
    identity = Standardisation(np.zeros(4, np.float32), np.ones(4, np.float32))
    made = make_bank(Features(log_mel, lengths), machine, identity)
    patches, machines = jax.jit(draw_patches, static_argnums=(2, 3))(made, key, 2000, 8)
    assert patches.shape == (2000, 8, 4, 1)
    clip, frame = np.divmod(np.asarray(patches)[..., 0, 0].astype(int), 1000)
    assert (clip == clip[:, :1]).all()
    np.testing.assert_array_equal(machine[clip[:, 0]], machines)
    start = frame[:, :1]
    np.testing.assert_array_equal(frame, (start + np.arange(8)) % lengths[clip])
    # Every clip and every admissible offset is drawn, none beyond the clip's end.
    assert set(clip[:, 0]) == set(range(6))
    for c, n_frames in enumerate(lengths):
        assert set(frame[clip[:, 0] == c, 0]) == set(range(max(n_frames - 8, 0) + 1))
