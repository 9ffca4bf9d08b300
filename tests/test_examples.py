"""The scripts in examples/ run; the Markdown pages are doctests of their own."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_guide_script(shared_data, monkeypatch, capsys):
    data = shared_data / "classroom.csv"
    if not data.is_file():
        pytest.skip(f"{data} not found")
    monkeypatch.setattr(sys, "argv", ["guide.py", str(data)])
    runpy.run_path(str(EXAMPLES / "guide.py"), run_name="__main__")
    out = capsys.readouterr().out
    assert "singular: {'M15': True, 'M16': True, 'M17': False}" in out
    assert "M16: mathscore ~ ses" in out


@pytest.fixture
def notebook():
    return pytest.importorskip("nbformat").read(EXAMPLES / "classroom_bayes.ipynb", as_version=4)


@pytest.mark.notebook
def test_notebook_is_stored_without_output(notebook):
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)


@pytest.mark.notebook
@pytest.mark.slow
def test_notebook_runs(notebook, shared_data, monkeypatch, tmp_path):
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    pytest.importorskip("matplotlib")
    if not (shared_data / "classroom.csv").is_file():
        pytest.skip(f"{shared_data / 'classroom.csv'} not found")
    monkeypatch.setenv("NESTEDMLM_DATA", str(shared_data))
    folders = [str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, folders)))
    client = nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3")
    client.execute(cwd=str(tmp_path))
    shown = "".join(
        output.get("data", {}).get("text/plain", output.get("text", ""))
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )
    assert "REML estimates and posterior means" in shown
    assert "classid, ses: " in shown  # piled up at zero
    assert "elpd_diff" in shown
