"""Predictions from a posterior."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.posterior.row_draws import draws_array, fitted_rows, new_rows, summarise_rows
from nestedmlm.posterior.summaries import PROB


def predict(
    fit: BayesEstimates,
    newdata: Any = None,
    *,
    kind: str = "mean",
    re_form: Any = None,
    new_levels: str = "error",
    offset: Any = None,
    prob: float = PROB,
    draws: bool = False,
    seed: int | None = None,
) -> Any:
    """Predict for new rows (without `newdata`: for the rows of the fit).

    Parameters
    ----------
    newdata : table, optional
    kind : {"mean", "response"}
        The expected value of a row, or a new response there (with residual noise, of weight
        one for new data).
    re_form : None, False or str
        Which random effects count, as for a `LmerFit`: all, none (``"~ 0"``), or those of
        ``"~ (1 | schoolid)"``.
    new_levels : {"error", "population", "sample"}
        Unseen groups: refuse; random effects of zero; or random effects drawn from their
        distribution, once per draw and group (rows with the same unseen label share them).
    offset : str or array, optional
        A column of `newdata` or one number per row, in place of the fit's argument ``offset``.
    prob : float
        Probability inside the intervals.
    draws : bool
        Return all draws instead of a summary.
    seed : int, optional
        For what is drawn.

    Returns
    -------
    DataFrame or DataArray
        ``estimate, sd, lower, upper`` on the index of `newdata`; with `draws` an array with
        dims ``chain, draw, __obs__``.

    Raises
    ------
    OptionError
        For an unknown `kind` or `new_levels`, or a `re_form` that the model does not have.
    NewLevelsError
        For unseen groups with ``new_levels="error"``, and for unseen levels of a fixed factor.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
    >>> posterior.predict({"Batch": ["new"]}, new_levels="sample", seed=1).shape
    (1, 4)
    """
    rng = np.random.default_rng(seed)
    if newdata is None:
        rows = fitted_rows(fit.data, fit.design, re_form=re_form)
        index = fit.design.index
    else:
        rows, index = new_rows(
            fit.data,
            fit.design,
            newdata,
            new_levels=new_levels,
            re_form=re_form,
            offset=offset,
            rng=rng,
        )
    if draws:
        return draws_array(fit.data, rows, index, kind=kind, rng=rng)
    frame = summarise_rows(rows, kind=kind, prob=prob, rng=rng)
    if newdata is not None:
        return frame.set_index(index)
    return pd.DataFrame({name: fit.design.align(frame[name]) for name in frame})
