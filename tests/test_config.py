"""The config: what is refused, with one line, and that each key is declared once."""

import dataclasses
import os
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from configs import slider, slider_best, slider_image, slider_one, smoke
from flowasd.config import RunConfig, default_config, level, parse, reference
from flowasd.errors import UserError
from flowasd.run.workdir import flat
from flowasd.settings import build, walk
from tests.conftest import REPO, smoke_config


@pytest.mark.parametrize("config", [slider, slider_best, slider_image, slider_one, smoke])
def test_configs_are_sound(config):
    parse(config.get_config())


def test_the_default_is_that_of_the_dataclasses():
    assert parse(default_config()) == RunConfig()


def test_json_of_a_config_builds_the_same_one():
    config = smoke_config({"parallel.num_processes": 2, "train.steps": 40})
    assert build(RunConfig, dataclasses.asdict(config)) == config


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("train.noise", -0.1, "train.noise=-0.1 must be at least 0"),
        ("train.learning_rate", -1e-3, "train.learning_rate=-0.001 must be above 0"),
        ("train.learning_rate", float("nan"), "must be finite"),
        ("train.clip_norm", -1.0, "train.clip_norm=-1.0 must be above 0"),
        ("train.weight_decay", -1.0, "train.weight_decay=-1.0 must be at least 0"),
        ("train.objective.margin", -1.0, "train.objective.margin=-1.0 must be at least 0"),
        ("train.objective.name", "mse", "train.objective.name=mse is not one of nll, contrast"),
        ("train.objective.temperature", 0.0, "temperature=0.0 must be above 0"),
        ("data.bank_gb", -1.0, "data.bank_gb=-1.0 must be at least 0"),
        ("score.folds", 0, "score.folds=0 must be at least 2"),
        ("data.simulated.n_train", 0, "data.simulated.n_train=0 must be at least 2"),
        ("data.simulated.n_test", 0, "data.simulated.n_test=0 must be at least 1"),
        ("data.validation", 1.0, "data.validation=1.0 must be below 1"),
        ("data.layout", "heap", "data.layout=heap is not one of dcase2020, dcase2021, mimii"),
        ("frontend.hop_length", 160_001, "frontend.hop_length=160001 is longer than a clip"),
        ("frontend.name", "mfcc", "frontend.name=mfcc is not one of log_mel"),
        ("frontend.n_fft", 64, "frontend.n_fft=64 leaves 4 bands without a frequency"),
        ("frontend.n_bands", 0, "frontend.n_bands=0 must be at least 1"),
        ("model.dtype", "int8", "model.dtype=int8 is not one of float32, bfloat16"),
        ("model.embed", 0, "model.embed=0 must be at least 1"),
        ("model.levels", (), "model.levels is empty"),
        ("train.steps", 0, "train.steps=0 must be at least 1"),
        ("train.log_every", 3, "train.eval_every=10 is no multiple of train.log_every"),
        ("train.log_every", 0, "train.log_every=0 must be at least 1"),
        ("train.batch_size", 0, "train.batch_size=0 must be at least 1"),
        ("train.warmup_steps", -1, "train.warmup_steps=-1 must be at least 0"),
        ("train.steps", 21, "train.steps=21 is no multiple of train.log_every"),
        ("train.warmup_steps", 20, "train.warmup_steps=20 must be below train.steps=20"),
        ("train.patch_length", 0, "train.patch_length=0 must be at least 1"),
        ("score.hop", 33, "score.hop=33 skips frames"),
        ("score.rule", "best", "score.rule=best is not one of mean, std"),
        ("seed", -1, "seed=-1 must be at least 0"),
    ],
)
def test_values_that_cannot_work_are_named(key, value, words):
    with pytest.raises(UserError) as caught:
        smoke_config({key: value})
    assert f"config.{words}" in str(caught.value) or words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"squeeze": (1, 100)}, "squeeze (1, 100) does not divide 32 bands"),
        ({"squeeze": (1, 1)}, "leaves one channel"),
        ({"squeeze": (0, 2)}, "squeeze=(0, 2) must be at least 1"),
        ({"squeeze": (3, 1)}, "train.patch_length=32 is no multiple of 3"),
        ({"kernel": (2, 1)}, "kernel=(2, 1) must be odd"),
        ({"kernel": (0, 1)}, "kernel=(0, 1) must be at least 1"),
        ({"steps": 0}, "steps=0 must be at least 1"),
        ({"bijections": ("actnorm", "spline")}, "spline is no bijection"),
    ],
)
def test_levels_that_cannot_work_are_named(changes, words):
    config = smoke.get_config()
    config.model.levels = (level(**changes),)
    with pytest.raises(UserError) as caught:
        parse(config)
    assert words in str(caught.value)


