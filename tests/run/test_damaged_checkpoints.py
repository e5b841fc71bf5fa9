"""Damaged arrays, cards and gains of checkpoints, and calibrations that are made anew."""

from contextlib import closing

import jax
import numpy as np
import pytest
from flax import nnx

from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.evaluation.calibrate import calibrate_run
from flowasd.evaluation.evaluate import evaluate
from flowasd.flow.glow import glow_structure
from flowasd.run.calibration_file import (
    load_calibration,
)
from flowasd.run.checkpoint import Checkpoints
from flowasd.run.metric_log import read_metrics
from flowasd.run.workdir import record_config
from flowasd.training.train import train
from tests.conftest import smoke_config
from tests.run.damages import BEST, KEY, LAST, garbage, older, resume
from tests.test_main import assert_refused, flowasd

pytestmark = pytest.mark.slow


def test_damaged_arrays_are_one_line(workdir, test_clips):
    largest_of(workdir, BEST, "model").write_bytes(bytes(1000))
    result = flowasd("--mode=score", f"--workdir={workdir}", f"--input={test_clips[0]}")
    assert_refused(result, f"{BEST}: this checkpoint is damaged", "; remove the folder")
    assert len(result.stderr.splitlines()) == 1


def largest_of(workdir, step, item):
    return max(workdir.glob(f"{step}/{item}/**/d/*"), key=lambda path: path.stat().st_size)


def test_no_flipped_bit_in_the_parameters_scores(workdir):
    expected = nnx.as_pure(nnx.state(Detector.load(workdir).flow))
    rng, refused = np.random.default_rng(0), 0
    path = largest_of(workdir, BEST, "model")
    content = path.read_bytes()
    for _ in range(40):
        damaged = bytearray(content)
        damaged[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            restored = nnx.as_pure(nnx.state(Detector.load(workdir).flow))
        except UserError as error:
            refused += f"{BEST}: this checkpoint is damaged" in str(error)
        else:  # the bit does not belong to what is read
            jax.tree.map(np.testing.assert_array_equal, restored, expected)
    assert refused > 20


@pytest.mark.parametrize("item", ["model", "trainer", "card"])
def test_training_goes_on_from_the_checkpoint_before_a_damaged_one(item, workdir, capsys):
    """It ends with the bits that it had before."""
    template = train_and_restore(workdir)
    for path in [p for p in (workdir / LAST / item).rglob("*") if p.is_file()]:
        path.write_bytes(garbage(path.read_bytes()))
    restored = train_and_restore(workdir)
    assert f"{LAST}: " in (said := capsys.readouterr().err)
    assert "it is removed" in said
    jax.tree.map(np.testing.assert_array_equal, restored, template)
    steps = [row["step"] for row in read_metrics(workdir)]
    assert steps == sorted(set(steps))


def train_and_restore(workdir):
    """The parameters after the last step."""
    train(smoke_config(), workdir)
    with closing(Checkpoints(workdir)) as checkpoints:
        assert checkpoints.steps == [0, 20]
        shapes = glow_structure(smoke_config().model, smoke_config().frontend.n_bands, 4)[1:]
        return checkpoints.restore(
            20, "model", dict(zip(("params", "constants"), shapes, strict=True))
        )


@pytest.mark.parametrize("content", ["[]", "{}", '{"validation_gain": 9.0}'])
def test_a_changed_gain_chooses_no_other_checkpoint(content, workdir):
    """The card has it, too, and only orbax needs a copy of its own, to train."""
    (workdir / LAST / "metrics" / "metrics").write_text(content)
    assert Detector.load(workdir).step == 0


@pytest.mark.parametrize("content", ["", "{"])
def test_a_damaged_gain_is_one_line(content, workdir):
    (workdir / LAST / "metrics" / "metrics").write_text(content)
    for action in (Detector.load, resume):
        with pytest.raises(UserError, match=r"checkpoints: damaged .*remove the folder of the dam"):
            action(workdir)


@pytest.mark.parametrize("damage", [None, garbage, older])
def test_training_again_writes_the_calibration_anew(damage, workdir):
    path = workdir / "calibration.npz"
    content = path.read_bytes()
    path.unlink()
    if damage:
        path.write_bytes(damage(content))
    calibrate_run(workdir)
    assert_calibrated_as(workdir, content)


def assert_calibrated_as(workdir, content):
    """By the figures of the run that was calibrated once."""
    made = load_calibration(workdir, KEY)
    (workdir / "calibration.npz").write_bytes(content)
    expected = load_calibration(workdir, KEY)
    for new, old in zip(jax.tree.leaves(made), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(new, old)


def test_a_calibration_of_another_hop_is_refused_and_made_anew(workdir):
    other = smoke_config({"score.hop": 8})
    words = r"calibration\.npz was made for .* another --config\.score\.hop; repeat the training"
    for action in (Detector.load, evaluate):
        with pytest.raises(UserError, match=words):
            action(workdir, other)
    content = (workdir / "calibration.npz").read_bytes()
    record_config(workdir, other)  # as training again does, which the tests of training show
    calibrate_run(workdir)
    assert Detector.load(workdir).config.score.hop == 8
    evaluate(workdir, other)
    with pytest.raises(UserError, match=words):
        Detector.load(workdir, smoke_config())
    train(smoke_config(), workdir)
    calibrate_run(workdir)
    assert_calibrated_as(workdir, content)
