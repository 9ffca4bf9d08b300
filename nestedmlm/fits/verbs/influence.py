"""Estimates without each case or group, and how far they move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm._typing import IntArray
from nestedmlm.design.design import Design
from nestedmlm.design.frame.frames import Frame
from nestedmlm.errors import ColumnNotFoundError, DataError, RowsNotHereError
from nestedmlm.fits.plain_only import refuse_known_sigma
from nestedmlm.fits.simulation.leave_out_elsewhere import leave_out_elsewhere
from nestedmlm.fits.simulation.replicates import check_workers
from nestedmlm.inference.resampling.resampling import row_sets
from nestedmlm.inference.rows.deletion import DeletionEstimates, covariance_entries
from nestedmlm.inference.rows.leaveout import HELD, leave_out
from nestedmlm.inference.variances.parameters import component_names, variance_name
from nestedmlm.likelihood.elimination.speed import held, refit_seconds
from nestedmlm.views.influence import Influence

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit

_NEAR = 0.2  # work of a refit that starts where it nearly ends, beside one of a drawn response


def influence(
    fit: LmerFit,
    groups: Any = None,
    *,
    refit: str = "full",
    workers: int = 1,
    progress: bool = True,
) -> Influence:
    """Estimates without each case, or without each group; a view.

    Parameters
    ----------
    groups : str, list of str or array, optional
        What is left out at a time: a grouping factor (``"schoolid"``), a column of the data,
        columns whose combinations are left out, or one label for each row. Default: each row.
    refit : {"full", "one-step", "none"}
        Refit, starting at the fit's theta (as lme4's ``influence``); move theta by one Newton
        step with the remaining rows' exact gradient; or hold theta, which needs no refit and
        is exact for the fixed effects and sigma given theta.
    workers : int
        Processes for refits. The results do not depend on it, and scripts need no
        ``if __name__ == "__main__"``.
    progress : bool
        Show a line of progress for long work.

    Returns
    -------
    Influence
        With ``.cooks_distance()``, ``.dfbeta()``, ``.dfbetas()``, ``.to_frame()``.

    Raises
    ------
    OptionError
        For an unknown kind of refit.
    ColumnNotFoundError
        If `groups` is neither a grouping factor nor a column.
    DataError
        For labels that are missing, or of which there is not one for each row used.
    GroupingError
        If without a group nothing is left to fit.

    Notes
    -----
    Rows left out of a block that correlates leave its other rows as they are. There, refits and the
    Newton step move the residuals' parameters with theta.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    >>> fit.influence("Subject").cooks_distance().head(2).round(5)
    Subject
    308    0.33921
    309    0.29031
    Name: cooks_distance, dtype: float64
    """
    refuse_known_sigma(fit, "influence")
    what = left_out(fit, groups)
    check_workers(workers)
    if refit == HELD:
        return _influence(fit, what, leave_out(fit.core, what.sets, refit=refit), refit)
    ahead = _NEAR * refit_seconds(fit.solution.stats, len(what.sets))
    with held(ahead) as chosen:  # one choice, so that numbers do not depend on where they are made
        if workers == 1:
            found = leave_out(fit.core, what.sets, refit=refit, progress=progress)
        else:
            found = leave_out_elsewhere(
                fit.core, what.sets, refit, workers, chosen, progress=progress
            )
    return _influence(fit, what, found, refit)


def dfbeta(fit: LmerFit) -> pd.DataFrame:
    """Fixed effects without each row minus those with it, theta held: exact, no refits.

    Returns
    -------
    DataFrame
        One row for each row of the fit, a column for each fixed effect, named as it is:
        ``(Intercept), Days``. ``influence(refit="full").dfbeta()`` lets theta move.

    Raises
    ------
    RowsNotHereError
        For fits of data in partitions or of sums, which keep no rows.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    >>> fit.dfbeta().head(2).round(3)
       (Intercept)   Days
    0        0.917 -0.145
    1        0.791 -0.115
    """
    return _aligned(fit.design, fit.influence(refit="none").dfbeta())


def dfbetas(fit: LmerFit) -> pd.DataFrame:
    """`dfbeta` over the standard errors without each row (theta held).

    Returns
    -------
    DataFrame
        One row for each row of the fit, a column for each fixed effect, named as it is:
        ``(Intercept), Days``.

    Raises
    ------
    RowsNotHereError
        For fits of data in partitions or of sums, which keep no rows.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    >>> fit.dfbetas().head(2).round(3)
       (Intercept)   Days
    0        0.094 -0.179
    1        0.081 -0.143
    """
    return _aligned(fit.design, fit.influence(refit="none").dfbetas())


def _aligned(design: Design, frame: pd.DataFrame) -> pd.DataFrame:
    """A table of the rows used on the caller's index, as `Design.align` puts a series."""
    index = design.align(np.arange(design.n)).index
    return pd.DataFrame({name: design.align(frame[name]) for name in frame}, index=index)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LeftOut:
    """Sets of rows to leave out, one after the other, with their labels."""

    by: str
    labels: pd.Index
    sets: list[IntArray]


