"""Residual variance of rows, of the fit or new, and forecasts within blocks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.covariance.residual_structures import GAPS, LEVELS
from nestedmlm.design.design import Design
from nestedmlm.design.frame.frames import Frame
from nestedmlm.design.frame.operators import as_numbers
from nestedmlm.design.frame.values import Factor, Vector, as_factor
from nestedmlm.design.residual import ResidualRows
from nestedmlm.errors import NewLevelsError, ResidualStructureError
from nestedmlm.formula.nodes import Node
from nestedmlm.likelihood.solution import Solution
from nestedmlm.statistics.residual_model import ResidualModel


def relative_residual_variance(
    solution: Solution, design: Design, data: Any = None
) -> FloatArray | float:
    """Residual variance of rows over sigma^2, without the prior weights: 1 where none differ.

    Parameters
    ----------
    solution, design : Solution, Design
    data : table, optional
        New rows, with the variables of ``dispersion=``, and time and group where variances differ
        by them.

    Raises
    ------
    NewLevelsError
        For strata, visits or groups that were not there.
    """
    rows, at = design.residual, solution.stats.residual
    if rows is None or at is None:
        return 1.0
    if data is None:
        return at.model.row_sd(at.free) ** 2
    return NewRows(rows, at.model, design, data).variance(at.free)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forecast:
    """Forecast of new rows' residuals from those of their blocks.

    Attributes
    ----------
    expected : (m,) array
        Their mean given the residuals of the fit; 0 in blocks that were not there.
    variance : (m,) array
        Their variance over sigma^2, given those.
    weights : tuple of (row, rows of the fit, weights)
        What makes the means, for the rows of known blocks.
    """

    expected: FloatArray
    variance: FloatArray
    weights: tuple[tuple[int, IntArray, FloatArray], ...]


def forecast(solution: Solution, design: Design, data: Any, known: FloatArray) -> Forecast:
    """What the residuals of a known block say of new rows in it.

    Parameters
    ----------
    solution, design : Solution, Design
    data : table
        New rows.
    known : (n,) array
        Residuals of the fit, ``y - X beta - Z b``.

    Returns
    -------
    Forecast

    Raises
    ------
    ResidualStructureError
        If residuals do not correlate, or the prior weights differ.
    """
    rows, at = design.residual, solution.stats.residual
    if rows is None or at is None or rows.structure is None:
        raise ResidualStructureError(
            "use_residuals=True is for residuals that correlate (residual=): here those of new "
            "rows do not depend on those of the fit"
        )
    if design.weights is not None:
        raise ResidualStructureError("use_residuals=True is not worked out with prior weights")
    return NewRows(rows, at.model, design, data).forecast(known, at.free)


def new_roots(
    solution: Solution, design: Design, data: Any
) -> tuple[tuple[IntArray, FloatArray], ...]:
    """Blocks of new rows and the Cholesky factors of their residuals' covariance over sigma^2.

    Rows with one label of the block are one block, whether or not it was there at the fit.

    Raises
    ------
    NewLevelsError
        For strata, visits or groups that were not there.
    ResidualStructureError
        If two rows of a block are at one time, or a block is too large for a negative correlation.
    """
    rows, at = design.residual, solution.stats.residual
    if rows is None or at is None:
        return ()
    new = NewRows(rows, at.model, design, data).rows_in_blocks()
    try:
        return tuple((own, _root(R)) for own, R in at.model.matrices_of(at.free, new))
    except np.linalg.LinAlgError:
        raise ResidualStructureError(
            f"rows of one {rows.block_name} have no joint distribution: two of them are at the "
            "same time, or there are more of them than the negative correlation allows"
        ) from None


def _root(R: FloatArray) -> FloatArray:
    """Cholesky factors; a pivot that is only rounding is zero (some libraries take its root)."""
    L: FloatArray = np.linalg.cholesky(R)
    pivots, sizes = (np.diagonal(M, axis1=-2, axis2=-1) for M in (L, R))
    if np.any(pivots**2 <= R.shape[-1] * np.finfo(float).eps * sizes):
        raise np.linalg.LinAlgError
    return L


class NewRows:
    """New rows of a model whose residuals differ or correlate."""

    def __init__(self, rows: ResidualRows, model: ResidualModel, design: Design, data: Any) -> None:
        self.rows, self.model, self.design = rows, model, design
        frame = Frame(data)
        self.n = frame.n
        evaluator = design.schema.evaluator(frame)
        term, dispersion = rows.arguments.term, rows.arguments.dispersion
        self._vector = evaluator.vector
        values: dict[str, Vector] = {}
        if dispersion is not None:
            values = {v.name: evaluator.vector(v.node) for v in dispersion.fixed_terms().variables}
        self.log_sd = np.zeros((self.n, rows.log_sd.shape[1]))
        self.log_sd[:, : rows.n_dispersion] = rows.new_log_sd(values, self.n)
        self.group = np.zeros(self.n, dtype=np.int64)
        if term is not None and term.by is not None:
            self.group = self._codes(term.by.node, term.by.name, rows.by_levels)
        self.time: FloatArray | None = None
        if rows.log_sd.shape[1] > rows.n_dispersion or self._by_visit:
            self._place_in_time()

    @property
    def _by_visit(self) -> bool:
        return self.rows.structure is not None and self.rows.structure.is_root

    def _codes(self, node: Node, name: str, levels: tuple[str, ...]) -> IntArray:
        factor = as_factor(self._vector(node), name=name)
        known = {label: code for code, label in enumerate(levels)}
        new = [label for label in factor.labels if label not in known]
        if new:
            raise NewLevelsError(
                f"{name} has levels that were not there when the model was fitted: "
                f"{', '.join(new[:10])}; their residual variance is not known"
            )
        places = np.array([known[label] for label in factor.labels], dtype=np.int64)
        out: IntArray = places[factor.codes]
        return out

    def _place_in_time(self) -> None:
        """Times of the rows, and the columns of visits and groups."""
        rows, term = self.rows, self.rows.arguments.term
        assert term is not None
        if term.time is not None:
            value = self._vector(term.time.node)
            if (
                rows.structure is not None
                and rows.structure.time == GAPS
                and not isinstance(value, Factor)
            ):
                self.time = np.array(as_numbers(value, term.time.name), dtype=float)
            else:
                codes = self._codes(term.time.node, term.time.name, rows.time_labels)
                self.time = codes.astype(float)
        first = rows.n_dispersion
        for j in range(first, rows.log_sd.shape[1]):
            self.log_sd[:, j] = self._as_at_the_fit(j)

    def _as_at_the_fit(self, j: int) -> FloatArray:
        """Column j of the visits and groups, looked up in rows of the same time and group."""
        rows = self.rows
        time = np.zeros(len(rows.log_sd)) if rows.time is None else rows.time
        group = np.zeros(len(rows.log_sd), dtype=np.int64) if rows.by is None else rows.by
        own = np.zeros(self.n) if self.time is None else self.time
        out = np.zeros(self.n)
        by_time = not rows.hom
        for g, t in set(zip(self.group.tolist(), own.tolist(), strict=True)):
            same = (group == g) & ((time == t) | (not by_time))
            if not same.any():
                raise NewLevelsError(
                    f"{rows.time_name} = {t:g} was not there when the model was fitted: its "
                    "residual variance is not known"
                )
            out[(self.group == g) & ((own == t) | (not by_time))] = rows.log_sd[same][0, j]
        return out

    def rows_in_blocks(self) -> ResidualRows:
        """What the fit knew of its own rows, of these."""
        rows, term = self.rows, self.rows.arguments.term
        block = None
        if term is not None:
            if self.time is None:
                self._place_in_time()
            parts = [as_factor(self._vector(p.node), name=p.name).codes for p in term.bar.parts]
            block = np.unique(np.column_stack(parts), axis=0, return_inverse=True)[1].reshape(-1)
        return replace(
            rows,
            log_sd=self.log_sd,
            block=block,
            by=None if rows.by is None else self.group,
            time=None if rows.time is None else self.time,
            stratum=None,
        )

    def variance(self, free: FloatArray) -> FloatArray:
        """Variance of the rows' residuals over sigma^2, at free parameters of the model."""
        model = self.model
        sd = np.exp(self.log_sd / model.unit @ free[: model.q])
        if self._by_visit and self.time is not None:
            for g, (part, own) in enumerate(zip(model.correlations, model.cuts, strict=True)):
                some = np.flatnonzero(self.group == g)
                C = part.matrices(free[own], self.time[some][:, None])
                sd[some] *= np.sqrt(C[:, 0, 0])
        out: FloatArray = sd**2
        return out

    def forecast(self, known: FloatArray, free: FloatArray) -> Forecast:
        """See `forecast`."""
        rows, model = self.rows, self.model
        term = rows.arguments.term
        assert term is not None
        if self.time is None:
            self._place_in_time()
        time = np.zeros(self.n) if self.time is None else self.time
        variance = self.variance(free)
        expected, left, used = np.zeros(self.n), variance.copy(), []
        if len(term.bar.parts) != 1:
            raise ResidualStructureError("use_residuals=True takes blocks of one variable")
        factor = as_factor(self._vector(term.bar.parts[0].node), name=rows.block_name)
        known_blocks = {str(level): i for i, level in enumerate(rows.block_levels)}
        block = np.array([known_blocks.get(str(x), -1) for x in factor.labels])[factor.codes]
        sd_new = np.exp(self.log_sd / model.unit @ free[: model.q])
        sd_old = np.exp(model.classes @ free[: model.q])[model.row_class]
        for r in np.flatnonzero(block >= 0):
            own = np.flatnonzero(rows.block == block[r])
            part, cut = model.correlations[self.group[r]], model.cuts[self.group[r]]
            same = (
                rows.structure is not None
                and rows.structure.time == LEVELS
                and np.isin(time[r], model.time[own])
            )
            if same:
                raise ResidualStructureError(
                    f"{rows.block_name} {rows.block_levels[block[r]]} has a row at this "
                    f"{rows.time_name} already: forecasts are of other times"
                )
            every = np.concatenate([model.time[own], [time[r]]])
            sd = np.concatenate([sd_old[own], [sd_new[r]]])
            R = part.matrices(free[cut], every[None])[0] * np.outer(sd, sd)
            weights = np.linalg.solve(R[:-1, :-1], R[:-1, -1])
            expected[r] = weights @ known[own]
            left[r] = R[-1, -1] - weights @ R[:-1, -1]
            used.append((int(r), own, weights))
        return Forecast(expected=expected, variance=left, weights=tuple(used))
