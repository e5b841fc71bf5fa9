"""calibration.npz: what is stored comes back, and nothing else does."""

import dataclasses

import jax
import numpy as np
import pytest

from flowasd.errors import UserError
from flowasd.run.calibration_file import calibration_key, load_calibration, save_calibration
from flowasd.scoring.calibration import calibrate
from flowasd.scoring.rules import Normality
from tests.conftest import smoke_config
from tests.scoring.made_clips import clip_scores, make_clips


@pytest.fixture(scope="module")
def normality():
    return calibrate(make_clips(0, (6, 4)), make_clips(1, (3, 3)))


def test_stored_calibration_comes_back_bit_for_bit(normality, tmp_path):
    save_calibration(tmp_path, normality, "key")
    loaded = load_calibration(tmp_path, "key")
    assert isinstance(loaded, Normality)
    assert jax.tree.structure(loaded) == jax.tree.structure(normality)
    for stored, before in zip(jax.tree.leaves(loaded), jax.tree.leaves(normality), strict=True):
        np.testing.assert_array_equal(stored, before, strict=True)
    clips = make_clips(2, (3, 3))
    np.testing.assert_equal(clip_scores(clips, loaded), clip_scores(clips, normality))


def test_calibration_of_another_key_is_refused(normality, tmp_path):
    with pytest.raises(UserError, match=r"calibration\.npz is missing.*repeat its command"):
        load_calibration(tmp_path, "key")
    save_calibration(tmp_path, normality, "key")
    with pytest.raises(UserError, match=r"calibration\.npz was made for another step or"):
        load_calibration(tmp_path, "another key")


@pytest.mark.parametrize(
    "changes",
    [{"score.hop": 8}, {"frontend.n_fft": 8192}, {"seed": 1}, {"data.validation": 0.2}],
)
def test_the_key_is_of_all_that_a_calibration_depends_on(changes):
    key = calibration_key(smoke_config(), 20)
    assert calibration_key(smoke_config(), 20) == key
    assert calibration_key(smoke_config(), 10) != key
    assert calibration_key(smoke_config(changes), 20) != key


def test_the_key_is_not_of_what_does_not_matter():
    config = smoke_config()
    moved = smoke_config({"data.root": "/elsewhere", "score.rule": "std", "score.batch_size": 7})
    assert calibration_key(moved, 20) == calibration_key(config, 20)
    assert dataclasses.asdict(moved) != dataclasses.asdict(config)
