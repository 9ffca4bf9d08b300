"""Posteriors of several models side by side: predictive accuracy and Bayes factors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.design.design import Design
from nestedmlm.errors import ModelComparisonError, OptionError, SamplingError
from nestedmlm.views.loo import sum_error
from nestedmlm.views.loo_comparison import check_responses
from nestedmlm.views.posterior import cells
from nestedmlm.views.render.blocks import Block, Text
from nestedmlm.views.render.view import View, Viewable, note

_COLUMNS = (
    "elpd_diff",
    "diff_std_error",
    "elpd",
    "std_error",
    "p_loo",
    "khat",
    "log_evidence",
    "log_bf",
)
_DEAR = (
    "log evidence and Bayes factor left out: random effects of several grouping factors take "
    "seconds, and many are refused; log_evidence() tries"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class PosteriorComparison(Viewable):
    """Models compared by their posteriors, the best predictions first.

    Attributes
    ----------
    table : DataFrame
        By model: ``elpd_diff`` and ``diff_std_error``, the difference of expected log predictive
        densities to the first model and its standard error over the units; ``elpd, std_error,
        p_loo`` and the largest Pareto k, ``khat``; ``log_evidence`` and ``log_bf``, the logarithm
        of the Bayes factor against the first model (NaN where a prior has none).
    unit : {"row", "group"}
    integrated : bool
        Whether random effects are integrated out of what is left out; otherwise rows are predicted
        given theirs (generalized models, residuals that differ or correlate, smooths).
    notes : tuple of str
        Why there is no evidence of a model: of a generalized one with several grouping factors it
        is dear, and not asked for here.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> narrow = {"1|Batch_sigma": nm.Prior("HalfNormal", sigma=1)}
    >>> posteriors = [model.sample(sampler="psis", seed=1),
    ...               model.sample(priors=narrow, sampler="psis", seed=1)]
    >>> nm.compare(*posteriors, names=["wide", "narrow"], seed=1).table.index.tolist()
    ['wide', 'narrow']
    """

    table: pd.DataFrame
    unit: str
    integrated: bool = True
    notes: tuple[str, ...]

    def view(self) -> View:
        """Build the document."""
        headings = ("elpd diff", "SE diff", "elpd", "SE", "p_loo", "k-hat", "log evid.", "log BF")
        columns = {
            name: (heading, cells.fixed_point(2))
            for name, heading in zip(_COLUMNS, headings, strict=True)
        }
        rows = [str(name) for name in self.table.index]
        units = "rows" if self.unit == "row" else "groups"
        how = "random effects integrated out" if self.integrated else "given their random effects"
        blocks: list[Block] = [
            cells.frame_table("comparison", self.table, columns, rows=rows),
            note(f"Leave-one-out of {units}, {how}; differences to the first model."),
        ]  # fmt: skip
        return View((*blocks, Text(self.notes)) if self.notes else tuple(blocks))


def compare_posteriors(
    fits: Sequence[Any],
    names: Sequence[str],
    *,
    unit: str,
    group: str | None = None,
    refit: bool = False,
    seed: int | None = None,
) -> PosteriorComparison:
    """Compare posteriors of the same rows.

    Parameters
    ----------
    fits : sequence of BayesFit
    names : sequence of str
    unit : {"row", "group"}
        What is left out.
    group : str, optional
        Which grouping factor.
    refit : bool
        Sample again without what has too large a Pareto k.
    seed : int or None

    Raises
    ------
    ModelComparisonError
        If they are not of the same response.
    """
    check_responses(fits, names)
    integrated = unit != "row" or all(_integrable(fit.design) for fit in fits)
    rows, values = {}, {}
    notes: dict[str, list[str]] = {}  # what is said, and of which models
    for name, fit in zip(names, fits, strict=True):
        options = {"integrated": integrated} if unit == "row" else {"group": group}
        found = fit.loo(unit, refit=refit, seed=seed, progress=False, **options)
        values[name] = found.elpd_i.values
        log_evidence, why = _log_evidence(fit, seed)
        if why:
            notes.setdefault(why, []).append(name)
        rows[name] = {
            "elpd": found.elpd, "std_error": found.se, "p_loo": found.p,
            "khat": float(found.pareto_k.max()), "log_evidence": log_evidence,
        }  # fmt: skip
    if len({len(own) for own in values.values()}) > 1:
        raise ModelComparisonError("the models leave out different groups: compare them by rows")
    table = pd.DataFrame(rows).T.sort_values("elpd", ascending=False, kind="stable")
    best = table.index[0]
    away = {name: values[name] - values[best] for name in table.index}
    table["elpd_diff"] = [away[name].sum() for name in table.index]
    table["diff_std_error"] = [sum_error(d) for d in away.values()]
    table["log_bf"] = table["log_evidence"] - table.loc[best, "log_evidence"]
    said = tuple(f"{', '.join(of)}: {why}" for why, of in notes.items())
    return PosteriorComparison(
        table=table[list(_COLUMNS)], unit=unit, integrated=integrated, notes=said
    )


def _log_evidence(fit: Any, seed: int | None) -> tuple[float, str]:
    """The logarithm of a model's evidence, or NaN and why there is none."""
    if fit.design.family is not None and len(fit.design.factors) > 1:
        return np.nan, _DEAR
    try:
        return fit.log_evidence(seed=seed).log, ""
    except (OptionError, SamplingError) as problem:
        return np.nan, str(problem)


def _integrable(design: Design) -> bool:
    """Whether a row's density given the other rows is known, random effects integrated out."""
    plain = design.family is None and design.residual is None
    return plain and all(term.smooth is None for term in design.terms)
