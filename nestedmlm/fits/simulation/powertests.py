"""The tests that an analysis of power can use: p-values from many responses at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError
from nestedmlm.fits.simulation.replicates import Outcome, Streams
from nestedmlm.fits.simulation.tested_effect import TestedEffect
from nestedmlm.inference.effects.ddf import df_method, joint_test
from nestedmlm.inference.effects.many_kenward_roger import LEAST, many_kenward_roger
from nestedmlm.inference.effects.many_satterthwaite import many_satterthwaite, serves
from nestedmlm.inference.fitted import Fitted
from nestedmlm.inference.resampling.response_distribution import ResponseDistribution
from nestedmlm.inference.variances.added_effects import added_effects
from nestedmlm.inference.variances.boundary import null_distribution
from nestedmlm.inference.variances.chibar import ROUNDING
from nestedmlm.inference.variances.rlrt import draw_rlrt, spectrum
from nestedmlm.likelihood import elimination
from nestedmlm.likelihood.criterion import profile
from nestedmlm.likelihood.plan import flat_of_theta, make_plan
from nestedmlm.likelihood.solution import Solution, results_at
from nestedmlm.optimum.batch import refit_many
from nestedmlm.optimum.one_variance import has_one_variance
from nestedmlm.statistics.crossproducts import CrossProducts, cross_products
from nestedmlm.statistics.responses import each_response

if TYPE_CHECKING:
    from nestedmlm.fits.simulation.scenario import Scenario

_RLRT_DRAWS = 10_000  # from the null distribution of a restricted likelihood ratio
_SEED = 11  # of what is the same for every replicate: weights, null distributions

PValues = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PowerTask:
    """Draw responses, test each; a task for replicates.

    Attributes
    ----------
    distribution : ResponseDistribution
    pvalues : callable (Y) -> (m,) array
    title : str
        What the test is called.
    """

    distribution: ResponseDistribution
    pvalues: PValues
    title: str

    def __call__(self, ways: Streams) -> Outcome:
        """Run the replicates of some streams; where the batch fails, one by one."""
        Y = np.column_stack([self.distribution.draw(np.random.default_rng(way)) for way in ways])
        try:
            p, notes = self.pvalues(Y), [""] * len(ways)
        except (ArithmeticError, ValueError):  # LinAlgError is a ValueError
            p, notes = np.full(len(ways), np.nan), []
            for i in range(len(ways)):
                notes.append("")
                try:
                    p[i] = self.pvalues(Y[:, i : i + 1])[0]
                except (ArithmeticError, ValueError) as error:
                    notes[i] = f"{type(error).__name__}: {error}"
        failed = ~np.isfinite(p)
        said = tuple(
            n or ("no p-value" if bad else "") for n, bad in zip(notes, failed, strict=True)
        )
        return Outcome(values=p[:, None], notes=said, failed=failed)


type Maker = Callable[[Scenario, TestedEffect, int], PValues]
type Tests = Mapping[str, tuple[str, Maker]]  # by name: title, and what makes the p-values


def prepare_test(
    scene: Scenario, tested: TestedEffect, test: str | None, *, workers: int
) -> PowerTask:
    """Make the task of one test of a linear model.

    Raises
    ------
    OptionError
        For a test that is unknown or not for this kind of effect.
    """
    return make_task(scene, tested, test, _FIXED if tested.term is None else _RANDOM, workers)


def make_task(
    scene: Scenario, tested: TestedEffect, test: str | None, known: Tests, workers: int
) -> PowerTask:
    """The task of one of the known tests, by default the first."""
    name = next(iter(known)) if test is None else test
    if name not in known:
        kind = "fixed" if tested.term is None else "random"
        raise OptionError(
            f"test={test!r} is not for {kind} effects; those for them: {', '.join(known)}"
        )
    title, make = known[name]
    return PowerTask(
        distribution=scene.distribution, pvalues=make(scene, tested, workers), title=title
    )


def _criteria(
    design: Design, theta: FloatArray | None, REML: bool, workers: int
) -> Callable[[FloatArray], FloatArray]:
    stats = cross_products(design)

    def run(Y: FloatArray) -> FloatArray:
        return refit_many(design, Y, REML=REML, start=theta, stats=stats, workers=workers).criterion

    return run


def _fixed_ratio(scene: Scenario, tested: TestedEffect, workers: int) -> PValues:
    """Likelihood ratio by maximum likelihood against chi-squared."""
    null = tested.null
    assert null is not None
    large = _criteria(scene.design, scene.theta, False, workers)
    small = _criteria(null, scene.theta, False, workers)
    df = len(tested.columns)

    def run(Y: FloatArray) -> FloatArray:
        from scipy.special import chdtrc

        return np.asarray(chdtrc(df, np.maximum(small(Y) - large(Y), 0.0)))

    return run


def _wald(scene: Scenario, tested: TestedEffect, workers: int) -> PValues:
    """Estimates over standard errors as standard normal (chi-squared for several)."""
    design, columns = scene.design, list(tested.columns)
    stats = cross_products(design)

    def run(Y: FloatArray) -> FloatArray:
        from scipy.special import chdtrc

        fits = refit_many(
            design, Y, REML=scene.REML, start=scene.theta, stats=stats, workers=workers
        )
        if len(columns) == 1:
            return np.asarray(chdtrc(1, (fits.beta / fits.std_error)[:, columns[0]] ** 2))
        wald = np.empty(Y.shape[1])
        for i, (theta, sigma) in enumerate(zip(fits.theta, fits.sigma, strict=True)):
            cov = sigma**2 * unit_covariance(design, stats, theta)
            b = fits.beta[i, columns]
            wald[i] = b @ np.linalg.solve(cov[np.ix_(columns, columns)], b)
        return np.asarray(chdtrc(len(columns), wald))

    return run


def unit_covariance(design: Design, stats: CrossProducts, theta: FloatArray) -> FloatArray:
    """Covariance of the fixed effects over sigma^2; it does not depend on the response."""
    state = elimination.eliminate(flat_of_theta(theta, make_plan(design, stats), stats), stats)
    Ri = stats.R_x_inverse
    out: FloatArray = Ri @ profile(state.S).inverse[:-1, :-1] @ Ri.T
    return out


def _small_sample(method: str, scene: Scenario, tested: TestedEffect, workers: int) -> PValues:
    """F test with degrees of freedom by `method`."""
    design, stats = scene.design, cross_products(scene.design)
    L = np.eye(design.p)[list(tested.columns)]
    one_variance = has_one_variance(make_plan(design, stats), stats)
    together = method == "satterthwaite" and serves(design, stats, scene.theta, REML=scene.REML)

    def run(Y: FloatArray) -> FloatArray:
        fits = refit_many(
            design, Y, REML=scene.REML, start=scene.theta, stats=stats, workers=workers
        )
        if together:
            return many_satterthwaite(design, stats, Y, fits.theta, REML=scene.REML).p_values(L)
        if method == "kenward-roger" and one_variance and scene.REML and Y.shape[1] >= LEAST:
            found = many_kenward_roger(design, stats, fits.beta, fits.theta[:, 0], fits.sigma, L)
            if found is not None:
                return found
        out = np.empty(Y.shape[1])
        for i, sums in enumerate(each_response(design, stats, Y)):
            own = design.with_response(np.ascontiguousarray(Y[:, i]))
            solution = results_at(own, fits.theta[i], REML=scene.REML, stats=sums)
            fitted = Fitted(design=own, solution=solution, REML=scene.REML)
            out[i] = joint_test(df_method(fitted, method), L).p_value
        return out

    return run


def _ratio_of_variances(scene: Scenario, tested: TestedEffect, workers: int) -> PValues:
    """Draws of the (restricted) likelihood ratio statistic for a random-effects term."""
    large = _criteria(scene.design, scene.theta, scene.REML, workers)
    null = tested.null
    if null is not None:
        small = _criteria(null, None, scene.REML, workers)
        return lambda Y: np.maximum(small(Y) - large(Y), 0.0)

    def run(Y: FloatArray) -> FloatArray:
        zero = np.array([_without_effects(scene, y) for y in Y.T])
        return np.maximum(zero - large(Y), 0.0)

    return run


def _without_effects(scene: Scenario, y: FloatArray) -> float:
    own = scene.design.with_response(np.ascontiguousarray(y))
    solution = results_at(own, 0.0 * scene.theta, REML=scene.REML)
    return solution.reml_criterion if scene.REML else solution.deviance


def _random_naive(scene: Scenario, tested: TestedEffect, workers: int) -> PValues:
    """Likelihood ratio against chi-squared, which is conservative."""
    statistic = _ratio_of_variances(scene, tested, workers)
    assert tested.term is not None
    df = make_plan(scene.design, cross_products(scene.design)).shapes[tested.term].count

    def run(Y: FloatArray) -> FloatArray:
        from scipy.special import chdtrc

        return np.asarray(chdtrc(df, statistic(Y)))

    return run


def _random_boundary(scene: Scenario, tested: TestedEffect, workers: int) -> PValues:
    """Likelihood ratio against the boundary's chi-bar-square mixture."""
    null, statistic = tested.null, _ratio_of_variances(scene, tested, workers)
    if null is None:
        raise OptionError(
            f"{tested.name} is the only random effect: its test is test='rlrt' (one variance)"
        )
    y = scene.distribution.draw(np.random.default_rng(_SEED))  # weights hardly depend on it
    small, small_solution = _solved(null, y, scene.REML)
    large, large_solution = _solved(scene.design, y, scene.REML)
    mixture = null_distribution(small, small_solution, large, large_solution, REML=scene.REML)
    return lambda Y: np.array([mixture.pvalue(float(x)) for x in statistic(Y)])


