import csv
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.scipy.stats import multivariate_normal
from sklearn.metrics import roc_auc_score

from experiments.baselines import autoencoder, gmm, id_cnn, maf, twfr_gmm
from experiments.baselines.clips import Clips, pooled
from experiments.baselines.mahalanobis import distance
from experiments.baselines.methods import METHODS
from experiments.baselines.run import run_baseline
from experiments.baselines.training import fit
from experiments.baselines.windows import Windows, draw, every_window, windows_of
from flowasd.data.source import open_source
from tests.conftest import smoke_config

MELS = 8


def clips(rng, tones):
    """Clips of two IDs in turn; a bin that belongs to the ID is `tone` above the noise or below."""
    machine = np.arange(len(tones)) % 2
    log_mels = rng.normal(size=(len(tones), 40, MELS)).astype(np.float32) / 2
    log_mels[..., 0] += np.where(machine == 0, tones, -1)[:, None]
    log_mels[..., 3] += np.where(machine == 1, tones, -1)[:, None]
    return Clips(list(log_mels), machine)


@pytest.fixture
def train(rng):
    return clips(rng, np.ones(24))


@pytest.fixture
def test(rng):
    """Six normal clips, then six whose tone is gone."""
    return clips(rng, np.repeat([1, -1], 6))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(gmm, "COMPONENTS", 2)
    monkeypatch.setattr(autoencoder, "EPOCHS", 20)
    monkeypatch.setattr(autoencoder, "BATCH", 64)
    monkeypatch.setattr(autoencoder, "HIDDEN", (16, 4, 16))
    monkeypatch.setattr(maf, "STEPS", 100)
    monkeypatch.setattr(maf, "BLOCKS", 2)
    monkeypatch.setattr(maf, "WIDTH", 64)
    monkeypatch.setattr(id_cnn, "STEPS", 60)
    monkeypatch.setattr(id_cnn, "LENGTH", 32)
    monkeypatch.setattr(id_cnn, "LAYERS", ((4, 4, 8), (3, 2, 8)))
    monkeypatch.setattr(id_cnn, "BATCH", 32)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(METHODS.keys() - {"discriminant"}))
@pytest.mark.usefixtures("quick")
def test_every_method_ranks_planted_anomalies_higher(name, train, test):
    scores = METHODS[name](train, test, seed=0)
    rule = "mean" if "mean" in scores else "mean+std+max"
    assert all(values.shape == (12,) and np.isfinite(values).all() for values in scores.values())
    for machine in (0, 1):
        own = test.machine == machine
        assert roc_auc_score((np.arange(12) >= 6)[own], scores[rule][own]) == 1


@pytest.mark.parametrize("n_machines", [2, 3])
def test_discriminant_ranks_clips_by_how_far_they_have_moved_to_another_id(n_machines, rng):
    level = 3.0 * np.arange(n_machines)
    machine = np.repeat(np.arange(n_machines), 30)
    seen = [rng.normal(level[m], 1, (20, 4)).astype(np.float32) for m in machine]
    share = np.array([0.0, 0.25, 0.5, 1.0])
    new = [np.float32(level[0] + s * (level[1] - level[0])) + 0 * seen[0] for s in share]
    scores = METHODS["discriminant"](
        Clips(seen, machine), Clips(new, np.zeros(len(new), int)), seed=0
    )
    assert (np.diff(scores["own"]) > 0).all()


def test_mahalanobis_is_the_closed_form_where_clips_abound(rng):
    mix = rng.normal(size=(4, 4))
    seen, new = rng.normal(size=(100_000, 4)) @ mix, rng.normal(size=(20, 4)) @ mix
    truth = np.einsum("ij,jk,ik->i", new, np.linalg.inv(mix.T @ mix), new)
    np.testing.assert_allclose(distance(seen, new), truth, rtol=0.05)


