"""The commands of the experiments, and recordings for them."""

import pytest

from flowasd.data.source import open_source
from tests.commands import Result, command
from tests.conftest import smoke_config


def experiment(name: str, *arguments: object) -> Result:
    """Runs `python -m experiments.NAME ARGUMENTS`."""
    return command(f"experiments.{name}", *arguments)


@pytest.fixture(scope="session")
def development_set():
    """The built-in corpus as a development set: the folder slider/."""
    return open_source(smoke_config().data, 0).splits["test"][0].path.parents[1]
