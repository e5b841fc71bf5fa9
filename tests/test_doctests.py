"""The examples in docstrings, run in a folder with a trained run and a recording."""

import doctest
import importlib

import pytest

MODULES = ("band_detector", "data.machine_ids", "detector", "fitting", "pyod", "sklearn")


@pytest.fixture
def folder(run, test_clips, tmp_path, monkeypatch):
    (tmp_path / "run").symlink_to(run)
    (tmp_path / test_clips[0].name).symlink_to(test_clips[0])
    for path in test_clips:
        if path.name == "normal_id_00_00000000.flac":
            (tmp_path / path.name).unlink(missing_ok=True)
            (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name, folder):
    module = importlib.import_module(f"flowasd.{name}")
    ended = doctest.testmod(module)
    assert ended.attempted > 0
    assert ended.failed == 0


@pytest.mark.parametrize(
    ("name", "cls"),
    [("detector", "Detector"), ("sklearn", "FlowDetector"), ("pyod", "FlowOD")],
)
def test_every_public_method_has_an_example(name, cls):
    api = getattr(importlib.import_module(f"flowasd.{name}"), cls)
    ours = [base for base in api.__mro__ if base.__module__.startswith("flowasd.")]
    methods = [getattr(base, n) for base in ours for n in vars(base) if not n.startswith("_")]
    methods = [m for m in methods if callable(m) or isinstance(m, property)]
    assert methods
    for method in methods:
        assert ">>>" in (method.__doc__ or ""), method
