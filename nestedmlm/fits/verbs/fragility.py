"""Fragility of tests: how few groups (or rows) carry a conclusion."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm._typing import IntArray
from nestedmlm.arguments import check_level
from nestedmlm.errors import ConvergenceWarning, ModelComparisonError, OptionError
from nestedmlm.fits.plain_only import refuse_known_sigma
from nestedmlm.fits.simulation.tested_effect import refuse_lines_of_curves
from nestedmlm.fits.verbs.influence import LeftOut, left_out
from nestedmlm.inference.effects.contrasts import read_contrasts
from nestedmlm.inference.fitted import Fitted
from nestedmlm.inference.rows.fragility import (
    NO_ROWS,
    ChangingSet,
    Evidence,
    Refit,
    Tested,
    alone_enough,
    changes_of,
    contrast_evidence,
    held_evidence,
    leave_out_singly,
    ratio_evidence,
    smallest_set,
)
from nestedmlm.inference.rows.subset import without_rows
from nestedmlm.views.fragility import Fragility

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit

_NUMBERS = ["estimate", "std_error", "df", "statistic", "p_value"]


def fragility(
    fit: LmerFit,
    L: Any,
    by: Any = None,
    *,
    rhs: float = 0.0,
    level: float = 0.95,
    ddf: str | None = None,
    refits: int = 500,
    progress: bool = True,
) -> Fragility:
    """How few groups must be left out for a conclusion to change; a view.

    Each group is left out and the model fitted again. Where no single group changes the
    conclusion, groups are left out together, beginning with those that carry most of it, and every
    set that is reported was left out and fitted.

    Parameters
    ----------
    L : str, array (p,), Series
        One hypothesis on the fixed effects: ``"ses"``, ``"a - b = 2"``, or a number for each
        coefficient.
    by : str, list of str or array, optional
        What is left out at a time: a grouping factor, a column, columns whose
        combinations are left out, or one label for each row. Default: each row.
    rhs : float
        Hypothetical value, on top of that in a text.
    level : float
        Significant is a p-value below ``1 - level``.
    ddf : {"satterthwaite", "kenward-roger", "residual", "none"}, optional
        Degrees of freedom of the test; by default Satterthwaite's.
    refits : int
        With more groups than this, only so many are refitted one by one: those that move the
        statistic most while the covariances are held.
    progress : bool
        Show a line of progress for long work.

    Returns
    -------
    Fragility
        ``.changes``: the smallest set found for each change (significance; sign; significance
        with the other sign); ``.without``: the test without each group; ``.sentence()``.
        `nestedmlm.plots.fragility` draws it.

    Raises
    ------
    OptionError
        For a hypothesis that names no coefficient, or an unknown method of degrees of freedom.
    ColumnNotFoundError
        If `groups` is neither a grouping factor nor a column.
    DataError
        For labels that are missing, or of which there is not one for each row used.

    Notes
    -----
    A set of one group is certainly the smallest (of those refitted). A larger one need not be: all
    sets cannot be tried. For least squares this is the *approximate maximum influence perturbation*
    of Broderick, Giordano & Meager (2023).

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("strength ~ 1 + (1 | batch/cask)", nm.load_dataset("Pastes"))
    >>> fit.fragility("(Intercept) = 59", by="batch", progress=False).sentence()
    '(Intercept) = 59: without 1 of the 10 groups of batch (E) it becomes significant (p = 0.014).'
    """
    given = read_contrasts(L, fit.design, rhs=rhs)
    if len(given.L) != 1:
        raise OptionError(f"fragility is about one hypothesis, not {len(given.L)}: ask for each")
    refuse_lines_of_curves(fit.design, np.flatnonzero(given.L[0]).tolist(), "fragility")
    core, contrast, value = fit.core, given.L[0], float(given.rhs[0])
    what = left_out(fit, by)
    held = None
    if len(what.sets) > refits and core.family is None:  # exact without refits: linear models only
        held = held_evidence(core, contrast, value, ddf, what.sets)
    tested = contrast_evidence(refit_without(fit), contrast, value, ddf)
    name = L.strip() if isinstance(L, str) else given.labels[0]
    return search(tested, what, name, value, level, held, refits, progress)


def ratio_fragility(
    small: LmerFit, large: LmerFit, by: Any, *, level: float, progress: bool, names: Sequence[str]
) -> Fragility:
    """How few groups a likelihood ratio test rests on: of `LikelihoodRatios.fragility`.

    Parameters
    ----------
    small, large : LmerFit
        Fitted by maximum likelihood to the same rows.
    by, level, progress
        As in `fragility`.
    names : sequence of str
        Of the two models.
    """
    for fit in (small, large):
        refuse_known_sigma(fit, "fragility")
    df = large.npar - small.npar
    if df < 1:
        raise ModelComparisonError("the larger model has no parameter more: there is no test")
    tested = ratio_evidence(refit_without(small), refit_without(large), float(df))
    what = left_out(large, by)
    return search(tested, what, f"{names[1]} against {names[0]}", 0.0, level, None, 0, progress)


def refit_without(fit: LmerFit) -> Refit:
    """What fits the model without some rows, as it was fitted."""

    def refit(gone: IntArray) -> tuple[Fitted, bool]:
        if not gone.size:
            return fit.core, fit.converged
        with warnings.catch_warnings():  # the table says which are not certified
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = fit.refitted(without_rows(fit.design, gone))
        return found.core, found.converged

    return refit


def search(
    tested: Tested,
    what: LeftOut,
    name: str,
    rhs: float,
    level: float,
    held: tuple[Evidence, ...] | None,
    refits: int,
    progress: bool,
) -> Fragility:
    """Leave out each group, then sets of them, and put what was found into a view."""
    alpha = 1.0 - check_level(level)
    whole = tested(NO_ROWS)
    changes = changes_of(whole, rhs, alpha)
    singly = leave_out_singly(tested, what.sets, held=held, refits=refits, progress=progress)
    found = [smallest_set(tested, what.sets, change, whole, singly) for change in changes]
    everywhere = range(len(singly))
    alone = {g for change in changes for g in alone_enough(change, singly, everywhere)}
    without = pd.DataFrame([asdict(e) for e in singly], index=what.labels)
    without.insert(5, "changes", [g in alone for g in everywhere])
    return Fragility(
        what=name,
        by=what.by,
        level=level,
        rhs=rhs,
        all_rows=pd.Series({n: getattr(whole, n) for n in _NUMBERS}, name="all rows"),
        changes=_changes_frame(found, what.labels),
        without=without,
    )


def _changes_frame(found: Sequence[ChangingSet], labels: pd.Index) -> pd.DataFrame:
    index = pd.Index([one.change for one in found], name="change")
    frame = pd.DataFrame(
        {n: [getattr(one.evidence, n) for one in found] for n in _NUMBERS}, index=index
    )
    sizes = [len(one.groups) or pd.NA for one in found]
    frame.insert(0, "n_groups", pd.array(sizes, dtype="Int64"))
    frame.insert(1, "groups", [tuple(str(labels[g]) for g in one.groups) for one in found])
    return frame
