"""The scripts and notebooks in examples/ run; the Markdown pages are doctests of their own."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(path.stem for path in EXAMPLES.glob("*.ipynb"))
NEEDS_CLASSROOM = {"classroom", "classroom_bayes"}
NEEDS_MODULE = {"from_statsmodels": "statsmodels"}
SLOW = {"classroom_bayes", "contraception", "prior_to_report", "reml_zero"}

# what must be among the output: a sentence of each notebook's point
SHOWN = {
    "classroom": [
        "is 1 (rank 1 of 2)",
        "0.01545",
        "Variance by level",
        "step 2 is not singular",
        "8.3945",
        "(False, True)",
    ],
    "classroom_bayes": ["REML estimates and posterior means", "classid, ses: ", "elpd_diff"],
    "contraception": ["16.372", "odds.ratio", "ML estimates and posterior means"],
    "crossed": ["lecturer (Intercept)"],
    "from_statsmodels": ["Mixed Linear Model Regression Results", "sd_Days|Subject"],
    "prior_to_report": ["Normal(mu=0.1, sigma=0.1, lower=0)", "A - B", "temp > 0.1", "95 % CrI"],
    "reml_zero": ["2.084048", "The data do not tell it from zero", "HalfNormal(10)", "chocolate"],
    "power": ["Power for Days by number of Subject", "kenward-roger"],
    "singular": ["the standard deviation of (Intercept) is zero", "Random effects near zero"],
    "sleepstudy": ["1743.628", "3.264e-06", "450.326"],
}


def test_guide_script(shared_data, monkeypatch, capsys):
    data = shared_data / "classroom.csv"
    if not data.is_file():
        pytest.skip(f"{data} not found")
    monkeypatch.setattr(sys, "argv", ["guide.py", str(data)])
    runpy.run_path(str(EXAMPLES / "guide.py"), run_name="__main__")
    out = capsys.readouterr().out
    assert "singular: {'M15': True, 'M16': True, 'M17': False}" in out
    assert "M16: mathscore ~ ses" in out


def read(name):
    nbformat = pytest.importorskip("nbformat")
    return nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)


@pytest.mark.notebook
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_is_stored_without_output(name):
    cells = [cell for cell in read(name).cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)


@pytest.mark.notebook
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in NOTEBOOKS]
)
def test_notebook_runs(name, request, monkeypatch, tmp_path):
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    pytest.importorskip("matplotlib")
    if name in NEEDS_MODULE:
        pytest.importorskip(NEEDS_MODULE[name])
    if name in NEEDS_CLASSROOM:
        folder = request.getfixturevalue("shared_data")
        if not (folder / "classroom.csv").is_file():
            pytest.skip(f"{folder / 'classroom.csv'} not found")
        monkeypatch.setenv("NESTEDMLM_DATA", str(folder))
    folders = [str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, folders)))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # pictures go into the notebook
    notebook = read(name)
    client = nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3")
    client.execute(cwd=str(tmp_path))
    shown = "".join(
        output.get("data", {}).get("text/plain", output.get("text", ""))
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )
    missing = [text for text in SHOWN[name] if text not in shown]
    assert not missing, f"{name} no longer shows {missing}"
    pictures = [
        o for c in notebook.cells for o in c.get("outputs", ()) if "image/png" in o.get("data", {})
    ]
    assert pictures
