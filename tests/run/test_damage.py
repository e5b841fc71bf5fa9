"""Every file of a run, damaged in every way: one line that names the file and what to do."""

import io
import json
from contextlib import closing
from itertools import product

import jax
import numpy as np
import pytest
from flax import nnx

from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.evaluation.assess import assess_to_csv, read_estimates
from flowasd.evaluation.calibrate import calibrate_run
from flowasd.evaluation.evaluate import evaluate
from flowasd.flow.glow import glow_structure
from flowasd.run.calibration_file import (
    CalibrationFile,
    calibration_key,
    load_calibration,
    save_calibration,
)
from flowasd.run.checkpoint import Checkpoints
from flowasd.run.metric_log import MetricLog, read_metrics
from flowasd.run.records import FORMAT, sealed
from flowasd.run.splits import read_splits
from flowasd.run.workdir import read_config, record_config
from flowasd.scoring.calibration import fit_normality
from flowasd.scoring.decision import HELD_OUT, Calibration, NormalScores
from flowasd.training.train import train
from tests.conftest import smoke_config
from tests.evaluation.assessments import write_assessment
from tests.run.recordings import copy_run
from tests.scoring.made_clips import make_clips
from tests.test_main import assert_refused, flowasd

pytestmark = pytest.mark.slow

BEST, LAST = "checkpoints/0", "checkpoints/20"  # of the smoke run: it starts at its best
CARD = f"{BEST}/card/metadata"


def resume(workdir):
    train(smoke_config(), workdir)
    calibrate_run(workdir)


ACTIONS = {
    "score": Detector.load,
    "evaluate": evaluate,
    "assess": lambda workdir: assess_to_csv(workdir, workdir),
    "resume": resume,
}
# Which command reads a file, and what it says of a bad one.
READERS = {
    "config.json": (("score", "evaluate", "assess", "resume"), "repeat the training command"),
    "splits.json": (("evaluate", "assess", "resume"), "repeat the training command"),
    "calibration.npz": (("score", "evaluate", "assess"), "repeat the training command"),
    "metrics.jsonl": (("evaluate", "resume"), "remove the file"),
    "results/assess.csv": (("evaluate",), "run --mode=assess again"),
    CARD: (("score", "evaluate", "assess"), "repeat the training|remove the folder"),
}


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def garbage(content: bytes) -> bytes:
    """Random bytes in the middle."""
    middle, noise = len(content) // 2, np.random.default_rng(0).bytes(24)
    return content[:middle] + noise + content[middle + 24 :]


def emptied(content: bytes) -> bytes:
    return b""


def another_type(content: bytes) -> bytes:
    """JSON, but neither an object nor a row; it is no array and no table either."""
    return b'[1, "two"]\n'


def older(content: bytes) -> bytes:
    """What was written before files had a format version, or had other columns."""
    if content.startswith(b"PK"):
        return npz_without_format(content)
    if content.startswith(b"{"):
        lines = [content] if content.count(b'"format"') == 1 else content.splitlines()
        objects = [json.loads(line) for line in lines]
        return b"".join(
            json.dumps({k: v for k, v in o.items() if k != "format"}).encode() + b"\n"
            for o in objects
        )
    return content.replace(b"blend", b"other machine")


def npz_without_format(content: bytes) -> bytes:
    with np.load(io.BytesIO(content)) as arrays:
        rest = {name: arrays[name] for name in arrays if name != "format"}
    file = io.BytesIO()
    np.savez_compressed(file, **rest)
    return file.getvalue()


DAMAGES = (truncated, garbage, emptied, another_type, older)
# A crash may cut the last line of metrics.jsonl off, or all of it, so that is no damage.
HARMLESS = {("metrics.jsonl", truncated), ("metrics.jsonl", emptied)}


@pytest.fixture
def workdir(run, tmp_path):
    """A copy of the run, with an assessment."""
    copy = copy_run(run, tmp_path / "run")
    write_assessment(copy / "results" / "assess.csv")
    return copy


