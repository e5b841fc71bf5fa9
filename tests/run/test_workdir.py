import json
from pathlib import Path

import pytest

from configs import slider, slider_best, slider_image, smoke
from flowasd import default_config as default
from flowasd.config import check_config
from flowasd.data.clips import Clip
from flowasd.data.source import Source
from flowasd.errors import UserError
from flowasd.run.workdir import open_workdir, record_splits


def begin(workdir):
    (workdir / "checkpoints" / "20").mkdir(parents=True)


def source(*names):
    clips = tuple(Clip(Path(name), "id_00", 0) for name in names)
    splits = {"train": clips[1:], "validation": clips[:1], "test": ()}
    return Source("slider", simulated=True, labelled=False, splits=splits)


def test_config_is_recorded(tmp_path):
    open_workdir(tmp_path / "new" / "run", smoke.get_config())
    recorded = json.loads((tmp_path / "new" / "run" / "config.json").read_text())
    assert recorded["train"]["steps"] == smoke.get_config().train.steps
    assert recorded["model"]["levels"][0]["squeeze"] == [1, 128]


def test_differing_keys_are_named_once_training_has_begun(tmp_path):
    open_workdir(tmp_path, smoke.get_config())
    config = smoke.get_config()
    config.data.root = "/elsewhere"
    open_workdir(tmp_path, config)  # a first attempt with a wrong root does not lock the folder
    begin(tmp_path)
    with pytest.raises(UserError, match=r"data\.root \(/elsewhere → \)"):
        open_workdir(tmp_path, smoke.get_config())


def test_scoring_and_cache_may_change(tmp_path):
    open_workdir(tmp_path, smoke.get_config())
    begin(tmp_path)
    config = smoke.get_config()
    config.score.rule = "std"
    config.data.cache = "/elsewhere"
    open_workdir(tmp_path, config)


def test_training_does_not_go_on_with_other_clips(tmp_path):
    record_splits(tmp_path, source("a.wav", "b.wav"))
    begin(tmp_path)
    record_splits(tmp_path, source("a.wav", "b.wav"))
    with pytest.raises(UserError, match=r"1 of the train split differ, such as /c\.wav"):
        record_splits(tmp_path, source("a.wav", "b.wav", "c.wav"))
    recorded = json.loads((tmp_path / "splits.json").read_text())
    assert recorded["train"] == ["/b.wav"]
    assert recorded["data"] == "SIMULATED"


@pytest.mark.parametrize("config", [default, slider, slider_best, slider_image, smoke])
def test_our_configs_are_sound(config):
    check_config(config.get_config())


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("train.steps", 21, r"train\.steps=21 .*log_every=5"),
        ("train.log_every", 3, r"train\.eval_every=10 .*log_every=3"),
        ("train.log_every", 0, r"train\.log_every=0 must be at least 1"),
        ("train.batch_size", 0, r"train\.batch_size=0"),
        ("train.warmup_steps", 20, r"train\.warmup_steps=20"),
        ("score.rule", "median", r"score\.rule=median is not one of mean, std, max, p75, top10"),
        ("score.hop", 65, r"score\.hop=65"),
        ("frontend.n_mels", 64, r"frontend\.n_mels=64"),
        ("model.levels", (default.level(squeeze=(2, 2)),) * 3, "patch_length=36"),
        ("model.levels", (default.level(kernel=(4, 1)),), "odd"),
        ("model.levels", (default.level(steps=0),), r"levels\[0\]\.steps=0"),
        ("model.levels", (default.level(squeeze=(0, 128)),), r"squeeze=\(0, 128\)"),
        ("model.levels", (default.level(squeeze=(1, 1)),), "one channel"),
        ("model.levels", (), "empty"),
        ("model.embed", 0, r"model\.embed=0"),
        ("train.warmup_steps", -1, r"train\.warmup_steps=-1"),
    ],
)
def test_values_that_cannot_work_are_refused(key, value, words):
    config = smoke.get_config()
    if "36" in words:
        config.train.patch_length = 36
    config.update_from_flattened_dict({key: value})
    with pytest.raises(UserError, match=words):
        check_config(config)


def test_a_config_without_a_key_is_refused():
    config = smoke.get_config().unlock()
    del config.train["noise"]
    del config.score["rule"]
    with pytest.raises(UserError, match="lacks a key"):
        check_config(config)
