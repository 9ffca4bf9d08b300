"""Coordinates of one term of a model, which may have one of its parameters as an entry.

What the coordinates are:

- a standard deviation c of an unstructured term: its columns are recoded so that this one comes
  first, then ``T[0, 0] = c / sigma``, and c may be zero;
- a correlation of two columns: these two come first, then the second row of T is
  ``s (sin a, cos a)`` with ``sin a`` the correlation, smooth at -1 and 1;
- a parameter of a structured term: one of the optimizer's own coordinates
  (`nestedmlm.inference.profile.structured_coordinates`).

Everything is smooth where a covariance becomes singular.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance import Structure, TermShape, echelon, lower_indices
from nestedmlm.design.model_parameters import ModelParameter

_RIGHT_ANGLE = 0.5 * np.pi


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TermAt:
    """One random-effects term at the estimate.

    Attributes
    ----------
    shape : TermShape
    W : (k, k) array
        Transform from scaled to user's columns.
    T : (k, k) array
        Relative factor, user's columns.
    phi : array
        The optimizer's coordinates.
    sigma : float
        Residual standard deviation.
    """

    shape: TermShape
    W: FloatArray
    T: FloatArray
    phi: FloatArray
    sigma: float

    @property
    def structure(self) -> Structure:
        """The term's covariance structure."""
        return self.shape.structure


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TermCoordinates:
    """One term's relative factor (scaled columns) as a function of x and ``log sigma``.

    Attributes
    ----------
    start : (m,) array
        The coordinates x at the estimate.
    basis : (k*k, m - n_curved) array
        The linear part, in the coordinates after the first `n_curved`.
    curve : callable (x[:n_curved], log_sigma) -> (k*k,) array, or None
        The rest; takes complex numbers too.
    n_curved : int
    uses_sigma : bool
        Whether `curve` depends on ``log sigma``.
    signed : int
        How many of the first coordinates are standard deviations whose sign would matter.
    removable : tuple of int
        Indices in x of the two standard deviations of a held correlation: where one of them is
        zero the correlation changes nothing.
    phi : callable (x, log_sigma) -> array, or None
        The optimizer's coordinates, for a structured term.
    held : int
        Index of the held coordinate in x; -1 if there is none.
    to_natural, from_natural : callables
        Between the held coordinate and the parameter as it is reported.
    lower, upper : float
        Ends of the held coordinate.
    """

    start: FloatArray
    basis: FloatArray
    curve: Callable[[FloatArray, complex], FloatArray] | None = None
    n_curved: int = 0
    uses_sigma: bool = False
    signed: int = 0
    removable: tuple[int, ...] = ()
    phi: Callable[[FloatArray, float], FloatArray] | None = None
    held: int = -1
    to_natural: Callable[[float], float] = float
    from_natural: Callable[[float], float] = float
    lower: float = 0.0
    upper: float = np.inf


def held_sd(parameter: ModelParameter, term: TermAt) -> TermCoordinates:
    """Hold the standard deviation of one column of an unstructured term."""
    k, i = term.shape.k, parameter.i
    order = np.array([i, *(c for c in range(k) if c != i)])
    R = np.linalg.inv(term.W)
    U = _orthonormal_from_last(R[:, order])
    corner = U[0, 0]
    L = echelon(np.linalg.solve(U, term.T[order]))
    basis = _products(R[:, order] @ U, k)
    first = basis[:, 0] / corner
    return TermCoordinates(
        start=np.append(term.sigma * corner * L[0, 0], L[lower_indices(k)][1:]),
        basis=basis[:, 1:],
        curve=lambda x, log_sigma: first * (x[0] * np.exp(-log_sigma)),
        n_curved=1,
        uses_sigma=True,
        held=0,
    )


def held_correlation(parameter: ModelParameter, term: TermAt) -> TermCoordinates:
    """Hold the correlation of two columns of an unstructured term."""
    k = term.shape.k
    pair = [parameter.j, parameter.i]
    order = np.array([*pair, *(c for c in range(k) if c not in pair)])
    R = np.linalg.inv(term.W)[:, order]
    U = _orthonormal_from_last(R)
    U[:2, :2] = np.diag(1.0 / np.linalg.norm(R[:, :2], axis=0))  # the pair is only rescaled
    L = echelon(np.linalg.solve(U, term.T[order]))
    basis = _products(R @ U, k)  # columns: L00, L10, ..., L11, ...
    first, sine, cosine = basis[:, 0], basis[:, 1], basis[:, k]
    rest = [c for c in range(basis.shape[1]) if c not in (0, 1, k)]
    angle = float(np.arctan2(L[1, 0], L[1, 1]))

    def curve(x: FloatArray, log_sigma: complex) -> FloatArray:
        out: FloatArray = first * x[0] + x[1] * (sine * np.sin(x[2]) + cosine * np.cos(x[2]))
        return out

    return TermCoordinates(
        start=np.concatenate(
            [[L[0, 0], np.hypot(L[1, 0], L[1, 1]), angle], L[lower_indices(k)][rest]]
        ),
        basis=basis[:, rest],
        curve=curve,
        n_curved=3,
        signed=2,
        removable=(0, 1),
        held=2,
        to_natural=lambda a: float(np.sin(a)),
        from_natural=lambda r: float(np.arcsin(np.clip(r, -1.0, 1.0))),
        lower=-_RIGHT_ANGLE,
        upper=_RIGHT_ANGLE,
    )


def _orthonormal_from_last(R: FloatArray) -> FloatArray:
    """Lower-triangular U with orthonormal ``R U``: only its first column has row 0 of U."""
    upper = np.linalg.qr(R[:, ::-1])[1]
    signs = np.where(np.diag(upper) < 0, -1.0, 1.0)
    U: FloatArray = np.linalg.inv(signs[:, None] * upper)[::-1, ::-1]
    return np.tril(U)


def _products(C: FloatArray, k: int) -> FloatArray:
    """Columns ``vec(C E_ab)`` for the entries (a, b) of a lower triangle, column by column."""
    rows, cols = lower_indices(k)
    out = np.zeros((k, k, len(rows)))
    out[:, cols, np.arange(len(rows))] = C[:, rows]
    return out.reshape(k * k, -1)
