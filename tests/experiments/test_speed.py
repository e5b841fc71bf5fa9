"""The benchmark's own arithmetic, and what it does where no peer is installed."""

import importlib
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import slider, smoke
from experiments.speed import (
    auc,
    auc_ours,
    detectors,
    files,
    flow_ours,
    flows,
    growth,
    growth_ours,
    logmel,
    side,
    startup,
    whole,
)
from experiments.speed.flows import compared
from experiments.speed.shapes import patch_flops, shape_config
from experiments.speed.side import Absent, Side, interleaved, open_sides
from experiments.speed.tables import Row, best_peer, rate_row, seconds_row, table, write_rows
from flowasd.config import level
from flowasd.detector import Detector
from flowasd.evaluation.evaluate import evaluate
from flowasd.evaluation.results import write_results
from flowasd.features.frontend import standardise
from flowasd.features.hearing import hear_all
from flowasd.flow.glow import make_glow
from tests.conftest import REPO, smoke_config
from tests.experiments.conftest import experiment

BOTH = {"flowasd": [1.0, 2.0, 4.0], "slow": [3.0, 4.0, 12.0], "fast": [1.0, 1.0, 2.0]}


@pytest.mark.parametrize("shape", ["mel", pytest.param("image", marks=pytest.mark.slow)])
def test_flops_are_those_that_xla_counts(shape):
    config = shape_config(shape)
    levels = tuple(replace(level, steps=1) for level in config.model.levels)
    model = replace(config.model, levels=levels)  # XLA counts the body of a loop once
    config = replace(config, model=model)
    flow = make_glow(config.model, n_bands=128, n_machines=1, seed=0)
    batch = config.train.batch_size
    x = jnp.zeros((batch, config.train.patch_length, 128, 1))
    density = jax.jit(lambda x: flow.log_prob(x, jnp.zeros(batch, int)))
    cost = density.lower(x).compile().cost_analysis()
    assert cost
    assert batch * patch_flops(config) == pytest.approx(cost["flops"], rel=0.1)


def test_rows_give_medians_and_the_median_of_the_ratios_within_rounds():
    row = rate_row("training", BOTH, "slow", 12, "patches/s")
    assert (row.ours, row.peer, row.peer_name) == (6, 3, "slow")
    assert (row.ratio, row.spread) == (3, (2.5, 3))  # rounds: 3, 2, 3
    row = seconds_row("wait", BOTH, "slow")
    assert (row.ours, row.peer, row.ratio, row.unit) == (2, 4, 3, "s")


def test_best_peer_is_the_fastest_one_but_us():
    assert best_peer(BOTH) == "fast"
    assert best_peer({"flowasd": [1.0]}) is None


def test_without_peers_our_own_rate_remains():
    assert list(compared("mel_train", {"flowasd": [2.0]}, 16)) == [
        Row("mel_train_vs_best_peer", 8, "patches/s")
    ]


def test_table_and_file_hold_every_row(tmp_path):
    rows = [Row("a", 2, "s", 4, "torch", 2, (1.5, 2.5)), Row("b", 120, "clips/s")]
    lines = table(rows).splitlines()
    assert lines[2:] == [
        "| a | 2 | 4 (torch) | s | 2.00 (1.50–2.50) |",
        "| b | 120 | – | clips/s | – |",
    ]
    write_rows(tmp_path / "results.json", rows)
    first, second = json.loads((tmp_path / "results.json").read_text())
    assert first.items() >= {"name": "a", "ours": 2, "peer": 4, "peer_name": "torch"}.items()
    assert second["ratio"] is None


def test_side_without_its_library_is_named_and_left_out(tmp_path, monkeypatch, capsys):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\")")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    function = "experiments.speed.logmel_torch:log_mel_tasks"
    assert open_sides({"torch": function}, 1024, 512, 1, "") == {}
    assert "torch is left out: No module named 'torch'" in capsys.readouterr().err
    with pytest.raises(Absent):
        Side(function, 1024, 512, 1, "")


