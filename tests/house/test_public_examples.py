"""Every public function, class and method has an example in its docstring; doctests run them."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import nestedmlm as nm
from nestedmlm import lme4
from nestedmlm.covariance import Parameter, cholesky, register
from nestedmlm.fits.simulation.rlrt import Rlrt
from nestedmlm.views.anova import AnovaResult
from nestedmlm.views.effect_tests import StepResult, TestTable
from nestedmlm.views.etable import ModelTable
from nestedmlm.views.influence import Influence
from nestedmlm.views.partition import VariancePartition
from nestedmlm.views.profile import Profile
from nestedmlm.views.render.view import View
from nestedmlm.views.varcorr import VarCorr

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"

# results that are not made by hand: their methods count, they themselves are shown by what
# returns them
RETURNED = (
    AnovaResult, Influence, ModelTable, Profile, Rlrt, StepResult, TestTable, VarCorr,
    VariancePartition, View,
)  # fmt: skip

# what an example cannot show: the document behind the renderings, an optional package's table
EXCEPTIONS = frozenset(
    {f"{name}.view" for name in (*nm.__all__, *(c.__name__ for c in RETURNED))}
    | {"ModelTable.to_gt"}
)


def public_objects():
    """Name and object of everything public that can be called."""
    for name in nm.__all__:
        thing = getattr(nm, name)
        if inspect.ismodule(thing) or (inspect.isclass(thing) and issubclass(thing, Exception)):
            continue
        yield name, thing
        if inspect.isclass(thing):
            yield from methods(name, thing)
    for name in nm.plots.__all__:
        yield f"plots.{name}", getattr(nm.plots, name)
    for cls in RETURNED:
        yield from methods(cls.__name__, cls)
    for thing in (Parameter, cholesky, register):
        yield f"covariance.{thing.__name__}", thing


def methods(prefix, cls):
    for name, raw in inspect.getmembers_static(cls):
        if name.startswith("_") or isinstance(raw, property):
            continue
        thing = getattr(cls, name)
        if callable(thing) and inspect.getdoc(thing):
            yield f"{prefix}.{name}", thing


PUBLIC = dict(public_objects())
CLASSES = {cls.__name__: cls for cls in (*RETURNED, *vars(nm).values()) if inspect.isclass(cls)}


def has_example(name):
    """In its own docstring, in that of its class, or in that of the picture it draws."""
    doc = inspect.getdoc(PUBLIC[name]) or ""
    if ">>>" in doc:
        return True
    owner, _, method = name.rpartition(".")
    shared = inspect.getdoc(CLASSES[owner]) or "" if owner in CLASSES else ""
    lines = [line for line in shared.splitlines() if line.startswith((">>>", "..."))]
    if any(f".{method}(" in line for line in lines):
        return True
    drawn = re.search(r"`nestedmlm\.plots\.(\w+)`", doc)
    return drawn is not None and ">>>" in inspect.getdoc(getattr(nm.plots, drawn[1]))


@pytest.mark.parametrize("name", sorted(set(PUBLIC) - EXCEPTIONS))
def test_has_an_example(name):
    assert has_example(name), f"{name} has no example"


def test_wrappers_of_r_share_the_example_of_their_module():
    assert ">>>" in lme4.__doc__
    for name in lme4.__all__:
        assert inspect.getdoc(getattr(lme4, name)), name


def test_reference_lists_everything():
    listed = {
        line.strip().split(".", 1)[-1] if line.strip().startswith("tables.view.") else line.strip()
        for page in REFERENCE.glob("*.rst")
        for line in page.read_text(encoding="utf-8").splitlines()
    }
    wanted = {name for name in nm.__all__ if name != "plots"}
    for cls in (nm.LmerFit, nm.BayesFit, nm.Model, nm.Scenario):
        wanted |= {
            f"{cls.__name__}.{name}"
            for name, raw in inspect.getmembers_static(cls)
            if not name.startswith("_") and (isinstance(raw, property) or callable(raw))
        }
    wanted |= set(nm.plots.__all__)
    classes = {f".. autoclass:: {name}" for name in ("LmerFit", "BayesFit")}
    assert classes <= listed
    assert sorted(wanted - listed - {"LmerFit", "BayesFit"}) == []
