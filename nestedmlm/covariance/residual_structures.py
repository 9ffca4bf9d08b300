"""Structures of correlated residuals within a block: an open table beside that of the terms.

What a term's covariance says of its columns, a residual structure says of the times (or visits) of
a block. `us`, `toep` and `ad1` are matrices over the levels of a factor; `ar1` and `car1` decay
with the gap between two times; `cs` knows no time. A structure that users `register` serves here
too, over the levels of the factor left of the bar.

Parameters are free numbers, mapped by functions that take complex ones, so that derivatives are
exact (complex step).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance.parameter import Parameter, middle, unbounded
from nestedmlm.covariance.structure import Structure
from nestedmlm.covariance.table import STRUCTURES
from nestedmlm.errors import OptionError

# what stands left of the bar: times whose gaps count, levels of a factor, or nothing that counts
GAPS, LEVELS, BLOCK = "gaps", "levels", "block"
START_CORRELATION = 0.2  # of neighbours: off zero, where ar1 over even gaps has no slope
STRONG_CORRELATION = 0.8  # of neighbours, in the second start of structures with many parameters
NEGATIVE_CORRELATION = -0.3  # of neighbours of one group, in a further start
_NEARLY_NONE = 1e-3  # correlation: at zero itself longer gaps have no slope


@dataclass(frozen=True, slots=True)
class ResidualStructure:
    """Structure of the correlations of residuals in a block.

    Attributes
    ----------
    name : str
        What the argument ``residual`` calls it.
    time : {"gaps", "levels", "block"}
        What is left of the bar.
    default_hom : bool
        Whether all residuals have one variance unless ``hom=False`` is said.
    takes_hom : bool
        False: the structure has a variance for each level anyhow (`us`).
    parameters : callable k -> tuple of str
        Names of the parameters for k levels.
    start : callable k -> array
        Free numbers to start from.
    neutral : callable k -> array
        Free numbers of (next to) no correlation.
    matrix : callable (free, k) -> (k, k) array
        Correlations (of `us`: covariances relative to the first) over the levels. Of structures
        over gaps: the correlation at gap 1 in the place of the matrix.
    natural : callable (free, k) -> array
        Values of the parameters.
    whole_gaps : bool
        Whether gaps must be whole numbers.
    is_root : bool
        Whether `matrix` is ``L L'`` with L's lower triangle, after its first entry, the parameters.
    ends : callable k -> tuple of Parameter
        The parameters with the ends of their values; none where `is_root`.
    rate : float or None
        A parameter is at the share ``1 / (1 + exp(-rate free))`` of its range; None: its free
        number is that of a term's parameter.
    neighbours : callable (r, k) -> array, or None
        Free numbers at which levels side by side correlate by r, those farther apart by its
        powers, to start from as well: with few blocks there are optima of their own there.
    correlations : callable xp, values, k -> (k, k) matrix, or None
        The matrix of given parameters, in NumPy or PyTensor; None where it is a term's, a number
        for each gap, or a root.
    """

    name: str
    time: str
    parameters: Callable[[int], tuple[str, ...]]
    start: Callable[[int], FloatArray]
    neutral: Callable[[int], FloatArray]
    matrix: Callable[[Any, int], Any]
    natural: Callable[[Any, int], Any]
    default_hom: bool = True
    takes_hom: bool = True
    whole_gaps: bool = False
    is_root: bool = False
    ends: Callable[[int], tuple[Parameter, ...]] = lambda k: ()
    rate: float | None = None
    neighbours: Callable[[float, int], FloatArray] | None = None
    correlations: Callable[[Any, Sequence[Any], int], Any] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return residual_structure, (self.name,)


def _expit(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


def _one(name: str) -> Callable[[int], tuple[str, ...]]:
    return lambda k: (name,)


def _lags(k: int) -> tuple[str, ...]:
    return tuple(f"rho{lag}" for lag in range(1, k))


def _between(
    names: Callable[[int], tuple[str, ...]], low: Callable[[int], float]
) -> Callable[[int], tuple[Parameter, ...]]:
    """Parameters between an end that may depend on the number of levels, and 1."""
    return lambda k: tuple(Parameter(name, lower=low(k), upper=1.0) for name in names(k))


def lowest_common(k: int) -> float:
    """The end below the correlation of k exchangeable residuals."""
    return -1.0 / (k - 1) if k > 1 else 0.0


def _any_correlation(k: int) -> float:
    return -1.0


def _unstructured(free: Any, k: int) -> Any:
    L = np.zeros((k, k), dtype=np.asarray(free).dtype)
    L[np.tril_indices(k)] = np.concatenate([[1.0], free])
    return L @ L.T


def _unstructured_names(k: int) -> tuple[str, ...]:
    return tuple(f"root[{a + 1},{b + 1}]" for a, b in zip(*np.tril_indices(k), strict=True))[1:]


def _common(xp: Any, values: Sequence[Any], k: int) -> Any:
    return values[0] + (1.0 - values[0]) * np.eye(k)


def _toeplitz(xp: Any, values: Sequence[Any], k: int) -> Any:
    return xp.stack([1.0, *values])[np.abs(np.subtract.outer(np.arange(k), np.arange(k)))]


def _antedependent(xp: Any, values: Sequence[Any], k: int) -> Any:
    cells: list[list[Any]] = [[1.0] * k for _ in range(k)]
    for i in range(k):
        for j in range(i + 1, k):
            cells[i][j] = cells[j][i] = cells[i][j - 1] * values[j - 1]
    return xp.stack([xp.stack(row) for row in cells])


def _none(k: int) -> FloatArray:
    return np.full(k - 1, _NEARLY_NONE)


def _identity_root(k: int) -> FloatArray:
    out: FloatArray = np.eye(k)[np.tril_indices(k)][1:]
    return out


def _few(k: int) -> FloatArray:
    return np.full(k - 1, np.arctanh(START_CORRELATION) / 2.0)


def _powers(r: float, k: int) -> FloatArray:
    out: FloatArray = np.arctanh(r ** np.arange(1, k))
    return out


def _as_often(r: float, k: int) -> FloatArray:
    return np.full(k - 1, np.arctanh(r))


def _tanh(free: Any, k: int) -> Any:
    return np.tanh(free)


def _at_tanh(matrix: Callable[[Any, Any, int], Any]) -> Callable[[Any, int], Any]:
    """A matrix of the parameters as one of their free numbers."""
    return lambda free, k: matrix(np, np.tanh(free), k)


def _from_term(structure: Structure) -> ResidualStructure:
    """A structure that users registered for terms, over the levels of a factor."""

    def middle_of(k: int) -> FloatArray:
        return np.array([unbounded(p, middle(p)) for p in structure.parameters(k)])

    def matrix(free: Any, k: int) -> Any:
        root = structure.correlation_factor(np, list(free), k)
        return root @ root.T

    return ResidualStructure(
        name=structure.name,
        time=LEVELS,
        default_hom=structure.default_hom,
        parameters=lambda k: tuple(p.name for p in structure.parameters(k)),
        start=middle_of,
        neutral=middle_of,
        matrix=matrix,
        natural=lambda free, k: np.array(structure.bounded(np, list(free), k)),
        ends=structure.parameters,
    )


BUILT_IN: Mapping[str, ResidualStructure] = MappingProxyType(
    {
        s.name: s
        for s in (
            ResidualStructure(
                name="ar1", time=GAPS, parameters=_one("rho"), whole_gaps=True,
                start=lambda k: np.array([np.arctanh(START_CORRELATION)]),
                neutral=lambda k: np.full(1, _NEARLY_NONE),
                matrix=lambda free, k: np.tanh(free[0]), natural=_tanh,
                ends=_between(_one("rho"), _any_correlation), rate=2.0,
            ),
            ResidualStructure(
                name="car1", time=GAPS, parameters=_one("rho"),
                start=lambda k: np.zeros(1), neutral=lambda k: np.full(1, np.log(_NEARLY_NONE)),
                matrix=lambda free, k: _expit(free[0]), natural=lambda free, k: _expit(free),
                ends=_between(_one("rho"), lambda k: 0.0), rate=1.0,
            ),
            ResidualStructure(
                name="cs", time=BLOCK, parameters=_one("rho"),
                start=lambda k: np.zeros(1), neutral=lambda k: np.full(1, -np.log(max(k - 1, 1))),
                matrix=lambda free, k: _above_bound(free[0], k),
                natural=lambda free, k: _above_bound(free, k),
                ends=_between(_one("rho"), lowest_common), rate=1.0, correlations=_common,
            ),
            ResidualStructure(
                name="us", time=LEVELS, parameters=_unstructured_names, default_hom=False,
                takes_hom=False, is_root=True, start=_identity_root, neutral=_identity_root,
                matrix=_unstructured, natural=lambda free, k: np.asarray(free),
            ),
            ResidualStructure(
                name="toep", time=LEVELS, parameters=_lags, start=_few, neutral=_none,
                matrix=_at_tanh(_toeplitz), natural=_tanh,
                ends=_between(_lags, _any_correlation), rate=2.0, neighbours=_powers,
                correlations=_toeplitz,
            ),
            ResidualStructure(
                name="ad1", time=LEVELS, parameters=_lags, start=_few, neutral=_none,
                matrix=_at_tanh(_antedependent), natural=_tanh,
                ends=_between(_lags, _any_correlation), rate=2.0, neighbours=_as_often,
                correlations=_antedependent,
            ),
        )
    }
)  # fmt: skip


def _above_bound(x: Any, k: int) -> Any:
    """A correlation of k exchangeable residuals: above -1/(k-1), 0 at ``log(k - 1)`` below."""
    low = lowest_common(k)
    return low + (1.0 - low) * _expit(x)


# what SAS and mmrm call a structure, and how it is written here
_ELSEWHERE = MappingProxyType(
    {
        "un": "us(visit | id)",
        "csh": "cs(visit | id, hom=False)",
        "ar1h": "ar1(visit | id, hom=False)",
        "arh1": "ar1(visit | id, hom=False)",
        "arh": "ar1(visit | id, hom=False)",
        "toeph": "toep(visit | id, hom=False)",
        "ad": "ad1(visit | id)",
        "adh": "ad1(visit | id, hom=False)",
        "ante": "ad1(visit | id, hom=False)",
        "sp_exp": "car1(time | id)",
    }
)


def residual_structure(name: str) -> ResidualStructure:
    """Find a structure by its name.

    Raises
    ------
    OptionError
        If there is none.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    known = [s for s in STRUCTURES if s not in BUILT_IN and s != "diag"]
    if name in known:
        return _from_term(STRUCTURES[name])
    if name in _ELSEWHERE:
        raise OptionError(
            f"residual structure {name!r} is written {_ELSEWHERE[name]} here, as in "
            f"residual='{_ELSEWHERE[name]}' with your time and block"
        )
    raise OptionError(
        f"residual structure {name!r} is unknown; known: {', '.join([*BUILT_IN, *known])} "
        "(variances that differ, without correlations: dispersion='~ f')"
    )