def left_out(fit: LmerFit, groups: Any = None) -> LeftOut:
    """Find the rows of each case or group.

    Parameters
    ----------
    groups : None, str, list of str, or array
        Cases; a grouping factor or a column of the data; columns whose combinations are left
        out; or one label for each row used (or for each row of the data).

    Raises
    ------
    ColumnNotFoundError, DataError
    RowsNotHereError
        If the fit was made of sums.
    """
    design = fit.design
    if groups is not None:
        need_rows_of_groups(design)
    if groups is None:
        rows = [np.array([i]) for i in range(design.n)]
        return LeftOut(by="case", labels=design.index, sets=rows)
    by, values = _labels(fit, groups)
    codes, labels = pd.factorize(values)
    if (codes < 0).any():
        raise DataError(f"{by} has missing values in rows that the fit uses; fill them first")
    for factor in design.factors:
        if factor.name == by:
            codes, labels = factor.codes, factor.levels
    index = pd.Index(labels, name=by)
    return LeftOut(by=by, labels=index, sets=row_sets(codes.astype(np.int64), len(index)))


def need_rows_of_groups(design: Design) -> None:
    """Refuse to leave out groups where the products of each alone are not known.

    Raises
    ------
    RowsNotHereError
    """
    if design.rows is None:
        raise RowsNotHereError(
            "leaving out a group: a matter of rows, and this design has none. The sums that it was "
            "made of hold the products of fixed effects and response with each other of all rows "
            "together, not of each group alone. Sum by itself each part that is to be left out, "
            "one = nm.summarise(formula, part, like=s, label='one'), then fit the others' sum, "
            "(two + three).fit(); or fit data that are in memory with nm.lmer"
        )


def _labels(fit: LmerFit, groups: Any) -> tuple[str, Any]:
    """Name of the groups, and a label for each row used."""
    design = fit.design
    if isinstance(groups, str):
        for factor in design.factors:
            if factor.name == groups:
                return groups, factor.levels[factor.codes]
        return groups, _column(fit, groups)
    if isinstance(groups, Sequence) and groups and all(isinstance(g, str) for g in groups):
        columns = [_column(fit, name).astype(str) for name in groups]
        joined = [":".join(parts) for parts in zip(*columns, strict=True)]
        return ":".join(groups), np.array(joined, dtype=object)
    values = np.asarray(groups)
    if values.shape == design.kept.shape:
        values = values[design.kept]
    if values.shape != (design.n,):
        raise DataError(
            f"groups must be a grouping factor, a column, a list of columns, or {design.n} labels "
            f"(one for each row used), got an array of shape {values.shape}"
        )
    return str(getattr(groups, "name", None) or "group"), values


def _column(fit: LmerFit, name: str) -> Any:
    """A column of the data, in the rows used."""
    frame = Frame(fit.model.data)
    if name not in frame:
        factors = ", ".join(f.name for f in fit.design.factors)
        raise ColumnNotFoundError(
            f"{name!r} is neither a grouping factor ({factors}) nor a column of the data"
        )
    return frame.series(name).to_numpy()[fit.design.kept]


def _influence(fit: LmerFit, what: LeftOut, found: DeletionEstimates, refit: str) -> Influence:
    names = _entry_names(fit)
    own = covariance_entries(fit.design, fit.theta[None], np.array([fit.sigma]))[0]
    without = covariance_entries(fit.design, found.theta, found.sigma)
    index = what.labels[: len(found.sigma)]
    return Influence(
        by=what.by,
        refit=refit,
        asked=len(what.labels),
        fixef=fit.fixef,
        fixef_without=pd.DataFrame(found.beta, index=index, columns=list(fit.design.x_names)),
        vcov=fit.solution.vcov,
        vcov_without=found.vcov,
        theta=pd.Series(fit.theta, index=list(fit.theta_names), name="theta"),
        theta_without=pd.DataFrame(found.theta, index=index, columns=list(fit.theta_names)),
        varcorr=pd.Series(own, index=names, name="vcov"),
        varcorr_without=pd.DataFrame(without, index=index, columns=names),
        sigma=fit.sigma,
        sigma_without=pd.Series(found.sigma, index=index, name="sigma"),
        converged=pd.Series(found.converged, index=index, name="converged"),
    )


def _entry_names(fit: LmerFit) -> list[str]:
    """Names of `covariance_entries`: ``var_(Intercept)|Subject``, ``cov_…``, ``sigma^2``."""
    entries: list[tuple[str, str, str | None, str | None]] = [
        (fit.design.factors[t.factor].name, t.name, t.columns[j], None if i == j else t.columns[i])
        for t in fit.design.terms
        for j in range(len(t.columns))
        for i in range(j, len(t.columns))
    ]
    return [variance_name(name) for name in component_names([*entries, ("", "", None, None)])]