@pytest.mark.parametrize(
    ("name", "damage"), [case for case in product(READERS, DAMAGES) if case not in HARMLESS]
)
def test_a_damaged_file_is_one_line_in_every_mode(name, damage, workdir):
    path = workdir / name
    path.write_bytes(damage(path.read_bytes()))
    actions, remedy = READERS[name]
    for action in actions:
        with pytest.raises(UserError, match=remedy) as caught:
            ACTIONS[action](workdir)
        message = str(caught.value)
        assert "\n" not in message
        assert (name if name != CARD else BEST) in message
        if damage is older and name != "results/assess.csv":
            assert "is of format 1, which this version of flowasd does not read" in message


@pytest.mark.parametrize("name", ["config.json", "splits.json", "metrics.jsonl", CARD])
def test_a_newer_file_is_refused_with_its_format(name, workdir):
    path = workdir / name
    path.write_text(path.read_text().replace(f'"format": {FORMAT}', f'"format": {FORMAT + 1}'))
    with pytest.raises(UserError, match=rf"is of format {FORMAT + 1}, which this version .* not"):
        evaluate(workdir)


def test_an_undamaged_run_is_read_in_every_mode(workdir):
    """What the damages are compared with: all of it, but for the assessment, which is slow."""
    assert Detector.load(workdir).step == 0
    assert len(evaluate(workdir).clips) == 24
    resume(workdir)


def test_metrics_that_a_crash_cut_off_go_on(workdir):
    path = workdir / "metrics.jsonl"
    whole = read_metrics(workdir)
    path.write_bytes(path.read_bytes()[:-20])
    assert read_metrics(workdir) == whole[:-1]
    assert evaluate(workdir).history == whole[:-1]
    path.write_bytes(b"")
    assert evaluate(workdir).history == []


KEY = calibration_key(smoke_config(), 0)
READ = {
    "config.json": read_config,
    "splits.json": read_splits,
    "calibration.npz": lambda w: load_calibration(w, KEY),
    "metrics.jsonl": lambda w: MetricLog(w, 20).close(),
    "results/assess.csv": lambda w: read_estimates(w / "results" / "assess.csv"),
}


@pytest.mark.parametrize("name", READ)
def test_no_damage_at_all_is_a_traceback(name, workdir, monkeypatch):
    """Bits flipped, bytes written over and ends cut off at 300 random places."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)  # no event files
    clips = make_clips(0, (2, 2))
    normality = fit_normality(clips)
    calibration = Calibration(normality, NormalScores.of(clips, normality), (HELD_OUT, HELD_OUT))
    save_calibration(workdir, CalibrationFile(calibration), KEY)  # a small one
    path, rng = workdir / name, np.random.default_rng(0)
    content = path.read_bytes()
    said = []
    for turn in range(300):
        damaged, at = bytearray(content), int(rng.integers(len(content)))
        if turn % 3 == 0:
            damaged[at] ^= 1 << int(rng.integers(8))
        elif turn % 3 == 1:
            damaged[at : at + 16] = rng.bytes(16)
        else:
            del damaged[at:]
        path.write_bytes(damaged)
        try:
            READ[name](workdir)
        except UserError as error:
            said.append(str(error))
    assert len(said) > 150
    assert all(name in message for message in said)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("splits.json", {"splits": {}}),
        ("splits.json", {"splits": {"train": {}}}),
        ("splits.json", {"splits": {"train": [], "validation": {}, "calibration": {}}}),
        ("splits.json", {"splits": {"train": {"ab": 3}, "validation": {}, "calibration": {}}}),
        ("splits.json", {}),
        ("config.json", {}),
        ("config.json", {"seed": 0}),
        ("metrics.jsonl", {"step": 5}),
        ("metrics.jsonl", {"seconds": 5}),
        ("metrics.jsonl", {"step": "five", "seconds": 1.0}),
        ("metrics.jsonl", {"step": 5, "seconds": None}),
        (CARD, {}),
        (CARD, {"data": 1, "config": {}, "machine_ids": [], "mean": [], "std": [], "start": ""}),
        (
            CARD,
            {"data": "real", "config": [], "machine_ids": [], "mean": [], "std": [], "start": ""},
        ),
    ],
)
def test_what_lacks_its_parts_is_refused(name, content, workdir):
    whole = {"format": FORMAT} | content if name.endswith("l") else sealed(content)
    (workdir / name).write_text(json.dumps(whole) + "\n")
    with pytest.raises(UserError, match=r"lacks|without|damaged"):
        evaluate(workdir)


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
