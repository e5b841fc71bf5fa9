"""Every file of a run, damaged in every way: one line that names the file and what to do."""

import json
from itertools import product

import numpy as np
import pytest

from flowasd.detector import Detector
from flowasd.errors import UserError
from flowasd.evaluation.assess import assess_to_csv, read_estimates
from flowasd.evaluation.evaluate import evaluate
from flowasd.run.calibration_file import (
    CalibrationFile,
    load_calibration,
    save_calibration,
)
from flowasd.run.metric_log import MetricLog, read_metrics
from flowasd.run.records import FORMAT, sealed
from flowasd.run.splits import read_splits
from flowasd.run.workdir import read_config
from flowasd.scoring.calibration import fit_normality
from flowasd.scoring.decision import HELD_OUT, Calibration, NormalScores
from tests.run.damages import BEST, KEY, another_type, emptied, garbage, older, resume, truncated
from tests.scoring.made_clips import make_clips

pytestmark = pytest.mark.slow

CARD = f"{BEST}/card/metadata"


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


DAMAGES = (truncated, garbage, emptied, another_type, older)
# A crash may cut the last line of metrics.jsonl off, or all of it, so that is no damage.
HARMLESS = {("metrics.jsonl", truncated), ("metrics.jsonl", emptied)}


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


def test_a_changed_digit_of_the_metrics_is_refused(workdir):
    path, whole = workdir / "metrics.jsonl", read_metrics(workdir)
    content = path.read_text()
    at = content.index('"train_nll": ') + len('"train_nll": ') + 3
    digit = str((int(content[at]) + 1) % 10)
    path.write_text(content[:at] + digit + content[at + 1 :])
    with pytest.raises(UserError, match=r"metrics\.jsonl: damaged .*remove the file"):
        read_metrics(workdir)
    path.write_text("".join(json.dumps({"format": FORMAT} | row) + "\n" for row in whole))
    with pytest.raises(UserError, match=r"metrics\.jsonl: damaged .*remove the file"):
        read_metrics(workdir)  # without digests


def test_metrics_that_a_crash_cut_off_go_on(workdir):
    path = workdir / "metrics.jsonl"
    whole = read_metrics(workdir)
    path.write_bytes(path.read_bytes()[:-20])
    assert read_metrics(workdir) == whole[:-1]
    assert evaluate(workdir).history == whole[:-1]
    path.write_bytes(b"")
    assert evaluate(workdir).history == []


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
