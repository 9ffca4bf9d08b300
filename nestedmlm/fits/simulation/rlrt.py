"""`nm.rlrt`: the exact restricted likelihood ratio test of one variance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import checked
from nestedmlm.errors import ModelComparisonError, OptionError
from nestedmlm.fits.estimates import Estimates
from nestedmlm.fits.model_comparison import same_responses
from nestedmlm.fits.plain_only import refuse_residuals
from nestedmlm.inference.fitted import require_linear
from nestedmlm.inference.resampling.response_distribution import seed_sequence
from nestedmlm.inference.variances.added_effects import added_effects, same_fixed_effects
from nestedmlm.inference.variances.chibar import ROUNDING
from nestedmlm.inference.variances.rlrt import draw_rlrt, spectrum
from nestedmlm.likelihood.solution import results_at
from nestedmlm.statistics.cells.condensed import condensed
from nestedmlm.views.render.blocks import Block, Table, Text
from nestedmlm.views.render.frame_columns import named_frame
from nestedmlm.views.render.rformat import format_numbers, format_pvalues
from nestedmlm.views.render.view import View, Viewable, blank, note

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Rlrt(Viewable):
    """Restricted likelihood ratio test of one variance.

    Attributes
    ----------
    statistic : float
        Difference of the REML criteria.
    pvalue : float
        Share of the draws that are at least as large.
    draws : (nsim,) array
        From the null distribution.
    term : str
        The random effect tested.
    exact : bool
        Whether the distribution is exact: no other variance is in the model.
    seed : int
    """

    statistic: float
    pvalue: float
    draws: FloatArray
    term: str
    exact: bool
    seed: int

    @property
    def mc_error(self) -> float:
        """Monte Carlo standard error of the p-value."""
        return float(np.sqrt(self.pvalue * (1.0 - self.pvalue) / len(self.draws)))

    def view(self) -> View:
        """Build the document."""
        values = (self.statistic, self.pvalue)
        frame = pd.DataFrame([values], index=[self.term], columns=["RLRT", "Pr(>RLRT)"])
        nsim = len(self.draws)
        p = format_pvalues([self.pvalue], digits=4, eps=1.0 / nsim)[0]
        table = Table(
            name="rlrt",
            frame=named_frame(frame),
            cells=((format_numbers([self.statistic], digits=5)[0], p),),
            rows=(f"({self.term})",),
            columns=("RLRT", "Pr(>RLRT)"),
        )
        kind = "exact" if self.exact else "approximate (other variances are in the model)"
        blocks: list[Block] = [
            Text(("Restricted likelihood ratio test of a variance",), role="title"),
            blank(),
            table,
            blank(),
            note(f"{nsim} draws from the finite-sample null distribution, {kind}"),
        ]
        return View(tuple(blocks))


@checked
def rlrt(
    m0: LmerFit, m1: LmerFit | None = None, *, nsim: int = 10_000, seed: int | None = None
) -> Rlrt:
    """Test one variance by its finite-sample restricted likelihood ratio distribution.

    Parameters
    ----------
    m0 : LmerFit
        A model with a single variance, which is tested against none; or one of two models.
    m1 : LmerFit, optional
        The other one: they differ in one variance, in either order.
    nsim : int
        Draws from the null distribution.
    seed : int, optional

    Returns
    -------
    Rlrt

    Raises
    ------
    ModelComparisonError
        If the models differ in more than one variance (covariances count), or in their fixed
        effects or responses.

    Notes
    -----
    Crainiceanu & Ruppert (2004); with other variances in the model an approximation (Greven,
    Crainiceanu, Kuechenhoff & Peters 2008). R: ``RLRsim::exactRLRT``. Models fitted by ML are
    refitted by REML.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> test = nm.rlrt(fit, seed=1)
    >>> round(test.statistic, 3), test.pvalue < 0.01, test.exact
    (6.369, True, True)
    """
    fits = [_by_reml(fit) for fit in (m0, m1) if fit is not None]
    large, term, smaller = _single(fits[0]) if len(fits) == 1 else _pair(fits[0], fits[1])
    difference = smaller - large.reml_criterion
    statistic = difference if difference > ROUNDING else 0.0
    root = seed_sequence(seed)
    draws = draw_rlrt(
        *spectrum(condensed(large.design), term),
        nsim=nsim,
        rng=np.random.default_rng(root),
    )
    return Rlrt(
        statistic=statistic,
        pvalue=float(np.mean(draws >= statistic)),
        draws=draws,
        term=large.design.terms[term].text,
        exact=len(fits) == 1,
        seed=int(root.entropy),  # type: ignore[arg-type]  # an int: `seed_sequence` saw to it
    )


def _by_reml(fit: LmerFit) -> LmerFit:
    if not isinstance(fit, Estimates):
        raise OptionError(f"rlrt takes fits of lmer, not {type(fit).__name__}")
    require_linear(fit.core.family, "the restricted likelihood ratio")
    refuse_residuals(fit, "rlrt", "compare fits by nm.anova()")
    if fit.penalty is not None:
        raise ModelComparisonError("a penalised fit has no likelihood ratio: refit without penalty")
    return fit if fit.REML else fit.refitted(fit.design, REML=True, stats=fit.solution.stats)


def _single(fit: LmerFit) -> tuple[LmerFit, int, float]:
    if len(fit.theta) != 1 or len(fit.design.terms) != 1 or len(fit.design.terms[0].columns) != 1:
        raise ModelComparisonError(
            "a single model must have a single variance to test; give the model without the "
            "variance in question too: nm.rlrt(m0, m1)"
        )
    zero = results_at(fit.design, fit.theta * 0.0, REML=True, stats=fit.solution.stats)
    return fit, 0, zero.reml_criterion


def _pair(one: LmerFit, two: LmerFit) -> tuple[LmerFit, int, float]:
    small, large = sorted((one, two), key=lambda fit: fit.npar)
    if not same_responses(small.design, large.design):
        raise ModelComparisonError("the models were fitted to different responses")
    if not same_fixed_effects(small.design, large.design):
        raise ModelComparisonError(
            "the models differ in their fixed effects: REML criteria cannot be compared"
        )
    added = added_effects(small.design, large.design)
    if added.covariances or added.sizes != (1,):
        raise ModelComparisonError(
            "the exact test is for one variance without covariances, and the models differ in "
            f"{sum(added.sizes)} variance(s) and {len(added.covariances)} covariance(s) with "
            "other effects; use anova(test='boundary') or anova(test='bootstrap')"
        )
    term, column, _ = added.variances[0][0]
    if len(large.design.terms[term].columns) != 1:
        raise ModelComparisonError(
            f"column {column + 1} of ({large.design.terms[term].text}) is part of a larger block: "
            "write it as a term of its own, (0 + x | g)"
        )
    return large, term, small.reml_criterion
