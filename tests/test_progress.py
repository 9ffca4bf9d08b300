"""Progress bars: short work says nothing, long work counts, the items pass through unchanged."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nestedmlm import progress
from nestedmlm.progress import track


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_QUIET", 0.0)
    monkeypatch.setattr(progress, "_EVERY", 0.0)


def test_short_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(range(5), 5, "refits")) == [0, 1, 2, 3, 4]
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("at_once")
def test_long_work_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(iter("abc"), 3, "profiles")) == ["a", "b", "c"]
    last = capsys.readouterr().err.split("\r")[-1]
    assert last.startswith("profiles: 100%") and " 3/3 " in last


@pytest.mark.usefixtures("at_once")
def test_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(range(3), 3, "refits", show=False)) == [0, 1, 2]
    assert list(track([], 0, "refits")) == []
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("at_once")
def test_a_loop_that_is_left_early_closes_its_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        for i in track(range(100), 100, "refits"):
            if i == 2:
                raise KeyboardInterrupt
    assert " 2/100 " in capsys.readouterr().err.split("\r")[-1]


def test_a_notebook_without_widgets_gets_no_warning() -> None:
    code = """
import sys, types, warnings
warnings.simplefilter("always")
shell = type("ZMQInteractiveShell", (), {})
sys.modules["ipykernel.zmqshell"] = types.ModuleType("ipykernel.zmqshell")
sys.modules["IPython"] = types.SimpleNamespace(get_ipython=shell)
sys.modules["ipywidgets"] = None
from nestedmlm.progress import track
print(list(track(range(2), 2, "refits")))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip(), run.stderr) == (0, "[0, 1]", "")
