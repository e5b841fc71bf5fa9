"""When the calibration of a run is made, kept and made anew."""

import shutil

import jax
import numpy as np
import pytest

from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.evaluation.calibrate import calibrate_run
from flowasd.run.calibration_file import calibration_key, load_calibration, save_calibration
from flowasd.training.train import train
from tests.conftest import smoke_config


@pytest.mark.slow
def test_run_that_was_cut_off_before_its_calibration_makes_it_up(run, tmp_path):
    """A calibration that is missing, damaged or of another checkpoint will not do."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    detector = Detector.load(run)
    key, other = (calibration_key(detector.config, step) for step in (detector.step, 10**6))
    expected = load_calibration(run, key)
    file = copy / "calibration.npz"
    for spoil in (
        file.unlink,
        lambda: file.write_bytes(file.read_bytes()[:-100]),
        lambda: save_calibration(copy, expected._replace(recordings={}), other),
    ):
        spoil()
        with pytest.raises(UserError, match=r"calibration\.npz"):
            load_calibration(copy, key)
        train(smoke_config(), copy)
        calibrate_run(copy)
        made_up = load_calibration(copy, key)
        for new, old in zip(jax.tree.leaves(made_up), jax.tree.leaves(expected), strict=True):
            np.testing.assert_array_equal(new, old)


@pytest.mark.slow
def test_a_calibration_serves_the_settings_that_it_was_made_with(evaluated, tmp_path):
    """Another hop gives other frame NLLs, so that the statistics of normal clips differ."""
    copy, config = tmp_path / "run", smoke_config({"score.hop": 8})
    shutil.copytree(evaluated, copy)
    with pytest.raises(UserError, match=r"calibration\.npz was made .* --config\.score\.hop"):
        Detector.load(copy, config)
    before = (copy / "calibration.npz").read_bytes()
    train(config, copy)
    calibrate_run(copy)
    assert (copy / "calibration.npz").read_bytes() != before
    Detector.load(copy, config)
