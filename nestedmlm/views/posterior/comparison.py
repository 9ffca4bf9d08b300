"""REML beside posterior: `nestedmlm.compare`, and what it returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from nestedmlm.arguments import check_choice, check_count, checked
from nestedmlm.bayes.density.prior_coordinates import given_prior
from nestedmlm.bayes.model.prior_set import PriorSet, require_single
from nestedmlm.bayes.model.scalar_parameters import list_parameters
from nestedmlm.callers import Caller
from nestedmlm.design.matrices.grouping import refuse_curves, refuse_related
from nestedmlm.errors import OptionError, ResidualStructureError
from nestedmlm.inference.rows.group_prediction import named_unit
from nestedmlm.posterior.comparison import comparison_table
from nestedmlm.posterior.datatree import refuse_stacked
from nestedmlm.posterior.diagnosis import boundary_sentences, boundary_table
from nestedmlm.posterior.prior_influence import influence_table
from nestedmlm.posterior.prior_scales import Redraws, density_maker
from nestedmlm.posterior.summaries import LEVEL
from nestedmlm.views.loo_comparison import LooComparison, compare_group_loos
from nestedmlm.views.parameters import given_fits
from nestedmlm.views.posterior import cells
from nestedmlm.views.posterior.posterior_comparison import PosteriorComparison, compare_posteriors
from nestedmlm.views.posterior.prior_influence import PriorInfluence
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
        By parameter: `estimate`, `std_error` (the likelihood's), `mean`, `sd`, `conf_low`,
        `conf_high` (the posterior's), `shift`, `inside`.
    formula : str
    method : str
        ``REML`` or ``ML``.
    level : float
        Probability inside the intervals.
    notes : tuple of str
        Variance components at the boundary.
    posterior : BayesFit
    """

    table: pd.DataFrame
    formula: str
    method: str
    level: float
    notes: tuple[str, ...]
    posterior: Any

    @checked
    def why(
        self, *, draws: int = 4000, seed: int | None = None, tips: bool = True
    ) -> PriorInfluence:
        """Say where the estimates and the posterior part, and why: a view.

        The posterior is drawn anew with flat priors, which splits each difference into what the
        priors do and what averaging over the covariances does; and with priors narrower and wider,
        until a parameter's interval moves over zero (of standard deviations: over the estimate).

        Parameters
        ----------
        draws : int
            Of each new posterior, by importance sampling.
        seed : int, optional
        tips : bool
            Look for the widths of the priors at which conclusions change.

        Returns
        -------
        PriorInfluence
            ``.table``, ``.sentences()``; `nestedmlm.plots.prior_influence` draws it.

        Raises
        ------
        OptionError
            If priors are functions or not known (a PyMC model of the user's); for exact posteriors
            of generalized models with several grouping factors (draw one with
            ``marginal="laplace"``), and families whose densities have no derivatives.
        ResidualStructureError
            For residuals that differ or correlate.
        RelationshipError
            For related levels of a grouping factor.

        Notes
        -----
        `BayesFit.sensitivity` says how far each posterior moves when a prior counts a little more
        (power-scaling); this says how much wider or narrower it would have to be.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> posterior = fit.sample(sampler="psis", draws=1000, seed=1)
        >>> why = nm.compare(fit, posterior).why(draws=1000, seed=1)
        >>> why.table["verdict"].tolist()
        ['above', 'around', 'around']
        """
        posterior = self.posterior
        priors = require_redrawable(posterior)
        check_count(draws, "draws")
        redraws = Redraws(
            design=posterior.design,
            priors=priors,
            draws=draws,
            seed=seed,
            density=density_maker(posterior.design, posterior.run.form, seed),
        )
        table, notes = influence_table(
            posterior.data, redraws, self.table, level=self.level, tips=tips
        )
        return PriorInfluence(
            table=table,
            priors={
                p.name: given_prior(priors, p.variable) for p in list_parameters(posterior.design)
            },
            level=self.level,
            method=self.method,
            notes=(*notes, *self.notes),
        )

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
        shown = cells.by_spread(self.table, _NUMBERS, otherwise="sd")
        table = cells.frame_table(
            "comparison", self.table, columns, rows=list(self.table.index), shown=shown
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
    *fits: EitherFit | Sequence[EitherFit] | Mapping[str, EitherFit],
    level: float = LEVEL,
    unit: str | None = None,
    group: str | None = None,
    refit: bool = False,
    names: Sequence[str] | None = None,
    seed: int | None = None,
    progress: bool = False,
) -> Comparison | LooComparison | PosteriorComparison:
    """Put models side by side: parameters of a fit and its posterior, or predictions of several.

    Parameters
    ----------
    *fits : LmerFit, GlmerFit, BayesFit
        A fit and the posterior of the same model: parameter by parameter. Several fits, or fits
        and posteriors with `unit`: by their predictions of new groups. Posteriors of several
        models: by leave-one-out and Bayes factors. Or one list of them, or a dictionary by
        their names.
    level : float
        Probability inside the posterior intervals.
    unit : {"row", "group"} or str, optional
        What is predicted by the others, random effects integrated out: of posteriors rows by
        default (given their random effects in generalized models, beside smooths and residuals that
        differ or correlate); of fits groups. The name of a grouping factor stands for ``"group"``
        with that `group`.
    group : str, optional
        Which groups; by default of the factor that contains all others.
    refit : bool
        Of posteriors: sample again without what has too large a Pareto k.
    names : sequence of str, optional
        By default the names of the caller's variables.
    seed : int, optional
        Of evidences and refits.
    progress : bool
        Show a line of progress for each model.

    Returns
    -------
    Comparison
        ``.table`` holds, per parameter, the estimate and its standard error, posterior mean, SD
        and interval, and the shift in standard errors. Variance components whose posterior is
        piled up at zero are noted.
    LooComparison
        Of several fits, or fits and posteriors: elpd of new groups on one scale, differences to
        the best with their standard errors.
    PosteriorComparison
        Of several posteriors: differences of elpd with their standard errors, and logarithms of
        Bayes factors from `BayesFit.log_evidence`, but of generalized models with several grouping
        factors (a note says so).

    Raises
    ------
    ModelComparisonError
        If a fit and a posterior are not of the same model and data, or models to be compared by
        predictions not of the same response.
    OptionError
        If an argument is no such fit; of fits for rows, and if no factor contains all others.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
    >>> nm.compare(fit, posterior).table.index.tolist()
    ['(Intercept)', 'sd_(Intercept)|Batch', 'sigma']
    >>> nm.compare(fit, posterior, unit="Batch").table["engine"].sort_index().to_dict()
    {'fit': 'REML', 'posterior': 'posterior'}
    >>> narrow = fit.sample(priors={"1|Batch_sigma": nm.Prior("HalfNormal", sigma=1)},
    ...                     sampler="psis", draws=1000, seed=1)
    >>> wide = fit.sample(sampler="psis", draws=1000, seed=1)
    >>> nm.compare(narrow, wide, seed=1).table.index.tolist()
    ['wide', 'narrow']
    """
    given, names = given_fits(fits, names)
    if len(given) < 2:
        raise OptionError("compare takes an LmerFit and a BayesFit, or several fits of either kind")
    posteriors = [getattr(fit, "engine", None) == "posterior" for fit in given]
    if posteriors == [False, True] and unit is None and group is None:
        return compare_engines(given[0], given[1], level=level)
    for fit in given:
        if hasattr(fit, "design") and not hasattr(fit, "loo"):
            raise OptionError(
                f"compare leaves groups out of linear models and posteriors, not of a "
                f"{type(fit).__name__}: nm.anova compares generalized fits by likelihood ratio, "
                "AIC and BIC"
            )
        if not hasattr(fit, "design"):
            raise _no_such_fit(fit, "LmerFit", "nm.lmer")
    if posteriors[0] and not all(posteriors) and unit is None and group is None:
        raise _no_such_fit(given[0], "LmerFit", "nm.lmer")
    default = "row" if all(posteriors) and group is None else "group"
    unit, group = named_unit(given[0].design, unit or default, group)
    check_choice(unit, "unit", ("row", "group"))
    if unit == "row" and not all(posteriors):
        raise OptionError(
            "rows are left out of posteriors only; of fits by REML or maximum likelihood compare "
            "predictions of new groups: unit='group'"
        )
    chosen = names or Caller.here().distinct_names_of(given)
    chosen = chosen or [f"M{i + 1}" for i in range(len(given))]
    if len(chosen) != len(given):
        raise OptionError(f"{len(chosen)} names for {len(given)} fits")
    if all(posteriors):
        return compare_posteriors(given, chosen, unit=unit, group=group, refit=refit, seed=seed)
    return compare_group_loos(given, chosen, group=group, refit=refit, seed=seed, progress=progress)


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
    pooled = getattr(lmer_fit, "engine", None) == "pooled"
    if pooled or not hasattr(lmer_fit, "engine") or lmer_fit.engine == "posterior":
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
        posterior=bayes_fit,
    )


def require_redrawable(posterior: Any) -> PriorSet:
    """The priors of a posterior that importance sampling can draw anew.

    Raises
    ------
    OptionError, ResidualStructureError, RelationshipError, NotDefinedError
    """
    design = posterior.design
    refuse_stacked(posterior.data, "why")
    if posterior.priors is None:
        raise OptionError("this posterior is of a PyMC model of yours, whose priors are not known")
    refuse_related(design.factors, "why")
    refuse_curves(design.factors, "why")
    if design.residual is not None or design.sigma is not None:
        raise ResidualStructureError(
            "why is not worked out for residuals that differ or correlate, or a known sigma"
        )
    require_single(posterior.priors, "why")
    found: PriorSet = posterior.priors
    return found


def _no_such_fit(argument: object, kind: str, made: str) -> OptionError:
    return OptionError(
        f"compare takes an LmerFit and a BayesFit; {type(argument).__name__} is no {kind} "
        f"(made by {made})"
    )
