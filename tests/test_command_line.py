"""Words, flags, help and wrong use of the command line."""

import ast
import csv
import json
import subprocess
import sys
import tomllib

import numpy as np
import pytest
import soundfile

from flowasd.modes import MODES
from tests.conftest import REPO
from tests.test_main import SMOKE, assert_refused, flowasd

NOISE = np.random.default_rng(0).normal(size=16000) / 10

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([SMOKE, "--config.train.lerning_rate=1"], ["lerning_rate"]),
        ([SMOKE, "--config.train.steps=many"], ["many"]),
        (["--config=configs/missing.py"], ["configs/missing.py"]),
        ([SMOKE, "--moed=score"], ["moed"]),
        ([], ["--config"]),
        (["--mode=score", "--workdir=/nowhere", "--input=README.md"], ["/nowhere"]),
        (["score", "/nowhere", "x"], ["x: matches no"]),
        (["score", ".", "x", "--alpha=0"], ["--alpha=0 must be above 0"]),
        (["score", ".", "x", "--fdr=1"], ["--fdr=1 must be above 0 and below 1"]),
        (["score", ".", "x", "--alpha=0.1", "--fdr=0.1"], ["--alpha and --fdr", "give one"]),
        (["--mode=score", "--workdir=."], ["--input"]),
        (["score", "."], ["--input"]),
        (["scroe", "."], ["scroe", "flowasd --help"]),
        (["score", ".", "--mode=enrol"], ["score", "--mode=enrol"]),
        (["evaluate", ".", "a.wav"], ["a.wav"]),
        (["evaluate", ".", "--fdr=0.1"], ["--fdr", "evaluate --help"]),
        (["score", "/nowhere", "--output=-.xlsx", "x"], [".csv, .jsonl"]),
        ([SMOKE, "--workdir=/dev/null/run"], ["/dev/null/run"]),
        ([SMOKE, "--config.train.noise=-1.0", "--config.seed=-1"], ["noise=-1.0", "seed=-1"]),
    ],
)
def test_wrong_use_is_one_line(flags, words):
    assert_refused(flowasd(*flags), *words)


def test_words_are_short_for_flags(run, test_clips):
    clips = [str(path) for path in test_clips[:2]]
    flags = [f"--workdir={run}", *(f"--input={clip}" for clip in clips)]
    long = flowasd("--mode=score", *flags)
    assert long.status == 0
    assert len(long.stdout.splitlines()) == 3
    assert flowasd("score", run, *clips) == long
    assert flowasd("score", *clips, f"--workdir={run}", "--output=-") == long
    lines = flowasd("score", run, *clips, "--output=-.jsonl").stdout.splitlines()
    rows = csv.DictReader(long.stdout.splitlines())
    assert [json.loads(line)["path"] for line in lines] == [row["path"] for row in rows]


def test_a_tilde_is_the_home_folder(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").symlink_to(run)
    soundfile.write(tmp_path / "a.wav", NOISE, 16000)
    flags = ("--workdir=~/run", "--input=~/*.wav", "--output=~/scores.csv", "--machine_id=id_00")
    assert flowasd("--mode=score", *flags).status == 0
    assert (tmp_path / "scores.csv").exists()
    assert not (tmp_path / "~").exists()
    (tmp_path / "mine.py").write_text("def get_config():\n    return undefined\n")
    assert_refused(flowasd("train", "--config=~/mine.py"), "undefined")


@pytest.mark.parametrize("words", [["--help"], ["-h"], *([mode, "--help"] for mode in MODES)])
def test_help_fits_a_screen(words):
    result = flowasd(*words)
    assert result.status == 0
    lines = result.stdout.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 88
    if words[0] in MODES:
        listed = [line.split()[0].removeprefix("--") for line in lines if line.startswith("  --")]
        assert listed == MODES[words[0]].names
        inputs = {"watch": "FOLDERS...", "choose": "CONFIGS..."}.get(words[0], "FILES...")
        assert (inputs in lines[0]) == ("input" in listed)
    else:
        assert "130" in result.stdout


def test_help_and_wrong_flags_do_not_wait_for_jax():
    line = "import sys, flowasd.main; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", line], cwd=REPO).returncode == 0


def test_the_command_is_installed_under_its_name():
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    module, name = project["scripts"]["flowasd"].split(":")
    # Importing it would define the flags for all tests of this process.
    source = (REPO / module.replace(".", "/")).with_suffix(".py").read_text()
    assert name in {n.name for n in ast.parse(source).body if isinstance(n, ast.FunctionDef)}


@pytest.mark.parametrize("mode", ["evaluate", "export", "explain"])
def test_only_score_writes_to_standard_output(mode, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = flowasd(mode, tmp_path, "--output=-")
    assert result.status == 2
    assert "--output=- is standard output, which only score writes to" in result.stderr
    assert not (tmp_path / "-").exists()
