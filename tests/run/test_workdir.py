"""The folder of a run: its config is recorded, and what may change later is told from what not."""

import json
import os
from dataclasses import asdict

import pytest

from flowasd.errors import UserError
from flowasd.run.records import FORMAT, write_record
from flowasd.run.workdir import copy_run, open_workdir, read_config, record_config, settings_of
from tests.conftest import smoke_config


def begin(workdir):
    (workdir / "checkpoints" / "20").mkdir(parents=True)


def test_config_is_recorded(tmp_path):
    workdir = tmp_path / "new" / "run"
    open_workdir(workdir, smoke_config())
    recorded = json.loads((workdir / "config.json").read_text())
    assert recorded["format"] == FORMAT
    assert recorded["train"]["steps"] == smoke_config().train.steps
    assert recorded["model"]["levels"][0]["squeeze"] == [1, -1]
    assert read_config(workdir) == smoke_config()


def test_differing_keys_are_named_once_training_has_begun(tmp_path):
    open_workdir(tmp_path, smoke_config())
    other = smoke_config({"train.steps": 40, "frontend.n_fft": 8192})
    open_workdir(tmp_path, other)  # a first attempt with wrong keys does not lock the folder
    begin(tmp_path)
    with pytest.raises(UserError, match=r"frontend\.n_fft \(8192 → 16384\), train\.steps \(40 → "):
        open_workdir(tmp_path, smoke_config())
    assert read_config(tmp_path) == other


@pytest.mark.parametrize(
    "changes",
    [
        {"data.root": "/elsewhere"},  # the recordings are known by their content
        {"data.cache": "/elsewhere"},
        {"data.test": 0.0},  # what it changes of the training clips is told by their content
        {"data.layout": "folder", "data.train_on": "a+b", "data.test_on": "c"},
        {"data.bank_gb": 0.5},
        {"score.rule": "std"},
        {"score.hop": 8},
        {"parallel.num_processes": 2},
    ],
)
def test_what_is_not_trained_on_may_change(tmp_path, changes):
    open_workdir(tmp_path, smoke_config())
    begin(tmp_path)
    open_workdir(tmp_path, smoke_config(changes))
    assert read_config(tmp_path) == smoke_config()  # the clips are still to be checked
    record_config(tmp_path, smoke_config(changes))
    assert read_config(tmp_path) == smoke_config(changes) != smoke_config()


def test_what_is_not_named_of_the_data_is_the_runs(tmp_path):
    own = {"data.root": "/r", "data.layout": "folder", "data.train_on": "a", "data.test_on": "b"}
    trained = smoke_config(own | {"data.machine_type": "fan", "data.test": 0.0})
    for root in ("", "/r"):
        assert settings_of(tmp_path, trained, smoke_config({"data.root": root})) == trained
    named = {"data.machine_type": "pump", "data.test_on": "c"}
    found = settings_of(tmp_path, trained, smoke_config(named)).data
    assert (found.root, found.layout) == ("/r", "folder")
    assert (found.machine_type, found.test_on) == ("pump", "c")
    elsewhere = smoke_config({"data.root": "/s"})
    assert settings_of(tmp_path, trained, elsewhere) == elsewhere


def test_every_difference_inside_a_level_is_named(tmp_path):
    open_workdir(tmp_path, smoke_config())
    begin(tmp_path)
    config = asdict(smoke_config())
    config["model"]["levels"][0]["width"] = 8
    write_record(tmp_path / "config.json", config)
    with pytest.raises(UserError, match=r"differing keys: model\.levels\[0\]\.width \(8 → 16\);"):
        open_workdir(tmp_path, smoke_config())


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/run: cannot write here .* another --workdir"):
        open_workdir(tmp_path / "file" / "run", smoke_config())


def test_a_copy_that_fails_leaves_nothing(tmp_path):
    """So the same command can be repeated. A pipe stands for whatever cannot be copied."""
    run, copy = tmp_path / "run", tmp_path / "copy"
    (run / "results").mkdir(parents=True)
    (run / "config.json").write_text("{}")
    for name in ("a", "b"):
        os.mkfifo(run / "results" / name)
    with pytest.raises(UserError, match=r"copy: the run cannot be copied here .*pipe") as caught:
        copy_run(run, copy)
    assert "\n" not in str(caught.value)
    assert not copy.exists()
    for name in ("a", "b"):
        (run / "results" / name).unlink()
    copy_run(run, copy)
    assert (copy / "config.json").read_text() == "{}"
