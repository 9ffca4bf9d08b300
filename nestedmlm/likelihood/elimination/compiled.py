"""The same sweeps compiled by Numba: primitives become loops, all other code is the source itself.

`compiled_sweeps` gives functions of the names and arguments of `sweeps` and `information`. Only
this module imports Numba. Importing it compiles nothing; the first call of a function does (some
seconds, kept on disk).
"""

from __future__ import annotations

import math
import types
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from numba import njit
from numba import types as nb
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.extending import overload

from nestedmlm.likelihood.elimination import (
    compilation_notice,  # noqa: F401 - listens to Numba
    compiled_cache,
    entries,
    entries_information,
    information,
    loops,
    selected_inverse,
    sweeps,
)

JIT: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
# sums may be added in any order: lanes of a sum are added side by side
SUMS: dict[str, Any] = {**JIT, "fastmath": {"contract", "reassoc"}}
# what only compiled code calls needs no way in from Python or C; each costs as much as a small loop
INNER: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
INNER_JIT: Any = {**JIT, **INNER}

CALLED = (
    "go_up", "go_down", "go_up_crossed", "go_down_crossed", "select_inverse",
    "select_inverse_crossed", "residual_scores", "add_information", "add_information_crossed",
    "solve_sides",
)  # fmt: skip


class _SourceLocator(_CacheLocator):
    """Keeps compiled functions where `compiled_cache` says."""

    def __init__(self, py_func: Any) -> None:
        self._line = py_func.__code__.co_firstlineno

    def ensure_cache_path(self) -> None:
        compiled_cache.open_folder()

    def get_cache_path(self) -> str:
        return str(compiled_cache.cache_folder())

    def get_source_stamp(self) -> str:
        return "in the folder's name"

    def get_disambiguator(self) -> str:
        return str(self._line)

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> _SourceLocator:
        return cls(py_func)


class _SourceCacheImpl(CompileResultCacheImpl):
    _locator_classes = [_SourceLocator]  # type: ignore[list-item]  # noqa: RUF012 - Numba's way


class _SourceCache(FunctionCache):
    _impl_class = _SourceCacheImpl


def _jit(function: Any, **options: Any) -> Any:
    """Compile at the first call, or load what was compiled before."""
    compiled = njit(**options)(function)
    compiled._cache = _SourceCache(function)  # type: ignore[no-untyped-call]  # enable_caching()
    return compiled


def _by_rank_and_factor(name: str) -> Any:
    """A name that Numba resolves to the loop for the number of dimensions and the kind of `s`."""
    own = {(n, kind): vars(loops)[f"_{name}_{n}{kind}"] for n in (1, 2) for kind in "sv"}

    def stub(out: Any, s: Any, x: Any) -> None: ...

    def chosen(out: Any, s: Any, x: Any) -> Any:
        return own[out.ndim, "v" if isinstance(s, nb.Array) else "s"]

    overload(stub, jit_options=INNER_JIT)(chosen)

    return stub


def _by_rank(name: str) -> Any:
    """The same for primitives without a factor."""
    own = {n: vars(loops)[f"_{name}_{n}"] for n in (1, 2)}

    def stub(out: Any, x: Any) -> None: ...

    def chosen(out: Any, x: Any) -> Any:
        return own[out.ndim]

    overload(stub, jit_options=INNER_JIT)(chosen)

    return stub


def _fill(out: Any, number: Any) -> None: ...


@overload(_fill, jit_options=INNER_JIT)
def _chosen_fill(out: Any, number: Any) -> Any:
    return loops._fill_1 if out.ndim == 1 else loops._fill_2


def _of_parents(X: Any, parent: Any) -> Any: ...


@overload(_of_parents, jit_options=INNER_JIT)
def _chosen_of_parents(X: Any, parent: Any) -> Any:
    return loops._of_parents_2 if X.ndim == 2 else loops._of_parents_3


_SUMS = ("add_products", "total", "log_total", "add_by_node", "times_block", "add_by_level")
_PLAIN = (
    "invert_root", "sum_children", "add_taken", "subtract_taken", "subtract_at", "subtract_gram",
    "add_by_column",
)  # fmt: skip
_HELPERS = (("dot", SUMS), ("is_full", JIT), ("spread", JIT))  # the loops call them


def _loops() -> dict[str, Any]:
    """Every primitive's compiled twin, by name."""
    out = {name: _by_rank_and_factor(name) for name in ("scale", "add_scaled", "subtract_scaled")}
    out |= {name: _by_rank(name) for name in ("copy", "add", "subtract")}
    out |= {"fill": _fill, "of_parents": _of_parents}
    for name, options in _HELPERS:
        vars(loops)[name] = _jit(vars(loops)[name], **options, **INNER)
    for name in _SUMS:
        out[name] = _jit(vars(loops)[name], **SUMS, **INNER)
    for name in _PLAIN:
        out[name] = _jit(vars(loops)[name], **INNER_JIT)
    return out


@cache
def _world() -> dict[str, Any]:
    """Every function of the sweeps by name, compiled at its first call."""
    world: dict[str, Any] = {"np": np, **_loops()}
    for module in (sweeps, information, entries, entries_information, selected_inverse):
        _add_copies(world, module, CALLED)
    return world


@cache
def compiled_sweeps() -> SimpleNamespace:
    """The functions of the sweeps that Python calls, compiled at their first call."""
    return SimpleNamespace(**{name: _world()[name] for name in CALLED})


def compiled_copies(*modules: types.ModuleType, called: tuple[str, ...]) -> SimpleNamespace:
    """Functions of other modules that call the sweeps, compiled with them.

    Parameters
    ----------
    *modules : modules
        Those that are called first. Their functions must be what Numba can compile.
    called : tuple of str
        Names of the functions that Python calls: the result has these.
    """
    world = dict(_world())
    for module in modules:
        world |= {"math": math, **{n: v for n, v in vars(module).items() if _is_plain(v)}}
        _add_copies(world, module, called)
    return SimpleNamespace(**{name: world[name] for name in called})


def _is_plain(value: Any) -> bool:
    """Whether compiled code may refer to a module's value as it is: a number, a named tuple."""
    record = isinstance(value, type) and issubclass(value, tuple) and hasattr(value, "_fields")
    return record or isinstance(value, int | float)


def _add_copies(world: dict[str, Any], module: types.ModuleType, called: tuple[str, ...]) -> None:
    """Compile a module's functions; those that stand further down may be called before."""
    own = {
        name: f
        for name, f in vars(module).items()
        if isinstance(f, types.FunctionType)
        and f.__module__ == module.__name__
        and f.__closure__ is None  # a context manager: Python's, not for loops
    }
    for name, function in own.items():
        options = JIT if name in called else INNER_JIT
        world[name] = _jit(_with_globals(function, world), **options)


def _with_globals(function: Any, world: dict[str, Any]) -> Any:
    """The same code with other globals: calls of primitives find their loops."""
    twin = types.FunctionType(function.__code__, world, function.__name__)
    twin.__module__, twin.__qualname__ = function.__module__, function.__qualname__
    return twin
