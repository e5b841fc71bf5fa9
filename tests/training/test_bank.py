import os
import weakref
from pathlib import Path

import jax
import numpy as np
import pytest
import soundfile

from flowasd.data.clips import Clip
from flowasd.data.source import Source
from flowasd.errors import UserError
from flowasd.features.cache import (
    Features,
    cached_features,
    compute_features,
    read_log_mels,
    source_features,
)
from flowasd.features.frontend import Frontend, Standardisation, log_mel
from flowasd.training import bank
from flowasd.training.bank import draw_patches, make_bank
from flowasd.training.parallel import data_mesh

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


def test_features_are_each_clips_log_mel(clips, tmp_path):
    features = compute_features(clips, FRONTEND, tmp_path)
    for path, clip in zip(clips, features.clips(), strict=True):
        samples, _ = soundfile.read(path, dtype="float32")
        expected = log_mel(jax.numpy.asarray(samples), FRONTEND)
        np.testing.assert_allclose(clip, expected, atol=1e-3)


def test_long_clips_between_short_ones(clips, tmp_path, monkeypatch):
    """Clips that are computed alone keep their place."""
    monkeypatch.setattr(bank, "LONG", 0.5)
    alone = []
    for path in clips:
        features = compute_features([path], FRONTEND, tmp_path)
        alone.append(np.array(features.frames))  # the next one is written to the same file
    for one, clip in zip(alone, compute_features(clips, FRONTEND, tmp_path).clips(), strict=True):
        np.testing.assert_allclose(one, clip, atol=1e-3)


def test_absurd_samples_are_refused(tmp_path):
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.full(1000, 1e30), 16000, "FLOAT")
    with pytest.raises(UserError, match=r"loud\.wav: samples are too large"):
        compute_features([path], FRONTEND, tmp_path)


def test_broken_links_are_listed_like_other_bad_files(clips, tmp_path):
    link = tmp_path / "normal_id_00_00000009.wav"
    link.symlink_to(tmp_path / "nowhere.wav")
    with pytest.raises(UserError, match=r"(?s)1 of 4 recordings.*normal_id_00_00000009"):
        cached_features([*clips, link], FRONTEND, tmp_path / "cache")


def test_splits_get_their_own_clips(tmp_path):
    """Features of a split against those of its files alone."""
    splits = {}
    for split, lengths in {"train": (0.5, 1.0, 0.2), "empty": (), "test": (0.7,)}.items():
        splits[split] = ()
        for seconds in lengths:
            path = tmp_path / f"normal_id_00_{split}{seconds}.wav"
            noise = np.random.default_rng(int(seconds * 10)).normal(size=int(seconds * 16000))
            soundfile.write(path, noise * 0.1, 16000, "FLOAT")
            splits[split] += (Clip(path, "id_00", 0),)
    source = Source("slider", False, True, splits)
    features = source_features(source, FRONTEND, tmp_path / "cache")
    swapped = source._replace(splits={"train": splits["test"], "test": splits["train"]})
    again = source_features(swapped, FRONTEND, tmp_path / "cache")
    assert len(list((tmp_path / "cache" / "features").iterdir())) == 1
    (swapped_clip,), (clip,) = again["train"].clips(), features["test"].clips()
    np.testing.assert_array_equal(swapped_clip, clip)
    for split, clips in splits.items():
        expected = compute_features([clip.path for clip in clips], FRONTEND, tmp_path)
        for own, other in zip(features[split].clips(), expected.clips(), strict=True):
            np.testing.assert_allclose(own, other, atol=1e-3)
        assert features[split].nbytes == sum(clip.nbytes for clip in expected.clips())


def test_every_bad_file_is_listed(clips, tmp_path):
    bad = [tmp_path / "bad1.wav", tmp_path / "bad2.wav"]
    for path in bad:
        path.write_bytes(b"not audio")
    with pytest.raises(UserError, match=r"(?s)2 of 5 recordings.*bad1.*bad2"):
        compute_features([bad[0], *clips, bad[1]], FRONTEND, tmp_path)


def test_cache_is_used_until_a_file_or_setting_changes(clips, tmp_path, monkeypatch):
    computed = []
    monkeypatch.setattr(
        bank, "compute_features", lambda *args: computed.append(1) or compute_features(*args)
    )
    cache = tmp_path / "cache"
    first = cached_features(clips, FRONTEND, cache)
    second = cached_features(clips, FRONTEND, cache)
    np.testing.assert_array_equal(first.frames, second.frames)
    np.testing.assert_array_equal(first.n_frames, second.n_frames)
    assert len(computed) == 1
    cached_features(clips, FRONTEND._replace(hop_length=256), cache)
    assert len(computed) == 2
    os.utime(clips[0], ns=(1, 1))
    cached_features(clips, FRONTEND, cache)
    assert len(computed) == 3


def test_interrupted_cache_does_not_count(clips, tmp_path, monkeypatch):
    def interrupted(paths, frontend):
        yield from list(read_log_mels(paths, frontend))[:2]
        raise KeyboardInterrupt

    monkeypatch.setattr(bank, "read_log_mels", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cached_features(clips, FRONTEND, tmp_path)
    monkeypatch.undo()
    assert len(cached_features(clips, FRONTEND, tmp_path).n_frames) == 3


def test_features_are_not_held_in_memory(tmp_path, monkeypatch):
    """Log-mels are let go of as they are written, and what is returned is the file."""
    alive = []

    def log_mels(paths, frontend):
        for i, path in enumerate(paths):
            log_mel = np.full((i + 1, frontend.n_mels), i, np.float32)
            alive.append(weakref.ref(log_mel))
            assert sum(ref() is not None for ref in alive) <= 2
            yield path, log_mel

    monkeypatch.setattr(bank, "read_log_mels", log_mels)
    features = compute_features([Path(str(i)) for i in range(20)], FRONTEND, tmp_path)
    for i, clip in enumerate(features.clips()):
        np.testing.assert_array_equal(clip, np.full((i + 1, 16), i))
    assert isinstance(features.frames.base, np.memmap)


def test_cache_that_cannot_be_written_is_a_warning(clips, tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="not cached"):
        features = cached_features(clips, FRONTEND, Path(tmp_path, "file"))
    assert len(features.n_frames) == 3


def test_drawn_patches_are_slices_of_their_own_machines_clips(key):
    # Each value tells its clip and frame, so that a patch can be traced back.
    machine = np.array([0, 1, 0, 1, 2, 2], np.int32)
    lengths = np.array([40, 40, 40, 20, 20, 5], np.int32)
    values = np.concatenate([1000 * i + np.arange(n) for i, n in enumerate(lengths)])
    frames = np.repeat(values[:, None], 4, -1).astype(np.float32)
    identity = Standardisation(np.zeros(4, np.float32), np.ones(4, np.float32))
    features = Features(frames, np.cumsum(lengths) - lengths, lengths)
    made = make_bank(features, machine, identity, data_mesh())
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
