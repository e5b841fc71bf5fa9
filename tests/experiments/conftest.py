"""The commands of the experiments, and recordings for them."""

import io
import runpy
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, NamedTuple

import pytest
from absl import app, flags

from flowasd.data.source import open_source
from tests.conftest import smoke_config


class Result(NamedTuple):
    status: Any
    stdout: str
    stderr: str


def experiment(name, *arguments):
    """Runs `python -m experiments.NAME`, in this process, so that JAX is imported once."""
    app.define_help_flags()
    flags_before = set(flags.FLAGS)
    status, out, err = 0, io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", [name, *map(str, arguments)])
        try:
            runpy.run_module(f"experiments.{name}", run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            status = ended.code
        finally:  # the flags of another experiment have the same names
            for flag in set(flags.FLAGS) - flags_before:
                delattr(flags.FLAGS, flag)
    return Result(status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def development_set():
    """The built-in corpus as a development set: the folder slider/."""
    return open_source(smoke_config().data, 0).splits["test"][0].path.parents[1]
