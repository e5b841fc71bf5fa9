"""The update of one step: optimiser, schedule, and bands without variance."""

from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest

from flowasd.config import TrainConfig
from flowasd.features.frontend import Standardisation
from flowasd.training.bank import make_bank
from flowasd.training.gaussian import starting_gaussian
from flowasd.training.parallel import data_mesh
from flowasd.training.step import initial_state, make_optimizer, step_keys, train_step
from tests.conftest import smoke_config
from tests.training.conftest import save_features, size_of

# The tests share what is compiled.
compiled_step = jax.jit(train_step, static_argnames=("graph", "config", "mesh"))


def test_learning_rate_warms_up_and_decays_and_gradients_are_clipped():
    """One parameter with a constant gradient: Adam moves it by the learning rate itself."""
    config = TrainConfig(steps=100, warmup_steps=20, learning_rate=0.5, clip_norm=1.0)
    optimizer = make_optimizer(config)
    params = {"x": jax.numpy.zeros(1)}
    state, moves, update = optimizer.init(params), [], jax.jit(optimizer.update)
    for _ in range(101):
        updates, state = update({"x": jax.numpy.ones(1)}, state, params)
        moves.append(-np.asarray(jax.tree.leaves(updates)[0]).item())
    step = np.arange(101)
    cosine = 0.5 * (1 + np.cos(np.pi * (step - 20) / 80))
    expected = 0.5 * np.where(step < 20, step / 20, cosine)
    np.testing.assert_allclose(moves, expected, atol=1e-5)
    # Adam forgets a common factor, so a gradient of 1000 after ones of 1 shows the clipping.
    updates, _ = update({"x": jax.numpy.full(1, 1000.0)}, state, params)
    assert abs(np.asarray(jax.tree.leaves(updates)[0]).item()) < 1e-3


@pytest.mark.slow
def test_silent_bands_train_to_what_they_validate_to(tmp_path):
    """Bands without variance, to which the noise of training is added."""
    _, means = made_step(tmp_path, silent=4)()
    assert means["train_nll"] == means["train_loss"] < 3


def made_step(folder, silent=1000):
    """One update of the smoke run's flow on noise: a function of the changes of state and batch."""
    config, rng = smoke_config(), np.random.default_rng(0)
    n_bands = config.frontend.n_bands
    frames = rng.normal(size=(600, n_bands)).astype(np.float32)
    frames[:, ::silent] = 0
    features = save_features(folder, np.split(frames, 6))
    statistics = Standardisation(np.zeros(n_bands, np.float32), np.ones(n_bands, np.float32))
    mesh, machine = data_mesh(), np.zeros(6, np.int32)
    bank = make_bank(features, machine, statistics, mesh, *size_of(config))
    start = starting_gaussian(features, machine, statistics)
    train = replace(config.train, warmup_steps=0, steps=100)
    graph, state = initial_state(replace(config, train=train), start, mesh)
    patch_key, _ = step_keys(jax.random.wrap_key_data(state.key), 0)
    batch = bank.draw(patch_key)
    step = partial(compiled_step, graph=graph, config=train, mesh=mesh)
    return lambda x=batch.x, **changes: step(state._replace(**changes), batch._replace(x=x))


@pytest.mark.slow
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_an_update_that_is_not_finite_is_skipped_and_counted(value, tmp_path):
    step = made_step(tmp_path)
    before, _ = step()
    x = np.zeros((smoke_config().train.batch_size, 1, smoke_config().frontend.n_bands, 1))
    x[3, 0, 5] = value
    after, means = step(jax.numpy.asarray(x, np.float32), **before._asdict())
    assert (means["skipped"], after.opt_state.notfinite_count) == (1, 1)
    assert np.isnan(means["train_loss"])
    assert after.step == before.step + 1
    jax.tree.map(np.testing.assert_array_equal, after.params, before.params)
    onwards, means = step(**after._asdict())
    assert (means["skipped"], onwards.opt_state.notfinite_count) == (0, 0)


@pytest.mark.slow
def test_a_rollback_halves_the_learning_rate(tmp_path):
    step = made_step(tmp_path)
    start, _ = step()
    once, _ = step(**start._asdict())
    half, _ = step(**start._replace(rollbacks=np.int32(1))._asdict())
    for a, b, c in zip(*(jax.tree.leaves(s.params) for s in (start, once, half)), strict=True):
        np.testing.assert_allclose(np.asarray(c) - a, (np.asarray(b) - a) / 2, atol=1e-6)