def _solved(design: Design, y: FloatArray, REML: bool) -> tuple[Design, Solution]:
    own = design.with_response(y)
    theta = refit_many(own, y[:, None], REML=REML).theta[0]
    return own, results_at(own, theta, REML=REML)


def _random_exact(scene: Scenario, tested: TestedEffect, workers: int) -> PValues:
    """Restricted likelihood ratio against its finite-sample distribution."""
    term, null = tested.term, tested.null
    assert term is not None
    sizes: tuple[int, ...] = (len(scene.design.terms[term].columns),)
    if null is not None:
        added = added_effects(null, scene.design)
        sizes = added.sizes + (2,) * bool(added.covariances)
    if sizes != (1,) or not scene.REML:
        raise OptionError(
            f"test='rlrt' is for one variance of a REML fit, and {tested.name} has more or the "
            "fit is by ML; use test='boundary'"
        )
    statistic = _ratio_of_variances(scene, tested, workers)
    rng = np.random.default_rng(_SEED)
    draws = np.sort(draw_rlrt(*spectrum(scene.design, term), nsim=_RLRT_DRAWS, rng=rng))

    def run(Y: FloatArray) -> FloatArray:
        found = statistic(Y)
        found[found <= ROUNDING] = 0.0
        return np.asarray(1.0 - np.searchsorted(draws, found, side="left") / len(draws))

    return run


_FIXED: Tests = MappingProxyType(
    {
        "satterthwaite": ("F, Satterthwaite", partial(_small_sample, "satterthwaite")),
        "lrt": ("likelihood ratio", _fixed_ratio),
        "z": ("z (Wald)", _wald),
        "kenward-roger": ("F, Kenward-Roger", partial(_small_sample, "kenward-roger")),
    }
)
_RANDOM: Tests = MappingProxyType(
    {
        "boundary": ("likelihood ratio, boundary's mixture", _random_boundary),
        "lrt": ("likelihood ratio, chi-squared (conservative)", _random_naive),
        "rlrt": ("restricted likelihood ratio, finite-sample distribution", _random_exact),
    }
)
