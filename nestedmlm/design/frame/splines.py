"""B-spline bases as R's `splines` package makes them: `bs` and `ns`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.callers import PACKAGE
from nestedmlm.design.frame.values import Matrix
from nestedmlm.errors import DataError, DataWarning

MOST_COLUMNS = 1000  # that a polynomial or spline may have
MOST_DEGREE = 50  # of a spline; higher ones are numerically void


def bspline_basis(x: FloatArray, knots: FloatArray, degree: int) -> FloatArray:
    """Evaluate all B-splines of a knot sequence by the Cox-de Boor recursion.

    Parameters
    ----------
    x : ndarray, shape (n,)
        Beyond the outer knots the polynomial of the nearest interval is continued.
    knots : ndarray, shape (m,)
        Ascending, with the boundary knots repeated `degree` + 1 times.
    degree : int

    Returns
    -------
    ndarray, shape (n, m - degree - 1)
    """
    count = knots.size - degree - 1
    interval = np.clip(np.searchsorted(knots, x, side="right") - 1, degree, count - 1)
    local = np.ones((x.size, 1))  # the degree + 1 splines that are not zero at x
    for order in range(1, degree + 1):
        grown = np.zeros((x.size, order + 1))
        for j in range(order):
            right, left = knots[interval + j + 1], knots[interval + j + 1 - order]
            span = right - left  # 0 where knots coincide: no spline there, as R has it
            share = np.divide(local[:, j], span, out=np.zeros_like(span), where=span > 0)
            grown[:, j] += (right - x) * share
            grown[:, j + 1] += (x - left) * share
        local = grown
    basis = np.zeros((x.size, count))
    rows = np.arange(x.size)[:, None]
    basis[rows, interval[:, None] - degree + np.arange(degree + 1)] = local
    return basis


def _derivative_basis(x: FloatArray, knots: FloatArray, degree: int, order: int) -> FloatArray:
    """Evaluate the `order`-th derivatives of all B-splines."""
    if order == 0:
        return bspline_basis(x, knots, degree)
    lower = _derivative_basis(x, knots[1:-1], degree - 1, order - 1)
    span = knots[degree + 1 : -1] - knots[1 : -degree - 1]
    scaled = lower * np.divide(degree, span, out=np.zeros_like(span), where=span > 0)
    basis = np.zeros((x.size, scaled.shape[1] + 1))
    basis[:, 1:] += scaled
    basis[:, :-1] -= scaled
    return basis


@dataclass(frozen=True, slots=True, eq=False)
class Spline:
    """A learned spline basis.

    Attributes
    ----------
    knots : ndarray
        All knots, the boundary ones repeated.
    degree : int
    skip : int
        1 when the first column is left out (no intercept).
    natural : ndarray or None
        For `ns`: maps B-splines to those with no curvature at the ends.
    """

    knots: FloatArray
    degree: int
    skip: int
    natural: FloatArray | None = None

    def apply(self, x: FloatArray) -> Matrix:
        """Evaluate at `x`; missing values give missing rows, and so do infinite ones."""
        present = np.isfinite(x)
        if np.isinf(x).any():
            message = "a spline has no value at infinite predictors: their rows are missing"
            warnings.warn(message, DataWarning, skip_file_prefixes=PACKAGE)
        inner = self._natural(x[present]) if self.natural is not None else self._plain(x[present])
        if present.all():
            return Matrix(inner)
        values = np.full((x.size, inner.shape[1]), np.nan)
        values[present] = inner
        return Matrix(values)

    def _plain(self, x: FloatArray) -> FloatArray:
        if x.size and (x.min() < self.knots[0] or x.max() > self.knots[-1]):
            message = "values beyond the boundary knots of bs(): the spline is extrapolated"
            warnings.warn(message, DataWarning, skip_file_prefixes=PACKAGE)
        return bspline_basis(x, self.knots, self.degree)[:, self.skip :]

    def _natural(self, x: FloatArray) -> FloatArray:
        low, high = self.knots[0], self.knots[-1]
        inside = np.clip(x, low, high)
        basis = bspline_basis(inside, self.knots, 3)
        for rows, edge in ((x < low, low), (x > high, high)):
            if rows.any():  # a natural spline is linear beyond its boundary knots
                slope = _derivative_basis(np.array([edge]), self.knots, 3, 1)
                basis[rows] += (x[rows] - edge)[:, None] * slope
        assert self.natural is not None
        return np.asarray(basis[:, self.skip :] @ self.natural)


def whole_number(value: Any, name: str, function: str, *, least: int) -> int:
    """Return an option that must be a whole number.

    Raises
    ------
    DataError
        If it is not, or less than `least`.
    """
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    if not plain or not np.isfinite(value) or int(value) != value or value < least:
        raise DataError(f"{function}: {name} must be a whole number of at least {least}")
    return int(value)


def _numbers(given: Any, name: str, function: str) -> FloatArray:
    values = given if isinstance(given, list) else [given]
    plain = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if not plain or not np.isfinite(values).all():
        raise DataError(f"{function}: {name} must be numbers")
    return np.sort(np.asarray(values, dtype=float))


def _boundary(x: FloatArray, given: Any, function: str) -> FloatArray:
    if given is not None:
        ends = _numbers(given, "Boundary.knots", function)
        if ends.size != 2 or ends[0] == ends[1]:
            raise DataError(f"{function}: Boundary.knots are two different numbers")
        return ends
    if x.size == 0 or not np.isfinite(x).all():
        raise DataError("a spline needs values that are neither missing nor infinite")
    ends = np.array([x.min(), x.max()])
    if ends[0] == ends[1]:
        raise DataError(f"{function} of a constant column")
    return ends


def _inner_knots(x: FloatArray, boundary: FloatArray, count: int) -> FloatArray:
    """Place `count` knots at R's (type 7) quantiles of the values inside the boundary."""
    if count <= 0:
        return np.empty(0)
    inside = x[(x >= boundary[0]) & (x <= boundary[1])]
    if not inside.size:
        raise DataError("a spline needs values between its boundary knots")
    return np.asarray(np.quantile(inside, np.linspace(0, 1, count + 2)[1:-1]))


