"""The public interface as text: `python tools/public_api.py` writes tests/house/public_api.txt.

A line per name, member or argument list; a diff of the file is what users must be told.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # this copy of the package, not an installed one

import nestedmlm as nm  # noqa: E402
from nestedmlm import covariance, families, interop, lme4  # noqa: E402
from nestedmlm.late import Late  # noqa: E402
from nestedmlm.views.render.view import Viewable  # noqa: E402

TARGET = ROOT / "tests" / "house" / "public_api.txt"

# what users import, with the names that are theirs
DOORS: dict[ModuleType, tuple[str, ...]] = {
    nm: tuple(nm.__all__),
    nm.plots: tuple(nm.plots.__all__),
    families: tuple(name for name in families.__all__ if name[0].islower() or name == "Family"),
    covariance: ("Parameter", "cholesky", "register"),
    interop: tuple(interop.__all__),
    lme4: tuple(lme4.__all__),
}
# classes that users call; the others are what something returns
MADE_BY_HAND = (nm.Control, nm.Penalty, nm.Prior, covariance.Parameter, nm.Model)
# rooms whose views are handed to users; their modules import no heavy library
ROOMS_OF_RESULTS = ("nestedmlm.views", "nestedmlm.fits")


def results() -> dict[str, type]:
    """Views that verbs return, by name; `Viewable` is what all of them can do."""
    for room in ROOMS_OF_RESULTS:
        for module in pkgutil.walk_packages(importlib.import_module(room).__path__, f"{room}."):
            importlib.import_module(module.name)
    # a class with slots is made twice: the one that its module holds is in use
    return {
        cls.__name__: getattr(importlib.import_module(cls.__module__), cls.__name__)
        for cls in (Viewable, *_subclasses(Viewable))
        if cls.__name__ not in nm.__all__ and not cls.__name__.startswith("_")
    }


def _subclasses(cls: type) -> Iterator[type]:
    for below in cls.__subclasses__():
        yield below
        yield from _subclasses(below)


def accessors() -> dict[str, type]:
    """Classes that a public class has only to group its methods (``fit.plot``), by name."""
    found = {}
    for owner in (nm.LmerFit, nm.BayesFit, nm.Model):
        for name, raw in inspect.getmembers_static(owner):
            if name.startswith("_") or not isinstance(raw, property) or raw.fget is None:
                continue
            kind = inspect.signature(raw.fget, eval_str=False).return_annotation
            cls = getattr(inspect.getmodule(raw.fget), str(kind), None)
            cls = cls.load() if isinstance(cls, Late) else cls
            if inspect.isclass(cls) and cls.__module__.startswith("nestedmlm.plots"):
                found[cls.__name__] = cls
    return found


def members(cls: type) -> dict[str, Any]:
    """Public members; what every view or mapping can do is not counted again."""
    fields = {n: f for n, f in getattr(cls, "__dataclass_fields__", {}).items() if n[0] != "_"}
    own = {
        n: getattr(cls, n) if isinstance(raw, Late) else raw
        for n, raw in inspect.getmembers_static(cls)
        if n[0] != "_"
    }
    found = {n: raw for n, raw in own.items() if n not in vars(Mapping)} | fields
    if issubclass(cls, Viewable) and cls is not Viewable:
        found = {name: raw for name, raw in found.items() if not hasattr(Viewable, name)}
    return found


def signature(thing: Callable[..., Any], *, method: bool = False) -> str:
    """Arguments with defaults, without annotations and what a method is called on."""
    found = inspect.signature(thing)
    plain = [p.replace(annotation=p.empty) for p in found.parameters.values()]
    # of `*fits` the one that a method is called on is only the first
    skipped = method and plain[0].kind is not inspect.Parameter.VAR_POSITIONAL
    return str(found.replace(parameters=plain[skipped:], return_annotation=found.empty))


def describe(path: str, thing: Any, *, method: bool = False) -> Iterator[str]:
    """The lines of one name: a class with its members, a function with its arguments."""
    if inspect.ismodule(thing):
        yield path
    elif inspect.isclass(thing):
        yield f"{path}{signature(thing)}" if thing in MADE_BY_HAND else path
        if not issubclass(thing, Exception):
            for name, raw in sorted(members(thing).items()):
                own = getattr(raw, "__func__", raw)
                yield from describe(f"{path}.{name}", own, method=not isinstance(raw, staticmethod))
    elif callable(thing):
        yield f"{path}{signature(thing, method=method)}"
    else:
        yield path


def interface() -> str:
    """Every public name."""
    lines: list[str] = []
    for door, names in DOORS.items():
        for name in names:
            lines += describe(f"{door.__name__}.{name}", getattr(door, name))
    for group, classes in (("accessors", accessors()), ("results", results())):
        for name in sorted(classes):
            lines += describe(f"{group}.{name}", classes[name])
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    TARGET.write_text(interface(), encoding="utf-8")
    print(TARGET)
