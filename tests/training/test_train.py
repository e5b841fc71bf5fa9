import json
import shutil
from contextlib import closing

import jax
import librosa
import numpy as np
import pytest
import soundfile
from flax import nnx

from configs import smoke
from flowasd import default_config as default
from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.evaluation.evaluate import evaluate
from flowasd.features.cache import Features
from flowasd.features.frontend import Standardisation
from flowasd.run.checkpoint import Checkpoints
from flowasd.run.metric_log import read_metrics
from flowasd.scoring.calibration import load_calibration, save_calibration
from flowasd.training import train
from flowasd.training.parallel import data_mesh
from flowasd.training.step import initial_state, make_optimizer, train_step
from tests.conftest import train_to_first_checkpoint


def saved_arrays(workdir, step):
    """Every array of a checkpoint, as orbax gives them back."""
    config = smoke.get_config()
    source = train.open_source(config.data, config.seed)
    features = train.source_features(
        source, train.Frontend(**config.frontend), train.cache_folder(config.data)
    )
    statistics = train.fit_standardisation(features["train"].clips())
    mesh = data_mesh()
    bank = train.make_bank(features["train"], source.machine_index("train"), statistics, mesh)
    _, state = initial_state(config, bank, len(source.machine_ids), mesh)
    checkpoints = Checkpoints(workdir)
    assert checkpoints.latest == step
    restored = train.restore_state(checkpoints, state)
    checkpoints.close()
    return jax.tree.leaves(restored)


def test_resumed_run_ends_with_the_bits_of_an_uninterrupted_one(run, tmp_path):
    config = smoke.get_config()
    train_to_first_checkpoint(config, tmp_path)
    assert read_metrics(tmp_path)[-1]["step"] < config.train.steps
    train.train(config, tmp_path)
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
    train.train(smoke.get_config(), run)
    assert (read_metrics(run), (run / "calibration.npz").stat().st_mtime_ns) == before


