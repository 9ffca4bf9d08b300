"""Responses of a fit, for its own rows or others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError
from nestedmlm.inference.resampling.response_distribution import (
    draw_frame,
    response_distribution,
    response_distribution_for,
)
from nestedmlm.inference.rows.new_residuals import new_roots
from nestedmlm.inference.rows.re_form import chosen_columns

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def simulate(
    fit: LmerFit,
    nsim: int = 1,
    seed: int | None = None,
    *,
    re_form: Any = False,
    use_u: bool = False,
    newdata: Any = None,
    offset: Any = None,
    weights: Any = None,
) -> pd.DataFrame:
    """Draw responses from the fitted model.

    Parameters
    ----------
    nsim : int
        Responses.
    seed : int, optional
        The same seed, the same responses.
    re_form : False, None or str
        Random effects that are conditioned on, the others being drawn: False, none of them;
        None, all; ``"~ (1 | schoolid)"``, these.
    use_u : bool
        The same as ``re_form=None``, which it cannot contradict.
    newdata : table, optional
        Other rows; random effects of groups that were not there are always drawn. Residuals that
        differ or correlate are drawn anew with the covariance of the new rows' own strata, times
        and blocks, also in blocks of the fit (`predict` with ``use_residuals`` forecasts these).
    offset, weights : str or array, optional
        Offset and prior weights of `newdata`: the name of a column, or one number for each row.

    Returns
    -------
    DataFrame, (n, nsim)
        ``sim_1, sim_2, ...`` on the caller's index; of a binomial model proportions of the trials
        (0 and 1 where there is one), which `refit` takes.

    Raises
    ------
    OptionError
        For an unknown option, or fewer than one response.
    NewLevelsError
        If `newdata` have levels of a factor of the fixed effects, or strata of the residuals, that
        the fit has not.
    ResponseError
        If random effects are drawn that take a mean out of the family's range.

    Notes
    -----
    lme4's ``simulate``, whose default is new random effects too. The first k columns do not
    depend on `nsim`.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> fit.simulate(2, seed=1).shape
    (30, 2)
    """
    keep = chosen_columns(fit.design, conditioned(use_u, re_form))
    s, scale = fit.solution, fit.core.scale
    if newdata is None:
        if offset is not None or weights is not None:
            raise OptionError("offset and weights belong to newdata: the fit has its own")
        distribution = response_distribution(
            fit.design, beta=s.beta, T=s.T, sigma=scale, b=s.b, keep=keep,
            residual=s.stats.residual, family=fit.core.family, dispersion=fit.core.dispersion,
        )  # fmt: skip
        drawn = draw_frame(distribution, fit.design.index, nsim=nsim, seed=seed)
        return _padded(drawn, fit.design)
    distribution, index = response_distribution_for(
        fit.design, newdata, beta=s.beta, T=s.T, sigma=scale, b=s.b, keep=keep, offset=offset,
        family=fit.core.family, dispersion=fit.core.dispersion,
        roots=new_roots(s, fit.design, newdata),
        weights=fit.model.weights_column if weights is None else weights,
    )  # fmt: skip
    return draw_frame(distribution, index, nsim=nsim, seed=seed)


def conditioned(use_u: bool, re_form: Any) -> Any:
    """The random effects that are conditioned on, as one `re_form`.

    Raises
    ------
    OptionError
        If `use_u` and `re_form` contradict each other.
    """
    if not use_u:
        return re_form
    if re_form is not None and re_form is not False:
        raise OptionError(
            f"use_u=True conditions on all random effects, re_form={re_form!r} on some: give one"
        )
    return None


def _padded(drawn: pd.DataFrame, design: Design) -> pd.DataFrame:
    """Rows of missing values where ``na_action="exclude"`` left some out (as fitted values)."""
    columns = [design.align(drawn[name].to_numpy()) for name in drawn]
    return pd.concat(columns, axis=1).set_axis(drawn.columns, axis=1)
