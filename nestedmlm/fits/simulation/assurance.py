"""Assurance: power of a planned study averaged over the posterior of a pilot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm._typing import IntArray
from nestedmlm.arguments import check_count, check_level, checked
from nestedmlm.design.design import Design
from nestedmlm.design.model_parameters import residual_names
from nestedmlm.errors import OptionError
from nestedmlm.fits.plain_only import refuse_known_sigma
from nestedmlm.fits.simulation.planned_power import fixed_effect, make_planner
from nestedmlm.fits.simulation.scenario import Scenario, group_counts
from nestedmlm.fits.simulation.supposed_parameters import theta_of_covariances
from nestedmlm.plots import assurance as draw_assurance
from nestedmlm.posterior.draws import covariance_draws, fixed_draws, sigma_draws
from nestedmlm.posterior.row_residuals import residual_draws
from nestedmlm.posterior.row_responses import dispersion_draws
from nestedmlm.views.render.blocks import Text
from nestedmlm.views.render.view import View, Viewable, blank, note

if TYPE_CHECKING:
    from nestedmlm.fits.bayes_fit import BayesFit

_PREDICTORS = 5  # draws of linear predictors at each draw of a generalized model's posterior


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Assurance(Viewable):
    """Power of a planned study averaged over what a pilot's posterior holds possible.

    Attributes
    ----------
    effect, test : str
    powers : Series
        Power at each draw of the posterior.
    supposed : float
        Power at the study's own parameters: the pilot's estimates, or what a planner supposes.
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
    ['assurance', 'power_low', 'power_median', 'power_high', 'power_supposed']
    >>> found.plot().get_xlabel()
    'power'
    """

    effect: str
    test: str
    powers: pd.Series
    supposed: float
    alpha: float
    nobs: int
    groups: pd.Series

    @property
    def estimate(self) -> float:
        """The assurance: the mean of the powers."""
        return float(self.powers.mean())

    def to_frame(self, level: float = 0.9) -> pd.DataFrame:
        """One row: ``assurance, power_low, power_median, power_high, power_supposed``.

        Parameters
        ----------
        level : float
            Share of the draws whose power is between ``power_low`` and ``power_high``.
        """
        tail = 0.5 * (1.0 - check_level(level))
        low, middle, high = self.powers.quantile([tail, 0.5, 1.0 - tail])
        columns = {
            "assurance": self.estimate, "power_low": low, "power_median": middle,
            "power_high": high, "power_supposed": self.supposed,
        }  # fmt: skip
        return pd.DataFrame(columns, index=[self.effect])

    @checked
    def plot(self, *, ax: Any = None, figsize: tuple[float, float] | None = None) -> Any:
        """Draw the powers of the draws: `nestedmlm.plots.assurance`.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure.
        figsize : (float, float), optional
            Of the new figure, in inches.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        OptionError
            If `ax` is no axes of matplotlib.
        """
        return draw_assurance(self, ax=ax, figsize=figsize)

    def view(self) -> View:
        """Build the document."""
        low, middle, high, supposed = (100.0 * self.to_frame().iloc[0, 1:]).round(1)
        groups = "; ".join(f"{name}, {count}" for name, count in self.groups.items())
        return View(
            (
                Text((f"Assurance for {self.effect}:",), role="title"),
                Text((f"    {100.0 * self.estimate:.1f}%",)),
                blank(),
                note(
                    f"Power over {len(self.powers)} draws of the posterior: "
                    f"median {middle}%, 90 % of them from {low}% to {high}%",
                    f"Power at the study's own parameters: {supposed}%",
                    f"Test: {self.test}, alpha = {self.alpha:g}",
                    f"rows: {self.nobs}, groups: {groups}",
                ),
            )
        )


def assurance(
    scenario: Scenario,
    posterior: BayesFit,
    effect: str,
    *,
    draws: int = 400,
    alpha: float = 0.05,
    test: str | None = None,
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
    test : {"satterthwaite", "kenward-roger", "z"}, optional
        By default Satterthwaite's. A generalized model has ``"z"``.
    effect_size : float, optional
        Coefficient to suppose in every draw: what is averaged over are then the variances alone
        (and the other coefficients of a generalized model).

    Returns
    -------
    Assurance
        A view.

    Raises
    ------
    OptionError
        If the posterior is none or of another model, or the effect is a random one.

    Notes
    -----
    The unconditional probability that the test rejects (O'Hagan, Stevens & Campbell 2005,
    Pharmaceutical Statistics 4, 187-201), in either direction.
    """
    check_level(alpha, "alpha")
    check_count(draws, "draws", least=1)
    if getattr(posterior, "engine", None) != "posterior":
        raise OptionError(
            "assurance averages over the posterior of a pilot, and a "
            f"{type(posterior).__name__} has no draws: give pilot.sample()"
        )
    refuse_known_sigma(posterior, "assurance")
    tested = fixed_effect(scenario, effect)
    _check_alike(scenario.design, posterior.design)
    given = None if effect_size is None else {tested.coefficient(): effect_size}
    planner = make_planner(scenario, tested, test, predictors=_PREDICTORS)

    def power(scene: Scenario) -> float:
        scene = scene if given is None else scene.with_params(beta=given)
        return planner.plan(scene).power(scene.beta[list(tested.columns)], alpha)

    size = posterior.n_chains * posterior.n_draws
    chosen = np.unique(np.linspace(0, size - 1, min(draws, size)).round().astype(int))
    return Assurance(
        effect=tested.name,
        test=planner.title,
        powers=pd.Series(
            [power(scene) for scene in _at_draws(scenario, posterior, chosen)],
            index=pd.Index(chosen, name="draw"), name="power",
        ),
        supposed=power(scenario),
        alpha=alpha,
        nobs=scenario.design.n,
        groups=group_counts(scenario.design),
    )  # fmt: skip


def _at_draws(scenario: Scenario, posterior: BayesFit, chosen: IntArray) -> Iterator[Scenario]:
    """The study with the parameters of some draws."""
    data, design, family = posterior.data, posterior.design, posterior.family
    beta, covariances = fixed_draws(data, design), covariance_draws(data, design)
    if family is None:
        sigma, dispersion = sigma_draws(data, design), None
    else:
        sigma = np.ones(len(beta))
        dispersion = np.broadcast_to(np.ravel(dispersion_draws(data, family)), len(beta))
    own = scenario.residual
    draws = None if own is None else residual_draws(data, design, own.model)
    for s in chosen:
        relative = [cov[s] / sigma[s] ** 2 for cov in covariances]
        yield replace(
            scenario,
            beta=beta[s],
            theta=theta_of_covariances(scenario.design, relative),
            sigma=float(sigma[s]),
            dispersion=None if dispersion is None else float(dispersion[s]),
            residual=None if own is None or draws is None else own.moved(draws.free[s]),
        )


def _check_alike(design: Design, other: Design) -> None:
    ours, theirs = (
        [
            *d.x_names,
            *(f"({t.text})" for t in d.terms),
            *([d.family.name] if d.family else []),
            *(name for name, _ in (residual_names(d.residual) if d.residual is not None else ())),
        ]
        for d in (design, other)
    )
    if ours != theirs:
        raise OptionError(
            f"the posterior is of another model ({', '.join(theirs)}) than the study "
            f"({', '.join(ours)})"
        )
