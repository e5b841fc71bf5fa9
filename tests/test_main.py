"""The command line as a user meets it: exit statuses, and one-line errors."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import soundfile

from tests.commands import Result, command
from tests.conftest import REPO

NOISE = np.random.default_rng(0).normal(size=16000) / 10

pytestmark = pytest.mark.slow

SMOKE = f"--config={REPO}/configs/smoke.py"


def flowasd(*args: object) -> Result:
    """Runs the main command in this process."""
    return command("flowasd.main", *args)


def from_the_shell(
    *args: object, cwd: Path = REPO, environment: Mapping[str, str] = MappingProxyType({})
) -> Result:
    """Runs the main command in a process of its own."""
    env = os.environ | dict(environment)
    if "XDG_CACHE_HOME" in environment:  # what is compiled goes there, not to the suite's own cache
        del env["JAX_COMPILATION_CACHE_DIR"]
    line = [sys.executable, "-m", "flowasd.main", *map(str, args)]
    ended = subprocess.run(line, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    return Result(ended.returncode, ended.stdout, ended.stderr)


def assert_refused(result, *words):
    """Status 2, and one line on stderr that says what was wrong."""
    assert result.status == 2, result.stderr
    assert result.stdout == ""
    lines = result.stderr.strip().splitlines()
    assert lines[0].startswith("flowasd: ")
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


def write_dataset(folder: Path) -> Path:
    """Writes one-second clips: two IDs with ten training clips each, no test folder."""
    rng = np.random.default_rng(0)
    train = folder / "data" / "slider" / "train"
    train.mkdir(parents=True)
    for machine in ("00", "02"):
        for i in range(10):
            name = f"normal_id_{machine}_{i:08d}.wav"
            soundfile.write(train / name, rng.normal(size=16000) * 0.1, 16000)
    return folder / "data"


@pytest.fixture
def dataset(tmp_path):
    """Recordings that the test may change."""
    return write_dataset(tmp_path)


@pytest.fixture(scope="module")
def corrected(tmp_path_factory):
    """A run without a test folder, whose first command named a wrong root, and what it printed."""
    folder = tmp_path_factory.mktemp("corrected")
    dataset, workdir = write_dataset(folder), folder / "run"
    wrong = flowasd(SMOKE, f"--config.data.root={dataset}x", f"--workdir={workdir}")
    assert wrong.status == 2
    result = flowasd(SMOKE, f"--config.data.root={dataset}/", f"--workdir={workdir}")
    assert result.status == 0, result.stderr
    return workdir, result.stdout


def test_the_main_job_from_end_to_end(tmp_path):
    workdir = tmp_path / "run"
    optimised = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "0", "XLA_FLAGS": ""}  # what users run
    result = from_the_shell(SMOKE, f"--workdir={workdir}", environment=optimised)
    assert result.status == 0, result.stderr
    assert "SIMULATED" in result.stdout
    for row in ("id_00", "id_02", "id_04", "id_06", "Average"):
        assert row in result.stdout
    left = {path.name for path in workdir.iterdir()}
    assert {"config.json", "splits.json", "checkpoints", "metrics.jsonl", "results"} <= left
    assert "report.html" in left
    assert any(name.startswith("events.out.tfevents") for name in left)
    summary = json.loads((workdir / "results" / "summary.json").read_text())
    assert summary["data"] == "SIMULATED"
    # What the report says of it was assessed by the same command.
    assert 0 <= summary["proxy_auc"][summary["rule"]] <= 1
    assert "Without labels" in (workdir / "report.html").read_text()

    # Scoring needs the workdir alone.
    (corpus,) = Path(os.environ["XDG_CACHE_HOME"], "flowasd").rglob("slider/test")
    output = tmp_path / "scores.csv"
    line = ("--mode=score", f"--workdir={workdir}", f"--input={corpus}", f"--output={output}")
    result = flowasd(*line)
    assert result.status == 0, result.stderr
    with output.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * (3 + 3)
    assert all(np.isfinite(float(row["score"])) for row in rows)


def test_compiled_programs_are_kept_between_runs(run, dataset, tmp_path):
    """A second command finds all that it needs in the user's cache folder, and adds nothing."""
    clip = next(dataset.rglob("*.wav"))
    line = ("--mode=score", f"--workdir={run}", f"--input={clip}")
    kept = []
    for _ in range(2):
        result = from_the_shell(*line, environment={"XDG_CACHE_HOME": str(tmp_path / "cache")})
        assert result.status == 0, result.stderr
        # It was trained on simulated recordings, and on too few for a decision.
        assert len(result.stderr.splitlines()) == 2
        folder = tmp_path / "cache" / "flowasd" / "compiled"
        kept.append({path.name for path in folder.iterdir() if path.name.endswith("-cache")})
    assert kept[0]
    assert kept[0] == kept[1]


