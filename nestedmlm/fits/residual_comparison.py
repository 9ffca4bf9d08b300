"""`compare_residuals`: the same model with other residual structures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm.arguments import check_instance, checked
from nestedmlm.covariance.residual_structures import residual_structure
from nestedmlm.errors import OptionError, ResidualStructureError
from nestedmlm.fits.lmer_fit import LmerFit
from nestedmlm.fits.model import Model
from nestedmlm.inference.effects.hypotheses import predictor_values
from nestedmlm.inference.means.linear import LinearFit, linear_fit
from nestedmlm.views.residual_comparison import ResidualComparison

if TYPE_CHECKING:
    from nestedmlm.formula.residual_arguments import ResidualTerm


@checked
def compare_residuals(fit: LmerFit, structures: Sequence[Any]) -> ResidualComparison:
    """Fit the same model with other residual structures, and compare them.

    Parameters
    ----------
    fit : LmerFit
        With ``residual=``: its time and block are those of the others.
    structures : sequence of str or None
        Names (``"ar1"``, ``"us"``), or whole terms (``"toep(visit | id, hom=False)"``); None:
        without correlations.

    Returns
    -------
    ResidualComparison
        A view; ``.table`` is the DataFrame, the best AIC first.

    Raises
    ------
    ResidualStructureError
        If the fit has no ``residual=`` and a structure is a name, or a structure cannot be fitted.
    OptionError
        If there is nothing to compare.

    Notes
    -----
    All models have the fixed effects of the fit, so that REML criteria may be compared, and AIC
    and BIC count all parameters (as `LmerFit.aic` does; SAS counts those of covariances alone in
    REML fits, which shifts all rows by the same number). The likelihood ratio tests are against an
    unstructured matrix, which contains the other structures over the same visits.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("distance ~ age * Sex", nm.load_dataset("Orthodont"),
    ...               residual="us(age | Subject)")
    >>> found = nm.compare_residuals(fit, ["ar1", "cs", "us"])
    >>> found.table[["residual", "aic"]].round(1).values.tolist()
    [['cs(age | Subject)', 445.8], ['us(age | Subject)', 452.5], ['ar1(age | Subject)', 456.6]]
    """
    check_instance(fit, LmerFit, "fit")
    if not len(structures):
        raise OptionError("structures is empty: give names such as ['ar1', 'cs', 'us']")
    rows = fit.design.residual
    term = None if rows is None else rows.arguments.term
    texts = [_written(structure, term) for structure in structures]
    fits = [_fitted(fit, text) for text in dict.fromkeys(texts)]
    table = pd.DataFrame([_row(text, one) for text, one in zip(dict.fromkeys(texts), fits,
                                                                strict=True)])  # fmt: skip
    against = _largest(fits, table)
    table = _tested(table, against).sort_values("aic", ignore_index=True)
    return ResidualComparison(table=table, formula=fit.formula, REML=fit.REML, against=against)


def _written(structure: Any, term: ResidualTerm | None) -> str | None:
    """The argument ``residual`` of a structure that may be a name alone."""
    if structure is None:
        return None
    if not isinstance(structure, str):
        raise OptionError(f"structures holds names and terms, not {structure!r}")
    if "|" in structure:
        return " ".join(structure.split())
    known = residual_structure(structure)
    if term is None:
        raise ResidualStructureError(
            f"{structure!r} needs a time and a block, and the fit has none: give the whole term, "
            f"'{structure}(time | block)'"
        )
    time = "1" if term.time is None else term.time.name
    options = "" if term.by is None else f", by={term.by.name}"
    if term.hom is not None and known.takes_hom:
        options += f", hom={term.hom}"
    return f"{structure}({time} | {term.bar.group_name}{options})"


def _fitted(fit: LmerFit, text: str | None) -> LmerFit | LinearFit:
    options = fit.model.source.options
    if text == options.residual:
        return fit
    source = replace(fit.model.source, options=replace(options, residual=text))
    if text is None and not fit.design.terms and options.dispersion is None:
        design = source.linear_design(fit.design.formula)
        return linear_fit(design, partial(predictor_values, design, source.data), REML=fit.REML)
    return Model._of(fit.design.formula, source).fit(REML=fit.REML)


def _row(text: str | None, fit: LmerFit | LinearFit) -> dict[str, Any]:
    return {
        "residual": "independent" if text is None else text,
        "npar": fit.npar,
        "criterion": -2.0 * fit.llf,
        "aic": -2.0 * fit.llf + 2.0 * fit.npar,
        "bic": -2.0 * fit.llf + float(np.log(fit.nobs)) * fit.npar,
        "converged": getattr(fit, "converged", True),
    }


def _largest(fits: Sequence[LmerFit | LinearFit], table: pd.DataFrame) -> str:
    """The unstructured model, where it is the largest."""
    place = int(table["npar"].to_numpy().argmax())
    largest = fits[place]
    rows = largest.design.residual if isinstance(largest, LmerFit) else None
    whole = rows is not None and rows.structure is not None and rows.structure.is_root
    return str(table["residual"][place]) if whole else ""


def _tested(table: pd.DataFrame, against: str) -> pd.DataFrame:
    from scipy.special import chdtrc

    chisq = df = p = np.full(len(table), np.nan)
    if against:
        largest = table[table["residual"] == against].iloc[0]
        df = largest["npar"] - table["npar"].to_numpy(dtype=float)
        chisq = np.where(df > 0, table["criterion"] - largest["criterion"], np.nan)
        with np.errstate(invalid="ignore"):
            p = np.where(df > 0, chdtrc(np.maximum(df, 1.0), np.maximum(chisq, 0.0)), np.nan)
        df = np.where(df > 0, df, np.nan)
    first = ["residual", "npar", "criterion", "aic", "bic"]
    return table.assign(chisq=chisq, df=df, p_value=p)[
        [*first, "chisq", "df", "p_value", "converged"]
    ]
