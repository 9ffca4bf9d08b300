"""Covariance structures that users add.

A structure is standard deviations, one per column or one for all, times a correlation matrix with
a few parameters. What the user writes is a root of that matrix, once, in functions that NumPy and
PyTensor share; derivatives, bounds, scaling, profiles and Bayesian models follow from it.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from types import ModuleType
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance.structures import (
    STRUCTURES,
    TABLE,
    Parameter,
    Structure,
    n_sd,
    sd_phi,
    sd_theta,
    signed_sds,
    via_phi,
)
from nestedmlm.design.frame.functions import FUNCTIONS
from nestedmlm.errors import OptionError
from nestedmlm.formula.structures import admit

Root = Callable[[ModuleType, Any, int], Any]
Parameters = Sequence[Parameter] | Callable[[int], Sequence[Parameter]]

_SIZES = (2, 3, 4)  # where a root is tried when it is registered
_TINY = 1e-40


class StructureName(str):
    """Name of a user's structure; pickling it takes the structure along."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (str(self), _SOURCES[self])


_SOURCES: dict[str, bytes] = {}


def register(name: str, root: Root, parameters: Parameters, *, hom: bool = False) -> None:
    """Add a covariance structure that formulas can name: ``name(0 + day | subject)``.

    Parameters
    ----------
    name : str
        A name that no structure and no function of formulas has.
    root : callable (xp, par, k) -> (k, k)
        Lower-triangular root L of the correlation matrix, ``L L'``: rows of length one, positive
        diagonal. `xp` is ``numpy`` or ``pytensor.tensor``, `par` holds the parameters' values;
        use functions that both have (``xp.exp``, ``xp.sqrt``, ``xp.stack``), and no ``abs`` or
        ``maximum`` of parameters, because derivatives are taken with complex numbers.
        `cholesky` makes L from the correlation matrix.
    parameters : sequence of Parameter, or callable k -> sequence of Parameter
        The parameters of the correlation matrix and their admissible values.
    hom : bool
        Whether all columns share one standard deviation unless the formula says ``hom=``.

    Raises
    ------
    OptionError
        If the name is taken by a different structure, or `root` is no such root.

    Notes
    -----
    Registering the same structure again does nothing, so a module or a notebook cell may do it
    each time it runs. A pickled fit takes the structure along.

    Examples
    --------
    An exponential decay of the correlation with the distance between columns:

    >>> import numpy as np
    >>> import nestedmlm as nm
    >>> def expo(xp, par, k):
    ...     distance = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
    ...     return nm.covariance.cholesky(xp, xp.exp(-distance / par[0]), k)
    >>> nm.covariance.register("expo", expo, [nm.covariance.Parameter("range", lower=0)])
    >>> fit = nm.lmer("strength ~ 1 + expo(0 + cask | batch)", nm.load_dataset("Pastes"))
    >>> fit.theta_names[-1]
    'batch.range'
    """
    _check_name(name)
    structure = _structure(root, parameters)
    for k in _SIZES:
        try:
            root(np, [_middle(p) for p in structure.parameters(k)], k)
        except Exception:
            continue
        check_root(name, structure, k)
    if name in TABLE:
        if not _same(STRUCTURES[name], structure):
            raise OptionError(
                f"a covariance structure named {name!r} exists and is another one: choose a "
                "different name"
            )
        return
    made = StructureName(name)
    _SOURCES[made] = _by_value(root, parameters, hom)
    TABLE[made] = structure
    admit(made, hom)


