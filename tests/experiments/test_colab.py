"""The notebook, run from top to bottom on this machine."""

import math

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

from tests.conftest import REPO

NOTEBOOK = REPO / "experiments" / "colab" / "flowasd.ipynb"


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_no_output_is_committed(notebook):
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert not cell.get("execution_count")


@pytest.mark.slow
def test_it_trains_reports_and_scores(notebook, tmp_path):
    (settings,) = [i for i, cell in enumerate(notebook.cells) if cell.metadata.get("tags")]
    small = f"CONFIG, RUNS = 'smoke', {str(tmp_path)!r}"
    notebook.cells.insert(settings + 1, new_code_cell(small))
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(REPO)}}).execute()
    shown = {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    (report,) = shown["report"]
    assert "SIMULATED" in report["data"]["text/html"]
    lines = "".join(output["text"] for output in shown["score"]).splitlines()
    assert "path,machine_id,score,p_value,decision" in lines
    _, machine_id, score, p_value, decision = lines[-1].split(",")
    assert machine_id == "id_00"
    assert math.isfinite(float(score))
    assert int(decision) == (float(p_value) <= 0.1)
    assert (tmp_path / "smoke_built-in" / "checkpoints").is_dir()