def test_good_files_are_scored_and_bad_ones_listed(run, tmp_path):
    soundfile.write(
        tmp_path / "normal_id_00_00000000.wav",
        np.random.default_rng(0).normal(size=16000) / 10,
        16000,
    )
    soundfile.write(
        tmp_path / "normal_id_99_00000000.wav",
        np.random.default_rng(0).normal(size=16000) / 10,
        16000,
    )
    (tmp_path / "normal_id_00_00000001.wav").write_bytes(b"RIFF")
    result = flowasd("--mode=score", f"--workdir={run}", f"--input={tmp_path}")
    assert result.status == 1
    header, row = result.stdout.splitlines()
    assert header == "path,machine_id,score,p_value,decision"
    assert "normal_id_00_00000000.wav,id_00," in row
    for name in ("normal_id_00_00000001.wav", "normal_id_99_00000000.wav", "2 of 3 files"):
        assert name in result.stderr
    assert "Traceback" not in result.stderr


def test_without_a_test_folder_a_part_is_held_out(corrected):
    workdir, output = corrected
    assert "No AUC for id_0" in output
    assert "SIMULATED" not in output
    splits = json.loads((workdir / "splits.json").read_text())["splits"]
    assert all(splits[name] for name in ("train", "validation", "test"))
    summary = json.loads((workdir / "results" / "summary.json").read_text())
    assert summary["metrics"] == {}
    assert np.isfinite(summary["test_nll_normal"])


def test_bad_recordings_stop_training_with_all_of_them_listed(dataset, tmp_path):
    train = dataset / "slider" / "train"
    (train / "normal_id_00_00000001.wav").write_bytes(b"not audio")
    soundfile.write(train / "normal_id_02_00000002.wav", np.full(100, np.nan), 16000, "FLOAT")
    result = flowasd(SMOKE, f"--config.data.root={dataset}", f"--workdir={tmp_path / 'run'}")
    assert_refused(result, "normal_id_00_00000001.wav", "normal_id_02_00000002.wav")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_corrected_command_may_use_the_folder_of_the_failed_one(corrected, tmp_path):
    workdir = f"--workdir={corrected[0]}"
    # Report and evaluation of a finished run, into a folder of their own.
    for mode in ("evaluate", "report"):
        out = tmp_path / mode
        result = flowasd(f"--mode={mode}", workdir, f"--output={out}")
        assert result.status == 0, result.stderr
        assert (out / "report.html").exists()
        assert (out / "results").exists() == (mode == "evaluate")


def test_anomalies_in_training_are_refused(dataset, tmp_path):
    train = dataset / "slider" / "train"
    shutil.copy(train / "normal_id_00_00000001.wav", train / "anomaly_id_00_00000001.wav")
    result = flowasd(SMOKE, f"--config.data.root={dataset}", f"--workdir={tmp_path / 'run'}")
    assert_refused(result, "anomaly_id_00_00000001.wav")


def test_id_with_one_clip_is_trained_on(dataset, tmp_path):
    for path in sorted((dataset / "slider" / "train").glob("normal_id_02_*"))[1:]:
        path.unlink()
    result = flowasd(SMOKE, f"--config.data.root={dataset}", f"--workdir={tmp_path / 'run'}")
    assert result.status == 0, result.stderr


def test_missing_root_is_no_fallback(tmp_path):
    missing = tmp_path / "nowhere"
    result = flowasd(SMOKE, f"--config.data.root={missing}", f"--workdir={tmp_path / 'run'}")
    assert_refused(result, str(missing))


def test_no_clip_at_all(tmp_path):
    (tmp_path / "slider" / "train").mkdir(parents=True)
    result = flowasd(SMOKE, f"--config.data.root={tmp_path}", f"--workdir={tmp_path / 'run'}")
    assert_refused(result, "train")


def test_a_config_of_ones_own_works_from_any_folder(dataset, tmp_path):
    """It is a difference from the default and imports flowasd alone."""
    mine = tmp_path / "elsewhere" / "mine.py"
    mine.parent.mkdir()
    mine.write_text(
        "from flowasd.config import default_config, level\n\n\n"
        "def get_config():\n"
        "    config = default_config()\n"
        "    config.frontend.n_bands = 32\n"
        "    config.model.levels = (level(steps=2, width=16),)\n"  # is compiled already
        "    config.train.update({'steps': 20, 'warmup_steps': 5})\n"
        "    config.train.update({'log_every': 5, 'eval_every': 10})\n"
        "    config.score.folds = 2\n"
        "    return config\n"
    )
    result = from_the_shell(f"--config={mine}", f"--config.data.root={dataset}", cwd=tmp_path)
    assert result.status == 0, result.stderr
    assert (tmp_path / "runs" / "mine" / "report.html").exists()


def test_scores_as_json_lines(run, dataset, tmp_path):
    output = tmp_path / "scores.jsonl"
    clip = next(dataset.rglob("*.wav"))
    flags = ("--mode=score", f"--workdir={run}", f"--input={clip}", f"--output={output}")
    assert flowasd(*flags).status == 0
    (row,) = map(json.loads, output.read_text().splitlines())
    assert row.keys() == {"path", "machine_id", "score", "p_value", "decision"}
    assert row["path"] == str(clip)
    assert np.isfinite(row["score"])
    assert_refused(flowasd(*flags[:-1], f"--output={tmp_path / 'scores.xlsx'}"), ".csv, .jsonl")


def test_unknown_machine_id_lists_the_known(run, tmp_path):
    soundfile.write(tmp_path / "a.wav", NOISE, 16000)
    result = flowasd(
        "--mode=score", f"--workdir={run}", f"--input={tmp_path}", "--machine_id=id_77"
    )
    assert_refused(result, "id_77", "id_00, id_02, id_04, id_06")
