"""Recordings that can be decoded and cannot be judged."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from flowasd.config import parse, pooled_config
from flowasd.data.audio import read_audio
from flowasd.data.clips import Clip
from flowasd.data.source import DataConfig, Source
from flowasd.data.suspicious import Suspicious
from flowasd.errors import UserError
from flowasd.features.cache import cached_features, source_features
from flowasd.features.frontend import Standardisation, fit_standardisation
from flowasd.features.hearing import Heard, hear, hear_samples
from flowasd.features.outliers import lost_highs, training_doubts
from tests.features.recordings import FRONTEND, record

SLIDER = parse(pooled_config()).frontend
NOISE = np.random.default_rng(0).normal(size=16000) / 10
SUSPICIOUS = {
    "silent": (np.zeros(16000), "is silent"),
    "constant": (np.full(16000, 0.25), "is silent"),
    "almost": (NOISE * 1e-5 + 0.5, "is silent"),
    "left_dead": (np.stack([np.zeros(16000), NOISE], 1), "first channel is silent"),
    "half_silent": (np.append(NOISE, np.zeros(20000)), "one value throughout 54 %"),
    "stuck": (np.append(np.full(40000, 0.1), NOISE), "one value throughout 66 %"),
    "int16": (NOISE * 32768, "samples are too large"),
    "one": (NOISE[:1], "has 1 samples"),
    "ten_ms": (NOISE[:160], "has 160 samples"),
}


def suspect(folder, name):
    path = folder / f"{name}.wav"
    soundfile.write(path, SUSPICIOUS[name][0], 16000, "FLOAT")
    return path


@pytest.mark.parametrize("name", SUSPICIOUS)
def test_a_recording_that_cannot_be_judged_is_refused_by_name(tmp_path, name):
    path = suspect(tmp_path, name)
    ((_, refused),) = hear([path], FRONTEND)
    assert isinstance(refused, UserError)
    assert str(refused).startswith(f"{path}: ")
    assert SUSPICIOUS[name][1] in str(refused)
    ((_, kept),) = hear([path], FRONTEND, DataConfig(suspicious="keep"))
    assert not isinstance(kept, UserError)


@pytest.mark.parametrize("gain", [1e-3, 1, 10])  # from -80 dB to the overshoot of a mix
def test_soft_and_loud_recordings_are_heard(gain):
    ((_, heard),) = hear_samples([(Path("a.wav"), (gain * NOISE).astype(np.float32))], FRONTEND)
    assert not isinstance(heard, UserError)


def test_pauses_are_heard():
    ((_, heard),) = hear_samples(
        [(Path("a.wav"), np.append(NOISE, np.zeros(9000)).astype(np.float32))], FRONTEND
    )
    assert not isinstance(heard, UserError)


def test_training_clips_are_refused_left_out_or_kept(clips, tmp_path, folder):
    bad = [suspect(tmp_path, name) for name in ("silent", "int16")]
    splits = {"train": (*clips, bad[0]), "validation": (bad[1],)}
    source = Source(
        "slider", False, False, {s: tuple(Clip(p, "id_00", 0) for p in splits[s]) for s in splits}
    )
    for _ in range(2):  # what was refused is not in the cache
        with pytest.raises(UserError, match=r"(?s)2 of 5 .*int16\.wav: .*silent\.wav: "):
            source_features(source, FRONTEND, DataConfig(cache=str(folder)))
    with pytest.warns(UserWarning, match=r"(?s)int16\.wav: .*silent\.wav: .*left out"):
        left, parts = source_features(
            source, FRONTEND, DataConfig(cache=str(folder), suspicious="warn")
        )
    assert [clip.path for clip in left.splits["train"]] == clips
    assert (left.splits["validation"], len(parts["train"].paths)) == ((), 3)
    keep = DataConfig(cache=str(folder), suspicious="keep")
    kept, parts = source_features(source, FRONTEND, keep)
    assert kept == source
    assert len(parts["train"].paths) == 4
    with pytest.raises(UserError, match="2 of 5"):
        source_features(source, FRONTEND, DataConfig(cache=str(folder)))


def test_a_clip_far_from_its_machines_others_is_named(tmp_path, folder):
    paths = [record(tmp_path / f"{i}.wav", seed=i) for i in range(8)]
    samples, _ = soundfile.read(paths[3])
    soundfile.write(paths[3], samples / 100, 16000, "FLOAT")
    features = cached_features(paths, FRONTEND, folder)
    clips = [Clip(path, "id_00", 0) for path in paths]
    (line,) = training_doubts(clips, features, FRONTEND)
    assert str(paths[3]) in line
    assert "\n" not in line
    assert not [*training_doubts(clips[:3], features.some([0, 1, 2]), FRONTEND)]


def test_what_is_odd_about_training_clips_is_named(tmp_path, folder):
    """One that is upsampled, one that is there twice, and bands at the floor in all of them."""
    paths = [record(tmp_path / f"{i}.wav", seconds=2, seed=i) for i in range(8)]
    soundfile.write(tmp_path / "1.flac", *soundfile.read(paths[1], dtype="int16"))
    samples, _ = soundfile.read(paths[3])
    narrow = soxr.resample(soxr.resample(samples, 16000, 8000), 8000, 16000)
    soundfile.write(paths[3], narrow, 16000)
    paths.append(tmp_path / "1.flac")
    frontend = replace(FRONTEND, name="log_linear")
    clips = [Clip(path, "id_00", 0) for path in paths]
    features = cached_features(paths, frontend, folder)
    far, highs, twice = training_doubts(clips, features, frontend)
    assert far.startswith(f"{paths[3]}: lies ")
    assert highs.startswith(f"{paths[3]}: has no sound above ")
    assert twice.startswith("2 training clips are the same recording")
    assert f"{paths[1]}, {paths[8]}" in twice
    for path in paths[:8]:
        samples, _ = soundfile.read(path)
        narrow = soxr.resample(soxr.resample(samples, 16000, 8000), 8000, 16000)
        soundfile.write(path, narrow, 16000)
    features = cached_features(paths[:8], frontend, folder)
    (bands,) = training_doubts(clips[:8], features, frontend)
    assert bands.startswith("8 of 16 bands hold no sound in any training clip")


def test_a_recording_of_a_lower_rate_is_doubted():
    frontend = replace(FRONTEND, name="log_linear")
    statistics = Standardisation(np.full(16, -40.0, np.float32), np.ones(16, np.float32))
    empty = np.full((5, 16), -40.0, np.float32)
    empty[:, 10:] = -90
    assert "no sound above" in (lost_highs(empty, statistics, frontend) or "")
    assert lost_highs(empty - 20, statistics, frontend)
    assert lost_highs(np.full((5, 16), -90.0, np.float32), statistics, frontend) is None
    nothing_there = statistics._replace(mean=empty[0])
    assert lost_highs(empty, nothing_there, frontend) is None


def test_real_clips_are_heard_without_a_doubt_and_upsampled_ones_with_one(recordings, folder):
    paths = sorted(recordings.glob("slider/train/*.flac"))[::10]
    features = cached_features(paths, SLIDER, folder)
    clips = [Clip(path, path.name.split("_")[2], 0) for path in paths]
    assert not [*training_doubts(clips, features, SLIDER)]
    statistics = fit_standardisation(features.clips())
    for path, bands in zip(paths, features.clips(), strict=True):
        assert lost_highs(bands, statistics, SLIDER) is None
        samples = read_audio(path)
        narrow = soxr.resample(soxr.resample(samples, 16000, 8000), 8000, 16000)
        ((_, heard),) = hear_samples([(path, np.clip(narrow, -1, 1))], SLIDER)
        assert isinstance(heard, Heard)
        assert lost_highs(heard.bands, statistics, SLIDER)


def test_the_error_of_a_suspicious_file_keeps_no_samples_alive(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    ((_, error),) = hear([tmp_path / "a.wav"], FRONTEND)
    assert isinstance(error, Suspicious)
    assert (error.__traceback__, error.__context__) == (None, None)
