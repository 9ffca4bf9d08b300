"""What a notebook shows: messages as output, without a red box, and no bar that is done."""

from __future__ import annotations

import pytest

CELLS = (
    "import nestedmlm as nm\nfrom nestedmlm import notebook\nnotebook.plain_notices()  # again",
    "fit = nm.lmer('Yield ~ 1 + (1 | Batch)', nm.load_dataset('Dyestuff2'))",
    "import nestedmlm.progress as progress\nprogress._FIRST_SECONDS = 0.0\n"
    "for i in progress.track(range(3), 3, 'replicates'): pass",
    "nm.lmer('Yield ~ 1 + (1 | Batch)', nm.load_dataset('Dyestuff2'))",
    "nm.lmer('Yield ~ 1 + (1 | Batch)', nm.load_dataset('Dyestuff2')).varcorr()",
)


@pytest.fixture(scope="module")
def outputs():
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return [cell.outputs for cell in notebook.cells]


def test_messages_are_output_and_come_once(outputs):
    (said,) = outputs[1]
    assert (said.output_type, said.name) == ("stream", "stdout")
    assert said.text == "boundary (singular) fit: see fit.diagnose()\n"


def test_what_the_result_says_is_not_said_before(outputs):
    (shown,) = outputs[3]
    assert shown.output_type == "execute_result" and "boundary" in shown.data["text/html"]
    assert [one.output_type for one in outputs[4]] == ["execute_result", "stream"]
    assert outputs[4][1].text == "boundary (singular) fit: see fit.diagnose()\n"


def test_bars_leave_an_empty_line(outputs):
    assert [dict(one.data) for one in outputs[2]] == [{"text/plain": "", "text/html": ""}]


def test_nothing_changes_outside_of_notebooks():
    from nestedmlm.notebook import in_notebook

    assert not in_notebook()