def cholesky(xp: ModuleType, C: Any, k: int) -> Any:
    """Lower-triangular L with ``L L' = C``, entry by entry.

    Unlike ``linalg.cholesky`` it works for PyTensor expressions and for the complex numbers that
    derivatives are taken with.

    Parameters
    ----------
    xp : module
        ``numpy`` or ``pytensor.tensor``.
    C : (k, k) matrix
        Positive definite.
    k : int

    Examples
    --------
    >>> import numpy as np
    >>> import nestedmlm as nm
    >>> L = nm.covariance.cholesky(np, np.array([[1.0, 0.6], [0.6, 1.0]]), 2)
    >>> L.round(3)
    array([[1. , 0. ],
           [0.6, 0.8]])
    """
    L: list[list[Any]] = []
    for i in range(k):
        row: list[Any] = []
        for j in range(i + 1):
            left = C[i, j]
            for m in range(j):
                left = left - row[m] * (L[j][m] if j < i else row[m])
            row.append(xp.sqrt(left) if i == j else left / L[j][j])
        L.append(row)
    zero = 0.0 * C[0, 0]
    return xp.stack([xp.stack([*row, *[zero] * (k - len(row))]) for row in L])


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.]*", name):
        raise OptionError(f"a covariance structure's name is a word such as 'toep', not {name!r}")
    if name in FUNCTIONS or (name in STRUCTURES and name not in _SOURCES):
        raise OptionError(f"the name {name!r} is taken: choose a different name")


def _structure(root: Root, parameters: Parameters) -> Structure:
    """The row of the table that a root and its parameters make."""

    def listed(k: int) -> tuple[Parameter, ...]:
        if k == 1:
            return ()
        return tuple(parameters(k) if callable(parameters) else parameters)

    def factor(xp: ModuleType, phi: Any, k: int, hom: bool) -> Any:
        sds = signed_sds(xp, phi, k, hom)
        if k == 1:
            return sds[:, None]
        first = n_sd(k, hom)
        own = [_forward(xp, phi[first + i], p) for i, p in enumerate(listed(k))]
        return sds[:, None] * root(xp, own, k)

    def to_theta(phi: FloatArray, W: FloatArray, hom: bool) -> FloatArray:
        k = len(W)
        own = [_forward(np, x, p) for x, p in zip(phi[n_sd(k, hom) :], listed(k), strict=True)]
        return np.append(sd_theta(phi, W, hom), own)

    def to_phi(theta: FloatArray, W: FloatArray, hom: bool) -> FloatArray:
        k = len(W)
        own = [_backward(x, p) for x, p in zip(theta[n_sd(k, hom) :], listed(k), strict=True)]
        return np.append(sd_phi(theta, W, hom), own)

    def start(k: int, hom: bool) -> FloatArray:
        return np.append(np.ones(n_sd(k, hom)), [_backward(_middle(p), p) for p in listed(k)])

    return Structure(
        count=lambda k, hom: n_sd(k, hom) + len(listed(k)),
        start=start,
        factor=factor,
        to_theta=to_theta,
        to_phi=to_phi,
        factor_of_theta=via_phi(factor, to_phi),
        parameters=listed,
        root=root,
    )


def _forward(xp: ModuleType, x: Any, p: Parameter) -> Any:
    """The parameter's value from an unbounded number."""
    low, high = math.isfinite(p.lower), math.isfinite(p.upper)
    if low and high:
        half = 0.5 * (p.upper - p.lower)
        return p.lower + half * (1.0 + xp.sin(x))
    if low:
        return p.lower + xp.exp(x)
    return p.upper - xp.exp(x) if high else x


def _backward(value: float, p: Parameter) -> float:
    """Inverse of `_forward`."""
    low, high = math.isfinite(p.lower), math.isfinite(p.upper)
    if low and high:
        unit = 2.0 * (value - p.lower) / (p.upper - p.lower) - 1.0
        return math.asin(min(max(unit, -1.0), 1.0))
    if low or high:
        return math.log(max(value - p.lower if low else p.upper - value, 1e-300))
    return value


def _middle(p: Parameter) -> float:
    """Where the optimizer starts."""
    if p.start is not None:
        return p.start
    low, high = math.isfinite(p.lower), math.isfinite(p.upper)
    if low and high:
        return 0.5 * (p.lower + p.upper)
    if low:
        return p.lower + 1.0
    return p.upper - 1.0 if high else 0.0


