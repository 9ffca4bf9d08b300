"""Planned power: of a test by its noncentral F distribution, without simulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nestedmlm.arguments import check_choice, check_level, checked
from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError
from nestedmlm.fits.simulation.scenario import Scenario, group_counts, scenario_of
from nestedmlm.fits.simulation.tested_effect import TestedEffect, find_effect
from nestedmlm.inference.effects.planned_test import DENOMINATORS, PlannedTest, planned_test
from nestedmlm.inference.fitted import Fitted
from nestedmlm.late import late_imports
from nestedmlm.likelihood.solution import results_at
from nestedmlm.statistics.cells.condensed import condensed
from nestedmlm.statistics.crossproducts import CrossProducts, cross_products
from nestedmlm.statistics.pair_sums import pair_sums_like
from nestedmlm.views.render.blocks import Text
from nestedmlm.views.render.view import View, Viewable, blank, note

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.fits.simulation.generalized_powertests import planned_wald
else:  # only generalized models ask for it
    globals().update(
        late_imports("nestedmlm.fits.simulation", {"generalized_powertests": "planned_wald"})
    )

PREDICTORS = 50  # draws of linear predictors, whose working weights are averaged over
_TITLES = {"satterthwaite": "F, Satterthwaite", "kenward-roger": "F, Kenward-Roger", "z": "z"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class PlannedPower(Viewable):
    """Power of a test of fixed effects, from its noncentral F distribution.

    Attributes
    ----------
    effect, test : str
    estimate : float
        The power.
    alpha : float
    effect_size, std_error : float or None
        The true coefficient and its standard error, where there is one.
    num_df, df : float
        Degrees of freedom of the test.
    noncentrality : float
    nobs : int
        Rows of the planned data.
    groups : Series
        Levels of each grouping factor.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> pilot = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> nm.planned_power(pilot, "Days", effect_size=4)
    Power for Days (noncentral F, no simulation):
        68.42%
    <BLANKLINE>
    Test: F, Satterthwaite, 1 and 17.0 degrees of freedom
    Effect size: 4, standard error: 1.546
    alpha = 0.05, rows: 180, groups: Subject, 18
    >>> nm.planned_power(pilot, "Days", effect_size=4).to_frame().columns.tolist()
    ['power', 'effect_size', 'std_error', 'num_df', 'df', 'noncentrality']
    """

    effect: str
    test: str
    estimate: float
    alpha: float
    effect_size: float | None
    std_error: float | None
    num_df: int
    df: float
    noncentrality: float
    nobs: int
    groups: pd.Series

    def to_frame(self) -> pd.DataFrame:
        """One row: ``power, effect_size, std_error, num_df, df, noncentrality``."""
        columns = {
            "power": self.estimate, "effect_size": self.effect_size, "std_error": self.std_error,
            "num_df": self.num_df, "df": self.df, "noncentrality": self.noncentrality,
        }  # fmt: skip
        return pd.DataFrame(columns, index=[self.effect])

    def view(self) -> View:
        """Build the document."""
        groups = "; ".join(f"{name}, {count}" for name, count in self.groups.items())
        df = "" if np.isinf(self.df) else f", {self.num_df} and {self.df:.1f} degrees of freedom"
        said = [f"Test: {self.test}{df}"]
        if self.effect_size is not None:
            said.append(
                f"Effect size: {self.effect_size:.4g}, standard error: {self.std_error:.4g}"
            )
        said.append(f"alpha = {self.alpha:g}, rows: {self.nobs}, groups: {groups}")
        law = "chi-squared" if np.isinf(self.df) else "F"
        title = f"Power for {self.effect} (noncentral {law}, no simulation):"
        power = Text((f"    {100.0 * self.estimate:.2f}%",))
        return View((Text((title,), role="title"), power, blank(), note(*said)))


def planned_power(
    source: LmerFit | Scenario,
    effect: str,
    *,
    alpha: float = 0.05,
    test: str | None = None,
    effect_size: float | None = None,
) -> PlannedPower:
    """Power of a test of fixed effects without simulation, from its noncentral F distribution.

    Parameters
    ----------
    source : LmerFit, GlmerFit or Scenario
        A linear model by REML. Its estimates are taken as true; of a fit with data, the design
        counts, not the response.
    effect : str
        A fixed effect or term.
    alpha : float
        Significance level.
    test : {"satterthwaite", "kenward-roger", "z"}, optional
        By default Satterthwaite's. A generalized model has ``"z"``.
    effect_size : float, optional
        Coefficient to suppose in the place of the estimate, for a single fixed effect.

    Returns
    -------
    PlannedPower
        A view.

    Raises
    ------
    OptionError
        For random effects, scenarios by maximum likelihood, and unknown tests.

    Notes
    -----
    Standard error and degrees of freedom depend on the design and the variances, not on the
    responses (Stroup 1999; SAS calls it the exemplary data method). Within about a point of
    simulation, which is the check where groups are few: `power`. Of a generalized model the
    information is averaged over linear predictors that the model draws.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> pilot = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> round(nm.planned_power(pilot, "Days", effect_size=4).estimate, 4)
    0.6842
    >>> wider = pilot.extend(along="Subject", n=27)
    >>> round(wider.planned_power("Days", effect_size=4).estimate, 4)
    0.8622
    """
    check_level(alpha, "alpha")
    scenario = scenario_of(source)
    tested = fixed_effect(scenario, effect)
    if effect_size is not None:
        scenario = scenario.with_params(beta={tested.coefficient(): effect_size})
    planner = make_planner(scenario, tested, test)
    planned = planner.plan(scenario)
    size = scenario.beta[list(tested.columns)]
    single = len(size) == 1
    return PlannedPower(
        effect=tested.name,
        test=planner.title,
        estimate=planned.power(size, alpha),
        alpha=alpha,
        effect_size=float(size[0]) if single else None,
        std_error=float(np.sqrt(planned.cov[0, 0])) if single else None,
        num_df=planned.num_df,
        df=planned.den_df,
        noncentrality=planned.noncentrality(size),
        nobs=scenario.design.n,
        groups=group_counts(scenario.design),
    )


def fixed_effect(scenario: Scenario, effect: str) -> TestedEffect:
    """Find the fixed effect whose test is planned.

    Raises
    ------
    OptionError
        For random effects, and scenarios of a linear model by maximum likelihood.
    """
    if not scenario.REML and scenario.family is None:
        raise OptionError(
            "power without simulation is that of REML's tests; give a REML fit, or simulate: "
            "nm.power()"
        )
    return fixed_effect_of(scenario.design, effect)


def fixed_effect_of(design: Design, effect: str) -> TestedEffect:
    """Find the fixed effect of a design.

    Raises
    ------
    OptionError
        For random effects.
    """
    tested = find_effect(design, effect)
    if tested.term is not None:
        raise OptionError(
            f"{tested.name} is a random effect, whose test has no noncentral F distribution; "
            "simulate: nm.power()"
        )
    return tested


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planner:
    """Plans one test of one design at any parameters.

    Attributes
    ----------
    title : str
        What the test is called.
    plan : callable (Scenario) -> PlannedTest
        The scenarios are of the same design.
    """

    title: str
    plan: Callable[[Scenario], PlannedTest]


def make_planner(
    scenario: Scenario, tested: TestedEffect, test: str | None, *, predictors: int = PREDICTORS
) -> Planner:
    """What is common to all parameters: the design's sums.

    Parameters
    ----------
    scenario : Scenario
    tested : TestedEffect
    test : str or None
    predictors : int
        Of a generalized model, how many draws of its linear predictors the information is averaged
        over.

    Raises
    ------
    OptionError
        For an unknown test.
    """
    if scenario.family is not None:
        name = check_choice("z" if test is None else test, "test", ("z",))
        return Planner(
            title=_TITLES[name], plan=lambda scene: planned_wald(scene, tested, predictors)
        )
    name = known_test("satterthwaite" if test is None else test)
    own, stats_of = _any_response(scenario)
    L = np.eye(own.p)[list(tested.columns)]

    def plan(scene: Scenario) -> PlannedTest:
        solution = results_at(own, scene.theta, REML=True, stats=stats_of(scene))
        return planned_test(Fitted(design=own, solution=solution, REML=True), L, scene.sigma, name)

    return Planner(title=_TITLES[name], plan=plan)


def _any_response(scenario: Scenario) -> tuple[Design, Callable[[Scenario], CrossProducts]]:
    """The design with some response, on which planned tests do not depend, and its sums."""
    random = np.random.default_rng(0)
    if scenario.residual is not None:
        own = scenario.design.with_response(scenario.distribution.draw(random))
        sums = pair_sums_like(own, scenario.residual.model)

        def at(scene: Scenario) -> CrossProducts:
            assert scene.residual is not None
            return sums.at(scene.residual.free)

        return own, at
    scenario = replace(scenario, design=condensed(scenario.design))
    own = scenario.design.with_response(scenario.distribution.draw(random))
    stats = cross_products(own)
    return own, lambda _: stats


def known_test(test: str) -> str:
    """Check the name of a test of a linear model.

    Raises
    ------
    OptionError
    """
    if test not in DENOMINATORS:
        raise OptionError(
            f"test={test!r} is not for power without simulation; those that are: "
            f"{', '.join(DENOMINATORS)}"
        )
    return test


if not TYPE_CHECKING:  # decorated where it stands, mypy would have to know Scenario for Scenario
    planned_power = checked(planned_power)
