"""The report of a fit by likelihood."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nestedmlm.arguments import check_level
from nestedmlm.fits.fit_statistics import nakagawa_r2
from nestedmlm.fits.singularity.diagnose import diagnose
from nestedmlm.fits.verbs.dispersion import residual_notes
from nestedmlm.fits.verbs.smooths import smooth_table
from nestedmlm.inference.effects.ddf import DfMethod, df_method, intervals, row_tests
from nestedmlm.inference.effects.df_record import ClusterRobust
from nestedmlm.inference.effects.smooths import residual_df
from nestedmlm.views import report as sentences
from nestedmlm.views.effect_tests import METHOD_NAMES
from nestedmlm.views.report import Report, Sentence

if TYPE_CHECKING:
    from nestedmlm.fits.bayes_estimates import BayesEstimates
    from nestedmlm.fits.imputation.pooled_fit import PooledFit
    from nestedmlm.fits.lmer_fit import LmerFit

CRITERIA = {True: "restricted maximum likelihood", False: "maximum likelihood"}


def report(
    fit: LmerFit,
    *,
    ddf: str = "satterthwaite",
    vcov: str | ClusterRobust | None = None,
    level: float = 0.95,
) -> Report:
    r"""Paragraphs for a paper: model, estimation, random and fixed effects, software.

    Parameters
    ----------
    ddf : {"satterthwaite", "kenward-roger", "residual", "none"}
        Degrees of freedom of tests and intervals.
    vcov : {"CR0", "CR1", "CR2", "CR3"} or ClusterRobust, optional
        Cluster-robust covariance in the place of the model's.
    level : float
        Of the intervals.

    Returns
    -------
    Report
        A view with ``to_markdown`` and ``to_latex``; numbers as the APA prints them. It says what
        methods sections leave out: how the optimum was checked, whether the fit is singular,
        which rows were left out, what degrees of freedom were used.

    Raises
    ------
    OptionError
        For a level that is not between 0 and 1, or an unknown method of degrees of freedom.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> print("\n".join(str(fit.report()).splitlines()[:14]))
    Reaction was modelled by a linear mixed model, Reaction ~ Days + (Days |
    Subject), fitted to 180 observations (18 Subject) by restricted maximum
    likelihood. The optimum was certified. No random effect was estimated at the
    boundary (the fit is not singular).
    <BLANKLINE>
    Random effects: SD = 24.74 (Subject, (Intercept)); SD = 5.92 (Subject, Days); r
    = .07 (Subject, (Intercept) with Days); residual SD = 25.59. Fixed effects
    explained a share of the variance of R² = .28 (marginal), fixed and random
    effects together R² = .80 (conditional).
    <BLANKLINE>
    (Intercept): b = 251.41, SE = 6.82, 95 % CI [237.01, 265.80], t(17) = 36.84, p <
    .001; Days: b = 10.47, SE = 1.55, 95 % CI [7.21, 13.73], t(17) = 6.77, p < .001.
    Tests and intervals of fixed effects use Satterthwaite's method.
    <BLANKLINE>
    """
    check_level(level)
    keys: list[str] = []
    paragraphs: list[Sentence] = [(f"{_model(fit)} {estimation_sentence(fit)}",)]
    variances = sentences.random_effects(
        estimated_variances(fit), residual_notes(fit.solution, fit.design)
    )
    table = pd.DataFrame()
    if fit.design.p:
        method = df_method(fit.core, ddf, vcov)
        table = _coefficients(fit, method, level)
        shares = _explained(fit)
        paragraphs.append((*variances, *shares))
        said = f" Tests and intervals of fixed effects use {METHOD_NAMES[ddf]}."
        notes = "".join(f" {note[0].upper()}{note[1:]}." for note in method.notes)
        paragraphs.append((*sentences.coefficients(table, level), said + notes))
        keys = ["robust" if vcov is not None else ddf, *(["r2"] if shares else [])]
    else:
        paragraphs.append(variances)
    if _curves(fit):
        paragraphs.append(
            sentences.curves(smooth_table(fit), residual_df(fit.solution, fit.design))
        )
        keys.append("smooths")
    paragraphs.append((sentences.software(),))
    return Report(paragraphs=tuple(paragraphs), references=sentences.cited(keys), table=table)


def estimated_variances(fit: LmerFit | PooledFit) -> pd.DataFrame:
    """VarCorr's table of what was estimated."""
    table = fit.varcorr().to_frame()
    return table if fit.design.sigma is None else table[table["group"] != "Residual"]