def test_run_that_was_cut_off_before_its_calibration_makes_it_up(run, tmp_path):
    """Neither none at all nor that of another checkpoint will do."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    expected = load_calibration(run / "calibration.npz", smoke.get_config().train.steps)
    save_calibration(copy / "calibration.npz", expected._replace(step=10, location=np.zeros(0)))
    train.train(smoke.get_config(), copy)
    made_up = load_calibration(copy / "calibration.npz", expected.step)
    for new, old in zip(jax.tree.leaves(made_up), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(new, old)


def test_other_config_is_refused_with_the_keys_named(run):
    config = smoke.get_config()
    config.train.learning_rate = 0.5
    config.model.levels[0].width = 8
    with pytest.raises(UserError, match=r"model\.levels\[0\]\.width.*train\.learning_rate"):
        train.train(config, run)


def test_training_lowers_the_nll(run):
    rows = read_metrics(run)
    assert rows[-1]["train_nll"] < rows[0]["train_nll"]
    validation = [row["validation_nll"] for row in rows if "validation_nll" in row]
    assert validation[-1] < validation[0]


def test_best_checkpoint_is_kept_beside_the_last(tmp_path):
    """Validation that only gets worse: the first checkpoint must survive."""
    with closing(Checkpoints(tmp_path, create=True)) as checkpoints:
        for step in range(1, 5):
            tree = {"step": np.array([step])}
            checkpoints.save(step, tree, tree, {"step": step}, validation_nll=float(step))
    assert sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir()) == [1, 4]
    with closing(Checkpoints(tmp_path)) as checkpoints:
        assert (checkpoints.best, checkpoints.latest) == (1, 4)
        assert checkpoints.card(1) == {"step": 1}
        restored = checkpoints.restore(1, "model", {"step": np.array([0])})
    np.testing.assert_array_equal(restored["step"], [1])


def test_step_depends_on_seed_alone(tmp_path):
    losses = []
    for seed in (0, 0, 1):
        config = smoke.get_config()
        config.seed = seed
        config.train.update({"steps": 5, "warmup_steps": 1, "eval_every": 5})
        workdir = tmp_path / str(len(losses))
        train.train(config, workdir)
        losses.append(read_metrics(workdir)[-1]["train_nll"])
    assert losses[0] == losses[1] != losses[2]


def test_divergence_is_an_error(tmp_path):
    config = smoke.get_config()
    config.train.learning_rate = 1e30
    with pytest.raises(UserError, match="diverged"):
        train.train(config, tmp_path)


def test_splits_are_recorded(run):
    splits = json.loads((run / "splits.json").read_text())
    assert splits.pop("data") == "SIMULATED"
    assert set(splits) == {"train", "validation", "test"}
    names = [name for files in splits.values() for name in files]
    assert len(names) == len(set(names)) == 4 * (8 + 3 + 3)


def test_image_shape_trains(tmp_path):
    config = smoke.get_config()
    shape = {"squeeze": (2, 2), "steps": 1, "width": 8, "kernel": (3, 3)}
    shared = default.level(**shape, conditional=False)
    config.model.levels = (shared, default.level(**shape, remat=True), default.level(**shape))
    config.score.hop = 8
    config.train.update({"patch_length": 16, "batch_size": 4, "steps": 10, "eval_every": 10})
    train.train(config, tmp_path)
    rows = read_metrics(tmp_path)
    assert rows[-1]["train_nll"] < rows[0]["train_nll"]


def test_learning_rate_warms_up_and_decays_and_gradients_are_clipped():
    """One parameter with a constant gradient: Adam moves it by the learning rate itself."""
    config = smoke.get_config().train
    config.update({"steps": 100, "warmup_steps": 20, "learning_rate": 0.5, "clip_norm": 1.0})
    optimizer = make_optimizer(config)
    params = {"x": jax.numpy.zeros(1)}
    state, moves = optimizer.init(params), []
    for _ in range(101):
        updates, state = optimizer.update({"x": jax.numpy.ones(1)}, state, params)
        moves.append(-np.asarray(jax.tree.leaves(updates)[0]).item())
    step = np.arange(101)
    cosine = 0.5 * (1 + np.cos(np.pi * (step - 20) / 80))
    expected = 0.5 * np.where(step < 20, step / 20, cosine)
    np.testing.assert_allclose(moves, expected, atol=1e-5)
    # Adam forgets a common factor, so a gradient of 1000 after ones of 1 shows the clipping.
    updates, _ = optimizer.update({"x": jax.numpy.full(1, 1000.0)}, state, params)
    assert abs(np.asarray(jax.tree.leaves(updates)[0]).item()) < 1e-3


def test_logged_validation_nll_is_that_of_the_restored_detector(run):
    """The whole way round: checkpoint, statistics, patches and noise-free NLL, by other means."""
    detector = Detector.load(run)
    source = train.open_source(detector.config.data, detector.config.seed)
    clips = source.splits["validation"]
    stft = {key: detector.config.frontend[key] for key in ("n_fft", "hop_length", "n_mels")}
    length, total, count = detector.config.train.patch_length, 0.0, 0
    for clip in clips:
        samples, _ = soundfile.read(clip.path, dtype="float32")
        log_mel = librosa.feature.melspectrogram(y=samples, sr=16000, pad_mode="constant", **stft)
        x = 10 * np.log10(np.maximum(log_mel, 1e-10)).T - detector.statistics.mean
        x = x / detector.statistics.std
        starts = [*range(0, len(x) - length, length), len(x) - length]
        patches = jax.numpy.asarray(np.stack([x[start : start + length] for start in starts]))
        machine = detector.machine_ids.index(clip.machine_id)
        log_prob = detector.flow.log_prob(patches[..., None], jax.numpy.full(len(starts), machine))
        total, count = total - float(log_prob.sum()), count + patches.size
    logged = {row["step"]: row.get("validation_nll") for row in read_metrics(run)}
    assert logged[detector.step] == pytest.approx(total / count, abs=1e-4)


def test_divergence_keeps_the_good_checkpoint(tmp_path, monkeypatch):
    """The second update spoils the parameters; its loss, from before it, is still finite."""

    def spoiling(*args, **kwargs):
        state, means = train_step(*args, **kwargs)
        spoilt = jax.tree.map(lambda x: jax.numpy.where(state.step < 2, x, np.nan), state.params)
        return state._replace(params=spoilt), means

    monkeypatch.setattr(train, "train_step", spoiling)
    config = smoke.get_config()
    config.train.update({"log_every": 1, "eval_every": 1})
    with pytest.raises(UserError, match="diverged before step 2"):
        train.train(config, tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["1"]
    (row,) = read_metrics(tmp_path)
    assert row["step"] == 1
    assert np.isfinite(list(row.values())).all()
    detector = Detector.restore(tmp_path)
    assert detector.step == 1
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(nnx.state(detector.flow, nnx.Param)))


def test_silent_bands_train_to_what_they_validate_to(tmp_path):
    """Bands without variance, initialised with the noise that training sees."""
    config = smoke.get_config()
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(600, 128)).astype(np.float32)
    frames[:, ::4] = 0
    features = Features(frames, 100 * np.arange(6), np.full(6, 100))
    statistics = Standardisation(np.zeros(128, np.float32), np.ones(128, np.float32))
    mesh, machine = data_mesh(), np.zeros(6, np.int32)
    bank = train.make_bank(features, machine, statistics, mesh)
    graph, state = initial_state(config, bank, 1, mesh)
    _, means = train_step(state, bank, graph=graph, config=config.train, mesh=mesh)
    assert means["train_nll"] == means["train_loss"] < 3


@pytest.mark.parametrize("name", ["contrast", "outlier"])
def test_other_objectives_train_the_ids_apart(name, tmp_path):
    """The NLL is logged beside the loss, and clips fit their own ID better than others."""
    config = smoke.get_config()
    config.model.levels[0].conditional = False
    config.train.objective.update({"name": name, "warmup_steps": 10, "weight": 4.0})
    config.train.learning_rate = 3e-3
    train.train(config, tmp_path)
    assert read_metrics(tmp_path)[-1]["train_loss"] > read_metrics(tmp_path)[-1]["train_nll"]
    results = evaluate(tmp_path).clips
    assert np.mean([clip.scores["ratio"] for clip in results if clip.label == 0]) < 0
