"""Long work: bars of progress, and what Ctrl-C leaves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm import progress
from nestedmlm.inference.profile import profile
from nestedmlm.inference.rows import leaveout
from nestedmlm.optimum import precise
from nestedmlm.progress import gather, interruptible, track


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_FIRST_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_EVERY_SECONDS", 0.0)


def test_short_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(range(5), 5, "refits")) == [0, 1, 2, 3, 4]
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("at_once")
def test_long_work_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(iter("abc"), 3, "profiles")) == ["a", "b", "c"]
    last = capsys.readouterr().err.split("\r")[-1]
    assert last.startswith("profiles: 100%") and " 3/3 " in last


def test_a_first_item_that_compiles_tells_nothing_of_the_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[int] = []
    opened: list[tuple[int, int]] = []

    class Bar(nullcontext[Any]):
        def __init__(self, **options: Any) -> None:
            super().__init__(self)
            opened.append((len(made), options["initial"]))

        def update(self) -> None: ...

    def refits() -> Iterator[int]:
        for i in range(3):
            made.append(i)
            yield i

    monkeypatch.setattr(progress, "_tqdm", lambda: Bar)
    assert list(track(refits(), 3, "refits")) == [0, 1, 2]
    assert opened == [(1, 1)]  # the clock starts after the first, which is counted


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


def test_gather_keeps_what_came_before_ctrl_c(caplog: pytest.LogCaptureFixture) -> None:
    def items() -> Iterator[int]:
        yield from (1, 2)
        raise KeyboardInterrupt

    assert gather(items(), 5, "refits") == [1, 2]
    assert caplog.messages == ["interrupted: 2 of 5 refits are done"]


def test_gather_of_nothing_is_interrupted() -> None:
    def items() -> Iterator[int]:
        raise KeyboardInterrupt
        yield 1

    with pytest.raises(KeyboardInterrupt):
        gather(items(), 5, "refits")


def test_ctrl_c_inside_compiled_code_is_ctrl_c() -> None:
    # what Numba makes of an interrupt: SystemError("CPUDispatcher(...) returned a result with an
    # exception set") from SystemError("<function _numba_unpickle ...") from KeyboardInterrupt
    inner = SystemError("returned a result with an exception set")
    inner.__cause__ = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt), interruptible():
        raise SystemError("returned a result with an exception set") from inner
    with pytest.raises(SystemError), interruptible():
        raise SystemError("something else")


def interrupting(after: int, real: Callable[..., Any]) -> Callable[..., Any]:
    """Do as `real`, but from call `after` on fail as compiled code does on Ctrl-C."""
    calls = iter(range(1000))

    def wrapped(*args: Any, **options: Any) -> Any:
        if next(calls) >= after:
            raise SystemError("returned a result with an exception set") from KeyboardInterrupt()
        return real(*args, **options)

    return wrapped


@pytest.fixture(scope="module")
def fit() -> nm.LmerFit:
    return nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))


def test_an_interrupted_influence_keeps_what_is_done(
    fit: nm.LmerFit, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit.influence("Subject", progress=False)
    monkeypatch.setattr(leaveout, "cross_products", interrupting(3, leaveout.cross_products))
    part = fit.influence("Subject", progress=False)
    assert (len(part), part.partial, whole.partial) == (3, True, False)
    pd.testing.assert_frame_equal(part.dfbetas(), whole.dfbetas().iloc[:3])
    assert "interrupted: 3 of 18 were left out" in str(part)
    assert "interrupted" not in str(whole)


def test_an_interrupted_profile_keeps_what_is_done(
    fit: nm.LmerFit, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit.profile("theta_", progress=False)
    monkeypatch.setattr(profile, "_profile_one", interrupting(2, profile._profile_one))
    part = fit.profile("theta_", progress=False)
    assert part.names == whole.names[:2]
    pd.testing.assert_frame_equal(part.conf_int(), whole.conf_int().iloc[:2])
    assert part.messages[0] == "interrupted: 2 of 4 parameters are profiled"


def test_ctrl_c_in_a_users_bootstrap(fit: nm.LmerFit, monkeypatch: pytest.MonkeyPatch) -> None:
    boot = fit.bootstrap(20, interrupting(5, lambda f: f.sigma), seed=1, progress=False)
    assert (len(boot.t), boot.partial, len(boot.failures)) == (4, True, 0)  # one call for t0


def test_ctrl_c_in_a_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precise, "optimize", interrupting(0, precise.optimize))
    with pytest.raises(KeyboardInterrupt):
        nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))


def test_every_long_verb_can_be_silent(fit: nm.LmerFit, monkeypatch: pytest.MonkeyPatch) -> None:
    def bar() -> None:
        raise AssertionError("a bar in spite of progress=False")

    monkeypatch.setattr(progress, "_tqdm", bar)
    few = {"nsim": 4, "seed": 1, "progress": False}
    fit.icc(level=0.9, **few)
    fit.r2(level=0.9, **few)
    fit.tidy(conf_int=True, conf_method="boot", **few)
    fit.tidy("fixed", conf_int=True, conf_method="profile", progress=False)
    fit.plot.profile_zeta("sigma", progress=False)
    with pytest.raises(AssertionError, match="a bar"):
        fit.icc(level=0.9, nsim=4, seed=1)
