"""Runs of past versions: every command refuses them by one line, which says what to do.

The runs in tests/data/past are of configs/smoke.py, made smaller, on SIMULATED recordings, as the
sources of that time have left them. Parts that no refusal reads are left out: arrays, results and
reports.
"""

import shutil
from contextlib import closing

import numpy as np
import pytest
import soundfile

from flowasd.errors import UserError
from flowasd.run.checkpoint import Checkpoints
from tests.commands import command
from tests.conftest import REPO

pytestmark = pytest.mark.slow

PAST = REPO / "tests" / "data" / "past"
FORMATS = {"0.1": 1, "format_5": 5}  # files of 0.1 do not tell their format
MODES = {
    "train": ("--config=configs/smoke.py",),
    "evaluate": (),
    "report": (),
    "assess": (),
    "score": ("--input=in",),
    "explain": ("--input=in",),
    "enrol": ("--input=in", "--machine_id=id_08"),
    "calibrate": ("--input=in",),
    "watch": ("--input=in",),
    "export": (),
}


def test_every_past_run_is_tried():
    assert {path.name for path in PAST.iterdir()} == FORMATS.keys()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("version", FORMATS)
def test_a_past_run_is_refused_in_one_line_and_left_as_it_was(version, mode, tmp_path, monkeypatch):
    run = shutil.copytree(PAST / version, tmp_path / "run")
    (tmp_path / "in").mkdir()
    soundfile.write(
        tmp_path / "in" / "normal_id_00_00000000.wav", np.tile([0.1, -0.1], 8000), 16000
    )
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    options = [option.replace("configs/", f"{REPO}/configs/") for option in MODES[mode]]
    ended = command("flowasd.main", f"--mode={mode}", "--workdir=run", *options)
    assert ended.status == 2
    (line,) = ended.stderr.splitlines()
    form = FORMATS[version]
    assert f"is of format {form}, which this version of flowasd does not read" in line
    assert line.endswith("repeat the training command in another --workdir")
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("version", FORMATS)
def test_a_past_checkpoint_tells_its_format_by_itself(version):
    with (
        closing(Checkpoints(PAST / version)) as checkpoints,
        pytest.raises(UserError, match=f"checkpoints/2 is of format {FORMATS[version]}, which"),
    ):
        checkpoints.card(checkpoints.steps[-1])
