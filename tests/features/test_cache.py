"""The cache against features that are computed from the decoded file alone."""

import hashlib
import io
import os
import shutil
import struct
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from flowasd.data.clips import Clip
from flowasd.data.source import DataConfig, Source
from flowasd.features import cache, compute
from flowasd.features.cache import cached_features, source_features
from flowasd.features.hearing import Heard, hear
from tests.features.recordings import FRONTEND, assert_right, record


def entries(folder):
    return sorted(folder.rglob("*.bands"))


def test_features_are_each_clips_log_mel(clips, folder):
    assert_right(cached_features(clips, FRONTEND, folder), clips)


def test_long_clips_between_short_ones(clips, folder, monkeypatch):
    """Clips that are computed alone keep their place."""
    monkeypatch.setattr(compute, "LENGTHS", (1,))
    monkeypatch.setattr(compute, "BLOCK", 1)
    assert_right(cached_features(clips, FRONTEND, folder), clips)


def test_second_time_nothing_is_computed(clips, folder, computed):
    first = cached_features(clips, FRONTEND, folder)
    assert computed == clips
    second = cached_features(clips, FRONTEND, folder)
    assert computed == clips
    assert second.recordings == first.recordings
    assert_right(second, clips)


def test_one_added_clip_computes_one_clips_features(clips, folder, computed, monkeypatch):
    cached_features(clips, FRONTEND, folder)
    computed.clear()
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", terminal)
    added = [clips[0], record(folder.parent / "added.wav", seed=9), *clips[1:]]
    features = cached_features(added, FRONTEND, folder)
    assert computed == [added[1]]
    assert "1/1" in terminal.getvalue()  # the progress bar's
    assert "/4" not in terminal.getvalue()
    assert_right(features, added)


def test_moved_renamed_and_touched_recordings_are_not_computed_again(clips, folder, computed):
    cached_features(clips, FRONTEND, folder)
    computed.clear()
    (folder.parent / "elsewhere").mkdir()
    moved = clips[0].rename(folder.parent / "elsewhere" / clips[0].name)
    renamed = clips[1].rename(folder.parent / "anomaly_id_02_00000007.wav")
    os.utime(clips[2], ns=(1, 1))
    now = [clips[2], renamed, moved]
    assert_right(cached_features(now, FRONTEND, folder), now)
    assert computed == []


def test_replaced_recording_of_equal_size_and_time_is_computed_anew(clips, folder, computed):
    before = cached_features(clips, FRONTEND, folder)
    computed.clear()
    was = clips[0].stat()
    record(clips[0], 1.0, seed=99)
    os.utime(clips[0], ns=(was.st_atime_ns, was.st_mtime_ns))
    now = clips[0].stat()
    assert (now.st_size, now.st_mtime_ns) == (was.st_size, was.st_mtime_ns)
    features = cached_features(clips, FRONTEND, folder)
    assert computed == clips[:1]
    assert_right(features, clips)
    assert features.recordings[0] != before.recordings[0]
    assert features.recordings[1:] == before.recordings[1:]


@pytest.mark.parametrize("change", [{"hop_length": 256}, {"n_fft": 512}, {"n_bands": 8}])
def test_other_settings_have_features_of_their_own(change, clips, folder, computed):
    first = cached_features(clips, FRONTEND, folder)
    other = cached_features(clips, replace(FRONTEND, **change), folder)
    assert computed == 2 * clips
    assert other.recordings == first.recordings
    assert other.clip(0).shape != first.clip(0).shape or not np.allclose(
        other.clip(0), first.clip(0), atol=0.1
    )
    assert_right(cached_features(clips, FRONTEND, folder), clips)
    assert computed == 2 * clips


def flipped(at):
    def flip(content):
        changed = bytearray(content)
        changed[at] ^= 1
        return bytes(changed)

    return flip


