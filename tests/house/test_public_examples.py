"""Every public function, class and method has an example in its docstring; doctests run them."""

from __future__ import annotations

import ast
import inspect
import re
from types import FunctionType

import pytest

import nestedmlm as nm
from nestedmlm import errors, lme4
from nestedmlm.covariance import Parameter, cholesky, register
from tools import public_api

# results that are not made by hand: their methods count, they themselves are shown by what
# returns them
RETURNED = tuple(public_api.results().values())

# what an example cannot show: the document behind the renderings, an optional package's table;
# what that of BayesFit shows
EXCEPTIONS = frozenset(
    {f"{name}.view" for name in (*nm.__all__, *(c.__name__ for c in RETURNED))}
    | {"ModelTable.to_gt", "BayesVarCorr.to_frame"}
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
    for name, raw in public_api.members(cls).items():
        if isinstance(raw, property):
            continue
        thing = getattr(cls, name, None)
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
        function = getattr(lme4, name)
        help_text = inspect.getdoc(function)
        for argument in list(inspect.signature(function).parameters)[1:]:
            assert re.search(rf"\b{argument}\b", help_text), f"{name}({argument}=)"


def raised_in(function, steps):
    """Names of our errors that a function raises, or (`steps`) functions that it calls."""
    function = inspect.unwrap(getattr(function, "__func__", function))
    if not isinstance(function, FunctionType) or not function.__module__.startswith("nestedmlm"):
        return set()
    source = inspect.getsource(function)
    tree = ast.parse(f"if True:\n{source}" if source[0].isspace() else source)
    found = {
        node.exc.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
    } & set(vars(errors))
    if steps:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                found |= raised_in(function.__globals__.get(node.func.id), steps - 1)
    return found


# what these are made of was valid when it was made
VALID = {"warmup", "GlmerFit.refitted", "LmerFit.refitted"}


@pytest.mark.parametrize("name", sorted(set(PUBLIC) - VALID))
def test_errors_have_a_section(name):
    thing = PUBLIC[name]
    if not inspect.isclass(thing) and (raised := raised_in(thing, 1)):
        assert "Raises\n------" in (inspect.getdoc(thing) or ""), f"{name} raises {raised}"


def entries(thing, title):
    """Head and text of each entry of a section of a docstring."""
    doc = inspect.getdoc(thing) or ""
    found = re.search(rf"^{title}\n-+\n(.*?)(?=^\S[^\n]*\n-+\n|\Z)", doc, re.M | re.S)
    parts = re.split(r"\n(?=\S)", found[1].strip("\n")) if found else []
    return [part.partition("\n")[::2] for part in parts]


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_help_says_when_it_raises_and_what_frames_have(name):
    bare = [head for head, text in entries(PUBLIC[name], "Raises") if not text.strip()]
    frames = [
        head
        for head, text in entries(PUBLIC[name], "Returns")
        if re.match(r"(pandas\.)?DataFrame", head) and not re.search(r"`|[Rr]ow|column", text)
    ]
    assert bare + frames == []
