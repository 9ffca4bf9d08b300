"""The report of fits pooled over imputed data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from nestedmlm.arguments import check_level
from nestedmlm.errors import NestedMLMError
from nestedmlm.fits.verbs.report import CRITERIA, estimated_variances, model_sentence
from nestedmlm.inference.effects.df_record import ClusterRobust
from nestedmlm.views import report as sentences
from nestedmlm.views.effect_tests import METHOD_NAMES
from nestedmlm.views.render import apa
from nestedmlm.views.report import Report, Sentence

if TYPE_CHECKING:
    from nestedmlm.fits.imputation.pooled_fit import PooledFit

_COLUMNS = [
    "term", "estimate", "std_error", "df", "statistic", "p_value", "conf_low", "conf_high", "fmi",
]  # fmt: skip


def report(
    fit: PooledFit,
    *,
    ddf: str | None = None,
    vcov: str | ClusterRobust | None = None,
    level: float = 0.95,
) -> Report:
    r"""Paragraphs for a paper: model, estimation, pooled random and fixed effects, software.

    Parameters
    ----------
    ddf : {"satterthwaite", "kenward-roger", "residual", "none"}, optional
        Degrees of freedom of complete data, from which Barnard and Rubin's follow. By default
        Satterthwaite's, and ``none`` of generalized models.
    vcov : {"CR0", "CR1", "CR2", "CR3"} or ClusterRobust, optional
        Cluster-robust covariances in the place of the models'.
    level : float
        Of the intervals.

    Returns
    -------
    Report
        A view with ``to_markdown`` and ``to_latex``; numbers as the APA prints them.

    Raises
    ------
    OptionError
        For a level that is not between 0 and 1, or an unknown method of degrees of freedom.

    Examples
    --------
    >>> import numpy as np
    >>> import nestedmlm as nm
    >>> data, rng = nm.load_dataset("sleepstudy"), np.random.default_rng(1)
    >>> def filled(table):  # stands for an imputation of the fourth day
    ...     noise = 20 * rng.normal(size=180) * (table["Days"] == 3)
    ...     return table.assign(Reaction=table["Reaction"] + noise)
    >>> imputed = [filled(data) for _ in range(5)]
    >>> report = nm.lmer("Reaction ~ Days + (Days | Subject)", imputed).report()
    >>> print("\n".join(str(report).splitlines()[:5]))
    Reaction was modelled by a linear mixed model, Reaction ~ Days + (Days |
    Subject), fitted to 180 observations (18 Subject) by restricted maximum
    likelihood in each of 5 imputed data sets. All optima were certified. In none of
    them was a random effect estimated at the boundary.
    <BLANKLINE>
    """
    check_level(level)
    first = fit.fits[0]
    given: Any = first  # of verbs that linear and generalized fits share
    family = fit.core.family
    model = (
        ("a linear mixed model" if first.design.terms else "generalized least squares")
        if family is None
        else sentences.generalized_model(family.name, family.link.name)
    )
    text = model_sentence(given, model, CRITERIA[fit.REML])
    opening = f"{text} in each of {len(fit.fits)} imputed data sets. {_optima(fit)}"
    paragraphs: list[Sentence] = [(opening,)]
    variances = ("Means over the data sets. ", *sentences.random_effects(estimated_variances(fit)))
    table, keys = pd.DataFrame(), ["rubin"]
    if fit.design.p:
        rows = fit.tidy(ddf=ddf, vcov=vcov, level=level)
        link = None if family is None else family.link.name
        table = rows[_COLUMNS] if link is None else sentences.with_ratios(rows[_COLUMNS], link)
        shares = _explained(fit)
        raised = "" if link is None else sentences.ratios(table, link, level)
        paragraphs.append((*variances, *shares))
        said = [raised, _pooling(fit, table, ddf, vcov)]
        paragraphs.append(
            (*sentences.coefficients(table, level), " ".join(["", *filter(None, said)]))
        )
        keys += ["r2"] if shares else []
        keys += ["robust"] if vcov is not None else []
    else:
        paragraphs.append(variances)
    paragraphs.append((sentences.software(),))
    return Report(paragraphs=tuple(paragraphs), references=sentences.cited(keys), table=table)


def _optima(fit: PooledFit) -> str:
    """In how many data sets the optimum is certified, and in how many singular."""
    certified = sum(bool(own.converged) for own in fit.fits)
    singular = sum(bool(own.design.terms and own.is_singular()) for own in fit.fits)
    said = (
        "All optima were certified."
        if certified == len(fit.fits)
        else f"{certified} of the optima were certified."
    )
    if not fit.design.terms:
        return said
    if not singular:
        return f"{said} In none of them was a random effect estimated at the boundary."
    return f"{said} In {singular} of them the fit is singular; no random effect was removed."


def _explained(fit: PooledFit) -> Sentence:
    """Shares of the variance, where every fit has them and no variance is known."""
    if fit.design.sigma is not None:
        return ()
    try:
        found = fit.r2()
    except NestedMLMError:
        return ()
    shares = (float(found[name]) for name in ("marginal", "conditional"))
    return (" ", *sentences.explained(*shares, random=bool(fit.design.terms)))


def _pooling(
    fit: PooledFit, table: pd.DataFrame, ddf: str | None, vcov: str | ClusterRobust | None
) -> str:
    name = ddf or ("satterthwaite" if fit.core.family is None else "none")
    complete = (
        "Rubin's large-sample degrees of freedom"
        if name == "none"
        else f"Barnard and Rubin's degrees of freedom, those of complete data by "
        f"{METHOD_NAMES[name]}"
    )
    robust = "" if vcov is None else f" Standard errors are cluster-robust ({_kind(vcov)})."
    low, high = (apa.below_one(float(value)) for value in (table["fmi"].min(), table["fmi"].max()))
    shares = low if low == high else f"{low} to {high}"
    return (
        f"Estimates were pooled by Rubin's rules, with {complete}.{robust} Fractions of missing "
        f"information: {shares}."
    )


def _kind(vcov: str | ClusterRobust) -> str:
    return vcov if isinstance(vcov, str) else vcov.type
