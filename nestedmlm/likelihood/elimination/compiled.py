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
    sweeps,
)

JIT: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
# sums may be added in any order: lanes of a sum are added side by side
SUMS: dict[str, Any] = {**JIT, "fastmath": {"contract", "reassoc"}}


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


def _scale_1s(out: Any, s: Any, x: Any) -> None:
    for j in range(out.shape[0]):
        out[j] = s * x[j]


def _scale_1v(out: Any, s: Any, x: Any) -> None:
    for j in range(out.shape[0]):
        out[j] = s[j] * x[j]


def _scale_2s(out: Any, s: Any, x: Any) -> None:
    for c in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[c, j] = s * x[c, j]


def _scale_2v(out: Any, s: Any, x: Any) -> None:
    for c in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[c, j] = s[j] * x[c, j]


def _add_scaled_1s(out: Any, s: Any, x: Any) -> None:
    for j in range(out.shape[0]):
        out[j] += s * x[j]


def _add_scaled_1v(out: Any, s: Any, x: Any) -> None:
    for j in range(out.shape[0]):
        out[j] += s[j] * x[j]


def _add_scaled_2s(out: Any, s: Any, x: Any) -> None:
    for c in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[c, j] += s * x[c, j]


def _add_scaled_2v(out: Any, s: Any, x: Any) -> None:
    for c in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[c, j] += s[j] * x[c, j]


def _subtract_scaled_1s(out: Any, s: Any, x: Any) -> None:
    for j in range(out.shape[0]):
        out[j] -= s * x[j]


def _subtract_scaled_1v(out: Any, s: Any, x: Any) -> None:
    for j in range(out.shape[0]):
        out[j] -= s[j] * x[j]


def _subtract_scaled_2s(out: Any, s: Any, x: Any) -> None:
    for c in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[c, j] -= s * x[c, j]


def _subtract_scaled_2v(out: Any, s: Any, x: Any) -> None:
    for c in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[c, j] -= s[j] * x[c, j]


def _copy_1(out: Any, x: Any) -> None:
    for j in range(out.shape[0]):
        out[j] = x[j]


def _copy_2(out: Any, x: Any) -> None:
    for c in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[c, j] = x[c, j]


def _add_1(out: Any, x: Any) -> None:
    for j in range(out.shape[0]):
        out[j] += x[j]


def _add_2(out: Any, x: Any) -> None:
    for c in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[c, j] += x[c, j]


def _subtract_1(out: Any, x: Any) -> None:
    for j in range(out.shape[0]):
        out[j] -= x[j]


def _subtract_2(out: Any, x: Any) -> None:
    for c in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[c, j] -= x[c, j]


def _fill_1(out: Any, number: Any) -> None:
    for j in range(out.shape[0]):
        out[j] = number


def _fill_2(out: Any, number: Any) -> None:
    for c in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[c, j] = number


def _of_parents_2(X: Any, parent: Any) -> Any:
    out = np.empty((X.shape[0], parent.shape[0]))
    for a in range(X.shape[0]):
        for j in range(parent.shape[0]):
            out[a, j] = X[a, parent[j]]
    return out


def _of_parents_3(X: Any, parent: Any) -> Any:
    out = np.empty((X.shape[0], X.shape[1], parent.shape[0]))
    for a in range(X.shape[0]):
        for b in range(X.shape[1]):
            for j in range(parent.shape[0]):
                out[a, b, j] = X[a, b, parent[j]]
    return out


def invert_root(x: Any) -> None:
    """``x = 1 / sqrt(x)``."""
    for j in range(x.shape[0]):
        x[j] = 1.0 / math.sqrt(x[j])


def sum_children(X: Any, starts: Any) -> Any:
    """Sums over the children of each parent."""
    count, levels = starts.shape[0], X.shape[2]
    out = np.empty((X.shape[0], X.shape[1], count))
    for a in range(X.shape[0]):
        for b in range(X.shape[1]):
            for g in range(count):
                end = starts[g + 1] if g + 1 < count else levels
                s = 0.0
                for j in range(starts[g], end):
                    s += X[a, b, j]
                out[a, b, g] = s
    return out


def dot(x: Any, y: Any) -> float:
    """Sum of products."""
    s = 0.0
    for j in range(x.shape[0]):
        s += x[j] * y[j]
    return s


def add_products(out: Any, sign: float, X: Any, Y: Any) -> None:
    """``out += sign X Y'``."""
    for a in range(X.shape[0]):
        for b in range(Y.shape[0]):
            out[a, b] += sign * dot(X[a], Y[b])


def total(x: Any) -> float:
    """Sum over the levels."""
    s = 0.0
    for j in range(x.shape[0]):
        s += x[j]
    return s


def log_total(x: Any) -> float:
    """Sum of logarithms: factors are multiplied while the product is far from overflow."""
    s, product = 0.0, 1.0
    for j in range(x.shape[0]):
        if not 1e-100 < x[j] < 1e100:
            s += math.log(x[j]) if x[j] > 0.0 else np.nan
            continue
        product *= x[j]
        if not 1e-150 < product < 1e150:
            s += math.log(product)
            product = 1.0
    return s + math.log(product)


def take(out: Any, x: Any, index: Any) -> None:
    """``out = x[index]``."""
    for e in range(out.shape[0]):
        out[e] = x[index[e]]


def add_taken(out: Any, s: Any, node: Any, x: Any) -> None:
    """``out += s[node] x``."""
    for e in range(out.shape[0]):
        out[e] += s[node[e]] * x[e]


def subtract_taken(out: Any, s: Any, node: Any, x: Any) -> None:
    """``out -= s[node] x``."""
    for e in range(out.shape[0]):
        out[e] -= s[node[e]] * x[e]


