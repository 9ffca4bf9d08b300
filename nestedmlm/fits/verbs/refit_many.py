"""Fits of one design to many responses, with tests of the fixed effects of each."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import check_choice
from nestedmlm.errors import OptionError
from nestedmlm.fits.verbs.refit import used_rows
from nestedmlm.inference.effects.ddf import METHODS, df_method
from nestedmlm.inference.effects.many_satterthwaite import many_satterthwaite, serves
from nestedmlm.inference.fitted import Fitted
from nestedmlm.likelihood.elimination.speed import held
from nestedmlm.likelihood.plan import SINGULAR
from nestedmlm.likelihood.solution import results_at, smallest_singular_value
from nestedmlm.native_frames import native_method
from nestedmlm.optimum import batch
from nestedmlm.optimum.batch import Batch
from nestedmlm.optimum.solve import solve
from nestedmlm.statistics.responses import each_response

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResponseFits(Batch):
    """The fits of one design to m responses, and tests of their fixed effects.

    Attributes
    ----------
    theta, criterion, sigma, beta, std_error, converged, singular, evaluations : arrays
        One row per response; see `nestedmlm.optimum.batch.Batch`.
    names : tuple of str
        Of the responses.
    terms : tuple of str
        Of the fixed effects.
    df, statistic, p_value : (m, p) arrays
        Tests of zero.

    Examples
    --------
    >>> import nestedmlm as nm, numpy as np
    >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    >>> rng = np.random.default_rng(1)
    >>> genes = np.column_stack([fit.design.y, rng.normal(size=(180, 3))])
    >>> found = fit.refit_many(genes).tidy()
    >>> found[found.term == "Days"][["response", "std_error", "df", "p_adjusted"]].round(3)
      response  std_error     df  p_adjusted
    1        1      0.804  161.0       0.000
    3        2      0.024  161.0       0.463
    5        3      0.024  161.0       0.254
    7        4      0.023  161.0       0.254
    """

    names: tuple[str, ...]
    terms: tuple[str, ...]
    df: FloatArray
    statistic: FloatArray
    p_value: FloatArray
    _native: str = "pandas"

    @native_method
    def tidy(self) -> pd.DataFrame:
        """Long form: a row for each response and fixed effect.

        Returns
        -------
        DataFrame
            ``response, term, estimate, std_error, df, statistic, p_value``, and ``p_adjusted``:
            Benjamini and Hochberg's, over the responses of each term.
        """
        m, p = self.beta.shape
        columns = {
            "response": np.repeat(np.array(self.names, dtype=object), p),
            "term": np.tile(np.array(self.terms, dtype=object), m),
            "estimate": self.beta.ravel(),
            "std_error": self.std_error.ravel(),
            "df": self.df.ravel(),
            "statistic": self.statistic.ravel(),
            "p_value": self.p_value.ravel(),
            "p_adjusted": benjamini_hochberg(self.p_value).ravel(),
        }
        return pd.DataFrame(columns)


def refit_many(
    fit: LmerFit, Y: Any, *, ddf: str = "satterthwaite", workers: int = 1
) -> ResponseFits:
    """Fit the same design to many responses at once, each to its own certified optimum.

    They share one pass over the rows and one compiled loop, so that thousands of responses
    take a fraction of the time of as many calls of `refit`.

    Parameters
    ----------
    Y : array-like, shape (n, m) or (rows of the data, m)
        One response per column; a DataFrame must have the row labels of the data, and its columns
        name the responses.
    ddf : {"satterthwaite", "kenward-roger", "residual", "none"}
        Degrees of freedom of the tests. Satterthwaite's cost about as much as the fits of a small
        design and milliseconds each of a large one, Kenward and Roger's always milliseconds; these
        adjust the standard errors, too.
    workers : int
        Threads; the result does not depend on their number. Where residuals differ or correlate,
        responses are fitted one after the other, each with parameters of the residuals of its own.

    Returns
    -------
    ResponseFits
        Arrays with one row per response: ``theta, criterion, sigma, beta, std_error, df,
        statistic, p_value, converged, singular, evaluations``; ``tidy()`` adjusts the p-values.

    Raises
    ------
    DataError
        For a wrong shape, missing values, or a response that the fixed effects reproduce.
    OptionError
        For a penalised fit, or an unknown `ddf`.

    Examples
    --------
    >>> import nestedmlm as nm, numpy as np
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> y = fit.design.y
    >>> found = fit.refit_many(np.column_stack([y, 2 * y, y[::-1]]))
    >>> found.sigma.round(4), found.std_error.ravel().round(2)
    (array([49.5101, 99.0202, 49.5101]), array([19.38, 38.77, 19.38]))
    """
    if fit.penalty is not None:
        raise OptionError("refit_many knows no penalties; call refit for each response")
    check_choice(ddf, "ddf", METHODS)
    values = used_rows(Y, fit.design)
    stats = fit.solution.stats
    if stats.residual is not None:
        return _named(fit, Y, *_one_by_one(fit, values, ddf))
    with held(
        batch.batch_seconds(fit.design, stats, values.shape[1])
    ):  # the tests run what the fits run
        found = batch.refit_many(
            fit.design, values, REML=fit.REML, start=fit.theta, stats=stats, workers=workers
        )
        numbers = {field.name: getattr(found, field.name) for field in fields(Batch)}
        numbers["std_error"], df = _errors_and_df(fit, values, found, ddf)
    return _named(fit, Y, numbers, df)


def _named(fit: LmerFit, Y: Any, numbers: dict[str, Any], df: FloatArray) -> ResponseFits:
    """The fits with tests, and the names of responses and terms."""
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = numbers["beta"] / numbers["std_error"]
    return ResponseFits(
        **numbers,
        names=_response_names(Y, len(df)),
        terms=fit.design.x_names,
        df=df,
        statistic=statistic,
        p_value=_two_sided(statistic, df),
        _native=fit._native,
    )


def _one_by_one(fit: LmerFit, Y: FloatArray, ddf: str) -> tuple[dict[str, FloatArray], FloatArray]:
    """Fields of `Batch`, and degrees of freedom, where residuals differ or correlate."""
    L, rows = np.eye(fit.design.p), []
    start = fit.theta if fit.theta.size else None
    for y in Y.T:
        design = fit.design.with_response(np.ascontiguousarray(y))
        found = solve(design, REML=fit.REML, start=start)
        s, certificate = found.solution, found.certificate
        method = df_method(Fitted(design=design, solution=s, REML=found.REML), ddf)
        rows.append({
            "theta": s.theta, "sigma": s.sigma, "beta": s.beta,
            "criterion": s.reml_criterion if found.REML else s.deviance,
            "std_error": np.sqrt(np.diag(method.cov)), "converged": certificate.holds,
            "singular": bool(s.theta.size) and smallest_singular_value(s) < SINGULAR,
            "evaluations": certificate.evaluations, "df": method.rows(L),
        })  # fmt: skip
    numbers = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return numbers, numbers.pop("df")


def benjamini_hochberg(p: FloatArray) -> FloatArray:
    """Adjusted p-values down each column, NaN left out (R's ``p.adjust(method = "BH")``)."""
    out = np.full_like(p, np.nan)
    for j in range(p.shape[1]):
        known = np.flatnonzero(np.isfinite(p[:, j]))
        order = known[np.argsort(-p[known, j])]
        ranks = np.arange(len(order), 0, -1)
        out[order, j] = np.minimum.accumulate(np.minimum(1.0, p[order, j] * len(order) / ranks))
    return out


def _errors_and_df(
    fit: LmerFit, Y: FloatArray, found: Batch, ddf: str
) -> tuple[FloatArray, FloatArray]:
    """Standard errors and degrees of freedom of every response."""
    m, p = found.beta.shape
    constant = {"none": np.inf, "residual": float(fit.design.n - fit.design.p)}
    if ddf in constant or not p:
        return found.std_error, np.full((m, p), constant.get(ddf, np.nan))
    errors, df, L = np.empty((m, p)), np.empty((m, p)), np.eye(p)
    stats = fit.solution.stats
    if ddf == "satterthwaite" and serves(fit.design, stats, fit.theta, REML=fit.REML):
        many = many_satterthwaite(fit.design, stats, Y, found.theta, REML=fit.REML)
        return found.std_error, many.row_df(L)
    for j, own in enumerate(each_response(fit.design, stats, Y)):
        design = fit.design.with_response(np.ascontiguousarray(Y[:, j]))
        solution = results_at(design, found.theta[j], REML=fit.REML, stats=own)
        method = df_method(Fitted(design=design, solution=solution, REML=fit.REML), ddf)
        errors[j], df[j] = np.sqrt(np.diag(method.cov)), method.rows(L)
    return errors, df


def _two_sided(statistic: FloatArray, df: FloatArray) -> FloatArray:
    from scipy.special import ndtr, stdtr

    known = np.isfinite(df)
    size = -np.abs(statistic)
    return np.asarray(2.0 * np.where(known, stdtr(np.where(known, df, 1.0), size), ndtr(size)))


def _response_names(Y: Any, m: int) -> tuple[str, ...]:
    columns = Y.columns if isinstance(Y, pd.DataFrame) else range(1, m + 1)
    return tuple(map(str, columns))
