"""Reports, written and read back."""

import re

import pytest

from flowasd.report.report import write_report
from tests.report.evaluations import make_evaluation
from tests.report.page import Page


@pytest.fixture
def report(tmp_path):
    """Writes the report of an evaluation, changed by keywords, and returns the parsed page."""

    def write(**changes):
        write_report(tmp_path / "report.html", make_evaluation(**changes))
        html = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert len(html) < 2e6
        words = re.sub(r"base64,[^\"]*", "", html)
        assert not re.search(r"\b(nan|inf)\b", words, re.IGNORECASE)
        return Page(html)

    return write
