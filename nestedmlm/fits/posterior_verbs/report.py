"""The report of a posterior."""

from __future__ import annotations

import pandas as pd

from nestedmlm.errors import OptionError
from nestedmlm.families import Family
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.fits.posterior_verbs.parameters import parameters
from nestedmlm.fits.verbs.report import model_sentence
from nestedmlm.posterior.icc_r2 import nakagawa_draws
from nestedmlm.posterior.summaries import ESTIMATES, LEVEL
from nestedmlm.views import report as sentences
from nestedmlm.views.posterior.summary import sampling_lines
from nestedmlm.views.render import apa
from nestedmlm.views.report import Report, Sentence


def report(fit: BayesEstimates, *, level: float = LEVEL) -> Report:
    r"""Paragraphs for a paper: model, priors, sampling, random and fixed effects, software.

    Parameters
    ----------
    level : float
        Probability inside the intervals.

    Returns
    -------
    Report
        A view with ``to_markdown`` and ``to_latex``; numbers as the APA prints them. With a logit
        or log link coefficients follow exponentiated: odds ratios, ratios of means.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
    >>> print("\n".join(str(posterior.report()).splitlines()[:2]))
    Yield was modelled by a linear mixed model, Yield ~ 1 + (1 | Batch), fitted to
    30 observations (6 Batch) by sampling from its posterior. Priors: Intercept ~
    """
    family = fit.design.family
    table = parameters(fit, level=level)
    fixed = table[table["kind"] == "fixed"]
    numbers = fixed[list(ESTIMATES)].reset_index()
    first = " ".join([_model(fit), *_dispersion(family, table), _sampling(fit, table)])
    paragraphs: list[Sentence] = [(first,)]
    variances = sentences.random_effects(_standard_deviations(table))
    if len(fixed):
        if family is not None:
            numbers = sentences.with_ratios(numbers, family.link.name)
        raised = "" if family is None else sentences.ratios(numbers, family.link.name, level, "CrI")
        paragraphs.append((*variances, *_explained(fit)))
        said = "Estimates are posterior means, intervals equal-tailed credible intervals."
        given = sentences.coefficients(numbers, level, "CrI")
        paragraphs.append((*given, " ".join(["", *filter(None, [raised]), said])))
    else:
        paragraphs.append(variances)
    paragraphs.append((sentences.software(),))
    return Report(
        paragraphs=tuple(paragraphs),
        references=sentences.cited(["r2"] if len(fixed) else []),
        table=numbers.reset_index(drop=True),
    )


def _model(fit: BayesEstimates) -> str:
    family = fit.design.family
    model = (
        "a linear mixed model"
        if family is None
        else sentences.generalized_model(family.name, family.link.name)
    )
    text = f"{model_sentence(fit, model, 'sampling from its posterior')}."
    if fit.design.residual is not None:
        said = fit.design.residual.arguments.texts
        text += f" Residuals: {', '.join(said)}; their SD is that where all of it is zero."
    if fit.priors is None:
        return f"{text} The priors are those of a PyMC model of the authors'."
    priors = [f"{name} ~ {row.prior}" for name, row in fit.priors.items()]
    return f"{text} Priors: {'; '.join(priors)}."


def _dispersion(family: Family | None, table: pd.DataFrame) -> list[str]:
    """The family's own parameter, where the posterior has one."""
    if family is None:
        return []
    said = []
    for row in table[table["kind"] == "family"].to_dict("records"):
        d = apa.with_error(row["std_error"])
        value, spread = (apa.estimate(row[name], d) for name in ("estimate", "std_error"))
        said.append(f"The family's {row['variable']} was {value} (SD {spread}).")
    return said


def _explained(fit: BayesEstimates) -> Sentence:
    """Shares of the variance, on the latent scale, where the family has one."""
    try:
        marginal, conditional = nakagawa_draws(fit.data, fit.design)
    except OptionError:
        return ()
    return (" ", *sentences.explained(float(marginal.mean()), float(conditional.mean())))


def _sampling(fit: BayesEstimates, table: pd.DataFrame) -> str:
    made, checks = sampling_lines(fit, table)
    return " ".join(
        [f"Draws: {made}. Checks: {checks}.", *sentences.remark_sentences(fit.messages)]
    )


def _standard_deviations(table: pd.DataFrame) -> pd.DataFrame:
    """VarCorr's columns of the posterior means of standard deviations and correlations."""
    kinds = table[table["kind"].isin(["sd", "cor", "sigma"])]
    return kinds[["group", "var1", "var2", "estimate"]]