def _all_knots(
    x: FloatArray, df: Any, knots: Any, ends: Any, *, less: int, degree: int, function: str
) -> FloatArray:
    """All knots of a basis that has `less` columns without inner ones."""
    present = x[~np.isnan(x)]
    boundary = _boundary(present, ends, function)
    if df is not None:
        df = whole_number(df, "df", function, least=1)
        if max(df, less) > MOST_COLUMNS:
            raise DataError(f"{function} with more than {MOST_COLUMNS} columns")
    if knots is not None:
        inner = _numbers(knots, "knots", function)
        if inner.size and (inner[0] <= boundary[0] or inner[-1] >= boundary[1]):
            raise DataError(f"{function}: knots must lie between the boundary knots")
    else:
        inner = _inner_knots(present, boundary, 0 if df is None else df - less)
        if df is not None and df < less:
            message = f"{function}: df was too small; have used {less}"
            warnings.warn(message, DataWarning, skip_file_prefixes=PACKAGE)
    return np.sort(np.concatenate([np.repeat(boundary, degree + 1), inner]))


def fit_bs(
    x: FloatArray,
    df: Any = None,
    knots: Any = None,
    degree: Any = 3,
    intercept: Any = False,
    Boundary_knots: Any = None,
) -> Spline:
    """Learn R's `bs` basis from `x`."""
    degree = whole_number(degree, "degree", "bs()", least=1)
    if degree > MOST_DEGREE:
        raise DataError(f"the degree of bs() must be at most {MOST_DEGREE}")
    _check_flag(intercept, "bs()")
    less = degree + bool(intercept)
    every = _all_knots(x, df, knots, Boundary_knots, less=less, degree=degree, function="bs()")
    return Spline(every, degree, 0 if intercept else 1)


def fit_ns(
    x: FloatArray,
    df: Any = None,
    knots: Any = None,
    intercept: Any = False,
    Boundary_knots: Any = None,
) -> Spline:
    """Learn R's `ns` basis from `x`."""
    _check_flag(intercept, "ns()")
    less = 1 + bool(intercept)
    every = _all_knots(x, df, knots, Boundary_knots, less=less, degree=3, function="ns()")
    skip = 0 if intercept else 1
    near_one = np.ldexp(every, -np.frexp(every[-1] - every[0])[1])  # what is zero has no unit
    curvature = _derivative_basis(near_one[[0, -1]], near_one, 3, 2)[:, skip:]
    full, _ = np.linalg.qr(curvature.T, mode="complete")
    return Spline(every, 3, skip, full[:, 2:])


def _check_flag(value: Any, function: str) -> None:
    if not isinstance(value, bool):
        raise DataError(f"{function}: intercept is TRUE or FALSE, not {value!r}")