DAMAGE = {
    "bit of the header": flipped(10),
    "bit of the bands": flipped(500),
    "bit of the recording's digest": flipped(-40),
    "bit of its own digest": flipped(-1),
    "half": lambda content: content[: len(content) // 2],
    "without its last byte": lambda content: content[:-1],
    "without its digests": lambda content: content[:-64],
    "zeroed": lambda content: bytes(len(content)),
    "empty": lambda _: b"",
    "a few bytes": lambda _: b"short",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_entry_is_computed_again(damage, clips, folder, computed):
    whole = cached_features(clips, FRONTEND, folder)
    computed.clear()
    entry = whole.paths[1]
    entry.write_bytes(DAMAGE[damage](entry.read_bytes()))
    mended = cached_features(clips, FRONTEND, folder)
    assert computed == [clips[1]]
    assert mended.recordings == whole.recordings
    assert_right(mended, clips)
    cached_features(clips, FRONTEND, folder)
    assert computed == [clips[1]]


def test_removed_entry_is_computed_again(clips, folder, computed):
    cached_features(clips, FRONTEND, folder).paths[2].unlink()
    computed.clear()
    assert_right(cached_features(clips, FRONTEND, folder), clips)
    assert computed == [clips[2]]


@pytest.mark.parametrize(("dtype", "subtype"), [("int16", "PCM_16"), ("int32", "PCM_24")])
def test_wav_and_flac_of_one_recording_have_one_digest(dtype, subtype, tmp_path, folder):
    """By the samples: neither the name nor the container matters, a single sample does."""
    noise = np.random.default_rng(0).normal(size=8000) * np.iinfo(dtype).max / 10
    samples = noise.astype(dtype) // 256 * 256
    paths = [tmp_path / name for name in ("a.wav", "b.flac", "c.wav")]
    for path in paths:
        if path.stem == "c":
            samples[123] += 256
        soundfile.write(path, samples, 16000, subtype)
    one, two, other = cached_features(paths, FRONTEND, folder).recordings
    assert one == two != other


def test_copies_of_one_file_share_an_entry(clips, folder):
    copy = Path(shutil.copy(clips[0], folder.parent / "copy.wav"))
    assert_right(cached_features([*clips, copy], FRONTEND, folder), [*clips, copy])
    assert len(entries(folder)) == 3


def test_splits_get_their_own_clips(tmp_path, folder):
    """Features of a split against those of its files alone."""
    splits = {}
    for split, lengths in {"train": (0.5, 1.0, 0.2), "empty": (), "test": (0.7,)}.items():
        paths = [tmp_path / f"normal_id_00_{split}{seconds}.wav" for seconds in lengths]
        for path, seconds in zip(paths, lengths, strict=True):
            record(path, seconds, int(seconds * 10))
        splits[split] = tuple(Clip(path, "id_00", 0) for path in paths)
    source = Source("slider", False, True, splits)
    data = DataConfig(cache=str(folder))
    _, features = source_features(source, FRONTEND, data)
    swapped = source._replace(splits={"train": splits["test"], "test": splits["train"]})
    _, again = source_features(swapped, FRONTEND, data)
    assert len(list((folder / "features").iterdir())) == 1
    (swapped_clip,), (clip,) = again["train"].clips(), features["test"].clips()
    np.testing.assert_array_equal(swapped_clip, clip)
    assert features.keys() == splits.keys()
    for split, clips in splits.items():
        assert_right(features[split], [clip.path for clip in clips])


def test_interrupted_computation_goes_on_where_it_was(clips, folder, computed, monkeypatch):
    def interrupted(paths, *settings):
        yield from list(hear(paths, *settings))[:2]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cache, "hear", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cached_features(clips, FRONTEND, folder)
    assert_right(cached_features(clips, FRONTEND, folder), clips)
    assert computed == clips[2:]


def test_features_are_not_held_in_memory(folder, monkeypatch):
    """Bands are let go of as they are written, and frames are read from their file."""
    alive = []

    def bands(paths, frontend, _):
        for i, path in enumerate(paths):
            made = np.full((i + 1, frontend.n_bands), i, np.float32)
            alive.append(weakref.ref(made))
            assert sum(ref() is not None for ref in alive) <= 2
            yield path, Heard(made, np.array([i], np.float32))

    monkeypatch.setattr(cache, "hear", bands)
    features = cached_features([Path(str(i)) for i in range(20)], FRONTEND, folder)
    samples = [struct.pack("<f", i) for i in range(20)]
    assert features.recordings == tuple(hashlib.sha256(s).hexdigest() for s in samples)
    for i, clip in enumerate(features.clips()):
        np.testing.assert_array_equal(clip, np.full((i + 1, 16), i))
        np.testing.assert_array_equal(features.frames(i, i, 1), clip[i:])


def test_cache_that_cannot_be_written_is_a_warning(clips, tmp_path):
    """The features are in a temporary folder, which lives as long as any part of them."""
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="features are not cached"):
        features = cached_features(clips, FRONTEND, tmp_path / "file")
    assert_right(features, clips)
    part, scratch = features.some([2, 0]), features.paths[0].parent
    del features
    assert_right(part, [clips[2], clips[0]])
    del part
    assert not scratch.exists()
