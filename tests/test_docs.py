"""The documentation is true: its commands and examples run, its links lead to files, it builds.

A command of README.md or docs/ runs as it is written, in a folder that has what its words name, on
the small trained run of all tests; `folder` lays it out. A block with a mark does not run:
`<!-- needs: a cluster -->` says what is missing, and `<!-- runs: tests/test_x.py -->` names the
test that runs the same. The flags of all commands are checked, those of the experiments too.
"""

import functools
import importlib
import re
import shutil
import subprocess
import sys
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import soundfile

import flowasd
from flowasd.config import default_config, parse
from flowasd.data.layouts import LAYOUTS
from flowasd.detector import Detector
from flowasd.evaluation.results import FORMATS
from flowasd.features.frontend import FRONTENDS
from flowasd.flow.objective import OBJECTIVES
from flowasd.modes import MODES
from tests.commands import command
from tests.conftest import REPO
from tests.pages import OTHERS, SHOWN, blocks, links, name

SHELL = [block for page in SHOWN for block in blocks(page, "sh")]
PYTHON = [block for page in SHOWN for block in blocks(page, "python")]
COMMANDS = dict.fromkeys(tuple(words) for block in SHELL if block.runs for words in block.commands)


@pytest.fixture(scope="module")
def folder(run, test_clips, tmp_path_factory):
    """A folder with everything that the commands and the examples of the pages name."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "configs").mkdir()
    (folder / "configs" / "slider.py").symlink_to(REPO / "configs" / "smoke.py")
    (folder / "DIR").symlink_to(test_clips[0].parents[2])  # slider/ with train/ and test/
    shutil.copytree(run, folder / "runs" / "mine")
    normal = [path for path in test_clips if path.name.startswith("normal_id_00")]
    for file, clip in zip(("a.wav", "b.wav"), normal, strict=False):
        shutil.copy(clip, folder / file)
    (folder / "recordings").mkdir()
    shutil.copy(normal[0], folder / "recordings")
    rng = np.random.default_rng(0)
    for clips in ("NORMAL_RECORDINGS", "NEW_RECORDINGS"):
        (folder / clips).mkdir()
        for i in range(2):
            samples = 0.1 * rng.normal(size=16000)
            soundfile.write(folder / clips / f"normal_id_00_{i:08d}.wav", samples, 16000)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_runs(words, folder, monkeypatch):
    monkeypatch.chdir(folder)
    program, *arguments = words
    assert program == "flowasd", "mark the block, or run the program here"
    result = command("flowasd.main", *arguments)
    assert not result.status, result.stderr


@pytest.fixture
def registries():
    """Takes out again what an example adds."""
    with patch.dict(FRONTENDS), patch.dict(OBJECTIVES), patch.dict(LAYOUTS), patch.dict(FORMATS):
        yield


@pytest.mark.slow
@pytest.mark.parametrize(
    "block", [block for block in PYTHON if block.runs], ids=lambda block: block.page.stem
)
def test_an_example_runs(block, folder, registries, monkeypatch):
    """Training from Python is tested elsewhere; here `flowasd.fit` returns the trained run."""
    monkeypatch.chdir(folder)
    detector = Detector.load("runs/mine")
    monkeypatch.setattr(flowasd, "fit", lambda recordings: detector)
    names: dict[str, Any] = {"waveforms": np.random.default_rng(0).normal(size=(1, 48000)) / 10}
    if block.file:  # the example is a part of it
        names |= vars(importlib.import_module(block.file.removesuffix(".py").replace("/", ".")))
    exec(block.code, names)
    if block.page.stem == "choosing":
        parse(names["get_config"]())


def test_every_mark_is_known():
    for block in SHELL + PYTHON:
        kind, _, what = block.mark.partition(": ")
        assert kind in {"", "needs", "runs", "in"}, block
        assert kind in {"", "needs"} or (REPO / what).is_file(), block


@functools.cache
def help_of(module):
    """The help of a command, which lists its flags."""
    return command(module, "--help").stdout


def known(flag, words):
    """Whether the program that the words start has a flag; a key that the config lacks raises."""
    if flag.startswith("config."):
        functools.reduce(lambda at, key: at[key], flag.split(".")[1:], default_config())
        return True
    if words[0] == "flowasd" or words[2] == "flowasd.main":
        mode = words[1] if words[1] in MODES else "train"
        return flag in {*MODES[mode].names, "help"}
    return re.search(rf"--(\[no\])?{flag}\b", help_of(words[2])) is not None


@pytest.mark.slow
@pytest.mark.parametrize("page", SHOWN + OTHERS, ids=name)
def test_every_flag_exists(page):
    for block in blocks(page, "sh"):
        for words in block.commands:
            flags = [word[2:].partition("=")[0] for word in words if word.startswith("--")]
            if words[0] == "flowasd" or words[:2] == ["python", "-m"]:
                assert all(known(flag, words) for flag in flags), words


@pytest.mark.parametrize("page", SHOWN + OTHERS, ids=name)
def test_links_lead_to_files(page):
    assert not [path for path in links(page) if not path.exists()]


@pytest.mark.slow
def test_the_site_builds(tmp_path):
    line = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    result = subprocess.run(line, cwd=REPO, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    for page in SHOWN:
        if page.parent.name == "docs" and page.stem != "index":
            text = (tmp_path / page.stem / "index.html").read_text()
            assert not re.findall(r'<(?:script[^>]+src|link[^>]+href)="https?:', text)
