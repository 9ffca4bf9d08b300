"""Predictions from a posterior."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.arguments import checked
from nestedmlm.errors import OptionError, ResidualStructureError
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.inference.rows.new_weights import new_weights
from nestedmlm.posterior.row_draws import TYPES, draws_array, fitted_rows, new_rows, summarise_rows
from nestedmlm.posterior.summaries import LEVEL


@checked
def predict(
    fit: BayesEstimates,
    newdata: Any = None,
    *,
    type: str = "response",
    re_form: Any = None,
    new_levels: str = "error",
    offset: Any = None,
    weights: Any = None,
    level: float = LEVEL,
    draws: bool = False,
    seed: int | None = None,
) -> Any:
    """Predict for new rows (without `newdata`: for the rows of the fit).

    Parameters
    ----------
    newdata : table, optional
    type : {"response", "link", "prediction"}
        The expected response of a row (of a binomial model the probability), its linear predictor
        (in a linear model the same), or a new response there: with residual noise of variance
        sigma^2 over the row's prior weight, or drawn from the family; of a binomial model the share
        of its trials.
    re_form : None, False or str
        Which random effects count, as for a `LmerFit`: all, none (``"~ 0"``), or those of
        ``"~ (1 | schoolid)"``.
    new_levels : {"error", "population", "sample"}
        Unseen groups: refuse; random effects of zero; or random effects drawn from their
        distribution, once per draw and group (rows with the same unseen label share them).
    offset : str or array, optional
        A column of `newdata` or one number per row, in place of the fit's argument ``offset``.
    weights : str or array, optional
        Prior weights of new rows (of a binomial model, numbers of trials), for
        ``type="prediction"`` of a weighted fit; the name of the fit's column is remembered.
    level : float
        Probability inside the intervals.
    draws : bool
        Return all draws instead of a summary.
    seed : int, optional
        For what is drawn.

    Returns
    -------
    DataFrame or DataArray
        ``estimate, std_error, conf_low, conf_high`` on the index of `newdata`; with `draws` an
        array with dims ``chain, draw, __obs__``.

    Raises
    ------
    OptionError
        For an unknown `type` or `new_levels`, a `re_form` that the model does not have, and a
        `level` beside `draws`.
    DataError
        If an offset or weights are needed and missing.
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
    _check_arguments(newdata, type, offset=offset, weights=weights)
    if draws and level != LEVEL:
        raise OptionError(f"level={level} is of intervals, which draws=True has none of")
    own = fit.design.residual
    if newdata is not None and draws and type == "prediction" and own is not None and own.structure:
        raise ResidualStructureError(
            "draws of new responses together are not worked out for residuals that correlate: ask "
            "for their intervals (draws=False), or for draws of type='response'"
        )
    if newdata is None:
        rows = fitted_rows(fit.data, fit.design, re_form=re_form)
        index = fit.design.index
    else:
        given = fit.weights_column if weights is None else weights
        rows, index = new_rows(
            fit.data,
            fit.design,
            newdata,
            new_levels=new_levels,
            re_form=re_form,
            offset=offset,
            weights=new_weights(fit.design, newdata, given) if type == "prediction" else None,
            response=type == "prediction",
            rng=rng,
        )
    if draws:
        return draws_array(fit.data, rows, index, type=type, rng=rng)
    frame = summarise_rows(rows, type=type, level=level, rng=rng)
    if newdata is not None:
        return frame.set_index(index)
    return pd.DataFrame({name: fit.design.align(frame[name]) for name in frame})


def _check_arguments(newdata: Any, type: str, **of_new_rows: Any) -> None:
    """Refuse an unknown type, and arguments about new rows where there are none."""
    if type not in TYPES:
        raise OptionError(f"type={type!r} is unknown; known: {', '.join(TYPES)}")
    for name, value in of_new_rows.items():
        if newdata is None and value is not None:
            raise OptionError(f"{name}= belongs to new data; the rows of the fit have their own")
