"""Covariance structures that users add.

A structure is standard deviations, one per column or one for all, times a correlation matrix with
a few parameters. What the user writes is a root of that matrix, once, in functions that NumPy and
PyTensor share; derivatives, bounds, scaling, profiles and Bayesian models follow from it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import ModuleType
from typing import Any, override

import numpy as np

from nestedmlm.covariance.parameter import Parameter, bounded, ends, middle, unbounded
from nestedmlm.covariance.rootcheck import check_root
from nestedmlm.covariance.structure import Structure
from nestedmlm.covariance.table import STRUCTURES, add_structure
from nestedmlm.errors import OptionError

Root = Callable[[ModuleType, Any, int], Any]
Parameters = Sequence[Parameter] | Callable[[int], Sequence[Parameter]]

_HAIR = 1e-11  # share of its range by which a parameter stays off its ends
_SIZES = (2, 3, 4)  # where a root is tried when it is registered
# what formulas call functions: a structure of that name could not be told from one
RESERVED = frozenset(
    "I C T S c abs acos addNA arccos arcsin arctan as.character as.factor as.integer as.numeric "
    "as.ordered asin atan cbind cbrt ceil ceiling cos cosh droplevels exp expm1 factor floor "
    "ifelse interaction is.na log log10 log1p log2 maximum minimum nchar ordered paste paste0 "
    "pmax pmin power relevel round s seq sign signif sin sinh sqrt square tan tanh trunc "
    "xor".split()
)


@dataclass(frozen=True, slots=True)
class Custom(Structure):
    """A structure made from a root of its correlation matrix.

    Pickles hold the functions themselves: another process need not have their modules.

    Attributes
    ----------
    root : callable (xp, par, k) -> (k, k)
    listed : tuple of Parameter, or callable k -> sequence of Parameter
        Its `parameters`.
    """

    root: Root = field(kw_only=True, hash=False)
    listed: tuple[Parameter, ...] | Callable[[int], Sequence[Parameter]] = field(
        kw_only=True, hash=False
    )

    @override
    def parameters(self, k: int) -> tuple[Parameter, ...]:
        if k == 1:
            return ()
        return tuple(self.listed(k) if callable(self.listed) else self.listed)

    @override
    def bounded(self, xp: ModuleType, free: Sequence[Any], k: int) -> list[Any]:
        values = Structure.bounded(self, xp, free, k)
        return [_inside(p, v) for p, v in zip(self.parameters(k), values, strict=True)]

    @override
    def correlation_factor(self, xp: ModuleType, free: Sequence[Any], k: int) -> Any:
        return self.root(xp, self.bounded(xp, free, k), k)

    @override
    def correlations(self, par: Any, k: int) -> Any:
        if k == 1:
            return np.eye(1)
        inside = [_inside(p, v) for p, v in zip(self.parameters(k), par, strict=True)]
        L = np.asarray(self.root(np, inside, k))
        return L @ L.T

    @override
    def correlation_rows(
        self, xp: ModuleType, par: Sequence[Any], k: int
    ) -> tuple[tuple[Any, ...], ...]:
        L = self.root(xp, par, k)
        return tuple(tuple(L[i, j] for j in range(i + 1)) for i in range(k))

    @override
    def common_correlation(self, k: int) -> bool:
        return _common_correlation(self, k)

    @override
    def check(self, k: int) -> None:
        if k > 1:
            check_root(self, k)

    def same_as(self, other: Structure) -> bool:
        """Whether another structure has the same parameters and makes the same of them."""
        if not isinstance(other, Custom):
            return False
        if self.root is other.root and self.parameters(3) == other.parameters(3):
            return True
        compared = [_same_at(self, other, k) for k in (*_SIZES, 5, 6, 8, 10)]
        return True in compared and False not in compared

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.name, _by_value(self), self.default_hom)

    def __deepcopy__(self, memo: dict[int, Any]) -> Custom:
        return self


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
        The parameters of the correlation matrix and their admissible values. Best if all values
        within the bounds give a correlation matrix: a fit that ends where the matrix stops to
        exist is not certified.
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
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.]*", name):
        raise OptionError(f"a covariance structure's name is a word such as 'toep', not {name!r}")
    known = STRUCTURES.get(name)
    if name in RESERVED or not (known is None or isinstance(known, Custom)):
        raise OptionError(f"the name {name!r} is taken: choose a different name")
    listed = parameters if callable(parameters) else tuple(parameters)
    structure = Custom(name, hom, root=root, listed=listed)
    if isinstance(known, Custom) and structure.same_as(known):
        return
    for k in _SIZES:
        try:
            root(np, [middle(p) for p in structure.parameters(k)], k)
        except Exception:
            continue
        check_root(structure, k)
    add_structure(structure)


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


def _inside(p: Parameter, value: Any) -> Any:
    """A value off its ends by a hair: there a root divides by zero."""
    if not all(ends(p)):
        return value
    centre = 0.5 * (p.lower + p.upper)
    return centre + (1.0 - _HAIR) * (value - centre)


@lru_cache(maxsize=256)
def _common_correlation(structure: Custom, k: int) -> bool:
    if len(structure.parameters(k)) != 1:
        return False
    (p,) = structure.parameters(k)
    at = [bounded(p, np, unbounded(p, middle(p)) + step) for step in (0.1, 0.4)]
    neighbours = range(1, k)
    found = [structure.correlations([value], k)[neighbours, range(k - 1)] for value in at]
    return bool(np.allclose(np.array(found).T, at, rtol=0.0, atol=1e-10))


def _same_at(one: Custom, other: Custom, k: int) -> bool | None:
    """Whether both make the same of k columns; None where one of them refuses."""
    try:
        if one.parameters(k) != other.parameters(k):
            return False
        par = [bounded(p, np, 0.2 + unbounded(p, middle(p))) for p in one.parameters(k)]
        return bool(np.allclose(one.root(np, par, k), other.root(np, par, k)))
    except OptionError:
        raise
    except Exception:
        return None


@lru_cache(maxsize=64)
def _by_value(structure: Custom) -> bytes:
    """Pickle functions themselves, not the names of their modules: another process has them not."""
    import cloudpickle

    functions = [f for f in (structure.root, structure.listed) if callable(f)]
    names = {getattr(f, "__module__", None) for f in functions} - {None, "__main__"}
    modules = [sys.modules[name] for name in names if name in sys.modules]
    known = cloudpickle.list_registry_pickle_by_value()
    added = [module for module in modules if module.__name__ not in known]
    for module in added:
        cloudpickle.register_pickle_by_value(module)
    try:
        source: bytes = cloudpickle.dumps((structure.root, structure.listed))
    finally:
        for module in added:
            cloudpickle.unregister_pickle_by_value(module)
    return source


def _restore(name: str, source: bytes, hom: bool) -> Structure:
    """Unpickle a structure: register it where it is not known."""
    import cloudpickle

    root, listed = cloudpickle.loads(source)
    register(name, root, listed, hom=hom)
    return STRUCTURES[name]
