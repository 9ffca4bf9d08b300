"""Bases of penalised smooths in their mixed form: cubic regression, P-splines, thin plates.

A smooth of x is ``f(x) = B(x) c`` with the penalty ``c'S c / tau^2``. After the constraint that it
sums to zero over the data, ``S = U diag(lambda, 0) U'``: what is not penalised is x itself, a fixed
effect, and the rest is ``B U lambda^{-1/2} v`` with independent v, a random effect. Everything that
was learned from the data (knots, eigenvectors, constraint) is kept for new values.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import BSpline

from nestedmlm._typing import FloatArray
from nestedmlm.callers import PACKAGE
from nestedmlm.errors import DataError, DataWarning, OptionError

Functions = Callable[[FloatArray], FloatArray]

MOST_VALUES = 2_000  # different values of x from which a thin plate is learned, as in mgcv
_DEGREE = 3  # of B-splines
_MARGIN = 0.001  # of the range, by which P-spline knots stand outside the data, as in mgcv
_PENALISED = 1e-8  # smallest eigenvalue of a penalty that counts, as a share of the largest


@dataclass(frozen=True, slots=True, eq=False)
class CubicRegression:
    """Cubic regression splines: values at knots (Wood 2017, section 5.3.1; mgcv's ``"cr"``).

    Attributes
    ----------
    knots : ndarray, shape (k,)
    curvature : ndarray, shape (k, k)
        Second derivatives at the knots of each function; zero at the ends.
    """

    knots: FloatArray
    curvature: FloatArray

    def __call__(self, x: FloatArray) -> FloatArray:
        """Values of the functions at x, shape (n, k)."""
        knots, F = self.knots, self.curvature
        inside = np.clip(x, knots[0], knots[-1])
        j = np.clip(np.searchsorted(knots, inside, side="right") - 1, 0, len(knots) - 2)
        h = knots[j + 1] - knots[j]
        up, down = inside - knots[j], knots[j + 1] - inside
        out = ((down**3 / h - h * down) / 6)[:, None] * F[j]
        out += ((up**3 / h - h * up) / 6)[:, None] * F[j + 1]
        slope = (h / 6 - down**2 / (2 * h))[:, None] * F[j]
        slope += (up**2 / (2 * h) - h / 6)[:, None] * F[j + 1]
        at = np.arange(len(x))
        out[at, j] += down / h
        out[at, j + 1] += up / h
        slope[at, j] -= 1 / h
        slope[at, j + 1] += 1 / h
        return out + (x - inside)[:, None] * slope  # straight lines outside


@dataclass(frozen=True, slots=True, eq=False)
class PSpline:
    """Cubic B-splines on even knots (Eilers and Marx 1996; mgcv's ``"ps"``).

    Attributes
    ----------
    knots : ndarray, shape (k + 4,)
    """

    knots: FloatArray

    def __call__(self, x: FloatArray) -> FloatArray:
        """Values of the functions at x, shape (n, k)."""
        low, high = self.knots[_DEGREE], self.knots[-_DEGREE - 1]
        splines = BSpline(self.knots, np.eye(len(self.knots) - _DEGREE - 1), _DEGREE)
        inside = np.clip(x, low, high)
        out: FloatArray = splines(inside)
        far = np.flatnonzero(inside != x)
        if far.size:  # straight lines outside
            out[far] += (x - inside)[far, None] * splines.derivative()(inside[far])
        return out


@dataclass(frozen=True, slots=True, eq=False)
class ThinPlate:
    """Thin-plate regression splines of one variable (Wood 2003; mgcv's ``"tp"``).

    Attributes
    ----------
    values : ndarray, shape (m,)
        The different values of x, minus `center`.
    weights : ndarray, shape (m, k - 2)
        Of ``|x - value|^3 / 12`` in each function.
    center : float
    """

    values: FloatArray
    weights: FloatArray
    center: float

    def __call__(self, x: FloatArray) -> FloatArray:
        """Values of the functions at x, shape (n, k); the last two are 1 and x."""
        own = x - self.center
        radial = np.abs(own[:, None] - self.values) ** 3 / 12
        return np.column_stack([radial @ self.weights, np.ones(len(x)), own])


def _cubic_regression(x: FloatArray, k: int) -> tuple[Functions, FloatArray]:
    knots = np.quantile(np.unique(x), np.linspace(0.0, 1.0, k))
    h = np.diff(knots)
    D, B = np.zeros((k - 2, k)), np.diag((h[:-1] + h[1:]) / 3)
    at = np.arange(k - 2)
    D[at, at], D[at, at + 1], D[at, at + 2] = 1 / h[:-1], -1 / h[:-1] - 1 / h[1:], 1 / h[1:]
    B[at[:-1], at[1:]] = B[at[1:], at[:-1]] = h[1:-1] / 6
    inner = np.linalg.solve(B, D)
    return CubicRegression(knots, np.pad(inner, ((1, 1), (0, 0)))), D.T @ inner


def _p_spline(x: FloatArray, k: int) -> tuple[Functions, FloatArray]:
    margin = _MARGIN * np.ptp(x)
    low, high, pieces = x.min() - margin, x.max() + margin, k - _DEGREE
    step = (high - low) / pieces
    knots = low + step * np.arange(-_DEGREE, pieces + _DEGREE + 1)
    D = np.diff(np.eye(k), 2, axis=0)
    return PSpline(knots), D.T @ D


def _thin_plate(x: FloatArray, k: int) -> tuple[Functions, FloatArray]:
    center = float(x.mean())
    values = np.unique(x) - center
    if len(values) > MOST_VALUES:
        raise DataError(
            f'a smooth with bs="tp" is learned from at most {MOST_VALUES:,} different values, '
            f'and there are {len(values):,}: use bs="cr", or round them'
        )
    E = np.abs(values[:, None] - values) ** 3 / 12
    w, U = np.linalg.eigh(E)
    largest = np.argsort(-np.abs(w))[:k]
    w, U = w[largest], U[:, largest]
    plane = np.column_stack([np.ones(len(values)), values])
    free = np.linalg.qr(U.T @ plane, mode="complete")[0][:, 2:]
    S = np.zeros((k, k))
    S[: k - 2, : k - 2] = free.T @ (w[:, None] * free)
    return ThinPlate(values, U @ free, center), S


_BASES: dict[str, tuple[Callable[[FloatArray, int], tuple[Functions, FloatArray]], int]] = {
    "tp": (_thin_plate, 3),  # with the smallest k
    "cr": (_cubic_regression, 3),
    "ps": (_p_spline, 4),
}


@dataclass(frozen=True, slots=True, eq=False)
class SmoothBasis:
    """The penalised functions of a smooth, with independent coefficients.

    Attributes
    ----------
    functions : callable
        Values of the k functions before the constraint, as columns.
    directions : ndarray, shape (k, k - 2)
        What makes penalised functions of them that sum to zero over the data.
    """

    functions: Functions
    directions: FloatArray

    def __call__(self, x: npt.ArrayLike) -> FloatArray:
        """Values of the penalised functions.

        Parameters
        ----------
        x : array, shape (n,)
            Outside the data the functions go on as straight lines, as in mgcv.

        Returns
        -------
        ndarray, shape (n, k - 2)
        """
        x = np.asarray(x, dtype=float)
        if np.isinf(x).any():
            message = "a smooth has no value at infinite predictors: their rows are missing"
            warnings.warn(message, DataWarning, skip_file_prefixes=PACKAGE)
        return self.functions(np.where(np.isinf(x), np.nan, x)) @ self.directions


def learn_basis(
    x: npt.ArrayLike, *, k: int = 10, bs: str = "tp", centred: bool = True
) -> SmoothBasis:
    """Learn the basis of a smooth from data.

    Parameters
    ----------
    x : array, shape (n,)
        All rows, finite: the constraint sums over rows.
    k : int
        Number of functions; two are a constant and x itself.
    bs : {"tp", "cr", "ps"}
        Thin plate, cubic regression spline, P-spline.
    centred : bool
        Whether the functions sum to zero over the data. Those that numbers multiply need not, as
        the constant is one of their own effects then.

    Returns
    -------
    SmoothBasis

    Raises
    ------
    OptionError
        If `bs` is unknown, or k too small for it.
    DataError
        If x has fewer than k different values, or for ``"tp"`` too many.

    Examples
    --------
    >>> import numpy as np
    >>> from nestedmlm.design.smooth_bases import learn_basis
    >>> x = np.linspace(0, 1, 50)
    >>> basis = learn_basis(x, k=6, bs="cr")
    >>> basis(x).shape
    (50, 4)
    >>> bool(np.abs(basis(x).sum(axis=0)).max() < 1e-10)
    True
    """
    own = np.asarray(x, dtype=float)
    if bs not in _BASES:
        raise OptionError(f"bs={bs!r} is no basis of a smooth; there are {', '.join(_BASES)}")
    learn, least = _BASES[bs]
    if k < least:
        raise OptionError(f'k={k} is too small for bs="{bs}", which needs at least {least}')
    different = len(np.unique(own))
    if different < k:
        raise DataError(
            f"a smooth with k={k} needs {k} different values, and there are {different}: "
            f"write k={different} or less"
        )
    functions, S = learn(own, k)
    free = np.eye(k)
    if centred:
        free = np.linalg.qr(functions(own).sum(axis=0)[:, None], mode="complete")[0][:, 1:]
    values, vectors = np.linalg.eigh(free.T @ S @ free)
    kept = values > _PENALISED * values[-1]
    return SmoothBasis(functions, free @ (vectors[:, kept] / np.sqrt(values[kept])))
