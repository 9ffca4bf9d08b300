"""Recoding of X, y and the random-effects columns before crossproducts are formed.

Conditioning (all of it undone exactly when results are reported):

- X is replaced by ``X R_x^{-1}`` with orthonormal weighted columns, y by its residual from
  weighted least squares on X;
- each term's columns are replaced by ``X_t W_t``: orthonormal up to ``sqrt(n)`` for unstructured
  terms (which are equivariant under any linear recoding), scaled to unit root mean square where
  only a scaling keeps the structure. A relative factor T in the user's columns is
  ``W_t^{-1} T`` here.

Recoded columns are never held for all rows: `Recoded.rows` makes them for as many as are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance.closed_forms import cholesky, upper_inverse

if TYPE_CHECKING:
    from nestedmlm.covariance import Structure
    from nestedmlm.design.design import Design

ROWS_AT_ONCE = 16_384  # at a time: products of a piece stay in the processor's cache
_LEAST_PIVOT = 1e-4  # of unit columns: below it Cholesky loses too many digits
INDEPENDENT = 1e-8  # share of a column's norm that must be left beside the others


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recoded:
    """Columns and what is done to them.

    Attributes
    ----------
    X : (n, k) array
    steps : tuple of (k, k) arrays
    size : float
        ``size X steps[0] steps[1] …`` are the recoded columns.
    """

    X: FloatArray
    steps: tuple[FloatArray, ...] = ()
    size: float = 1.0
    _whole: list[FloatArray] = field(default_factory=list, init=False, repr=False)

    def rows(self, some: Any) -> FloatArray:
        """The recoded columns of some rows, (k, rows)."""
        if len(self.X) > ROWS_AT_ONCE:
            return self._made(self.X[some])
        if not self._whole:  # so few rows that they are kept
            self._whole.append(self._made(self.X))
        whole = self._whole[0]
        return whole if isinstance(some, slice) and _is_all(some, len(self.X)) else whole[:, some]

    def _made(self, rows: FloatArray) -> FloatArray:
        out = np.ascontiguousarray(rows.T)
        for step in self.steps:
            out = step.T @ out
        return out if self.size == 1.0 else self.size * out

    def is_multiple_of(self, other: Recoded) -> bool:
        """Whether only a factor is different."""
        return self.X is other.X and self.steps is other.steps

    def then(self, step: FloatArray) -> Recoded:
        """The same with one more step."""
        return Recoded(X=self.X, steps=(*self.steps, step))

    def times(self, number: float) -> Recoded:
        """The same, all columns multiplied by a number."""
        return replace(self, size=self.size * number)


def _is_all(rows: slice, n: int) -> bool:
    return not rows.start and rows.step is None and (rows.stop is None or rows.stop >= n)


def pieces(low: int, high: int) -> Iterator[slice]:
    """Rows from `low` to `high`, some at a time."""
    for at in range(low, high, ROWS_AT_ONCE):
        yield slice(at, min(at + ROWS_AT_ONCE, high))


def gram(columns: Recoded, w: FloatArray | None) -> FloatArray:
    """``X'WX`` of recoded columns; `w` None: no weights."""
    n, k = columns.X.shape
    if n <= ROWS_AT_ONCE:
        x = columns.rows(slice(None))
        return (x if w is None else x * w) @ x.T
    out = np.zeros((k, k))
    for piece in pieces(0, n):
        x = columns.rows(piece)
        out += (x if w is None else x * w[piece]) @ x.T
    return out


def orthonormal(X: FloatArray, w: FloatArray | None) -> tuple[Recoded, FloatArray]:
    """Return ``X R^{-1}`` with ``(X R^{-1})' W (X R^{-1}) = I``, and R.

    Two rounds of Cholesky where X is well conditioned (two passes over the rows, no (n, p)
    factorisation); Householder QR where it is not.
    """
    p = X.shape[1]
    if p == 0:
        return Recoded(X=X), np.zeros((0, 0))
    raw = Recoded(X=X)
    products = gram(raw, w)
    size = np.sqrt(products.diagonal())
    size[size == 0] = 1.0
    try:
        R1 = cholesky(products / size / size[:, None]).T
        if R1.diagonal().min() < _LEAST_PIVOT:  # this bounds the condition number
            raise np.linalg.LinAlgError
        once = raw.then(upper_inverse(R1) / size[:, None])
        R2 = cholesky(gram(once, w)).T
        return once.then(upper_inverse(R2)), R2 @ R1 * size
    except np.linalg.LinAlgError:
        root = 1.0 if w is None else np.sqrt(w)[:, None]
        Q, R = np.linalg.qr(X / size * root)
        return Recoded(X=Q / root), R * size


def least_squares(X: Recoded, y: FloatArray, w: FloatArray | None) -> FloatArray:
    """Coefficients of y on the orthonormal X, in two rounds: the second removes rounding."""
    beta = np.zeros(X.X.shape[1])
    for _ in range(2):
        correction = np.zeros_like(beta)
        for piece in pieces(0, len(y)):
            x = X.rows(piece)
            rest = y[piece] - beta @ x
            correction += x @ (rest if w is None else w[piece] * rest)
        beta = beta + correction
    return beta


def scaled_columns(
    design: Design, w: FloatArray | None, X: tuple[Recoded, FloatArray] | None = None
) -> tuple[tuple[Recoded, ...], tuple[FloatArray, ...]]:
    """Columns of each term after scaling, and its W.

    Parameters
    ----------
    design : Design
    w : (n,) array or None
    X : tuple, optional
        ``orthonormal(design.X, w)`` where the caller has it: terms may have the same matrix.
    """
    scaled = [
        _scaled_term(t.X, t.structure, t.hom, w, X if t.X is design.X else None)
        for t in design.terms
    ]
    for i, term in enumerate(design.terms):
        factor = design.factors[term.factor]
        if factor.basis is not None:  # its rows get a mean square of one, too
            own = np.einsum("ij,ij->i", factor.basis, factor.basis)[factor.codes]
            size = 1.0 / math.sqrt(own.mean() or 1.0)
            scaled[i] = (scaled[i][0].times(size), scaled[i][1] * size)
    return tuple(s[0] for s in scaled), tuple(s[1] for s in scaled)


def _scaled_term(
    X: FloatArray,
    structure: Structure,
    hom: bool,
    w: FloatArray | None,
    known: tuple[Recoded, FloatArray] | None,
) -> tuple[Recoded, FloatArray]:
    """Recode one term's columns as far as its structure allows; return (X W, W)."""
    n, k = X.shape
    if structure.recodable and k > 1:
        Q, R = known or orthonormal(X, w)
        sizes = np.sqrt((R * R).sum(axis=0))
        if (np.abs(R.diagonal()) > INDEPENDENT * np.maximum(sizes, 1e-300)).all():
            root = math.sqrt(n)
            return Q.times(root), upper_inverse(R) * root
    # per row, not per unit of weight: multiplying all weights then changes nothing here
    rms = np.sqrt(gram(Recoded(X=X), w).diagonal() / n)
    rms[rms == 0] = 1.0
    if hom:
        rms[:] = np.sqrt(np.mean(rms**2))
    W = np.diag(1.0 / rms)
    return Recoded(X=X).then(W), W
