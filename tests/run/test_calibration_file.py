"""calibration.npz: what is stored comes back, and nothing else does."""

import dataclasses

import jax
import numpy as np
import pytest

from flowasd.errors import UserError
from flowasd.run.calibration_file import (
    CalibrationFile,
    calibrating_recordings,
    calibration_key,
    load_calibration,
    save_calibration,
)
from flowasd.scoring.calibration import calibrate
from flowasd.scoring.decision import CROSS_FITTED, HELD_OUT, Calibration, NormalScores
from tests.conftest import smoke_config
from tests.scoring.made_clips import clip_scores, make_clips


@pytest.fixture(scope="module")
def content():
    normality = calibrate(make_clips(0, (6, 4)), make_clips(1, (3, 3)))
    normal = NormalScores.of(make_clips(3, (5, 2)), normality)
    return CalibrationFile(
        Calibration(normality, normal, (HELD_OUT, CROSS_FITTED)), {"ab12": "id_00"}
    )


def test_stored_calibration_comes_back_bit_for_bit(content, tmp_path):
    save_calibration(tmp_path, content, "key")
    loaded = load_calibration(tmp_path, "key")
    assert isinstance(loaded, CalibrationFile)
    assert jax.tree.structure(loaded) == jax.tree.structure(content)
    for stored, before in zip(jax.tree.leaves(loaded), jax.tree.leaves(content), strict=True):
        np.testing.assert_array_equal(stored, before)
    clips = make_clips(2, (3, 3))
    stored, before = (clip_scores(clips, c.calibration.normality) for c in (loaded, content))
    np.testing.assert_equal(stored, before)
    assert calibrating_recordings(tmp_path) == {"ab12": "id_00"}


def test_calibration_of_another_key_is_refused(content, tmp_path):
    with pytest.raises(UserError, match=r"calibration\.npz is missing.*repeat its command"):
        load_calibration(tmp_path, "key")
    save_calibration(tmp_path, content, "key")
    with pytest.raises(UserError, match=r"calibration\.npz was made for another step or"):
        load_calibration(tmp_path, "another key")


@pytest.mark.parametrize(
    "changes",
    [
        {"score.hop": 8},
        {"score.folds": 3},
        {"frontend.n_fft": 8192},
        {"seed": 1},
        {"data.validation": 0.2},
    ],
)
def test_the_key_is_of_all_that_a_calibration_depends_on(changes):
    key = calibration_key(smoke_config(), 20)
    assert calibration_key(smoke_config(), 20) == key
    assert calibration_key(smoke_config(), 10) != key
    assert calibration_key(smoke_config(changes), 20) != key


def test_the_key_is_not_of_what_does_not_matter():
    config = smoke_config()
    moved = smoke_config(
        {"data.root": "/elsewhere", "score.rule": "std", "score.batch_size": 7, "score.alpha": 0.3}
    )
    assert calibration_key(moved, 20) == calibration_key(config, 20)
    assert dataclasses.asdict(moved) != dataclasses.asdict(config)
