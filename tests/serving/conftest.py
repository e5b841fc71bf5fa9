"""What tests of exports share: a run's artefacts, exported once."""

import pytest

from flowasd.detector import Detector
from tests.test_main import from_the_shell


@pytest.fixture(scope="session")
def artefacts(run, tmp_path_factory):
    """The folder of both artefacts of the smoke run, with maps."""
    folder = tmp_path_factory.mktemp("export")
    result = from_the_shell("export", run, f"--output={folder}", "--map")
    assert (result.status, result.stderr) == (0, "")
    assert result.stdout.startswith("Clips of 10 s at 16000 Hz, rule mean:\n")
    return folder


@pytest.fixture(scope="session")
def detector(run):
    return Detector.load(run)
