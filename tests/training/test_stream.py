from typing import Any

import jax
import numpy as np
import pytest

from flowasd.data.source import open_source
from flowasd.detector import Detector
from flowasd.features.frontend import Standardisation
from flowasd.run.metric_log import read_metrics
from flowasd.training import train
from flowasd.training.bank import BatchSource, make_bank
from flowasd.training.parallel import data_mesh
from flowasd.training.stream import Stream
from tests.conftest import smoke_config, train_to_first_checkpoint
from tests.training.conftest import save_features

BATCH, LENGTH, STEPS = 6, 8, 4  # patches of a step, frames of a patch, steps of a dispatch
SIZE: dict[str, Any] = {"batch_size": BATCH, "length": LENGTH}
MACHINE = np.array([0, 1, 2], np.int32)


@pytest.fixture
def data(tmp_path):
    """Features on disk, one clip of which is shorter than a patch, and their statistics."""
    rng = np.random.default_rng(0)
    features = save_features(tmp_path, [rng.normal(-40, 10, size=(n, 5)) for n in (30, 5, 40)])
    return features, Standardisation(*rng.uniform(1, 9, size=(2, 5)).astype(np.float32))


@pytest.fixture
def stream(data):
    return Stream(data[0], MACHINE, data[1], **SIZE)


def from_disk(bank_gb=0.0):
    return smoke_config({"data.bank_gb": bank_gb})


@pytest.fixture(scope="module")
def streamed(tmp_path_factory):
    """The workdir of the smoke run, trained from disk."""
    workdir = tmp_path_factory.mktemp("streamed")
    train.train(from_disk(), workdir)
    return workdir


@pytest.mark.slow
def test_bank_and_stream_draw_equal_batches_by_the_same_key(data, stream, key):
    """Bit for bit, one key at a time and as a feed."""
    bank, mesh = make_bank(data[0], MACHINE, data[1], data_mesh(), **SIZE), data_mesh()
    assert isinstance(stream, BatchSource)
    keys = jax.random.split(key, 3 * STEPS)
    for own_key in keys[:4]:
        jax.tree.map(np.testing.assert_array_equal, stream.draw(own_key), bank.draw(own_key))
    fed = [
        source.draw(jax.tree.map(lambda x, i=i: x[i], by))
        for source, by in stream.feed(keys, STEPS, mesh)
        for i in range(STEPS)
    ]
    assert len(fed) == len(keys)
    for batch, own_key in zip(fed, keys, strict=True):
        jax.tree.map(np.testing.assert_array_equal, batch, bank.draw(own_key))


def test_blocks_are_the_patches_that_a_bank_draws(data, stream, key):
    keys = jax.random.split(key, 3 * STEPS)
    bank = make_bank(data[0], MACHINE, data[1], data_mesh(), **SIZE)
    blocks = list(stream.blocks(keys, STEPS))
    assert [machine.shape for _, machine in blocks] == 3 * [(STEPS, BATCH)]
    x, machine = (np.concatenate(part) for part in zip(*blocks, strict=True))
    for i, step_key in enumerate(keys):
        expected_x, expected_machine = bank.draw(step_key)
        np.testing.assert_array_equal(x[i], expected_x)
        np.testing.assert_array_equal(machine[i], expected_machine)
    assert set(machine.flat) == {0, 1, 2}


def test_later_keys_give_the_rest(stream, key):
    keys = jax.random.split(key, 3 * STEPS)
    _, *expected = stream.blocks(keys, STEPS)
    rest = stream.blocks(keys[STEPS:], STEPS)
    for block, other in zip(rest, expected, strict=True):
        jax.tree.map(np.testing.assert_array_equal, block, other)


def test_processes_share_out_every_batch(stream, key, monkeypatch):
    keys = jax.random.split(key, STEPS)
    (whole,) = stream.blocks(keys, STEPS)
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    shares = []
    for process in range(3):
        monkeypatch.setattr(jax, "process_index", lambda index=process: index)
        (share,) = stream.blocks(keys, STEPS)
        shares.append(share)
    for part, parts in zip(whole, zip(*shares, strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate(parts, 1), part)
        assert parts[0].shape[1] == BATCH // 3


def test_features_within_the_limit_are_a_bank(monkeypatch, tmp_path):
    """The limit is on the training split alone, in gigabytes."""
    chosen = []
    monkeypatch.setattr(train, "fit", lambda *args: chosen.append(type(args[3].train).__name__))
    source = open_source(from_disk().data, 0)
    n_bands = from_disk().frontend.n_bands
    n_train, bytes_per_clip = len(source.splits["train"]), 40 * n_bands * 4
    for bank_gb in (n_train * bytes_per_clip / 1e9, (n_train - 0.5) * bytes_per_clip / 1e9):
        train.train(from_disk(bank_gb), tmp_path)
    assert chosen == ["Bank", "Stream"]


@pytest.mark.slow
def test_same_losses_as_from_the_bank(run, streamed):
    """Not merely alike: the same patches and noise at every step."""
    for row, expected in zip(read_metrics(streamed), read_metrics(run), strict=True):
        assert row.keys() == expected.keys()
        for name in row.keys() - {"seconds"}:
            assert row[name] == pytest.approx(expected[name], abs=1e-5)


@pytest.mark.slow
def test_resumed_run_ends_with_the_bits_of_an_uninterrupted_one(streamed, tmp_path):
    train_to_first_checkpoint(from_disk(), tmp_path)
    train.train(from_disk(), tmp_path)
    for resumed, whole in zip(read_metrics(tmp_path), read_metrics(streamed), strict=True):
        assert {**resumed, "seconds": 0} == {**whole, "seconds": 0}
    flows = [Detector.restore(workdir).flow for workdir in (tmp_path, streamed)]
    jax.tree.map(np.testing.assert_array_equal, *map(jax.tree.leaves, flows))
