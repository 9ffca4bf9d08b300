"""What users can call: recorded, documented, and nothing private needed to test it."""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
import re
from functools import reduce
from pathlib import Path

import pytest

import nestedmlm as nm
from tools import public_api

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
# classes whose members each have a page; of the others the class page names them
LISTED = {
    cls.__name__: cls
    for cls in (
        nm.LmerFit, nm.GlmerFit, nm.BayesFit, nm.Model, nm.Scenario, nm.Formula, nm.Design,
        nm.Emmeans, nm.Bootstrap, nm.Power, nm.PowerCurve, nm.PlannedPower, nm.Assurance,
        nm.Allocation,
    )
} | public_api.results()  # fmt: skip
# members that no page of the reference lists, with the reason
UNLISTED = {
    "Model.formula": "an attribute, named by the page of Model",
    "Model.design": "an attribute, named by the page of Model",
    "Model.source": "an attribute, named by the page of Model",
    "Model.data_name": "an attribute, named by the page of Model",
    "Model.weights_name": "an attribute, named by the page of Model",
    "Model.offset_name": "an attribute, named by the page of Model",
}
# private names that tests may use, with the reason
PRIVATE = {
    "_EVERY_SECONDS": "intervals of time, made zero",
    "_MANY_EFFECTS": "sizes from which work is split, made small",
    "_MAX_EFFECTS": "a limit of memory, made small",
    "_FIRST_SECONDS": "intervals of time, made zero",
    "_SHIPPED": "the folder of the data, compared with another",
    "_cache_folder": "a machine that has no downloads",
    "_profile_one": "work that is interrupted in the middle",
    "_projections": "projections onto cones, one by one",
    "_tqdm": "a bar that is counted",
}


def test_interface_is_the_recorded_one():
    recorded = public_api.TARGET.read_text(encoding="utf-8").splitlines()
    now = public_api.interface().splitlines()
    changes = "\n".join(difflib.unified_diff(recorded, now, "recorded", "now", lineterm="", n=0))
    assert not changes, (
        "the public interface has changed: run `python tools/public_api.py`, and say in "
        f"CHANGELOG.md what users must know\n{changes}"
    )


# --- reference ----------------------------------------------------------------------------------
def entries() -> set[tuple[str, str]]:
    """What docs/reference lists: module and name."""
    found = set()
    for page in REFERENCE.glob("*.rst"):
        module, inside = "nestedmlm", False
        for line in page.read_text(encoding="utf-8").splitlines():
            text = line.strip()
            if text.startswith(".. currentmodule::"):
                module = text.split("::")[1].strip()
            elif text.startswith(".. autoclass::"):
                found.add((module, text.split("::")[1].strip()))
            elif line and not line.startswith(" "):
                inside = text == ".. autosummary::"
            elif inside and text and not text.startswith(":"):
                found.add((module, text))
    return found


ENTRIES = entries()
NAMES = {name for _, name in ENTRIES}
# results stand under the path of their module
SHORT = NAMES | {".".join(name.rsplit(".", 2)[-2:]) for name in NAMES} | {
    name.rsplit(".", 1)[-1] for name in NAMES
}  # fmt: skip


def resolve(module: str, name: str) -> object:
    """The object, found as Sphinx finds it: the longest path that is a module, then attributes."""
    path = f"{module}.{name}".split(".")
    for length in range(len(path), 0, -1):
        try:
            start: object = importlib.import_module(".".join(path[:length]))
        except ImportError:
            continue
        return reduce(getattr, path[length:], start)
    raise AssertionError(name)


@pytest.mark.parametrize(("module", "name"), sorted(ENTRIES))
def test_entry_of_the_reference_exists(module, name):
    assert resolve(module, name) is not None


@pytest.mark.parametrize("door", public_api.DOORS, ids=lambda door: door.__name__)
def test_every_door_is_in_the_reference(door):
    here = {name for module, name in ENTRIES if module == door.__name__}
    if door.__name__ == "nestedmlm.lme4":
        here |= {"lmer", "anova"}  # the package's own
    missing = {n for n in public_api.DOORS[door] if not inspect.ismodule(getattr(door, n))} - here
    assert not missing, f"not in docs/reference: {sorted(missing)}"


@pytest.mark.parametrize("owner", sorted(LISTED))
def test_every_member_is_in_the_reference(owner):
    cls = LISTED[owner]
    fields = {name for name in getattr(cls, "__dataclass_fields__", {}) if name[0] != "_"}
    listed = {name.removeprefix(f"{owner}.") for name in SHORT if name.startswith(f"{owner}.")}
    wanted = {name for name in set(public_api.members(cls)) - fields
              if f"{owner}.{name}" not in UNLISTED}  # fmt: skip
    lacks = sorted(wanted - listed)
    assert not lacks, f"docs/reference lacks members of {owner}: {lacks}"
    assert owner in SHORT


@pytest.mark.parametrize("owner", sorted(LISTED))
def test_every_attribute_is_in_the_docstring(owner):
    cls = LISTED[owner]
    doc = "\n".join(inspect.getdoc(c) or "" for c in cls.__mro__ if c is not object)
    fields = {name for name in getattr(cls, "__dataclass_fields__", {}) if name[0] != "_"}
    missing = {name for name in fields if name not in doc}
    assert not missing, f"the docstring of {owner} says nothing of {sorted(missing)}"


# --- private names ------------------------------------------------------------------------------
FOLDERS = ("tests", "benchmarks", "tools")
TESTS = [ROOT / "conftest.py", *sorted(p for f in FOLDERS for p in (ROOT / f).rglob("*.py"))]


def private_names(tree: ast.AST) -> set[str]:
    """Private names of the package's modules and classes that a file uses."""
    modules, found = {"nm", "nestedmlm"}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nestedmlm"):
            modules |= {alias.asname or alias.name for alias in node.names}
            found |= {
                f"{node.module}.{alias.name}"
                for alias in node.names
                if alias.name.startswith("_") and alias.name not in ("__version__", "__path__")
            }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _private(node.attr):
            owner = ast.unparse(node.value)
            if owner.split(".")[0] in modules:
                found.add(f"{owner}.{node.attr}")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):  # for setattr
            if re.fullmatch(r"nestedmlm[\w.]*\._[a-zA-Z]\w*", node.value):
                found.add(node.value)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("setattr"):
            owner, *names = (ast.unparse(argument) for argument in node.args[:2])
            name = names[0].strip("'\"") if names else ""
            if owner.split(".")[0] in modules and _private(name):
                found.add(f"{owner}.{name}")
    return found


def _private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def used_in(path: Path) -> set[str]:
    return private_names(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_public_names_are_used(path):
    assert not {name for name in used_in(path) if name.split(".")[-1] not in PRIVATE}


def test_exceptions_are_needed():
    used = {name.split(".")[-1] for path in TESTS for name in used_in(path)}
    assert set(PRIVATE) <= used
