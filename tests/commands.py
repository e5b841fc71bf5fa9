"""Runs the package's commands as a user does, in this process, so that JAX is imported once."""

import io
import runpy
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, NamedTuple

import pytest
from absl import app, flags


class Result(NamedTuple):
    """What a command left: its exit status, and what it wrote."""

    status: Any
    stdout: str
    stderr: str


def command(module: str, *arguments: object) -> Result:
    """Runs `python -m MODULE ARGUMENTS`."""
    app.define_help_flags()
    flags_before = set(flags.FLAGS)
    status, out, err = 0, io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(out),
        redirect_stderr(err),
        warnings.catch_warnings(),
    ):
        patch.setattr(sys, "argv", [module, *map(str, arguments)])
        try:
            warnings.filterwarnings("ignore", r"the load_module\(\)")  # by ml_collections
            warnings.filterwarnings("ignore", ".* found in sys.modules")  # another test imported it
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            status = ended.code
        finally:  # the flags of another command have the same names
            for flag in set(flags.FLAGS) - flags_before:
                delattr(flags.FLAGS, flag)
    return Result(status, out.getvalue(), err.getvalue())
