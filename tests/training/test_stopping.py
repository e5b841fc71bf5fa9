"""When training ends, and which step is kept, on densities that are known."""

import numpy as np
import pytest

from flowasd.config import level
from flowasd.features.frontend import Standardisation
from flowasd.training.bank import make_bank
from flowasd.training.gaussian import starting_gaussian
from flowasd.training.loop import Data, has_turned, run_steps
from flowasd.training.parallel import data_mesh
from flowasd.training.step import initial_state
from tests.conftest import smoke_config
from tests.training.conftest import save_features

BANDS = 4


def validated(folder, draw, **changes):
    """Trains on 400 clips of one frame, and returns the row of every validated step."""
    config = smoke_config(
        {
            "frontend.n_bands": BANDS,
            "model.levels": (level(steps=4, width=32, kernel=(1, 1)),),
            "score.hop": 1,
            "train.patch_length": 1,
            "train.batch_size": 64,
            "train.steps": 400,
            "train.log_every": 20,
            "train.eval_every": 20,
        }
        | changes
    )
    statistics = Standardisation(np.zeros(BANDS, np.float32), np.ones(BANDS, np.float32))
    mesh, banks, start = data_mesh(), [], None
    for seed, split in enumerate(("train", "validation")):
        (folder / split).mkdir()
        clips = draw(np.random.default_rng(seed), 400)
        features, machine = save_features(folder / split, clips[:, None]), np.zeros(400, np.int32)
        start = start or starting_gaussian(features, machine, statistics)
        banks.append(make_bank(features, machine, statistics, mesh, 64, 1))
    assert start is not None
    graph, state = initial_state(config, start, mesh)
    return [row for _, row in run_steps(config.train, graph, state, Data(*banks), mesh)]


def gaussian(rng, count):
    return rng.normal(size=(count, BANDS))


def two_modes(rng, count):
    """Two Gaussians with a spread of 0.3, four apart in every band."""
    return np.where(rng.random((count, 1)) < 0.5, -2, 2) + 0.3 * rng.normal(size=(count, BANDS))


@pytest.mark.slow
def test_what_is_not_gaussian_is_learnt(tmp_path):
    """The best possible NLL is that of either mode, and the choice of the mode."""
    start, *rows = validated(tmp_path, two_modes)
    nll = min(row["validation_nll"] for row in rows)
    best = 0.5 * np.log(2 * np.pi * np.e * 0.3**2) + np.log(2) / BANDS
    assert best < nll < start["validation_nll"] - 0.05
    gain = max(row["validation_gain"] for row in rows)
    assert 0.05 < gain < start["validation_nll"] - nll


@pytest.mark.slow
def test_training_ends_when_the_held_out_nll_has_turned(tmp_path):
    """A Gaussian leaves nothing to learn; what is learnt of its sample does not hold."""
    rows = validated(tmp_path, gaussian, **{"train.patience": 2, "train.learning_rate": 0.01})
    assert rows[-1]["step"] < 400
    start, *before, one, other = [row["validation_nll"] for row in rows]
    assert min([start, *before]) <= min(one, other)
    assert start == pytest.approx(0.5 * np.log(2 * np.pi * np.e), abs=0.05)
    assert max(row["validation_gain"] for row in rows) == 0


def test_it_has_turned_after_as_many_validations_as_the_patience_is():
    assert not has_turned([], 1, 0)
    assert not has_turned([1.0], 1, 0)
    assert has_turned([1.0, 1.0], 1, 0)
    assert not has_turned([1.0, 2.0], 2, 0)
    assert has_turned([1.0, 2.0, 1.5], 2, 0)
    assert not has_turned([1.0, 2.0, 0.5], 2, 0)
    assert not has_turned([3.0, 1.0, 2.0, 0.9], 2, 0)


def test_it_has_not_turned_before_half_of_the_updates():
    """With many clips the NLL may lie above that of the start for long, and fall in the end."""
    nlls = [1.0, 1.3, 1.2, 1.1, 1.05]
    assert not has_turned(nlls, 3, 5)
    assert has_turned(nlls, 3, 4)
