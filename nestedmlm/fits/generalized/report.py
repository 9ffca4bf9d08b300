"""The report of a generalized fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from nestedmlm.arguments import check_level
from nestedmlm.errors import OptionError
from nestedmlm.fits.verbs.report import estimation_sentence, model_sentence
from nestedmlm.views import report as sentences
from nestedmlm.views.render import apa
from nestedmlm.views.report import Report, Sentence

if TYPE_CHECKING:
    from nestedmlm.fits.glmer_fit import GlmerFit


def report(fit: GlmerFit, *, level: float = 0.95) -> Report:
    r"""Paragraphs for a paper: model, estimation, random and fixed effects, software.

    Parameters
    ----------
    level : float
        Of the intervals, which are Wald's.

    Returns
    -------
    Report
        A view with ``to_markdown`` and ``to_latex``; numbers as the APA prints them. With a logit
        or log link coefficients follow exponentiated: odds ratios, ratios of means.

    Raises
    ------
    OptionError
        For a level that is not between 0 and 1.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)",
    ...                nm.load_dataset("cbpp"), family="binomial")
    >>> print("\n".join(str(fit.report()).splitlines()[:8]))
    cbind(incidence, size - incidence) was modelled by a generalized linear mixed
    model of the binomial family with the logit link, cbind(incidence, size -
    incidence) ~ period + (1 | herd), fitted to 56 observations (15 herd) by maximum
    likelihood (Laplace approximation). The optimum was certified. No random effect
    was estimated at the boundary (the fit is not singular).
    <BLANKLINE>
    Random effects: SD = 0.642 (herd, (Intercept)). Fixed effects explained a share
    of the variance of R² = .09 (marginal), fixed and random effects together R² =
    """
    check_level(level)
    made: Any = fit  # of verbs that linear fits share
    first = " ".join([_model(fit), *_dispersion(fit), estimation_sentence(made)])
    paragraphs: list[Sentence] = [(first,)]
    variances = sentences.random_effects(made.varcorr().to_frame())
    table, keys = pd.DataFrame(), list[str]()
    if fit.design.p:
        table = _coefficients(made, level)
        paragraphs.append((*variances, *_explained(made)))
        paragraphs.append(
            (*sentences.coefficients(table, level), f" {_ratios(fit, table, level)}".rstrip())
        )
        keys = ["r2"]
    else:
        paragraphs.append(variances)
    paragraphs.append((sentences.software(),))
    return Report(paragraphs=tuple(paragraphs), references=sentences.cited(keys), table=table)


def _model(fit: GlmerFit) -> str:
    how = {0: "the approximation at the joint mode", 1: "Laplace approximation"}.get(
        fit.nAGQ, f"adaptive Gauss-Hermite quadrature, {fit.nAGQ} nodes"
    )
    made: Any = fit
    model = sentences.generalized_model(fit.family.name, fit.link)
    text = model_sentence(made, model, f"maximum likelihood ({how})")
    if fit.penalty is not None:
        used = made.penalty if isinstance(made.penalty, tuple) else (made.penalty,)
        text += f", penalised ({', '.join(part.name for part in used)})"
    return " ".join([f"{text}.", *sentences.remark_sentences(fit.design.messages)])


def _dispersion(fit: GlmerFit) -> list[str]:
    if fit.dispersion is None:
        return []
    value = apa.estimate(fit.dispersion, apa.with_error(fit.dispersion))
    return [f"The family's {fit.family.dispersion_name} was {value}."]


def _explained(fit: Any) -> Sentence:
    """Shares of the variance on the latent scale, where the family has one."""
    try:
        found = fit.r2()
    except OptionError:
        return ()
    return (" ", *sentences.explained(float(found["marginal"]), float(found["conditional"])))


def _coefficients(fit: Any, level: float) -> pd.DataFrame:
    found = fit.tidy("fixed", conf_int=True, level=level)
    columns = [
        "term", "estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high",
    ]  # fmt: skip
    return sentences.with_ratios(found[columns], fit.link)


def _ratios(fit: GlmerFit, table: pd.DataFrame, level: float) -> str:
    """Tests, and exponentiated coefficients but the intercept's, in a sentence."""
    tests = "Tests and intervals are Wald's, by the Hessian of the log-likelihood."
    return f"{sentences.ratios(table, fit.link, level)} {tests}".lstrip()
