import jax
import numpy as np
import pytest

from configs import smoke
from flowasd.detector import Detector
from flowasd.features.cache import Features
from flowasd.features.frontend import Standardisation
from flowasd.run.metric_log import read_metrics
from flowasd.training import train
from flowasd.training.bank import draw_patches, make_bank
from flowasd.training.parallel import data_mesh
from flowasd.training.stream import Stream, stream_blocks
from tests.conftest import train_to_first_checkpoint

BATCH, LENGTH, STEPS = 6, 8, 4  # patches of a step, frames of a patch, steps of a block
MACHINE = np.array([0, 1, 2], np.int32)


@pytest.fixture
def data(tmp_path):
    """Features on disk, of which the second clip is another split's, and their statistics."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "frames.npy", rng.normal(-40, 10, size=(90, 5)).astype(np.float32))
    frames = np.asarray(np.load(tmp_path / "frames.npy", mmap_mode="r"))
    features = Features(frames, np.array([0, 45, 50]), np.array([30, 5, 40]))
    return features, Standardisation(*rng.uniform(1, 9, size=(2, 5)).astype(np.float32))


@pytest.fixture
def stream(data):
    return Stream(data[0], MACHINE, data[1])


def settings(bank_gb=0.0):
    config = smoke.get_config()
    config.data.bank_gb = bank_gb
    return config


@pytest.fixture(scope="module")
def streamed(tmp_path_factory):
    """The workdir of the smoke run, trained from disk."""
    workdir = tmp_path_factory.mktemp("streamed")
    train.train(settings(), workdir)
    return workdir


def test_blocks_are_the_patches_that_a_bank_draws(data, stream, key):
    keys = jax.random.split(key, 3 * STEPS)
    bank = make_bank(data[0], MACHINE, data[1], data_mesh())
    blocks = list(stream_blocks(stream, keys, BATCH, LENGTH, STEPS))
    assert [machine.shape for _, machine in blocks] == 3 * [(BATCH, STEPS)]
    x, machine = (np.concatenate(part, 1) for part in zip(*blocks, strict=True))
    for i, step_key in enumerate(keys):
        expected_x, expected_machine = draw_patches(bank, step_key, BATCH, LENGTH)
        np.testing.assert_array_equal(x[:, i], expected_x)
        np.testing.assert_array_equal(machine[:, i], expected_machine)
    assert set(machine.flat) == {0, 1, 2}


def test_later_keys_give_the_rest(stream, key):
    keys = jax.random.split(key, 3 * STEPS)
    _, *expected = stream_blocks(stream, keys, BATCH, LENGTH, STEPS)
    rest = stream_blocks(stream, keys[STEPS:], BATCH, LENGTH, STEPS)
    for block, other in zip(rest, expected, strict=True):
        jax.tree.map(np.testing.assert_array_equal, block, other)


def test_processes_share_out_every_batch(stream, key, monkeypatch):
    keys = jax.random.split(key, STEPS)
    (whole,) = stream_blocks(stream, keys, BATCH, LENGTH, STEPS)
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    shares = []
    for process in range(3):
        monkeypatch.setattr(jax, "process_index", lambda index=process: index)
        (share,) = stream_blocks(stream, keys, BATCH, LENGTH, STEPS)
        shares.append(share)
    for part, parts in zip(whole, zip(*shares, strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate(parts), part)
        assert len(parts[0]) == BATCH // 3


def test_features_within_the_limit_are_a_bank(monkeypatch, tmp_path):
    """The limit is on the training split alone, in gigabytes."""
    chosen = []
    monkeypatch.setattr(train, "fit", lambda *args: chosen.append(type(args[2].train).__name__))
    monkeypatch.setattr(train, "calibrate_run", lambda *_: None)
    source = train.open_source(settings().data, 0)
    n_train, bytes_per_clip = len(source.splits["train"]), 40 * 128 * 4
    for bank_gb in (n_train * bytes_per_clip / 1e9, (n_train - 0.5) * bytes_per_clip / 1e9):
        train.train(settings(bank_gb), tmp_path)
    assert chosen == ["Bank", "Stream"]


def test_same_losses_as_from_the_bank(run, streamed):
    """Not merely alike: the same patches and noise at every step."""
    for row, expected in zip(read_metrics(streamed), read_metrics(run), strict=True):
        assert row.keys() == expected.keys()
        for name in row.keys() - {"seconds"}:
            assert row[name] == pytest.approx(expected[name], abs=1e-5)


def test_resumed_run_ends_with_the_bits_of_an_uninterrupted_one(streamed, tmp_path):
    train_to_first_checkpoint(settings(), tmp_path)
    train.train(settings(), tmp_path)
    for resumed, whole in zip(read_metrics(tmp_path), read_metrics(streamed), strict=True):
        assert {**resumed, "seconds": 0} == {**whole, "seconds": 0}
    flows = [Detector.restore(workdir).flow for workdir in (tmp_path, streamed)]
    jax.tree.map(np.testing.assert_array_equal, *map(jax.tree.leaves, flows))