def test_nearest_neighbours_are_found_by_hand():
    levels = np.array([0.0, 1.0, 3.0, 8.0], np.float32)
    seen = Clips([np.full((5, 1), level, np.float32) for level in levels], np.zeros(4, int))
    new = Clips([np.full((5, 1), 2.0, np.float32)], np.zeros(1, int))
    # Mean and maximum are the level, in units of the levels' deviation; nothing varies over time.
    truth = np.sqrt(2) / levels.std()  # 1 and 3 are nearest, at a distance of 1 each
    assert METHODS["knn"](seen, new, seed=0)["mean+std+max"] == pytest.approx(truth)


def test_a_mixture_of_one_is_the_normal_density(rng, monkeypatch):
    monkeypatch.setattr(gmm, "COMPONENTS", 1)
    frames = rng.normal(size=(2, 500, 3)) * [1, 2, 3]
    seen, new = Clips([frames[0]], np.zeros(1, int)), Clips([frames[1]], np.zeros(1, int))
    covariance = np.cov(frames[0].T, bias=True) + gmm.NOISE**2 * np.eye(3)
    density = multivariate_normal.logpdf(jnp.asarray(frames[1]), frames[0].mean(0), covariance)
    truth = -np.asarray(density) / 3
    scores = gmm.scores(seen, new, seed=0)
    assert scores["mean"] == pytest.approx(truth.mean(), rel=1e-4)
    assert scores["std"] == pytest.approx(truth.std(), rel=1e-4)


def test_twfr_gmm_is_the_normal_density_of_clips_averaged_by_rank(rng):
    values = rng.normal(size=(41, 20, 3)).astype(np.float32)
    weights = twfr_gmm.DECAY ** np.arange(20)
    averages = np.average(-np.sort(-values, axis=1), axis=1, weights=weights)
    covariance = np.cov(averages[:40].T, bias=True) + twfr_gmm.REGULARISATION * np.eye(3)
    density = multivariate_normal.logpdf(averages[40], averages[:40].mean(0), covariance)
    seen, new = Clips([*values[:40]], np.zeros(40, int)), Clips([values[40]], np.zeros(1, int))
    scores = twfr_gmm.scores(seen, new, seed=0)
    assert scores["mean"] == pytest.approx(-np.asarray(density) / 3, rel=1e-3)


def test_pooled_features():
    clip = np.array([[0, 5], [4, 5]], np.float32)
    assert pooled(Clips([clip], np.zeros(1, int))).tolist() == [[2, 5, 2, 0, 4, 5]]


def test_windows_stay_inside_their_clip(key):
    values = [np.full((n, 1), i, np.float32) for i, n in enumerate((7, 3, 5))]
    windows = every_window(Clips(values, np.array([10, 11, 12])), 5)
    assert windows.start.tolist() == [0, 1, 2, 10]  # the second clip is too short for any
    x, machine = draw(windows, key, 50, 5)
    assert set(machine.tolist()) == {10, 12}
    np.testing.assert_array_equal(x[..., 0], np.repeat(machine[:, None] - 10, 5, 1))


def test_windows_of_a_clip():
    clip = np.arange(6, dtype=np.float32)[:, None]
    assert windows_of(clip, 3, 2)[..., 0].tolist() == [[0, 1, 2], [2, 3, 4]]


def randomised(module, rng):
    """A module with random weights: as built, a block is the identity."""
    graph, params = nnx.split(module)
    drawn = jax.tree.map(lambda p: jnp.float32(0.4 * rng.normal(size=p.shape)), params)
    return nnx.merge(graph, drawn)


@nnx.jit
def jacobian_of(block, x, machine):
    return jax.jacobian(lambda x: block(x[None], machine)[0][0])(x)


