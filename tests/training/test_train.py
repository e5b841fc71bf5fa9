from functools import partial

import jax
import librosa
import numpy as np
import pytest
import soundfile
from flax import nnx

from flowasd.config import level
from flowasd.data.source import open_source
from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.evaluation.calibrate import calibrate_run
from flowasd.evaluation.evaluate import evaluate
from flowasd.features.cache import source_features
from flowasd.features.frontend import fit_standardisation
from flowasd.flow.objective import OBJECTIVES
from flowasd.run.checkpoint import Checkpoints
from flowasd.run.metric_log import read_metrics
from flowasd.training import train, updates
from flowasd.training.fit import restore_state
from flowasd.training.gaussian import starting_gaussian
from flowasd.training.parallel import data_mesh
from flowasd.training.step import initial_state
from tests.conftest import smoke_config, train_to_first_checkpoint


def saved_arrays(workdir, step):
    """Every array of a checkpoint, as orbax gives them back."""
    config = smoke_config()
    source = open_source(config.data, config.seed)
    _, features = source_features(source, config.frontend, config.data)
    statistics = fit_standardisation(features["train"].clips())
    mesh, machine = data_mesh(), source.machine_index("train")
    start = starting_gaussian(features["train"], machine, statistics)
    _, state = initial_state(config, start, mesh)
    checkpoints = Checkpoints(workdir)
    assert checkpoints.latest == step
    restored = restore_state(checkpoints, state)
    checkpoints.close()
    return jax.tree.leaves(restored)


@pytest.mark.slow
def test_resumed_run_ends_with_the_bits_of_an_uninterrupted_one(run, tmp_path):
    config = smoke_config()
    train_to_first_checkpoint(config, tmp_path)
    assert read_metrics(tmp_path)[-1]["step"] != config.train.steps
    train.train(config, tmp_path)
    calibrate_run(tmp_path)
    for resumed, whole in zip(
        saved_arrays(tmp_path, config.train.steps),
        saved_arrays(run, config.train.steps),
        strict=True,
    ):
        np.testing.assert_array_equal(resumed, whole)
    for resumed, whole in zip(read_metrics(tmp_path), read_metrics(run), strict=True):
        assert {**resumed, "seconds": 0} == {**whole, "seconds": 0}
    with (
        np.load(tmp_path / "calibration.npz") as resumed,
        np.load(run / "calibration.npz") as whole,
    ):
        assert set(resumed) == set(whole)
        for name in whole:
            np.testing.assert_array_equal(resumed[name], whole[name])


def test_finished_run_started_again_does_nothing(run):
    before = read_metrics(run), (run / "calibration.npz").stat().st_mtime_ns
    train.train(smoke_config(), run)
    calibrate_run(run)
    assert (read_metrics(run), (run / "calibration.npz").stat().st_mtime_ns) == before


def test_other_config_is_refused_with_the_keys_named(run):
    levels = (level(steps=2, width=8),)
    config = smoke_config({"train.learning_rate": 0.5, "model.levels": levels})
    with pytest.raises(UserError, match=r"model\.levels\[0\]\.width.*train\.learning_rate"):
        train.train(config, run)


def test_the_step_that_surely_gained_most_is_kept_the_start_included(run):
    rows = read_metrics(run)
    assert rows[-1]["train_nll"] < rows[1]["train_nll"]
    gains = {row["step"]: row["validation_gain"] for row in rows if "validation_gain" in row}
    assert [*gains] == [0, 10, 20]
    assert gains[0] == 0
    assert Detector.restore(run).step == max(gains, key=lambda step: gains[step])


@pytest.mark.slow
def test_step_depends_on_seed_alone(run, tmp_path):
    root = open_source(smoke_config().data, 0).splits["test"][0].path.parents[2]
    losses = []
    short = {"train.steps": 5, "train.warmup_steps": 1, "train.eval_every": 5}
    short |= {"data.root": str(root)}
    for seed in (0, 0, 1):
        config = smoke_config(short | {"seed": seed})
        workdir = tmp_path / str(len(losses))
        train.train(config, workdir)
        losses.append(read_metrics(workdir)[-1]["train_nll"])
    assert losses[0] == losses[1] != losses[2]


@pytest.fixture
def short_clips(tmp_path):
    """A data set of clips of 4000 samples at most."""
    for split, count in {"train": 6, "test": 2}.items():
        folder = tmp_path / "slider" / split
        folder.mkdir(parents=True)
        for i in range(count):
            noise = np.random.default_rng(100 * len(split) + i).normal(size=4000 - 50 * i)
            soundfile.write(folder / f"normal_id_00_{i:08d}.wav", 0.1 * noise, 16000)
    return tmp_path / "slider"