def add_by_node(out: Any, x: Any, y: Any, ptr: Any) -> None:
    """``out += sum of x y`` over each level's entries."""
    for g in range(out.shape[0]):
        s = 0.0
        for e in range(ptr[g], ptr[g + 1]):
            s += x[e] * y[e]
        out[g] += s


def subtract_by_node(out: Any, x: Any, y: Any, ptr: Any) -> None:
    """``out -= sum of x y`` over each level's entries."""
    for g in range(out.shape[0]):
        s = 0.0
        for e in range(ptr[g], ptr[g + 1]):
            s += x[e] * y[e]
        out[g] -= s


def subtract_at(out: Any, index: Any, x: Any) -> None:
    """``out[index] -= x``."""
    for e in range(x.shape[0]):
        out[index[e]] -= x[e]


def subtract_pairs(out: Any, x: Any, ptr: Any, col: Any) -> None:
    """``out[col[e], col[c]] -= x[e] x[c]`` for all pairs e >= c of entries of one level."""
    for g in range(ptr.shape[0] - 1):
        for e in range(ptr[g], ptr[g + 1]):
            row, s = out[col[e]], x[e]
            for c in range(ptr[g], e + 1):
                row[col[c]] -= s * x[c]


def times_block(out: Any, x: Any, G: Any, ptr: Any, col: Any) -> None:
    """``out[e] = sum of x[c] G[col[c], col[e]]`` over the entries c of the same level."""
    for g in range(ptr.shape[0] - 1):
        low, high = ptr[g], ptr[g + 1]
        for e in range(low, high):
            row, s = G[col[e]], 0.0  # G is symmetric
            for c in range(low, high):
                s += x[c] * row[col[c]]
            out[e] = s


def _by_rank_and_factor(name: str) -> Any:
    """A name that Numba resolves to the loop for the number of dimensions and the kind of `s`."""
    loops = {(n, kind): globals()[f"_{name}_{n}{kind}"] for n in (1, 2) for kind in "sv"}

    def stub(out: Any, s: Any, x: Any) -> None: ...

    def chosen(out: Any, s: Any, x: Any) -> Any:
        return loops[out.ndim, "v" if isinstance(s, nb.Array) else "s"]

    overload(stub, jit_options=JIT)(chosen)

    return stub


def _by_rank(name: str) -> Any:
    """The same for primitives without a factor."""
    loops = {n: globals()[f"_{name}_{n}"] for n in (1, 2)}

    def stub(out: Any, x: Any) -> None: ...

    def chosen(out: Any, x: Any) -> Any:
        return loops[out.ndim]

    overload(stub, jit_options=JIT)(chosen)

    return stub


def _fill(out: Any, number: Any) -> None: ...


@overload(_fill, jit_options=JIT)
def _chosen_fill(out: Any, number: Any) -> Any:
    return _fill_1 if out.ndim == 1 else _fill_2


def _of_parents(X: Any, parent: Any) -> Any: ...


@overload(_of_parents, jit_options=JIT)
def _chosen_of_parents(X: Any, parent: Any) -> Any:
    return _of_parents_2 if X.ndim == 2 else _of_parents_3


_BY_NODE = ("add_by_node", "subtract_by_node", "times_block")
_PLAIN = (
    "invert_root", "sum_children", "take", "add_taken", "subtract_taken", "subtract_at",
    "subtract_pairs",
)  # fmt: skip


def _loops() -> dict[str, Any]:
    """Every primitive's compiled twin, by name."""
    out = {name: _by_rank_and_factor(name) for name in ("scale", "add_scaled", "subtract_scaled")}
    out |= {name: _by_rank(name) for name in ("copy", "add", "subtract")}
    out |= {"fill": _fill, "of_parents": _of_parents}
    globals()["dot"] = _jit(dot, **SUMS)
    for name in ("add_products", "total", "log_total", *_BY_NODE):
        out[name] = _jit(globals()[name], **SUMS)
    for name in _PLAIN:
        out[name] = _jit(globals()[name], **JIT)
    return out


@cache
def compiled_sweeps() -> SimpleNamespace:
    """The functions of the sweeps, compiled at their first call."""
    world: dict[str, Any] = {"np": np, **_loops()}
    for module in (sweeps, information, entries, entries_information):
        _add_copies(world, module)
    return SimpleNamespace(**world)


def compiled_copies(*modules: types.ModuleType) -> SimpleNamespace:
    """Functions of other modules that call the sweeps, compiled with them.

    Parameters
    ----------
    *modules : modules
        Those that are called first. Their functions must be what Numba can compile.
    """
    world = dict(vars(compiled_sweeps()))
    for module in modules:
        world |= {"math": math, **{n: v for n, v in vars(module).items() if _is_plain(v)}}
        _add_copies(world, module)
    return SimpleNamespace(**world)


def _is_plain(value: Any) -> bool:
    """Whether compiled code may refer to a module's value as it is: a number, a named tuple."""
    record = isinstance(value, type) and issubclass(value, tuple) and hasattr(value, "_fields")
    return record or isinstance(value, int | float)


def _add_copies(world: dict[str, Any], module: types.ModuleType) -> None:
    """Compile a module's functions; those that stand further down may be called before."""
    own = {
        name: f
        for name, f in vars(module).items()
        if isinstance(f, types.FunctionType)
        and f.__module__ == module.__name__
        and f.__closure__ is None  # a context manager: Python's, not for loops
    }
    for name, function in own.items():
        world[name] = _jit(_with_globals(function, world), **JIT)


def _with_globals(function: Any, world: dict[str, Any]) -> Any:
    """The same code with other globals: calls of primitives find their loops."""
    twin = types.FunctionType(function.__code__, world, function.__name__)
    twin.__module__, twin.__qualname__ = function.__module__, function.__qualname__
    return twin
