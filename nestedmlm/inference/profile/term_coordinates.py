"""One term's relative factor in coordinates that include the parameter to be held.

What the coordinates are:

- a standard deviation c of an unstructured term: its columns are recoded so that this one comes
  first, then ``T[0, 0] = c / sigma``, and c may be zero;
- a correlation of two columns: these two come first, then the second row of T is
  ``s (sin a, cos a)`` with ``sin a`` the correlation, smooth at -1 and 1;
- a parameter of a structured term: one of the optimizer's own coordinates.

Everything is smooth where a covariance becomes singular.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance import TermShape, echelon, lower_indices
from nestedmlm.inference.variances.parameters import ModelParameter

Curve = Callable[[FloatArray, complex], FloatArray]
_RIGHT_ANGLE = 0.5 * np.pi


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Piece:
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
        Places in x of coordinates at whose zero the held one no longer matters: the standard
        deviations of a held correlation.
    phi : callable (x, log_sigma) -> array, or None
        The optimizer's coordinates, for a structured term.
    held : int
        Place of the held coordinate in x; -1 if there is none.
    to_natural, from_natural : callables
        Between the held coordinate and the reported parameter.
    lower, upper : float
        Ends of the held coordinate.
    """

    start: FloatArray
    basis: FloatArray
    curve: Curve | None = None
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


def free_piece(shape: TermShape, phi: FloatArray) -> Piece:
    """The optimizer's own coordinates: nothing is held."""
    structure = shape.structure
    k, m = shape.k, len(phi)
    if structure.linear:
        columns = [structure.factor(np, e, k, shape.hom).ravel() for e in np.eye(m)]
        return Piece(start=phi, basis=np.column_stack(columns))
    return Piece(
        start=phi,
        basis=np.zeros((k * k, 0)),
        curve=lambda x, _: structure.factor(np, x, k, shape.hom).ravel(),
        n_curved=m,
        signed=0 if shape.hom else k,
        phi=lambda x, _: x,
    )


def held_sd(
    parameter: ModelParameter,
    shape: TermShape,
    W: FloatArray,
    T: FloatArray,
    phi: FloatArray,
    sigma: float,
) -> Piece:
    """Hold the standard deviation of one column of an unstructured term."""
    k, i = shape.k, parameter.i
    order = np.array([i, *(c for c in range(k) if c != i)])
    R = np.linalg.inv(W)
    U = _orthonormal_from_last(R[:, order])
    corner = U[0, 0]
    L = echelon(np.linalg.solve(U, T[order]))
    basis = _products(R[:, order] @ U, k)
    first = basis[:, 0] / corner
    return Piece(
        start=np.append(sigma * corner * L[0, 0], L[lower_indices(k)][1:]),
        basis=basis[:, 1:],
        curve=lambda x, log_sigma: first * (x[0] * np.exp(-log_sigma)),
        n_curved=1,
        uses_sigma=True,
        held=0,
    )


def held_correlation(
    parameter: ModelParameter,
    shape: TermShape,
    W: FloatArray,
    T: FloatArray,
    phi: FloatArray,
    sigma: float,
) -> Piece:
    """Hold the correlation of two columns of an unstructured term."""
    k = shape.k
    first = [parameter.j, parameter.i]
    order = np.array([*first, *(c for c in range(k) if c not in first)])
    R = np.linalg.inv(W)[:, order]
    U = _orthonormal_from_last(R)
    U[:2, :2] = np.diag(1.0 / np.linalg.norm(R[:, :2], axis=0))  # the pair is only rescaled
    L = echelon(np.linalg.solve(U, T[order]))
    basis = _products(R @ U, k)  # columns: L00, L10, ..., L11, ...
    second = basis[:, k]
    sine = basis[:, 1]
    rest = [c for c in range(basis.shape[1]) if c not in (0, 1, k)]
    angle = float(np.arctan2(L[1, 0], L[1, 1]))

    def curve(x: FloatArray, log_sigma: complex) -> FloatArray:
        out: FloatArray = basis[:, 0] * x[0] + x[1] * (sine * np.sin(x[2]) + second * np.cos(x[2]))
        return out

    return Piece(
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


def held_structured(
    parameter: ModelParameter,
    shape: TermShape,
    W: FloatArray,
    T: FloatArray,
    phi: FloatArray,
    sigma: float,
) -> Piece:
    """Hold a standard deviation or a correlation parameter of a structured term."""
    structure = shape.structure
    k, hom = shape.k, shape.hom
    n_sd = len(phi) - len(structure.parameters(k))
    at = parameter.i if parameter.kind == "sd" else n_sd + parameter.i
    start = phi.copy()
    start[:n_sd] = np.abs(start[:n_sd])
    signed = 0 if hom or structure.linear else n_sd
    common = {
        "basis": np.zeros((k * k, 0)), "n_curved": len(phi), "signed": signed, "held": at,
    }  # fmt: skip
    if parameter.kind == "sd":
        unit = np.diag(W)[at]  # relative SD = coordinate * unit
        start[at] *= sigma * unit
        ones = np.arange(len(phi)) == at

        def scaled(x: FloatArray, log_sigma: complex) -> FloatArray:
            inner = np.where(ones, x * np.exp(-log_sigma) / unit, x)
            out: FloatArray = structure.factor(np, inner, k, hom).ravel()
            return out

        def phi_at(x: FloatArray, log_sigma: float) -> FloatArray:
            out: FloatArray = np.where(ones, x * np.exp(-log_sigma) / unit, x)
            return out

        return Piece(start=start, curve=scaled, phi=phi_at, uses_sigma=True, **common)  # type: ignore[arg-type]

    def to_natural(coordinate: float) -> float:
        part = start.copy()
        part[at] = coordinate
        return float(structure.to_theta(part, W, hom)[at])

    def from_natural(value: float) -> float:
        theta = structure.to_theta(start, W, hom)
        theta[at] = value
        return float(structure.to_phi(theta, W, hom)[at])

    start[at] = from_natural(to_natural(start[at]))  # an angle: the branch the ends are on
    return Piece(
        start=start,
        curve=lambda x, _: structure.factor(np, x, k, hom).ravel(),
        phi=lambda x, _: x,
        to_natural=to_natural,
        from_natural=from_natural,
        lower=from_natural(parameter.lower),
        upper=from_natural(parameter.upper),
        **common,  # type: ignore[arg-type]
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
