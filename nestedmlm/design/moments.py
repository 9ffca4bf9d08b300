"""Means and products of a design's columns: of its rows, or of the sums in their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nestedmlm._typing import FloatArray
from nestedmlm.design.matrices.reterms import ReTerm
from nestedmlm.design.rows import rows_here

if TYPE_CHECKING:
    from nestedmlm.design.design import Design
    from nestedmlm.design.sums import Sums

_CONSTANT = 1e-14  # share of a column's squares about its mean that is only rounding


def fixed_matrix(design: Design) -> FloatArray:
    """A matrix with the products of the fixed effects' columns: X, or a few rows like it."""
    if design.sums is not None:
        return design.sums.root[:, list(design.sums.x)]
    return design.X


def all_fixed_columns(sums: Sums) -> FloatArray:
    """A few rows like X before columns were dropped."""
    return sums.root[:, list(sums.every)]


def term_matrix(term: ReTerm) -> FloatArray:
    """A matrix with the products of a term's columns: its own, or a few rows like it."""
    if term.sums is not None:
        return term.sums.root[:, list(term.sums.terms[term.number])]
    return term.X


def with_same_rows(one: Design, other: Design) -> tuple[Design, Design]:
    """Two designs of the same data, as designs whose matrices have the same rows.

    Those of the same sums have them; of others the rows of the data are taken.

    Raises
    ------
    RowsNotHereError
        If they were made of different sums, and one has no rows.
    """
    if one.sums is None and other.sums is None:
        return one, other
    if one.sums is not None and other.sums is not None and one.sums.same_data(other.sums):
        return one, other
    wanted = "whether one model is part of another that was made of other sums"
    one, other = (d.with_rows(rows_here(d.rows, wanted)) for d in (one, other))
    return one, other


def term_products(term: ReTerm) -> FloatArray:
    """``X'X / n`` of a term's columns, (k, k)."""
    X = term_matrix(term)
    n = len(X) if term.sums is None else term.sums.cells.tally.n
    return X.T @ X / n


def term_sizes(term: ReTerm) -> FloatArray:
    """Root mean squares of a term's columns, (k,)."""
    if term.sums is not None:
        return np.sqrt(term_products(term).diagonal())
    return np.asarray(np.sqrt(np.mean(term.X**2, axis=0)))


def term_means(term: ReTerm) -> FloatArray:
    """Means of a term's columns, (k,)."""
    if term.sums is not None:
        return _means(term.sums)[list(term.sums.terms[term.number])]
    return np.asarray(term.X.mean(axis=0))


def term_quantiles(term: ReTerm, j: int, at: Sequence[float]) -> FloatArray | None:
    """Quantiles of a term's column, by linear interpolation; None of a constant column.

    NaN where sums do not tell them: of a column of the data that is among the fixed effects they
    count the values, or where there are many know the smallest and the largest.
    """
    if term.rows is not None or term.sums is None:
        values = term.X[:, j]
        return None if values.min() == values.max() else np.quantile(values, at)
    place = term.sums.terms[term.number][j]
    if _deviations(term.sums)[place, place] <= 0.0:
        return None
    found, name = np.full(len(at), np.nan), term.columns[j]
    tally = term.sums.cells.tally.predictors
    number = None if tally is None else tally.numbers.get(name)
    if tally is None or number is None:
        return found
    if name in tally.values:
        values, counts = tally.numbered(name)
        last = np.cumsum(counts) - 1
        where = np.asarray(at) * last[-1]
        low, high = (values[np.searchsorted(last, f(where))] for f in (np.floor, np.ceil))
        return np.asarray(low + (where - np.floor(where)) * (high - low))
    if number.low < number.high:  # not so of shared sums, which do not tell
        ends = {0.0: number.low, 1.0: number.high}
        return np.array([ends.get(q, np.nan) for q in at])
    return found


def fixed_means(design: Design) -> FloatArray:
    """Means of the fixed effects' columns, (p,)."""
    sums = _sums(design)
    if sums is None:
        return design.X.mean(axis=0) if design.p else np.zeros(0)
    return _means(sums)[list(sums.x)]


