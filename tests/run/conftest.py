"""A run that a test may damage."""

import pytest

from tests.evaluation.assessments import write_assessment
from tests.run.recordings import copy_run


@pytest.fixture
def workdir(run, tmp_path):
    """A copy of the run, with an assessment."""
    copy = copy_run(run, tmp_path / "run")
    write_assessment(copy / "results" / "assess.csv")
    return copy
