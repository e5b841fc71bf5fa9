"""The study of training clips, on densities and corpora whose truth is known."""

from multiprocessing import dummy
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from experiments.clips import corpus
from experiments.clips.corpus import simulated
from experiments.clips.learning import learn, measure
from experiments.clips.pooled import Pooled, recorded
from experiments.clips.tables import Point, draw, gains, groups, table
from flowasd.config import level
from flowasd.data.clips import Clip
from flowasd.data.source import open_source
from tests.conftest import smoke_config

BANDS = 4
POOLED = {
    "frontend.name": "log_linear",
    "frontend.n_fft": 1024,
    "frontend.hop_length": 512,
    "frontend.n_bands": BANDS,
    "frontend.pooling.window": 12.0,
    "model.levels": (level(steps=2, width=16, kernel=(1, 1)),),
    "train.patch_length": 1,
    "score.hop": 1,
}


def made(rng, per_id, away=0.0, label=0):
    """Clips of two machines, Gaussian with a spread of 2 dB, the second one 10 dB louder."""
    ids = np.repeat(["id_00", "id_02"], per_id)
    x = 10.0 * (ids == "id_02")[:, None] + 2 * rng.normal(away, 1, (2 * per_id, BANDS))
    clips = [
        Clip(Path(f"{label}_{i}.wav"), machine_id, label)
        for i, machine_id in enumerate(ids.tolist())
    ]
    return Pooled.of(clips, x.astype(np.float32))


def test_simulated_frames_are_those_of_the_built_in_corpus(tmp_path, monkeypatch):
    """Its FLAC files are rounded to 16 bits, which moves a band by less than 0.05 dB."""
    config = smoke_config(POOLED)
    monkeypatch.setattr(corpus, "CHUNK", 3)
    root = open_source(config.data, 0).splits["test"][0].path.parents[2]
    frames = {
        (part, clip.name): x
        for part, clips in zip(("train", "test"), recorded(root, config), strict=True)
        for clip, x in zip(clips.clips, clips.x, strict=True)
    }
    for part, state in (("train", "normal"), ("test", "normal"), ("test", "anomaly")):
        if part == "test":  # a thread instead of another process, which would compile all again
            monkeypatch.setattr(corpus.multiprocessing, "get_context", lambda _: dummy)
        own = simulated(tmp_path, config.frontend, part, state, 3, processes=1)
        assert len(own.clips) == 4 * 3
        expected = np.stack([frames[part, clip.name] for clip in own.clips])
        np.testing.assert_allclose(own.x, expected, atol=0.05)


def test_clips_are_drawn_and_split_by_machine():
    clips = made(np.random.default_rng(0), 50)
    drawn = clips.per_machine(20, seed=1)
    assert np.bincount(drawn.machine).tolist() == [20, 20]
    assert len(clips.per_machine(1000, seed=1).clips) == 100
    train, validation = drawn.split(0, 0.2)
    assert {*train.clips, *validation.clips} == {*drawn.clips}
    frames = dict(zip(clips.clips, clips.x, strict=True))
    for part in (train, validation):
        assert all((frames[clip] == x).all() for clip, x in zip(part.clips, part.x, strict=True))
        assert [f"id_0{2 * m}" for m in part.machine] == [clip.machine_id for clip in part.clips]


@pytest.mark.slow
def test_what_is_gaussian_has_the_nll_of_its_entropy():
    """In units of the standardised bands; the kept step is no worse on validation clips."""
    rng = np.random.default_rng(0)
    config = smoke_config(POOLED)
    train, validation = made(rng, 1000).split(0, 0.1)
    test = made(rng, 1000).joined(made(rng, 1000, away=0.5, label=1))
    gaussian, flow = learn(config, train, validation)
    assert gaussian.step == 0
    assert flow.validation_nll <= gaussian.validation_nll
    measured = measure(gaussian, test)
    entropy = 0.5 * np.log(2 * np.pi * np.e * 2**2) - np.log(train.x.std(0)).mean()
    assert measured.nll == pytest.approx(entropy, abs=0.03)
    # The Gaussian is known, so its likelihood ranks clips as their distance from the mean does.
    distance = ((test.x - 10.0 * test.machine[:, None]) ** 2).sum(1)
    labels = np.array([clip.label for clip in test.clips])
    own = [roc_auc_score(labels[test.machine == m], distance[test.machine == m]) for m in (0, 1)]
    assert measured.auc == pytest.approx(np.mean(own), abs=0.02)


def points():
    """Two folds and two seeds: the flow gains 0.1 with seed 0 and 0.3 with seed 1."""
    return [
        Point(f"fold {fold}", 80, seed, model, step, 1.0 + fold - gain, 0.9, 0.8)
        for fold in (0, 1)
        for seed, earned in ((0, 0.1), (1, 0.3))
        for model, step, gain in (("Gaussian", 0, 0.0), ("flow", 40 + 40 * seed, earned))
    ]


def test_the_table_averages_folds_and_spreads_seeds(tmp_path):
    # Differences: -0.1 and -0.3, so -0.2 with a sample standard deviation of 0.2 / sqrt(2).
    assert gains(groups(points())["real", 80]) == pytest.approx([-0.1, -0.3])
    assert table(points()).splitlines()[2] == (
        "| real | 80 | 1.500 ± 0.000 | 1.300 ± 0.141 | -0.200 ± 0.141 "
        "| 90.0 ± 0.0 / 80.0 ± 0.0 | 90.0 ± 0.0 / 80.0 ± 0.0 | 40 to 80 |"
    )
    draw(tmp_path / "curve.svg", points())
    assert "real" in (tmp_path / "curve.svg").read_text()