def test_hop_longer_than_every_clip_is_refused_in_one_line(short_clips, tmp_path):
    """A hop as long as the longest clip gives it a second frame."""
    short = {"data.root": str(short_clips), "data.suspicious": "keep"}  # than half a window
    hops = {hop: short | {"frontend.hop_length": hop} for hop in (4000, 4001)}
    with pytest.raises(UserError) as caught:
        train.train(smoke_config(hops[4001]), tmp_path / "run")
    assert str(caught.value) == (
        "config.frontend.hop_length=4001 is longer than every clip; lower it"
    )
    assert not (tmp_path / "run" / "checkpoints").exists()
    _, features = train.open_run(smoke_config(hops[4000]), tmp_path / "run")
    assert features["train"].n_frames.max() <= 2


@pytest.mark.slow
def test_image_shape_trains(tmp_path):
    shape = {"squeeze": (2, 2), "steps": 1, "width": 8, "kernel": (3, 3)}
    own = level(**shape, remat=True, conditional=True)
    config = smoke_config(
        {
            "model.levels": (level(**shape), own),
            "score.hop": 8,
            "train.patch_length": 16,
            "train.batch_size": 4,
            "train.steps": 10,
            "train.eval_every": 10,
        }
    )
    train.train(config, tmp_path)
    rows = read_metrics(tmp_path)
    assert rows[-1]["train_nll"] < rows[1]["train_nll"]


def test_logged_validation_nll_is_that_of_the_restored_detector(run):
    """The whole way round: checkpoint, statistics, patches and noise-free NLL, by other means."""
    detector = Detector.load(run)
    frontend = detector.config.frontend
    clips = open_source(detector.config.data, detector.config.seed).splits["validation"]
    stft = partial(
        librosa.feature.melspectrogram,
        sr=16000,
        n_fft=frontend.n_fft,
        hop_length=frontend.hop_length,
        n_mels=frontend.n_bands,
        pad_mode="constant",
    )
    length, total, count = detector.config.train.patch_length, 0.0, 0
    for clip in clips:
        samples, _ = soundfile.read(clip.path, dtype="float32")
        x = 10 * np.log10(np.maximum(stft(y=samples), 1e-10)).T - detector.statistics.mean
        x = x / detector.statistics.std
        starts = [*range(0, len(x) - length, length), len(x) - length]
        patches = jax.numpy.asarray(np.stack([x[start : start + length] for start in starts]))
        machine = detector.machine_ids.index(clip.machine_id)
        log_prob = detector.flow.log_prob(patches[..., None], jax.numpy.full(len(starts), machine))
        total, count = total - float(log_prob.sum()), count + patches.size
    logged = {row["step"]: row.get("validation_nll") for row in read_metrics(run)}
    assert logged[detector.step] == pytest.approx(total / count, abs=1e-4)


@pytest.mark.slow
def test_divergence_keeps_the_good_checkpoint(tmp_path, monkeypatch):
    """The second update spoils the parameters; its loss, from before it, is still finite."""

    def spoiling(*args, **kwargs):
        state, means = dispatch(*args, **kwargs)
        spoilt = jax.tree.map(lambda x: jax.numpy.where(state.step < 2, x, np.nan), state.params)
        return state._replace(params=spoilt), means

    dispatch = updates.dispatch
    monkeypatch.setattr(updates, "dispatch", spoiling)
    config = smoke_config({"train.log_every": 1, "train.eval_every": 1})
    with pytest.raises(UserError, match="diverged before step 2"):
        train.train(config, tmp_path)
    rows = read_metrics(tmp_path)
    assert [row["step"] for row in rows] == [0, 1]
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    detector = Detector.restore(tmp_path)
    assert rows[detector.step]["validation_gain"] == max(row["validation_gain"] for row in rows)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(nnx.state(detector.flow, nnx.Param)))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, term in OBJECTIVES.items() if term is not None])
def test_other_objectives_train_the_ids_apart(name, tmp_path):
    """The NLL is logged beside the loss, and clips fit their own ID better than others."""
    config = smoke_config(
        {
            "model.levels": (level(steps=2, width=16),),
            "train.objective.name": name,
            "train.objective.ramp_steps": 10,
            "train.objective.weight": 4.0,
            "train.objective.margin": 1.0,  # less, and `outlier` has nothing to do from the start
            "train.learning_rate": 3e-3,
        }
    )
    train.train(config, tmp_path)
    calibrate_run(tmp_path)
    assert read_metrics(tmp_path)[-1]["train_loss"] > read_metrics(tmp_path)[-1]["train_nll"]
    results = evaluate(tmp_path).clips
    assert np.mean([clip.scores["relative"] for clip in results if clip.label == 0]) < 0
