"""The scripts in examples/ run; the Markdown pages are doctests of their own."""

from __future__ import annotations

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