def _explained(fit: LmerFit) -> Sentence:
    """Shares of the variance, where they are defined: not with curves or known variances."""
    if fit.design.sigma is not None or _curves(fit):
        return ()
    return (" ", *sentences.explained(**nakagawa_r2(fit), random=bool(fit.design.terms)))


def _curves(fit: LmerFit) -> bool:
    return any(term.smooth is not None for term in fit.design.terms)


def _model(fit: LmerFit) -> str:
    model = "a linear mixed model" if fit.design.terms else "generalized least squares"
    text = model_sentence(fit, model, CRITERIA[fit.REML])
    if fit.penalty is not None:
        text += f", the covariances penalised ({fit.penalty.name})"
    known = []
    if fit.design.sigma is not None:
        by = "" if fit.weights_name is None else ", divided by the roots of the weights"
        known = [f"Residual standard deviations were taken as known: {fit.design.sigma:g}{by}."]
    return " ".join([f"{text}.", *known, *sentences.remark_sentences(fit.design.messages)])


def model_sentence(fit: LmerFit | BayesEstimates, model: str, criterion: str) -> str:
    """What was modelled by which model, and how it was fitted to which data, without a stop."""
    residual = fit.design.residual
    counted = [sentences.groups(fit.ngrps)] if fit.design.factors else []
    if residual is not None and residual.block_name and residual.block_name not in fit.ngrps:
        counted.append(f"{len(residual.block_levels):,} {residual.block_name}")
    groups = f" ({', '.join(counted)})" if counted else ""
    text = (
        f"{fit.design.formula.response_text} was modelled by {model}, {fit.formula}, fitted to "
        f"{fit.nobs:,} observations{groups} by {criterion}"
    )
    if fit.weights_name is not None:
        text += f", with prior weights {fit.weights_name}"
    if fit.offset_name is not None:
        text += f", with the offset {fit.offset_name}"
    return text


def estimation_sentence(fit: LmerFit) -> str:
    """Whether the optimum was certified, and whether it is singular."""
    optimum = (
        "The optimum was certified."
        if fit.converged
        else f"The optimum was not certified ({fit.certificate.message.rstrip('.')})."
    )
    if not fit.design.terms:
        return optimum
    if not fit.is_singular():
        return (
            f"{optimum} No random effect was estimated at the boundary (the fit is not singular)."
        )
    curves = {term.text for term in fit.design.terms if term.smooth is not None}
    found = [term for term in diagnose(fit).terms if term.collapse.singular]
    terms = [
        f"{term.name} has rank {term.collapse.rank} of {len(term.collapse.columns)}"
        for term in found
        if term.text not in curves
    ]
    if not terms:  # a curve without its bent part is a straight line, and nothing is amiss
        return f"{optimum} No random effect but the bends of curves was estimated at the boundary."
    return f"{optimum} The fit is singular: {', '.join(terms)}; no random effect was removed."


def _coefficients(fit: LmerFit, method: DfMethod, level: float) -> pd.DataFrame:
    found = row_tests(method, np.eye(fit.design.p))
    low, high = intervals(found, level)
    return pd.DataFrame(
        {
            "term": list(fit.design.x_names), "estimate": found.estimate, "std_error": found.se,
            "df": found.df, "statistic": found.statistic, "p_value": found.p_value,
            "conf_low": low, "conf_high": high,
        }
    )  # fmt: skip