def fixed_deviations(design: Design) -> FloatArray:
    """Sums of products of the fixed effects' columns about their means, (p, p)."""
    sums = _sums(design)
    if sums is None:
        # centred first: squares of large means would cost digits
        centred = design.X - design.X.mean(axis=0)
        return centred.T @ centred
    return _deviations(sums)[np.ix_(sums.x, sums.x)]


@dataclass(frozen=True, slots=True)
class ColumnMoments:
    """Mean, standard deviation (n - 1) and root mean square of a column."""

    mean: float
    sd: float
    rms: float


def response_moments(design: Design) -> ColumnMoments:
    """Of the response less the offset."""
    sums = _sums(design)
    if sums is not None and sums.drawn:
        rows_here(None, "the mean of a response that was drawn from sums")
    if sums is not None:
        return _moments(sums, -1)
    y = design.y if design.offset is None else design.y - design.offset
    return ColumnMoments(float(np.mean(y)), float(np.std(y, ddof=1)), float(np.sqrt(np.mean(y**2))))


def column_moments(design: Design, j: int) -> ColumnMoments:
    """Of a column of the fixed effects."""
    sums = _sums(design)
    if sums is not None:
        return _moments(sums, sums.x[j])
    x = design.X[:, j]
    return ColumnMoments(float(np.mean(x)), float(np.std(x, ddof=1)), float(np.sqrt(np.mean(x**2))))


def mean_weight(design: Design) -> float | None:
    """Mean of the prior weights; None where there are none."""
    sums = _sums(design)
    if sums is None:
        return None if design.weights is None else float(np.mean(design.weights))
    tally = sums.cells.tally
    return None if sums.cells.plain is None else tally.sum_w / tally.n


def mean_inverse_weight(design: Design) -> float:
    """Mean of one over the prior weights."""
    sums = _sums(design)
    if sums is None:
        return 1.0 if design.weights is None else float(np.mean(1.0 / design.weights))
    return sums.cells.tally.sum_inverse_w / sums.cells.tally.n


def group_codes(design: Design) -> tuple[npt.NDArray[np.int32], ...]:
    """Levels of each factor, by rows or by observed combinations: what nesting is read from."""
    return tuple(factor.combinations for factor in design.factors)


def group_sizes(design: Design, factor: int) -> npt.NDArray[np.int64]:
    """Number of rows of each level of a factor."""
    sums, levels = _sums(design), len(design.factors[factor].levels)
    if sums is None:
        return np.bincount(design.factors[factor].codes, minlength=levels)
    counts = np.bincount(sums.codes[factor], sums.cells.counts, minlength=levels)
    return counts.round().astype(np.int64)


def _sums(design: Design) -> Sums | None:
    """Sums, where there are any: rows beside them have the same, and may not be built."""
    if design.sums is not None:
        return design.sums
    rows_here(design.rows, "means of columns")
    return None


def _means(sums: Sums) -> FloatArray:
    means: FloatArray = sums.cells.sums @ sums.cells.basis / sums.cells.tally.n
    return means


def _deviations(sums: Sums) -> FloatArray:
    """Products about the means: in the basis first, where they lose no digits."""
    cells = sums.cells
    plain = cells.total if cells.plain is None else cells.plain
    about = 0.5 * (plain + plain.T) - np.outer(cells.sums, cells.sums) / cells.tally.n
    out: FloatArray = cells.basis.T @ about @ cells.basis
    constant = np.abs(out.diagonal()) <= _CONSTANT * (sums.root**2).sum(axis=0)
    out[constant], out[:, constant] = 0.0, 0.0
    return out


def _moments(sums: Sums, j: int) -> ColumnMoments:
    n = sums.cells.tally.n
    square = max(float(_deviations(sums)[j, j]), 0.0)
    rms = float(np.linalg.norm(sums.root[:, j])) / np.sqrt(n)
    return ColumnMoments(float(_means(sums)[j]), float(np.sqrt(square / max(n - 1, 1))), rms)
