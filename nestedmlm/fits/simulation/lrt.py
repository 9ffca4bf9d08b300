"""Likelihood ratio tests by parametric bootstrap: pbkrtest's ``PBmodcomp``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm.design.moments import with_same_rows
from nestedmlm.errors import ModelComparisonError
from nestedmlm.fits.model_comparison import PairOutcome, PairTest
from nestedmlm.fits.simulation.refits import refit_columns
from nestedmlm.fits.simulation.replicates import (
    Outcome,
    Streams,
    check_workers,
    run_replicates,
    together,
)
from nestedmlm.inference.resampling.response_distribution import (
    ResponseDistribution,
    response_distribution,
    seed_sequence,
    streams,
)
from nestedmlm.inference.variances.added_effects import same_fixed_effects, spans
from nestedmlm.inference.variances.chibar import ROUNDING
from nestedmlm.optimum.batch import batch_seconds
from nestedmlm.statistics.cells.condensed import condensed

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RatioDraws:
    """Draws of the likelihood ratio statistic; a task for replicates."""

    distribution: ResponseDistribution
    small: LmerFit
    large: LmerFit
    workers: int

    def __call__(self, ways: Streams) -> Outcome:
        """Simulate, refit both, compare."""
        Y = np.column_stack([self.distribution.draw(np.random.default_rng(way)) for way in ways])
        criteria = [
            refit_columns(
                fit.design,
                Y,
                REML=fit.REML,
                start=fit.theta,
                stats=fit.solution.stats,
                workers=self.workers,
            ).criterion
            for fit in (self.small, self.large)
        ]
        values = np.maximum(criteria[0] - criteria[1], 0.0)
        return Outcome(values=values[:, None], notes=("",) * len(ways), failed=~np.isfinite(values))


def bootstrap_test(nsim: int, seed: int | None, workers: int, progress: bool) -> PairTest:
    """The bootstrap as a test for `compare_models`."""
    root = seed_sequence(seed)
    check_workers(workers)

    def run(small: LmerFit, large: LmerFit, statistic: float) -> PairOutcome:
        _check_nested(small, large)
        s = small.solution
        small, large = _of_the_same_rows(small, large)
        distribution = response_distribution(small.design, beta=s.beta, T=s.T, sigma=s.sigma)
        outcome = run_replicates(
            RatioDraws(distribution=distribution, small=small, large=large, workers=workers),
            streams(root, nsim),
            label="bootstrap",
            progress=progress,
            chunk=min(together(fit.design, fit.solution.stats, workers) for fit in (small, large)),
            ahead=sum(
                batch_seconds(fit.design, fit.solution.stats, nsim) for fit in (small, large)
            ),
        )
        draws = outcome.values[~outcome.failed, 0]
        # refits agree to rounding: a draw equal to the statistic counts as one
        extreme = int(np.sum(draws >= statistic - ROUNDING))
        note = f"{len(draws)} bootstrap draws, {extreme} as large"
        if len(outcome.notes) < nsim:
            note += f" (interrupted: {nsim} were asked for)"
        return PairOutcome(pvalue=(1 + extreme) / (1 + len(draws)), note=note, draws=draws)

    return PairTest(column="Pr(bootstrap)", run=run)


def _of_the_same_rows(small: LmerFit, large: LmerFit) -> tuple[LmerFit, LmerFit]:
    """The fits with designs that one response belongs to."""
    one, other = with_same_rows(small.design, large.design)
    return replace(small, design=condensed(one)), replace(large, design=condensed(other))


def _check_nested(small: LmerFit, large: LmerFit) -> None:
    if small.penalty is not None or large.penalty is not None:
        raise ModelComparisonError(
            "penalised fits are not compared by likelihood ratios: refit without a penalty"
        )
    if not spans(small.design, large.design):
        raise ModelComparisonError(
            "the models are not nested: the larger one cannot represent the fixed effects of the "
            "smaller one"
        )
    if small.REML and not same_fixed_effects(small.design, large.design):
        raise ModelComparisonError(
            "REML criteria of models with different fixed effects cannot be compared: leave "
            "refit=True"
        )
