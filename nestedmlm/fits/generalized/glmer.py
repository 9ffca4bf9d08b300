"""Maximum likelihood of a generalized linear mixed model, in one call."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, overload

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import checked
from nestedmlm.design.partitions.sources import is_source
from nestedmlm.errors import DataError
from nestedmlm.families import resolve_family
from nestedmlm.fits.glmer_fit import GlmerFit, fit_generalized_design
from nestedmlm.fits.imputation.pooled_fit import PooledFit, pooled_fit
from nestedmlm.fits.model import Model
from nestedmlm.formula import Formula
from nestedmlm.optimum.control import Control


@overload
def glmer(
    formula: str | Formula, data: list[Any], *, family: Any, link: Any = ..., weights: Any = ...,
    offset: Any = ..., nAGQ: int = ..., information: str = ...,
    contrasts: Mapping[str, Any] | None = ..., na_action: str = ..., double_bar: str = ...,
    env: Mapping[str, Any] | None = ..., start: Any = ..., control: Control | None = ...,
    penalty: Any = ...,
) -> PooledFit: ...  # fmt: skip
@overload
def glmer(
    formula: str | Formula, data: Any, *, family: Any, link: Any = ..., weights: Any = ...,
    offset: Any = ..., nAGQ: int = ..., information: str = ...,
    contrasts: Mapping[str, Any] | None = ..., na_action: str = ..., double_bar: str = ...,
    env: Mapping[str, Any] | None = ..., start: Any = ..., control: Control | None = ...,
    penalty: Any = ...,
) -> GlmerFit: ...  # fmt: skip
@checked
def glmer(
    formula: str | Formula,
    data: Any,
    *,
    family: Any,
    link: Any = None,
    weights: Any = None,
    offset: Any = None,
    nAGQ: int = 1,
    information: str = "auto",
    contrasts: Mapping[str, Any] | None = None,
    na_action: str = "omit",
    double_bar: str = "split",
    env: Mapping[str, Any] | None = None,
    start: FloatArray | None = None,
    control: Control | None = None,
    penalty: Any = None,
) -> GlmerFit | PooledFit:
    """Fit a generalized linear mixed model by maximum likelihood.

    Parameters
    ----------
    formula : str or Formula
        lme4-style: ``"incidence ~ period + (1 | herd)"``. A binomial response is
        ``cbind(success, failure)``, ``p(success, trials)``, 0 and 1, True and False, two levels
        (the first is failure), or a proportion with the numbers of trials as `weights`.
    data : DataFrame, mapping of arrays, or anything narwhals can read (polars, Arrow)
        A list of them holds multiply imputed data sets, each of which is fitted.
        One row for each observation. Never changed.
    family : str or Family
        ``binomial``, ``poisson``, ``negativebinomial``, ``gamma``, ``inverse_gaussian``, ``beta``,
        ``gaussian`` (with a link), or one of `nestedmlm.families`.
    link : str or Link, optional
        Where it is not the usual one: ``"probit"``, ``"cloglog"``.
    weights : str or array, optional
        Numbers of trials of proportions; else prior weights.
    offset : str or array, optional
        Added to the linear predictor: a column's name, or one number for each row.
    contrasts : mapping, optional
        Coding of factors in the fixed part: ``{"cond": "sum"}``, or a matrix; by default
        treatment contrasts.
    na_action : {"omit", "exclude", "raise"}
        Rows with missing values are left out, left out but kept (as NaN) in residuals and
        predictions, or refused.
    double_bar : {"split", "diag"}
        ``(f || g)`` as lme4 reads it, or one block with a diagonal covariance (as afex).
    env : mapping of str to object, optional
        Variables and functions that the formula may use where the data have no such column.
    nAGQ : int
        1: Laplace approximation; more: points of adaptive Gauss-Hermite quadrature for each random
        effect, with one grouping factor and up to three effects; 0: fixed effects at the joint
        mode.
    information : {"auto", "expected", "observed"}
        Information in the Laplace approximation. ``auto``: expected (glmer's), and observed
        (glmmTMB's) where a dispersion is estimated.
    start : array, optional
        Starting covariance parameters (theta).
    control : Control, optional
        Settings of the optimizer.
    penalty : {"normal", "wishart"}, Penalty or a pair, optional
        Prior that keeps estimates from running away: ``normal``, a weak one of the fixed effects,
        where groups are separated; ``wishart``, of the covariances, away from the boundary.

    Returns
    -------
    GlmerFit
    PooledFit
        Of a list: pooled by Rubin's rules, as by `pool`.

    Raises
    ------
    OptionError
        For an unknown family or link, quadrature with several factors, a normal response with the
        identity link (`lmer`).
    ResponseError
        For a response that the family does not take, with its first row.
    DataError
        For data in partitions (paths, streams, Dask), among others.

    Warns
    -----
    ConvergenceWarning
        If the optimum is not certified, or estimates run away because groups are separated.

    Notes
    -----
    lme4's ``glmer``, at the true optimum, with the full likelihood for ``nAGQ > 1``, and maximum
    likelihood also for families with a dispersion.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> nm.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)",
    ...          nm.load_dataset("cbpp"), family="binomial")
    Generalized linear mixed model fit by maximum likelihood (Laplace
      Approximation) [glmerMod]
     Family: binomial  ( logit )
    Formula: cbind(incidence, size - incidence) ~ period + (1 | herd)
         AIC      BIC   logLik deviance df.resid
    194.0526 204.1793 -92.0263 184.0526       51
    Random effects:
     Groups Name        Std.Dev.
     herd   (Intercept) 0.6423
    Number of obs: 56, groups:  herd, 15
    Fixed Effects:
    (Intercept)      period2      period3      period4
        -1.3985      -0.9923      -1.1287      -1.5803
    """
    if isinstance(data, list):
        each: Any = partial(
            glmer, formula, family=family, link=link, weights=weights, offset=offset,
            contrasts=contrasts, na_action=na_action, double_bar=double_bar, env=env, nAGQ=nAGQ,
            information=information, start=start, control=control, penalty=penalty,
        )  # fmt: skip
        return pooled_fit([each(data=table) for table in data])
    if is_source(data):
        raise DataError(
            "a generalized model is fitted from rows in memory, not from sums of data in "
            "partitions: read the table first (pandas.read_parquet(path), data.compute())"
        )
    resolve_family(family, link)  # bad ones are named, None too; the model asks a name's own link
    model = Model(
        formula, data, weights=weights, offset=offset, contrasts=contrasts, na_action=na_action,
        double_bar=double_bar, env=env, family=family, link=link,
    )  # fmt: skip
    return fit_generalized_design(
        model, model.design, nAGQ=nAGQ, information=information, start=start, control=control,
        penalty=penalty,
    )  # fmt: skip
