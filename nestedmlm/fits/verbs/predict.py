"""Prediction."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from nestedmlm.design.partitions.sources import is_source
from nestedmlm.fits.summaries.partitioned_rows import predicted
from nestedmlm.inference.rows import prediction

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def predict(
    fit: LmerFit,
    newdata: Any = None,
    *,
    type: str = "link",
    re_form: Any = None,
    new_levels: str = "error",
    se_fit: bool = False,
    interval: str | None = None,
    level: float = 0.95,
    seed: int | None = None,
    offset: Any = None,
    weights: Any = None,
    random_only: bool = False,
    na_action: str = "pass",
    use_residuals: bool = False,
) -> pd.Series | pd.DataFrame:
    """Predict for new rows (without `newdata`: for the rows of the fit).

    Parameters
    ----------
    newdata : table, or data in partitions, optional
        New rows; the response, and the columns of random effects that `re_form` leaves out,
        need not be there. A path or pattern of Parquet files or an Arrow stream gives an iterator,
        one Series (or DataFrame) a partition; a Dask DataFrame a lazy Series.
    type : {"link", "response"}
        Linear predictor, or expected response of a generalized model (of a binomial one the
        probability); the same in a linear model.
    re_form : None, False or str
        Which random effects count. None: all. False, ``"~ 0"``, ``"none"`` or ``"NA"``: none,
        the population's mean. ``"~ (1 | schoolid)"``: those, matched by grouping factor and column.
    new_levels : {"error", "population", "sample"}
        Unseen (or missing) groups: refuse; random effects of zero; or random effects drawn
        from their distribution, once for each new group.
    se_fit : bool
        Add standard errors.
    interval : {"confidence", "prediction"}, optional
        Add an interval for the expected value, or for a new response.
    level : float
        Probability inside the interval; another than 0.95 needs one.
    seed : int, optional
        For ``new_levels="sample"``.
    offset : str or array, optional
        A column of `newdata` or one number per row, in place of the argument ``offset`` of the
        fit. Needed where the fit was given an array; a column's name is remembered.
    weights : str or array, optional
        Prior weights of new rows, for ``interval="prediction"`` of a weighted fit; the name
        of the fit's column is remembered.
    random_only : bool
        ``Z b`` alone, without the fixed effects and offsets.
    na_action : {"pass", "omit", "raise"}
        Rows with missing values: predict NaN, leave them out, or refuse.
    use_residuals : bool
        With ``residual=``: forecast new rows of known blocks from the residuals of their other
        rows too; a prediction interval is then narrower.

    Returns
    -------
    Series or DataFrame
        ``prediction``, and if options ``se, conf_low, conf_high``, on the index of `newdata`.

    Raises
    ------
    OptionError
        For unknown choices, for random effects in `re_form` that the model does not have, for
        a prediction interval that would leave out part of a correlated term, and for one of a
        generalized model on the scale of the link, and for a `level` without an interval.
    NewLevelsError
        For unseen groups with ``new_levels="error"``, and for unseen levels of a fixed factor.
    DataError
        If an offset or weights are needed and missing.

    Notes
    -----
    Standard errors are exact given theta: they use the joint covariance of the estimated
    fixed effects and the random effects (Henderson's mixed-model equations), as lme4's
    ``se.fit`` since 1.1-35. They do not count the uncertainty of theta, and the intervals
    use the normal quantile. Predictions of a generalized model without random effects have the
    standard errors of `bse` and ``emmeans``, from its Hessian.

    Where a group is new and its random effects are set to zero, the standard error and both
    intervals count its between-group variance, which lme4 leaves out. A prediction interval
    counts the residual variance, divided by the row's weight, and the variance of the random
    effects that `re_form` leaves out, so that it is one for the response of a group drawn
    anew. Of a generalized model (``type="response"``) it has the quantiles of the distribution
    of a new response: the family's, at a linear predictor that is normal with these variances
    (``P(Y <= y) = E F(y; mu(eta))``, by quadrature); the dispersion is taken as known. Limits of
    counts are counts, those of binomial responses shares of the trials (`weights` of new rows; one
    where there are none), and hold at least `level`: a single trial is nearly always between 0
    and 1.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> sleepstudy = nm.load_dataset("sleepstudy")
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
    >>> fit.predict(sleepstudy.iloc[[0, 9]], interval="confidence").round(2)
       estimate  std_error  conf_low  conf_high
    0    253.66      12.25    229.64     277.68
    9    430.66      13.86    403.50     457.82
    """
    generalized = fit.core.family is not None
    with_errors = generalized and (se_fit or interval is not None)
    options = prediction.PredictionOptions(
        type=type,
        vcov=fit.core.vcov if with_errors else None,
        family=fit.core.family,
        dispersion=fit.core.dispersion if generalized else None,
        re_form=re_form,
        new_levels=new_levels,
        se_fit=se_fit,
        interval=interval,
        level=level,
        seed=seed,
        offset=offset,
        weights=fit.model.weights_column if weights is None else weights,
        random_only=random_only,
        na_action=na_action,
        use_residuals=use_residuals,
    )
    make = partial(prediction.predict, fit.solution, fit.design, options=options)
    if newdata is not None and is_source(newdata):
        return cast(pd.Series, predicted(newdata, make))
    return make(newdata)