def test_sides_take_turns_in_processes_of_their_own(tmp_path, monkeypatch):
    log = tmp_path / "log"
    (tmp_path / "turns.py").write_text(
        "def tasks(name):\n"
        f"    write = lambda: open({str(log)!r}, 'a').write(name)\n"
        "    return {'write': write, 'fail': lambda: 1 / 0}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    sides = {name: Side("turns:tasks", name) for name in "ab"}
    seconds = interleaved(sides, "write", rounds=2)
    assert log.read_text() == "ababab"  # the first round warms up
    assert {name: len(values) for name, values in seconds.items()} == {"a": 2, "b": 2}
    assert sides["a"].value("write") == 1
    assert sides["a"].peak_mib() > 1
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        sides["b"].value("fail")
    sides["a"].close()


def test_the_peer_scores_the_same_bands_and_patches(evaluated, test_clips, monkeypatch):
    """With a flow that is known: the standard normal density of every patch."""
    pytest.importorskip("normflows")
    from experiments.speed import files_normflows

    def standard_normal(patches, machine):
        batch, bands, frames, _ = patches.shape
        assert machine.tolist() == batch * [0]
        return -(patches**2).sum((1, 2, 3)) / 2 - bands * frames * math.log(2 * math.pi) / 2

    monkeypatch.setattr(files_normflows, "make_flow", lambda config, n_machines: standard_normal)
    scores = files_normflows.score_tasks(str(evaluated), [*map(str, test_clips[:3])])["score"]()
    detector = Detector.load(evaluated)
    length = detector.config.train.patch_length
    for score, heard in zip(scores, hear_all(test_clips[:3], detector.frontend), strict=True):
        x = standardise(heard.bands, detector.statistics).astype(np.float64)
        patches = np.stack([x[:length], x[-length:]])  # of 40 frames; see tests/test_detector.py
        assert score == pytest.approx((patches**2 + math.log(2 * math.pi)).mean() / 2, rel=1e-4)


class Here(Side):
    """A side in this process, where JAX and its compiled programs are already."""

    def __init__(self, function, *arguments, environment=None):
        module, name = function.split(":")
        try:
            self.tasks = getattr(importlib.import_module(module), name)(*arguments)
        except ModuleNotFoundError as error:
            raise Absent(str(error)) from error

    def _ask(self, task):
        return {"seconds": 1.0, "value": self.tasks[task]() if task else None, "peak_mib": 1.0}

    def close(self):
        pass


@pytest.fixture
def tiny(monkeypatch):
    """All sides in this process, and as little work for them as can be."""
    small_flow = {"model.levels": (level(steps=1, width=8),), "train.batch_size": 4}
    small_flow |= {"frontend.n_bands": 32}

    def small_config(shape, changes=None):
        return shape_config(shape, small_flow | (changes or {}))

    def small_slider():
        config = slider.get_config()
        config.model.levels = (level(steps=1, width=8, kernel=(1, 1)),)
        return config

    for module in (flow_ours, flows, growth_ours):
        monkeypatch.setattr(module, "shape_config", small_config)
    monkeypatch.setattr(auc_ours, "shape_config", lambda shape, changes: smoke_config(changes))
    for module in (auc, detectors, files, flows, growth, side, startup):
        monkeypatch.setattr(module, "Side", Here)
    small = {auc: {"AUC": 0.1}, flows: {"GEMM": 8}, detectors: {"CLIPS": 2}}
    small[detectors]["CONFIGS"] = {"mel": smoke.get_config, "slider": small_slider}
    small |= {logmel: {"CLIPS": 1, "FRONTENDS": {"logmel": (1024, 512)}}}
    # With the 100 clips of the growing batch, both train by one compiled program.
    small |= {growth: {"BATCHES": (2,), "BATCH": 2, "CLIPS": (100,), "STEPS": 1, "ROUNDS": 1}}
    for module, constants in small.items():
        for name, value in constants.items():
            monkeypatch.setattr(module, name, value)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny")
@pytest.mark.filterwarnings("ignore:torch.lu is deprecated:UserWarning")  # normflows calls it
def test_the_command_measures_every_part(development_set, tmp_path):
    parts = "--only=logmel,mel,files,startup,growth,auc"
    result = experiment(
        "speed", "--quick", parts, f"--data={development_set}", f"--workdir={tmp_path}"
    )
    assert result.status == 0, result.stderr
    rows = {row["name"]: row for row in json.loads((tmp_path / "results.json").read_text())}
    assert rows["logmel_difference_from_librosa"]["ours"] < 1e-3  # dB
    assert rows["mel_train_vs_best_peer"]["ours"] == 20 * 4  # patches in what counts as a second
    assert rows["mel_score_vs_best_peer"]["ours"] == 4
    for name in ("file_to_score", "file_to_score_vs_best_peer", "file_to_score_slider"):
        assert rows[name]["ours"] == 2
    assert rows["train_batch_2"]["ours"] == 2
    assert rows["score_clips_100"]["ours"] == 100
    assert {"first_score_cold", "bank_clips_100", "seconds_to_auc_0"} <= rows.keys()
    table = (tmp_path / "tables.md").read_text()
    assert all(name in table and name in result.stdout for name in rows)


def test_the_whole_command_is_timed_and_its_figures_are_read(run, tmp_path, monkeypatch):
    commands = []

    def main(command, env, **_):
        flags = dict(flag.removeprefix("--").split("=") for flag in command[3:])
        commands.append((command[:3], flags["config"], flags["config.data.root"]))
        write_results(Path(flags["workdir"]), evaluation)

    evaluation = evaluate(run)
    monkeypatch.setattr(whole.subprocess, "run", main)
    rows = {row.name: row.ours for row in whole.measure("recordings")}
    average = evaluation.summary["metrics"]["mean"]["Average"]
    assert (rows["run_auc"], rows["run_pauc"]) == (100 * average["auc"], 100 * average["pauc"])
    config = str(REPO / "configs" / "slider.py")
    assert commands == 2 * [([sys.executable, "-m", "flowasd.main"], config, "recordings")]
