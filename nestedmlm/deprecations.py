"""Deprecation of public names: a warning that says what to write instead, and until when.

A name that goes keeps working for one minor version: decorate it with `deprecated`, add a line to
the changelog, and remove it in the version that the warning names. Before 1.0 the old name of a
member may raise at once: `renamed`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from types import MappingProxyType
from typing import Any

from nestedmlm.callers import PACKAGE
from nestedmlm.errors import NestedMLMDeprecationWarning, RenamedError


def deprecated[**P, R](
    name: str, *, since: str, instead: str, removed_in: str
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function warn that its name goes away.

    Parameters
    ----------
    name : str
        The old name, as users write it (``"fit.plot_trellis"``).
    since : str
        Version that deprecated it.
    instead : str
        What to write (``"fit.plot.trellis"``).
    removed_in : str
        Version in which the old name is gone.

    Returns
    -------
    callable
        A decorator. The warning, a `NestedMLMDeprecationWarning`, names the caller's line.

    Examples
    --------
    >>> import warnings
    >>> @deprecated("nm.old", since="0.2", instead="nm.new", removed_in="0.3")
    ... def old():
    ...     return 1
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     old()
    1
    >>> str(caught[0].message)
    'nm.old is deprecated since 0.2 and will be removed in 0.3: write nm.new'
    """
    message = (
        f"{name} is deprecated since {since} and will be removed in {removed_in}: write {instead}"
    )

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            warnings.warn(message, NestedMLMDeprecationWarning, skip_file_prefixes=PACKAGE)
            return function(*args, **kwargs)

        return call

    return decorate


def renamed(
    names: Mapping[str, str], elsewhere: Mapping[str, str] = MappingProxyType({})
) -> Callable[[Any, str], Any]:
    """Make the ``__getattr__`` of a class with members that are spelled otherwise now.

    Parameters
    ----------
    names : mapping of str to str
        What to write instead, by old name.
    elsewhere : mapping of str to str, optional
        The same of what was never a name here, but is one in other packages.

    Returns
    -------
    callable
        For the body of the class. Type checkers must not see it: to them any name would do.

    Examples
    --------
    >>> class Fit:
    ...     __getattr__ = renamed({"plot_trellis": "fit.plot.trellis()"})
    >>> Fit().plot_trellis
    Traceback (most recent call last):
    ...
    nestedmlm.errors.RenamedError: Fit.plot_trellis is gone: write fit.plot.trellis()
    >>> hasattr(Fit(), "plot_trellis")
    False
    """

    def __getattr__(self: Any, name: str) -> Any:
        if name in names or name in elsewhere:
            owner = getattr(self, "__name__", type(self).__name__)  # of a module, of a class
            if name in names:
                raise RenamedError(f"{owner}.{name} is gone: write {names[name]}")
            raise RenamedError(f"{owner} has no {name}: write {elsewhere[name]}")
        # missing, or a property that failed: Python's own error says which
        return object.__getattribute__(self, name)

    return __getattr__
