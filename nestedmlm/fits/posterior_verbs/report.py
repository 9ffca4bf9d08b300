"""The report of a posterior."""

from __future__ import annotations

import pandas as pd

from nestedmlm.arguments import checked
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.fits.posterior_verbs.parameters import parameters
from nestedmlm.fits.posterior_verbs.r2 import r2
from nestedmlm.inference.fitted import require_linear
from nestedmlm.posterior.summaries import ESTIMATES, LEVEL
from nestedmlm.views import report as sentences
from nestedmlm.views.posterior.summary import sampling_lines
from nestedmlm.views.report import Report, Sentence


@checked
def report(fit: BayesEstimates, *, level: float = LEVEL) -> Report:
    r"""Paragraphs for a paper: model, priors, sampling, random and fixed effects, software.

    Parameters
    ----------
    level : float
        Probability inside the intervals.

    Returns
    -------
    Report
        A view with ``to_markdown`` and ``to_latex``; numbers as the APA prints them.

    Raises
    ------
    OptionError
        For a generalized model: its sentences are of linear ones.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
    >>> print("\n".join(str(posterior.report()).splitlines()[:2]))
    Yield was modelled by a linear mixed model, Yield ~ 1 + (1 | Batch), fitted to
    30 observations (6 Batch) by sampling from its posterior. Priors: Intercept ~
    """
    require_linear(fit.design.family, "the report of a posterior")
    table = parameters(fit, level=level)
    fixed = table[table["kind"] == "fixed"]
    numbers = fixed[list(ESTIMATES)].reset_index()
    paragraphs: list[Sentence] = [(f"{_model(fit)} {_sampling(fit, table)}",)]
    variances = sentences.random_effects(_standard_deviations(table))
    if len(fixed):
        shares = r2(fit)["estimate"]
        explained = sentences.explained(float(shares["marginal"]), float(shares["conditional"]))
        paragraphs.append((*variances, " ", *explained))
        said = " Estimates are posterior means, intervals equal-tailed credible intervals."
        paragraphs.append((*sentences.coefficients(numbers, level, "CrI"), said))
    else:
        paragraphs.append(variances)
    paragraphs.append((sentences.software(),))
    return Report(
        paragraphs=tuple(paragraphs),
        references=sentences.cited(["r2"] if len(fixed) else []),
        table=numbers.reset_index(drop=True),
    )


def _model(fit: BayesEstimates) -> str:
    text = (
        f"{fit.design.formula.response_text} was modelled by a linear mixed model, {fit.formula}, "
        f"fitted to {fit.nobs:,} observations ({sentences.groups(fit.ngrps)}) by sampling from its "
        "posterior."
    )
    if fit.design.residual is not None:
        said = fit.design.residual.arguments.texts
        text += f" Residuals: {', '.join(said)}; their SD is that where all of it is zero."
    if fit.priors is None:
        return f"{text} The priors are those of a PyMC model of the authors'."
    priors = [f"{name} ~ {row.prior}" for name, row in fit.priors.items()]
    return f"{text} Priors: {'; '.join(priors)}."


def _sampling(fit: BayesEstimates, table: pd.DataFrame) -> str:
    made, checks = sampling_lines(fit, table)
    return " ".join(
        [f"Draws: {made}. Checks: {checks}.", *sentences.remark_sentences(fit.messages)]
    )


def _standard_deviations(table: pd.DataFrame) -> pd.DataFrame:
    """VarCorr's columns of the posterior means of standard deviations and correlations."""
    kinds = table[table["kind"].isin(["sd", "cor", "sigma"])]
    return kinds[["group", "var1", "var2", "estimate"]]
