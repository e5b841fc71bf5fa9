"""What can be added from outside: one function or file and one line in a registry for each."""

import csv
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from configs import smoke
from flowasd.config import level, parse, reference
from flowasd.data.layouts import LAYOUTS
from flowasd.evaluation.calibrate import calibrate_run
from flowasd.evaluation.evaluate import evaluate
from flowasd.evaluation.results import FORMATS, write_results
from flowasd.features.frontend import FRONTENDS
from flowasd.flow.level import BIJECTIONS
from flowasd.flow.objective import OBJECTIVES
from flowasd.report.report import write_report
from flowasd.scoring.rules import RULES
from flowasd.serving.score_files import score_files
from flowasd.training.train import train
from tests.conftest import REPO

REGISTRIES: tuple[dict[str, Any], ...] = (
    FRONTENDS,
    BIJECTIONS,
    OBJECTIVES,
    RULES,
    LAYOUTS,
    FORMATS,
)


@pytest.fixture
def extension(monkeypatch):
    """Adds one of each for the time of a test."""
    before = [dict(registry) for registry in REGISTRIES]
    importlib.reload(importlib.import_module("tests.extension"))
    yield [set(now) - set(was) for now, was in zip(REGISTRIES, before, strict=True)]
    for registry, was in zip(REGISTRIES, before, strict=True):
        registry.clear()
        registry.update(was)


def record(folder: Path) -> None:
    """Twelve clips of two machines, of which every second one is tested; two of these are bad."""
    rng = np.random.default_rng(0)
    for machine in ("left", "right"):
        for i in range(12):
            name = f"{machine}-{i:02d}{'bad' if i in (5, 7) else ''}.wav"
            soundfile.write(folder / name, 0.1 * rng.normal(size=32000), 16000)


def test_one_of_each_takes_less_than_40_lines():
    assert len((REPO / "tests" / "extension.py").read_text().splitlines()) < 55
    code = (REPO / "tests" / "extension.py").read_text().split("\n\n\n", 1)[1]
    assert len(code.splitlines()) < 40


@pytest.mark.slow
def test_everything_reads_the_registries(extension, tmp_path):
    assert extension == [{"loud"}, {"reverse"}, {"sharp"}, {"range"}, {"flat"}, {".txt"}]
    (tmp_path / "recordings").mkdir()
    record(tmp_path / "recordings")
    config = smoke.get_config()
    config.frontend.name = "loud"
    config.model.levels = (level(steps=1, width=8, bijections=("reverse", "actnorm", "coupling")),)
    config.train.objective.name = "sharp"
    config.data.update({"layout": "flat", "root": str(tmp_path / "recordings")})
    config.score.rule = "range"
    workdir = tmp_path / "run"
    train(parse(config), workdir)
    calibrate_run(workdir)
    evaluation = evaluate(workdir)
    assert "range" in evaluation.columns
    write_results(workdir, evaluation)
    with (workdir / "results" / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["machine_id"] for row in rows} == {"left", "right"}
    assert all(float(row["score"]) == float(row["range"]) > 0 for row in rows)
    write_report(workdir / "report.html", evaluation)
    assert "“range”" in (workdir / "report.html").read_text()
    output = tmp_path / "scores.txt"
    assert score_files(workdir, [str(tmp_path / "recordings")], None, str(output)) == 0
    assert len(output.read_text().splitlines()) == 24
    page = reference()
    for name in ("loud", "sharp", "range", "flat"):
        assert f"`{name}`" in page
