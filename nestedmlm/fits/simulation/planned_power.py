"""Planned power: of a test by its noncentral F distribution, without simulation; assurance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import check_choice, check_count, check_level, checked
from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError, ResidualStructureError
from nestedmlm.fits.plain_only import refuse_residuals
from nestedmlm.fits.simulation.supposed_covariances import theta_of_covariances
from nestedmlm.fits.simulation.tested_effect import TestedEffect, find_effect
from nestedmlm.inference.effects.planned_test import PlannedTest, planned_test
from nestedmlm.inference.fitted import Fitted, require_linear
from nestedmlm.late import late_imports
from nestedmlm.likelihood.solution import results_at
from nestedmlm.posterior.draws import covariance_draws, fixed_draws, sigma_draws
from nestedmlm.statistics.cells.condensed import condensed
from nestedmlm.statistics.crossproducts import CrossProducts, cross_products
from nestedmlm.views.render.blocks import Text
from nestedmlm.views.render.view import View, Viewable, blank, note

if TYPE_CHECKING:
    from nestedmlm.fits.bayes_fit import BayesFit
    from nestedmlm.fits.simulation.generalized_powertests import planned_wald
    from nestedmlm.fits.simulation.scenario import Scenario
else:  # only generalized models ask for it
    globals().update(
        late_imports("nestedmlm.fits.simulation", {"generalized_powertests": "planned_wald"})
    )

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Assurance(Viewable):
    """Power of a planned study averaged over what a pilot's posterior holds possible.

    Attributes
    ----------
    effect, test : str
    powers : Series
        Power at each draw of the posterior.
    alpha : float
    nobs : int
    groups : Series

    Examples
    --------
    >>> import nestedmlm as nm
    >>> pilot = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    >>> posterior = pilot.sample(sampler="psis", draws=100, seed=1)
    >>> study = pilot.extend(along="Subject", n=9).extend(along="Days", n=4)
    >>> found = study.assurance(posterior, "Days", draws=50)
    >>> bool(found.powers.min() < found.estimate < found.powers.max())
    True
    >>> found.to_frame().columns.tolist()
    ['assurance', 'power_low', 'power_median', 'power_high']
    """

    effect: str
    test: str
    powers: pd.Series
    alpha: float
    nobs: int
    groups: pd.Series

    @property
    def estimate(self) -> float:
        """The assurance: the mean of the powers."""
        return float(self.powers.mean())

    def to_frame(self, level: float = 0.9) -> pd.DataFrame:
        """One row: ``assurance, power_low, power_median, power_high``.

        Parameters
        ----------
        level : float
            Share of the draws whose power is between ``power_low`` and ``power_high``.
        """
        tail = 0.5 * (1.0 - check_level(level))
        low, middle, high = self.powers.quantile([tail, 0.5, 1.0 - tail])
        columns = {
            "assurance": self.estimate, "power_low": low, "power_median": middle,
            "power_high": high,
        }  # fmt: skip
        return pd.DataFrame(columns, index=[self.effect])

    def view(self) -> View:
        """Build the document."""
        low, middle, high = (100.0 * self.to_frame().iloc[0, 1:]).round(1)
        groups = "; ".join(f"{name}, {count}" for name, count in self.groups.items())
        return View(
            (
                Text((f"Assurance for {self.effect}:",), role="title"),
                Text((f"    {100.0 * self.estimate:.1f}%",)),
                blank(),
                note(
                    f"Power over {len(self.powers)} draws of the posterior: "
                    f"median {middle}%, 90 % of them from {low}% to {high}%",
                    f"Test: {self.test}, alpha = {self.alpha:g}",
                    f"rows: {self.nobs}, groups: {groups}",
                ),
            )
        )


@checked
def planned_power(
    scenario: Scenario,
    effect: str,
    *,
    alpha: float = 0.05,
    test: str | None = None,
    effect_size: float | None = None,
) -> PlannedPower:
    """Power of a test of fixed effects, without simulation.

    Parameters
    ----------
    scenario : Scenario
    effect : str
        A fixed effect or term (``"ses"``).
    alpha : float
        Significance level of the test.
    test : {"satterthwaite", "kenward-roger", "z"}, optional
        Whose degrees of freedom the test has; by default Satterthwaite's. A generalized model has
        ``"z"``.
    effect_size : float, optional
        Coefficient to suppose in the place of the estimate, for a single fixed effect.

    Returns
    -------
    PlannedPower

    Raises
    ------
    OptionError
    """
    check_level(alpha, "alpha")
    tested = _fixed(scenario, effect)
    if effect_size is not None:
        scenario = scenario.with_params(beta={tested.coefficient(): effect_size})
    if scenario.family is None:
        test = "satterthwaite" if test is None else test
        own, stats = _any_response(scenario)
        planned = _planned(own, stats, tested, scenario.theta, scenario.sigma, test)
    else:
        test = check_choice("z" if test is None else test, "test", ("z",))
        own, planned = scenario.design, planned_wald(scenario, tested)
    size = scenario.beta[list(tested.columns)]
    single = len(size) == 1
    return PlannedPower(
        effect=tested.name,
        test=_TITLES[test],
        estimate=planned.power(size, alpha),
        alpha=alpha,
        effect_size=float(size[0]) if single else None,
        std_error=float(np.sqrt(planned.cov[0, 0])) if single else None,
        num_df=planned.num_df,
        df=planned.den_df,
        noncentrality=planned.noncentrality(size),
        nobs=own.n,
        groups=_groups(own),
    )


@checked
def assurance(
    scenario: Scenario,
    posterior: BayesFit,
    effect: str,
    *,
    draws: int = 400,
    alpha: float = 0.05,
    test: str = "satterthwaite",
    effect_size: float | None = None,
) -> Assurance:
    """Assurance: the power of this study averaged over the posterior of a pilot.

    Parameters
    ----------
    posterior : BayesFit
        Of the same model, fitted to the pilot's data.
    effect : str
        A fixed effect or term.
    draws : int
        Draws that are used, spread evenly over all.
    alpha : float
        Significance level.
    test : {"satterthwaite", "kenward-roger", "z"}
    effect_size : float, optional
        Coefficient to suppose in every draw: what is averaged over are then the variances alone.

    Returns
    -------
    Assurance
        A view.

    Raises
    ------
    OptionError
        If the posterior is of another model, or the effect is a random one.

    Notes
    -----
    The unconditional probability that the test rejects (O'Hagan, Stevens & Campbell 2005,
    Pharmaceutical Statistics 4, 187-201), in either direction.
    """
    check_level(alpha, "alpha")
    check_count(draws, "draws", least=1)
    refuse_residuals(posterior, "assurance")
    require_linear(scenario.family, "assurance")
    tested = _fixed(scenario, effect)
    _check_alike(scenario.design, posterior.design)
    columns = list(tested.columns)
    beta = fixed_draws(posterior.data, posterior.design)[:, columns]
    if effect_size is not None:
        tested.coefficient()
        beta = np.full_like(beta, effect_size)
    sigma = sigma_draws(posterior.data, posterior.design)
    covariances = covariance_draws(posterior.data, posterior.design)
    chosen = np.unique(np.linspace(0, len(sigma) - 1, min(draws, len(sigma))).round().astype(int))
    own, stats = _any_response(scenario)
    powers = []
    for s in chosen:
        relative = [cov[s] / sigma[s] ** 2 for cov in covariances]
        theta = theta_of_covariances(scenario.design, relative)
        planned = _planned(own, stats, tested, theta, float(sigma[s]), test)
        powers.append(planned.power(beta[s], alpha))
    return Assurance(
        effect=tested.name,
        test=_TITLES[test],
        powers=pd.Series(powers, index=pd.Index(chosen, name="draw"), name="power"),
        alpha=alpha,
        nobs=own.n,
        groups=_groups(own),
    )


def _fixed(scenario: Scenario, effect: str) -> TestedEffect:
    tested = find_effect(scenario.design, effect)
    if not scenario.REML and scenario.family is None:
        raise OptionError(
            "power without simulation is that of REML's tests; give a REML fit, or simulate: "
            "nm.power()"
        )
    if tested.term is not None:
        raise OptionError(
            f"{tested.name} is a random effect, whose test has no noncentral F distribution; "
            "simulate: nm.power()"
        )
    return tested


def _any_response(scenario: Scenario) -> tuple[Design, CrossProducts]:
    """The design with a response that the planned test does not depend on, and its statistics.

    Raises
    ------
    ResidualStructureError
        Where residuals differ or correlate.
    """
    if scenario.residual is not None:
        raise ResidualStructureError(
            "power without simulation is not worked out for residuals that differ or correlate, "
            "whose tests rest on the observed information, of one response: simulate, nm.power()"
        )
    scenario = replace(scenario, design=condensed(scenario.design))
    own = scenario.design.with_response(scenario.distribution.draw(np.random.default_rng(0)))
    return own, cross_products(own)


def _planned(
    design: Design,
    stats: CrossProducts,
    tested: TestedEffect,
    theta: FloatArray,
    sigma: float,
    test: str,
) -> PlannedTest:
    solution = results_at(design, theta, REML=True, stats=stats)
    L = np.eye(design.p)[list(tested.columns)]
    return planned_test(Fitted(design=design, solution=solution, REML=True), L, sigma, test)


def _groups(design: Design) -> pd.Series:
    return pd.Series({f.name: len(f.levels) for f in design.factors if not f.is_whole})


def _check_alike(design: Design, other: Design) -> None:
    ours = [*design.x_names, *(f"({t.text})" for t in design.terms)]
    theirs = [*other.x_names, *(f"({t.text})" for t in other.terms)]
    if ours != theirs:
        raise OptionError(
            f"the posterior is of another model ({', '.join(theirs)}) than the study "
            f"({', '.join(ours)})"
        )
