"""Late imports: functions and names of modules that load when they are first asked for.

A user who fits a model and looks at it must not wait for the import of everything else that can be
done with it. Type checkers see ordinary imports, under ``TYPE_CHECKING``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


class Late:
    """A late import of one function or class: stands for it in a module, or as a method.

    Parameters
    ----------
    module, name : str
        Where it is found.
    wrap : callable, optional
        Makes a method of it, where it is one.

    Examples
    --------
    >>> root = Late("math", "sqrt")
    >>> root(9.0)
    3.0
    """

    __slots__ = ("_module", "_name", "_places", "_wrap")

    def __init__(self, module: str, name: str, wrap: Callable[[Any], Any] | None = None) -> None:
        self._module, self._name, self._wrap = module, name, wrap
        self._places: list[tuple[type, str]] = []

    def load(self) -> Any:
        """What it stands for."""
        return getattr(import_module(self._module), self._name)

    def __set_name__(self, owner: type, name: str) -> None:
        self._places.append((owner, name))

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        found = self._member()
        for place, name in self._places:  # from now on it stands there itself
            if place.__dict__.get(name) is self:
                setattr(place, name, found)
        return found if obj is None else found.__get__(obj, owner)

    def _member(self) -> Any:
        return self.load() if self._wrap is None else self._wrap(self.load())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call what it stands for."""
        return self.load()(*args, **kwargs)


class _LateProperty(Late):
    """A late import of a property's getter."""

    __slots__ = ()

    def _member(self) -> Any:
        return property(self.load())


def late_property(getter: Any) -> Any:
    """`property`, of a late import too."""
    if isinstance(getter, Late):
        return _LateProperty(getter._module, getter._name)
    return property(getter)


def late_imports(
    room: str, modules: Mapping[str, str], wrap: Callable[[Any], Any] | None = None
) -> dict[str, Late]:
    """Late imports of several functions.

    Parameters
    ----------
    room : str
        Package of the modules.
    modules : mapping of str to str
        Names separated by spaces, by module.
    wrap : callable, optional
        Makes methods of them, such as `nestedmlm.arguments.checked`.

    Returns
    -------
    dict
        By name: for ``globals().update``.
    """
    return {
        name: Late(f"{room}.{module}", name, wrap)
        for module, names in modules.items()
        for name in names.split()
    }


def late_name(package: str, places: Mapping[str, str], name: str) -> Any:
    """Import a package's attribute late: for its ``__getattr__``.

    Parameters
    ----------
    package : str
    places : mapping of str to str
        The module of each name.
    name : str
        One of them, or a module of the package.

    Raises
    ------
    AttributeError
        For any other.
    """
    if name in places:
        return getattr(import_module(places[name]), name)
    try:
        return import_module(f"{package}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{package}.{name}":
            raise
    raise AttributeError(f"module {package!r} has no attribute {name!r}")
