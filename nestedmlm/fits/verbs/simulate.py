"""Responses of a fit, for its own rows or others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.errors import DataError
from nestedmlm.inference.resampling.response_distribution import (
    draw_frame,
    response_distribution,
    response_distribution_for,
)
from nestedmlm.inference.rows.new_weights import new_weights
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
) -> pd.DataFrame:
    """Draw responses from the fitted model.

    Parameters
    ----------
    nsim : int
        Responses.
    seed : int, optional
    re_form : False, None or str
        Random effects that are conditioned on, the others being drawn: False, none of them;
        None, all; ``"~ (1 | schoolid)"``, these.
    use_u : bool
        The same as ``re_form=None``.
    newdata : table, optional
        Other rows; random effects of groups that were not there are always drawn.

    Returns
    -------
    DataFrame, (n, nsim)
        ``sim_1, sim_2, ...`` on the caller's index.

    Raises
    ------
    OptionError, NewLevelsError

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
    keep = chosen_columns(fit.design, None if use_u else re_form)
    s = fit.solution
    if newdata is None:
        distribution = response_distribution(
            fit.design, beta=s.beta, T=s.T, sigma=s.sigma, b=s.b, keep=keep
        )
        drawn = draw_frame(distribution, fit.design.index, nsim=nsim, seed=seed)
        return _padded(drawn, fit.design)
    distribution, index = response_distribution_for(
        fit.design, newdata, beta=s.beta, T=s.T, sigma=s.sigma, b=s.b, keep=keep,
        weights=_new_weights(fit, newdata),
    )  # fmt: skip
    return draw_frame(distribution, index, nsim=nsim, seed=seed)


def _padded(drawn: pd.DataFrame, design: Design) -> pd.DataFrame:
    """Rows of missing values where ``na_action="exclude"`` left some out (as fitted values)."""
    columns = [design.align(drawn[name].to_numpy()) for name in drawn]
    return pd.concat(columns, axis=1).set_axis(drawn.columns, axis=1)


def _new_weights(fit: LmerFit, data: Any) -> FloatArray | None:
    """Prior weights of new rows: the column that the model took them from."""
    name = fit.model.weights_column
    if name is None and fit.design.weights is not None:
        raise DataError(
            "the model was fitted with an array of weights, which new data do not have; give the "
            "weights as a column name"
        )
    return new_weights(fit.design, data, name)