def check_root(name: str, structure: Structure, k: int) -> None:
    """Refuse a root that is none, or that loses the imaginary parts of its parameters.

    Raises
    ------
    OptionError
    """
    assert structure.root is not None
    chosen = structure.parameters(k)
    rng = np.random.default_rng(1)
    for step in (0.0, 0.3):
        x = np.array([_backward(_middle(p), p) for p in chosen])
        x = x + step * rng.normal(size=len(x))
        value = partial(_root_at, structure, k=k)
        L = value(x)
        good = L.shape == (k, k) and bool(np.all(np.isfinite(L)))
        if good:
            good = bool(np.all(np.triu(L, 1) == 0.0) and np.all(np.diag(L) > 0.0))
            good = good and bool(np.allclose(np.sum(L**2, axis=1), 1.0, atol=1e-8))
        if not good:
            raise OptionError(
                f"covariance structure {name!r}: for {k} columns root(numpy, "
                f"{[round(float(v), 4) for v in _values(x, chosen)]}, {k}) must be a lower-"
                "triangular matrix with a positive diagonal and rows of length one (a root of a "
                "correlation matrix; nm.covariance.cholesky makes one)"
            )
        for i in range(len(x)):
            e = np.where(np.arange(len(x)) == i, 1.0, 0.0)
            exact = value(x + 1j * _TINY * e).imag / _TINY
            rough = (value(x + 1e-6 * e) - value(x - 1e-6 * e)) / 2e-6
            if not np.allclose(exact, rough, atol=1e-5, rtol=1e-4):
                raise OptionError(
                    f"covariance structure {name!r}: the derivative of root in "
                    f"{chosen[i].name!r} cannot be taken with complex numbers; avoid abs(), "
                    "maximum(), .real and comparisons of parameters"
                )


def _values(x: Any, chosen: Sequence[Parameter]) -> list[Any]:
    return [_forward(np, v, p) for v, p in zip(x, chosen, strict=True)]


def _root_at(structure: Structure, x: Any, *, k: int) -> Any:
    assert structure.root is not None
    return np.asarray(structure.root(np, _values(x, structure.parameters(k)), k))


@lru_cache(maxsize=256)
def checked(name: str, k: int) -> None:
    """Check a user's structure for the number of columns it is used with.

    Raises
    ------
    OptionError
    """
    structure = STRUCTURES[name]
    if structure.root is not None and k > 1:
        check_root(name, structure, k)


def _same(one: Structure, other: Structure) -> bool:
    """Whether two structures have the same parameters and the same root."""
    if one.root is None or other.root is None:
        return False
    if one.root is other.root and one.parameters(3) == other.parameters(3):
        return True
    compared = False
    for k in (*_SIZES, 5, 6, 8, 10):
        try:
            if one.parameters(k) != other.parameters(k):
                return False
            x = 0.2 + np.array([_backward(_middle(p), p) for p in one.parameters(k)])
            if not np.allclose(_root_at(one, x, k=k), _root_at(other, x, k=k)):
                return False
            compared = True
        except OptionError:
            raise
        except Exception:
            continue
    return compared


def _by_value(root: Root, parameters: Parameters, hom: bool) -> bytes:
    """Pickle functions themselves, not the names of their modules: another process has them not."""
    import cloudpickle

    functions = [f for f in (root, parameters) if callable(f)]
    names = {getattr(f, "__module__", None) for f in functions} - {None, "__main__"}
    modules = [sys.modules[name] for name in names if name in sys.modules]
    known = cloudpickle.list_registry_pickle_by_value()
    added = [module for module in modules if module.__name__ not in known]
    for module in added:
        cloudpickle.register_pickle_by_value(module)
    try:
        source: bytes = cloudpickle.dumps((root, parameters, hom))
    finally:
        for module in added:
            cloudpickle.unregister_pickle_by_value(module)
    return source


def _restore(name: str, source: bytes) -> str:
    """Unpickle a name: register its structure where it is not known."""
    import cloudpickle

    root, parameters, hom = cloudpickle.loads(source)
    register(name, root, parameters, hom=hom)
    return next(known for known in TABLE if known == name)
