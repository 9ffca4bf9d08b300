"""Leave-one-group-out cross-validation of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nestedmlm.arguments import check_choice
from nestedmlm.errors import DataError, OptionError
from nestedmlm.fits.verbs.influence import LeftOut, left_out, need_rows_of_groups
from nestedmlm.inference.means.generalized_linear import GeneralizedLinearFit
from nestedmlm.inference.means.linear import LinearFit
from nestedmlm.inference.resampling.resampling import row_sets
from nestedmlm.inference.rows.group_prediction import (
    GroupPredictions,
    named_unit,
    outer_factors,
    predict_groups,
    predict_groups_flat,
)
from nestedmlm.views.loo import GroupLoo

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.fits.reduced_fit import Flat


def loo(
    fit: LmerFit,
    unit: str = "group",
    *,
    group: str | None = None,
    refit: str = "full",
    progress: bool = True,
) -> GroupLoo:
    """Predict each group by the fit to the others: elpd on the scale of a posterior's ``loo``.

    Parameters
    ----------
    unit : {"group"} or str
        Rows given their random effects are a posterior's matter. The name of a grouping factor
        stands for ``"group"`` with that `group`.
    group : str, optional
        A grouping factor, or another column of the data, in whose groups all grouping factors (and
        blocks of residuals that correlate) are nested; by default the factor that contains all
        others, without random effects the blocks.
    refit : {"full", "one-step", "none"}
        Without each group theta is optimised anew, moved by one Newton step, or held. A
        generalized model is refitted.
    progress : bool

    Returns
    -------
    GroupLoo
        A view: ``elpd``, ``se``, ``rmse``, and a table by group. ``posterior.loo("group")`` of the
        same data is on the same scale, and so are other models of the same response.

    Raises
    ------
    OptionError
        For another unit, if two groups share a random effect or a block of residuals, and for a
        generalized model that is not refitted.
    ColumnNotFoundError
        If `group` is neither a factor nor a column.
    DataError
        If a fixed effect, or the residual variance of its rows, cannot be estimated without one of
        the groups.

    Notes
    -----
    The predictive density integrates the random effects out and counts the uncertainty of the
    fixed effects, not that of theta (which a posterior does). Of a generalized model it is
    sampled (each group's ``mc_error`` is in the table), and errors are those of expected responses
    of a new group, of binomial models proportions.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> data = nm.load_dataset("sleepstudy")
    >>> slopes = nm.lmer("Reaction ~ Days + (Days | Subject)", data)
    >>> slopes.loo(progress=False)
             Estimate    SE
    elpd_loo  -891.34 29.76
    rmse         49.6
    <BLANKLINE>
    Each of 18 Subject predicted by the others (theta: full); worst predicted per row: 332
    >>> herds = nm.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)",
    ...                  nm.load_dataset("cbpp"), family="binomial")
    >>> herds.loo(progress=False)
             Estimate    SE
    elpd_loo   -97.82 10.99
    rmse       0.1304
    <BLANKLINE>
    Each of 15 herd predicted by the others (theta: full); worst predicted per row: 8
    Monte Carlo standard error of elpd_loo: 0.013
    """
    unit, group = named_unit(fit.design, unit, group)
    check_choice(unit, "unit", ("group",))
    what = groups_of(fit, group)
    return group_loo(fit, what, refit=refit, progress=progress)


def groups_of(fit: LmerFit, group: str | None) -> LeftOut:
    """The groups to be predicted: those asked for, or of the factor that contains all others.

    Raises
    ------
    OptionError
        If no factor contains all others.
    """
    need_rows_of_groups(fit.design)
    outer = outer_factors(fit.design)
    if group is None and not outer:
        raise OptionError(
            "a new group shares no random effect with the others, and there is no factor in which "
            "all others are nested: say group="
        )
    name = outer[0] if group is None else group
    residual = fit.design.residual
    if residual is None or residual.block is None or name != residual.block_name:
        return left_out(fit, name)
    return LeftOut(
        by=name,
        labels=pd.Index(residual.block_levels, name=name),
        sets=row_sets(residual.block, len(residual.block_levels)),
    )


def group_loo(
    fit: LmerFit | Flat, what: LeftOut, *, refit: str = "full", progress: bool = True
) -> GroupLoo:
    """Predict each group by the fit to the others, whether or not there are random effects."""
    if isinstance(fit, LinearFit | GeneralizedLinearFit):
        return _named(predict_groups_flat(fit, what.sets), what, "full")
    found = predict_groups(fit.core, what.sets, refit=refit, progress=progress)
    return _named(found, what, refit)


def _named(found: GroupPredictions, what: LeftOut, refit: str) -> GroupLoo:
    lost = np.flatnonzero(np.isnan(found.elpd))
    if len(lost):
        raise DataError(
            f"without {what.by} {what.labels[lost[0]]} a fixed effect or a residual variance "
            "cannot be estimated, so its rows cannot be predicted by the others"
        )
    columns = {
        "rows": found.rows, "elpd": found.elpd, "rmse": np.sqrt(found.squares / found.rows)
    }  # fmt: skip
    if found.error is not None:
        columns["mc_error"] = found.error
    index = pd.Index(what.labels[: len(found.rows)], name=what.by)
    return GroupLoo(group=what.by, table=pd.DataFrame(columns, index=index), refit=refit)
