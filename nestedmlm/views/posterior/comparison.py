"""REML beside posterior: `nestedmlm.compare`, and what it returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from nestedmlm.arguments import check_choice, checked
from nestedmlm.callers import Caller
from nestedmlm.errors import OptionError
from nestedmlm.posterior.comparison import comparison_table
from nestedmlm.posterior.diagnosis import boundary_sentences, boundary_table
from nestedmlm.posterior.summaries import LEVEL
from nestedmlm.views.posterior import cells
from nestedmlm.views.posterior.posterior_comparison import PosteriorComparison, compare_posteriors
from nestedmlm.views.protocols import EitherFit
from nestedmlm.views.render.blocks import Block, Text
from nestedmlm.views.render.view import View, Viewable, note

_NUMBERS = ("estimate", "std_error", "mean", "sd", "conf_low", "conf_high")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Comparison(Viewable):
    """The same parameters from two engines.

    Attributes
    ----------
    table : DataFrame
        See `nestedmlm.posterior.comparison.comparison_table`.
    formula : str
    method : str
        ``REML`` or ``ML``.
    level : float
        Probability inside the intervals.
    notes : tuple of str
        Variance components at the boundary.
    """

    table: pd.DataFrame
    formula: str
    method: str
    level: float
    notes: tuple[str, ...]

    def view(self) -> View:
        """Build the document."""
        lower, upper = cells.level_names(self.level)
        columns = {
            "estimate": (self.method, cells.as_is),
            "std_error": ("SE", cells.as_is),
            "mean": ("Mean", cells.as_is),
            "sd": ("Post.SD", cells.as_is),
            "conf_low": (lower, cells.as_is),
            "conf_high": (upper, cells.as_is),
            "shift": ("Shift", cells.fixed_point(2)),
        }
        shown = cells.by_spread(self.table, _NUMBERS)
        table = cells.frame_table(
            "comparison", self.table, columns, rows=list(self.table["variable"]), shown=shown
        )
        title = f"{self.method} estimates and posterior means"
        blocks: list[Block] = [Text((title,), role="title"), Text((f"Formula: {self.formula}",))]
        blocks += [table, note(LEGEND)]
        if self.notes:
            blocks.append(Text(self.notes))
        return View(tuple(blocks))


LEGEND = "Shift: (mean - estimate) / SE; of variance parameters, / Post.SD."


@checked
def compare(
    *fits: EitherFit,
    level: float = LEVEL,
    unit: str = "row",
    refit: bool = False,
    names: Sequence[str] | None = None,
    seed: int | None = None,
) -> Comparison | PosteriorComparison:
    """Put a fit and the posterior of the same model side by side, or several posteriors; a view.

    Parameters
    ----------
    *fits : LmerFit or GlmerFit and BayesFit, or several BayesFit
        A fit and its posterior: parameter by parameter. Posteriors of several models of the same
        response: by leave-one-out and Bayes factors.
    level : float
        Probability inside the posterior intervals.
    unit : {"row", "group"}
        Of several posteriors: what is left out, random effects integrated out either way.
    refit : bool
        Of several posteriors: sample again without what has too large a Pareto k.
    names : sequence of str, optional
        Of several posteriors; by default the names of the caller's variables.
    seed : int, optional
        Of evidences and refits.

    Returns
    -------
    Comparison
        ``.table`` holds, per parameter, the estimate and its standard error, posterior mean, SD
        and interval, and the shift in standard errors. Variance components whose posterior is
        piled up at zero are noted.
    PosteriorComparison
        Of several posteriors: differences of elpd with their standard errors, and logarithms of
        Bayes factors from `BayesFit.log_evidence`.

    Raises
    ------
    ModelComparisonError
        If a fit and a posterior are not of the same model and data, or posteriors not of the same
        response.
    OptionError
        If an argument is no such fit.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
    >>> nm.compare(fit, posterior).table.index.tolist()
    ['(Intercept)', 'sd_(Intercept)|Batch', 'sigma']
    >>> narrow = fit.sample(priors={"1|Batch_sigma": nm.Prior("HalfNormal", sigma=1)},
    ...                     sampler="psis", draws=1000, seed=1)
    >>> wide = fit.sample(sampler="psis", draws=1000, seed=1)
    >>> nm.compare(narrow, wide, seed=1).table.index.tolist()
    ['wide', 'narrow']
    """
    if len(fits) > 1 and all(getattr(fit, "engine", None) == "posterior" for fit in fits):
        check_choice(unit, "unit", ("row", "group"))
        chosen = names or Caller.here().distinct_names_of(fits)
        chosen = chosen or [f"M{i + 1}" for i in range(len(fits))]
        if len(chosen) != len(fits):
            raise OptionError(f"{len(chosen)} names for {len(fits)} posteriors")
        return compare_posteriors(fits, chosen, unit=unit, refit=refit, seed=seed)
    if len(fits) != 2:
        raise OptionError("compare takes an LmerFit and a BayesFit, or several BayesFits")
    lmer_fit, bayes_fit = fits
    return compare_engines(lmer_fit, bayes_fit, level=level)


def compare_engines(lmer_fit: EitherFit, bayes_fit: EitherFit, *, level: float) -> Comparison:
    """Put a fit and the posterior of the same model side by side.

    Parameters
    ----------
    lmer_fit : LmerFit
    bayes_fit : BayesFit
    level : float

    Raises
    ------
    ModelComparisonError
    OptionError
    """
    if not hasattr(lmer_fit, "engine") or lmer_fit.engine == "posterior":
        raise _no_such_fit(lmer_fit, "LmerFit", "nm.lmer")
    if not hasattr(bayes_fit, "engine") or bayes_fit.engine != "posterior":
        raise _no_such_fit(bayes_fit, "BayesFit", "nm.pymc_lmer or fit.sample")
    boundary = boundary_table(bayes_fit.data, bayes_fit.design)
    return Comparison(
        table=comparison_table(lmer_fit.core, bayes_fit.data, bayes_fit.design, level=level),
        formula=lmer_fit.formula,
        method=lmer_fit.engine,
        level=level,
        notes=boundary_sentences(boundary, linear=bayes_fit.design.family is None),
    )


def _no_such_fit(argument: object, kind: str, made: str) -> OptionError:
    return OptionError(
        f"compare takes an LmerFit and a BayesFit; {type(argument).__name__} is no {kind} "
        f"(made by {made})"
    )