def test_a_patch_must_fit_the_squeezes_of_all_levels():
    config = smoke.get_config()
    config.model.levels = 3 * (level(squeeze=(2, 2)),)
    config.train.patch_length = 36
    with pytest.raises(UserError, match=r"train\.patch_length=36 is no multiple of 8"):
        parse(config)


def test_all_problems_are_listed_at_once():
    with pytest.raises(UserError, match=r"train\.noise=-1\.0.*seed=-1|seed=-1.*train\.noise=-1\.0"):
        smoke_config({"train.noise": -1.0, "seed": -1})


def test_missing_unknown_and_mistyped_keys_are_named():
    values = dataclasses.asdict(smoke_config())
    del values["train"]["noise"]
    with pytest.raises(UserError, match=r"config\.train\.noise is missing"):
        build(RunConfig, values)
    values = dataclasses.asdict(smoke_config())
    values["score"]["rul"] = "mean"
    with pytest.raises(UserError, match=r"config\.score\.rul: there is no such key"):
        build(RunConfig, values)
    values = dataclasses.asdict(smoke_config())
    values["train"]["steps"] = "many"
    with pytest.raises(UserError, match=r"config\.train\.steps='many' is not of the type int"):
        build(RunConfig, values)


def test_whole_numbers_serve_as_fractions_and_not_the_other_way():
    values = dataclasses.asdict(smoke_config())
    values["train"]["noise"] = 0
    assert build(RunConfig, values).train.noise == 0.0
    values["train"]["steps"] = 20.5
    with pytest.raises(UserError, match=r"config\.train\.steps=20\.5"):
        build(RunConfig, values)


def test_what_is_left_to_the_number_of_clips_and_what_is_not():
    few, many = (parse(slider.get_config()).train.for_clips(n) for n in (400, 1600))
    assert few == dataclasses.replace(parse(slider.get_config()).train, steps=200, noise=0.1)
    assert (many.steps, many.noise) == (800, pytest.approx(0.1 / 4**0.5))
    settled = [parse(slider.get_config()).train.for_clips(n) for n in (4000, 8000, 10**6)]
    assert [(own.steps, own.patience) for own in settled] == [(1000, 3), (2000, 5), (4000, 10)]
    config = slider.get_config()
    config.train.update({"steps": 2000, "noise": 0.02})
    assert all(parse(config).for_clips(n) == parse(config) for n in (1, 400, 10**6))


def test_the_updates_left_to_the_number_of_clips_are_whole_validations():
    config = slider.get_config()
    config.train.update({"log_every": 30, "eval_every": 60})
    assert parse(config).train.for_clips(1).steps == 240
    config.train.warmup_steps = 200
    with pytest.raises(UserError, match=r"warmup_steps=200 must be below train\.steps=200"):
        parse(config)


def test_a_root_becomes_absolute_and_keeps_the_name_of_its_link(tmp_path, monkeypatch):
    (tmp_path / "disk7").mkdir()
    (tmp_path / "slider").symlink_to(tmp_path / "disk7")
    monkeypatch.chdir(tmp_path)
    assert smoke_config({"data.root": "slider"}).data.root == os.path.join(os.getcwd(), "slider")
    assert Path(smoke_config({"data.root": "~/x"}).data.root) == Path("~/x").expanduser()


def test_no_two_keys_of_a_group_and_its_groups_share_a_name():
    """`warmup_steps` once meant two things, which `--config.train.…` made easy to mix up."""
    names = [path.rsplit(".", 1)[1] for path, *_ in walk(RunConfig().train, "train.")]
    assert len(names) == len(set(names))


def test_every_key_has_a_meaning_and_the_reference_lists_it():
    page = (REPO / "docs" / "configuration.md").read_text()
    assert page == reference() + "\n", "python -m flowasd.config > docs/configuration.md"
    for path, _, declared in walk(RunConfig()):
        assert f"`{path.replace('[0]', '[i]')}`" in page
        assert declared.meaning


def test_config_dict_and_dataclasses_have_the_same_keys():
    config = default_config()
    assert isinstance(config, ConfigDict)
    keys = {path for path, *_ in walk(RunConfig())}
    given = {key.split("[")[0] for key in flat(dataclasses.asdict(RunConfig()))}
    assert {key.split("[")[0] for key in keys} == given
