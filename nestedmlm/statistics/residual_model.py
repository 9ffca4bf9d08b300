"""`ResidualModel`: what is known of the residuals' covariance R before its parameters are.

``e ~ N(0, sigma^2 W^-1/2 R W^-1/2)`` with R block-diagonal, ``R_i = D_i C_i D_i``: D by a
log-linear model of the standard deviations, C by a correlation within blocks, one for all or one
for each group of blocks. The inverse is ``sum_m c_m E_m`` with E_m fixed pairs of rows, so that
crossproducts are ``sum_m c_m B_m``: see `nestedmlm.statistics.pair_sums`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.covariance.residual_structures import BLOCK, GAPS, ResidualStructure
from nestedmlm.covariance.structure import COMPLEX_STEP
from nestedmlm.statistics.residual_correlation import (
    Correlation,
    Independent,
    Pairs,
    decay,
    exchangeable,
    rows_by_size,
)
from nestedmlm.statistics.residual_visits import visits

if TYPE_CHECKING:
    from nestedmlm.design.residual import ResidualRows
    from nestedmlm.statistics.pair_sums import ResidualAt


_LEAST = 1e-6  # size of a coefficient, over the largest, that changes are relative to
_STANDS_STILL = 1e-9  # singular value, over the largest, of a direction that changes nothing
_MOVES = 1e-6  # relative change of a covariance along a direction that counts as one
_FAR = 3.0  # means of predictors, in their standard deviations, from which they are centered


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResidualModel:
    """Pairs of rows, and the map from the free parameters to their coefficients.

    The parameters are first those of the log standard deviations, then those of the correlations,
    group after group.

    Attributes
    ----------
    pairs : Pairs
    c_of, a, b : (M,) int arrays
        The correlation's coefficient of each of ours, and the classes of the two rows: ours is
        that one times ``exp(-log sd[a] - log sd[b])``.
    classes : (C, q) array
        The rows of the log-linear model that occur, in units of `unit`.
    row_class : (n,) int array
    counts : (C,) array
        Rows of each class.
    unit : (q,) array
        What columns of the log-linear model were divided by.
    correlations : tuple of Correlation
        One for each group of blocks.
    blocks : tuple of (int array, int array)
        For each group its blocks by size: rows in the order of time.
    time : (n,) array
    structure : ResidualStructure or None
    levels : int
        Of the times, where they are levels of a factor.
    names : tuple of str
        Of the parameters.
    """

    pairs: Pairs
    c_of: IntArray
    a: IntArray
    b: IntArray
    classes: FloatArray
    row_class: IntArray
    counts: FloatArray
    unit: FloatArray
    correlations: tuple[Correlation, ...]
    blocks: tuple[tuple[IntArray, ...], ...]
    time: FloatArray
    structure: ResidualStructure | None
    levels: int
    names: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number M of coefficients."""
        return len(self.c_of)

    @property
    def q(self) -> int:
        """Number of parameters of the log standard deviations."""
        return int(self.classes.shape[1])

    @property
    def start(self) -> FloatArray:
        """Free parameters to start from."""
        return np.concatenate([np.zeros(self.q), *(part.start for part in self.correlations)])

    @property
    def neutral(self) -> list[FloatArray]:
        """Free parameters of next to no correlation, for each group."""
        if self.structure is None:
            return []
        return [self.structure.neutral(self.levels_of(part)) for part in self.correlations]

    def neighbours(self, r: float) -> list[FloatArray]:
        """Free parameters of neighbours that correlate by r, for each group; none if unknown."""
        if self.structure is None or self.structure.neighbours is None:
            return []
        of = self.structure.neighbours
        return [of(r, self.levels_of(part)) for part in self.correlations]

    def natural(self, free: FloatArray) -> FloatArray:
        """Values of the parameters: ratios of standard deviations, and correlations.

        A slope of the log standard deviation is per unit of its predictor.
        """
        log_sd = free[: self.q] / self.unit
        ratios = np.where([n.startswith("sd_ratio") for n in self.names[: self.q]],
                          np.exp(log_sd), log_sd)  # fmt: skip
        out = [ratios]
        for part, own in self._parts():
            if self.structure is not None:
                value = np.asarray(self.structure.natural(free[own], self.levels_of(part)))
                unit = 1.0 if self.structure.whole_gaps else getattr(part, "unit", 1.0)
                out.append(value ** (1.0 / unit))
        return np.concatenate(out)

    def centered(self) -> tuple[ResidualModel, FloatArray]:
        """The same with predictors of the log standard deviation near their means.

        Returns
        -------
        ResidualModel
        shift : (q,) array
            What was taken off; zero where the mean is not far from zero.
        """
        mean = self.counts @ self.classes / self.counts.sum()
        shift = np.where(np.abs(mean) > _FAR, mean, 0.0)
        return replace(self, classes=self.classes - shift), shift

    def like(self, other: ResidualModel) -> ResidualModel:
        """The same with free parameters that mean what they do in another one, of more rows."""
        parts = zip(self.correlations, other.correlations, strict=False)
        return replace(
            self,
            classes=self.classes * (self.unit / other.unit),
            unit=other.unit,
            correlations=tuple(part.like(whole) for part, whole in parts),
        )

    def levels_of(self, part: Correlation) -> int:
        """Levels of a correlation: of the times, or rows of the largest block."""
        return int(getattr(part, "largest", self.levels))

    @property
    def cuts(self) -> list[slice]:
        """Each correlation's places among the free parameters."""
        ends = self.q + np.cumsum([len(part.start) for part in self.correlations])
        return [
            slice(int(end) - len(part.start), int(end))
            for end, part in zip(ends, self.correlations, strict=True)
        ]

    def coefficients(self, free: Any) -> tuple[Any, Any]:
        """Coefficients (M,), and ``log|R|``."""
        log_sd = self.classes @ free[: self.q]
        parts = [p.coefficients(free[own]) for p, own in self._parts()]
        c = np.concatenate([part[0] for part in parts])
        scale = np.exp(-(log_sd[self.a] + log_sd[self.b]))
        return c[self.c_of] * scale, sum(p[1] for p in parts) + 2.0 * (self.counts @ log_sd)

    def jacobian(self, free: FloatArray, c: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Derivatives of `coefficients`, whose value is c: (M, n_free) and (n_free,)."""
        J, L = np.zeros((self.size, len(free))), np.zeros(len(free))
        J[:, : self.q] = -c[:, None] * self._exponents
        L[: self.q] = 2.0 * (self.counts @ self.classes)
        scale, first = self._scale(free), 0
        for part, own in self._parts():
            inner, L[own] = part.jacobian(free[own])
            mine = (self.c_of >= first) & (self.c_of < first + part.size)
            J[mine, own] = inner[self.c_of[mine] - first] * scale[mine, None]
            first += part.size
        return J, L

    def bend(self, free: FloatArray, c_bar: FloatArray, c: FloatArray, J: FloatArray) -> FloatArray:
        """Second derivatives of ``c_bar' c + log|R|``, given c and its derivatives J.

        No data are in them but `c_bar`.
        """
        X, q = self._exponents, self.q
        out = np.zeros((len(free), len(free)))
        out[:q, :q] = X.T @ (X * (c_bar * c)[:, None])
        out[:q, q:] = -X.T @ (J[:, q:] * c_bar[:, None])
        out[q:, :q] = out[:q, q:].T
        scaled = np.bincount(
            self.c_of, c_bar * self._scale(free), minlength=sum(p.size for p in self.correlations)
        )
        first = 0
        for part, own in self._parts():
            out[own, own] = part.bend(free[own], scaled[first : first + part.size])
            first += part.size
        return out

    def row_sd(self, free: FloatArray) -> FloatArray:
        """Standard deviation of each row, relative to sigma and without the weights, (n,)."""
        sd = np.exp(self.classes @ free[: self.q])[self.row_class]
        out: FloatArray = np.empty(len(sd))
        for rows, C in self._correlations(free):
            out[rows] = sd[rows] * np.sqrt(np.einsum("bkk->bk", C))
        return out

    def whiten(self, free: FloatArray, rest: FloatArray) -> FloatArray:
        """``L^-1 rest`` with L the Cholesky factor of R, for (n,) or (n, m) values of the rows."""
        out = np.empty_like(rest)
        for rows, R in self.matrices(free):
            L = np.linalg.cholesky(R)
            own = rest[rows]
            wide = own[..., None] if rest.ndim == 1 else own
            solved = np.linalg.solve(L, wide)
            out[rows] = solved[..., 0] if rest.ndim == 1 else solved
        return out

    def roots(self, free: FloatArray) -> tuple[tuple[IntArray, FloatArray], ...]:
        """Blocks of rows and the Cholesky factors of their matrices."""
        return tuple((rows, np.linalg.cholesky(R)) for rows, R in self.matrices(free))

    def matrices(self, free: Any) -> Iterator[tuple[IntArray, Any]]:
        """Blocks of R: rows (blocks, k) and matrices (blocks, k, k), for each group and size."""
        sd = np.exp(self.classes @ free[: self.q])[self.row_class]
        for rows, C in self._correlations(free):
            yield rows, C * sd[rows][:, :, None] * sd[rows][:, None, :]

    def matrices_of(self, free: Any, rows: ResidualRows) -> Iterator[tuple[IntArray, Any]]:
        """`matrices` of other rows, whose log standard deviations, blocks and times are given."""
        n = len(rows.log_sd)
        sd = np.exp((rows.log_sd / self.unit) @ free[: self.q])
        block = np.arange(n) if rows.block is None else rows.block
        time = np.zeros(n) if rows.time is None else rows.time
        group = np.zeros(n, dtype=np.int64) if rows.by is None else rows.by
        for g, (part, own) in enumerate(self._parts()):
            mine = np.flatnonzero(group == g)
            for some in rows_by_size(mine, block, time) if mine.size else ():
                C = part.matrices(free[own], time[some])
                yield some, C * sd[some][:, :, None] * sd[some][:, None, :]

    def slopes(self, free: FloatArray, direction: FloatArray) -> Iterator[tuple[IntArray, Any]]:
        """The derivative of `matrices` along a direction of the free parameters."""
        for rows, R in self.matrices(free + 1j * COMPLEX_STEP * direction):
            yield rows, R.imag / COMPLEX_STEP

    def _correlations(self, free: Any) -> Iterator[tuple[IntArray, Any]]:
        for (part, own), by_size in zip(self._parts(), self.blocks, strict=True):
            for rows in by_size:
                yield rows, part.matrices(free[own], self.time[rows])

    def _parts(self) -> Iterator[tuple[Correlation, slice]]:
        return zip(self.correlations, self.cuts, strict=True)

    @property
    def _exponents(self) -> FloatArray:
        out: FloatArray = self.classes[self.a] + self.classes[self.b]
        return out

    def _scale(self, free: FloatArray) -> FloatArray:
        log_sd = self.classes @ free[: self.q]
        out: FloatArray = np.exp(-(log_sd[self.a] + log_sd[self.b]))
        return out


def tells_of(at: ResidualAt, rows: ResidualRows) -> bool:
    """Whether rows of a fit tell the covariance of others: of each stratum, visit and group.

    Directions of the parameters and of log sigma^2 in which the fit's own precision stands still
    are unknown to it; the others' covariance must stand still in them too.
    """
    model, free, c = at.model, at.free, at.c
    size = np.maximum(np.abs(c), _LEAST * np.max(np.abs(c)))
    J = np.column_stack([model.jacobian(free, c)[0], -c]) / size[:, None]
    _, sizes, directions = np.linalg.svd(J)
    known = int(np.sum(sizes > _STANDS_STILL * max(sizes[0], 1.0)))
    for direction in directions[known:]:
        step = free + 1j * COMPLEX_STEP * direction[:-1]
        for _, R in model.matrices_of(step, rows):
            slope = R.imag / COMPLEX_STEP + direction[-1] * R.real
            if np.max(np.abs(slope)) > _MOVES * np.max(np.abs(R.real)):
                return False
    return True


def residual_model(rows: ResidualRows) -> ResidualModel:
    """Describe the residuals' covariance of a design.

    Parameters
    ----------
    rows : ResidualRows
        Blocks, times and the log-linear model of the rows.
    """
    n, q = rows.log_sd.shape
    unit = np.array([column_unit(column) for column in rows.log_sd.T]).reshape(q)
    classes, row_class = np.unique(rows.log_sd / unit, axis=0, return_inverse=True)
    row_class = row_class.reshape(n)
    block = np.arange(n) if rows.block is None else rows.block
    time = np.zeros(n) if rows.time is None else rows.time
    group = np.zeros(n, dtype=np.int64) if rows.by is None else rows.by
    own = [np.flatnonzero(group == g) for g in range(int(group.max()) + 1)]
    parts = tuple(_correlation(rows, some, block, time) for some in own)
    firsts = np.cumsum([0, *(part.size for part in parts)])
    each = [part.pairs for part in parts]
    i, j = (np.concatenate([getattr(p, name) for p in each]) for name in "ij")
    c = np.concatenate([p.m + first for p, first in zip(each, firsts, strict=False)])
    a, b = row_class[i].astype(np.int64), row_class[j].astype(np.int64)
    C = len(classes)
    keys = np.arange(firsts[-1])
    if C == 1:  # each is the correlation's own
        m = c
    else:
        keys, m = np.unique((c * C + a) * C + b, return_inverse=True)
    return ResidualModel(
        pairs=Pairs(i, j, m.reshape(-1)),
        c_of=keys // (C * C),
        a=keys // C % C,
        b=keys % C,
        classes=classes,
        row_class=row_class,
        counts=np.bincount(row_class, minlength=C).astype(float),
        unit=unit,
        correlations=parts,
        blocks=tuple(tuple(rows_by_size(some, block, time)) for some in own),
        time=time,
        structure=rows.structure,
        levels=rows.levels,
        names=rows.names,
    )


def _correlation(
    rows: ResidualRows, some: IntArray, block: IntArray, time: FloatArray
) -> Correlation:
    structure = rows.structure
    if structure is None:
        return Independent(rows=some)
    if structure.time == GAPS:
        return decay(structure, some, block, time)
    if structure.time == BLOCK:
        return exchangeable(structure, some, block)
    return visits(structure, rows.levels, some, block, time.astype(np.int64))


def column_unit(column: FloatArray) -> float:
    """A size of the column, 1 for indicators: steps of the optimizer are then of one size."""
    spread = float(column.std())
    return 1.0 if spread == 0.0 or np.isin(column, (0.0, 1.0)).all() else spread