@pytest.mark.parametrize("backwards", [False, True])
def test_made_is_autoregressive(backwards, rng):
    block = randomised(maf.MADE(6, 128, 2, backwards=backwards, rngs=nnx.Rngs(0)), rng)
    x = jnp.asarray(rng.normal(size=6), jnp.float32)
    jacobians = []
    for machine in (0, 1):
        own = jnp.array([machine])
        jacobian = np.asarray(jacobian_of(block, x, own))
        seen = np.triu(np.ones((6, 6))) if backwards else np.tril(np.ones((6, 6)))
        np.testing.assert_array_equal(jacobian != 0, seen)
        _, log_det = block(x[None], own)
        assert log_det[0] == pytest.approx(np.linalg.slogdet(jacobian)[1], abs=1e-4)
        jacobians.append(jacobian)
    assert not np.allclose(*jacobians)  # the machine ID matters


def test_maf_is_a_density(rng):
    flow = randomised(maf.MAF(2, blocks=2, width=8, machines=1, rngs=nnx.Rngs(0)), rng)
    axis = np.linspace(-30, 30, 601)
    x = jnp.asarray(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2), jnp.float32)
    log_prob = nnx.jit(maf.MAF.log_prob)(flow, x, jnp.zeros(len(x), int))
    assert jnp.exp(log_prob).sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize(("kernel", "stride"), [(4, 4), (3, 2)])
def test_taps_make_a_convolution_of_a_product(kernel, stride, rng):
    x = jnp.asarray(rng.normal(size=(2, 8, 12, 3)), jnp.float32)
    weights = jnp.asarray(rng.normal(size=(kernel, kernel, 3, 5)), jnp.float32)
    truth = jax.lax.conv_general_dilated(
        x,
        weights,
        (stride, stride),
        [(kernel - stride, 0)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    product = id_cnn.taps(x, kernel, stride) @ weights.reshape(-1, 5)
    np.testing.assert_allclose(product, truth, atol=1e-4)


def test_minus_log_p_is_exact_where_p_rounds_to_1():
    logits = jnp.array([[30.0, 0.0, 0.0], [0.0, 1.0, 2.0]])
    odds = np.array([2 * np.exp(-30), np.exp(1) + np.exp(2)])
    truth = np.log1p(odds)  # p = 1 / (1 + odds against)
    np.testing.assert_allclose(id_cnn.minus_log_p(logits, 0), truth, rtol=1e-5)


def test_training_finds_the_least_squares(rng):
    frames = rng.normal(size=(200, 2)).astype(np.float32)
    slope = frames[:, 0] @ frames[:, 1] / (frames[:, 0] @ frames[:, 0])
    windows = every_window(Clips([frames], np.zeros(1, int)), 1)

    def loss(model: nnx.Linear, windows: Windows, key):
        x, y = jnp.split(windows.frames, 2, axis=1)
        return jnp.square(model(x) - y).mean()

    start = nnx.Linear(1, 1, use_bias=False, rngs=nnx.Rngs(0))
    before = float(start.kernel[0, 0])
    model = fit(start, loss, windows, steps=400, learning_rate=0.05, seed=0)
    assert model.kernel[0, 0] == pytest.approx(slope, abs=1e-3)
    assert start.kernel[0, 0] == before


def test_a_run_leaves_its_scores_and_is_not_repeated(tmp_path):
    source = open_source(smoke_config().data, 0)
    root = source.splits["test"][0].path.parents[2]
    summary = run_baseline("knn", root, tmp_path / "run", 3)
    with (tmp_path / "run" / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [f"test/{c.name}" for c in source.splits["test"]]
    for machine_id in source.machine_ids:
        own = [row for row in rows if row["machine_id"] == machine_id]
        labels = [int(row["label"]) for row in own]
        values = [float(row["mean+std+max"]) for row in own]
        figures = summary["metrics"]["mean+std+max"][machine_id]
        assert figures["auc"] == pytest.approx(roc_auc_score(labels, values))
        assert figures["pauc"] == pytest.approx(roc_auc_score(labels, values, max_fpr=0.1))
    assert (summary["method"], summary["seed"]) == ("knn", 3)
    written = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary.items() <= written.items()
    assert run_baseline("knn", tmp_path / "nowhere", tmp_path / "run", 3) == summary
