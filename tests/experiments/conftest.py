"""The commands of the experiments, and recordings for them."""

from functools import partial

import pytest

from experiments import runs
from flowasd.data.source import open_source
from flowasd.evaluation.evaluate import evaluate
from tests.commands import Result, command
from tests.conftest import smoke_config


def experiment(name: str, *arguments: object) -> Result:
    """Runs `python -m experiments.NAME ARGUMENTS`."""
    return command(f"experiments.{name}", *arguments)


@pytest.fixture(scope="session")
def development_set():
    """The built-in corpus as a development set: the folder slider/."""
    return open_source(smoke_config().data, 0).splits["test"][0].path.parents[1]


@pytest.fixture
def unreported(monkeypatch):
    """Runs without assessment and report, for studies that read neither.

    The runs of the few-shot study have both.
    """
    monkeypatch.setattr(runs, "assess_to_csv", lambda *_: None)
    monkeypatch.setattr(runs, "evaluate", partial(evaluate, illustrated=False))
    monkeypatch.setattr(runs, "write_report", lambda *_: None)
