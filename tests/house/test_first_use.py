"""The first fit on a machine: kernels are compiled, and the user is told."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from nestedmlm.likelihood.elimination.compilation_notice import MESSAGE, CompilationNotice
from nestedmlm.likelihood.elimination.sweeps import go_up


def compilation(function):
    return SimpleNamespace(data={"dispatcher": SimpleNamespace(py_func=function)})


def test_long_compilation_is_announced_once(capsys: pytest.CaptureFixture[str]) -> None:
    notice = CompilationNotice(patience=0.0)
    for _ in range(3):
        notice.on_start(compilation(go_up))
        notice.on_end(compilation(go_up))
    assert capsys.readouterr().err == f"{MESSAGE}\n"


def test_short_or_foreign_compilation_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    notice = CompilationNotice(patience=1e9)
    notice.on_start(compilation(go_up))
    CompilationNotice(patience=0.0).on_start(compilation(SimpleNamespace))
    assert capsys.readouterr().err == ""
