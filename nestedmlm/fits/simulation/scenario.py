"""`Scenario`: a design and parameters to draw responses from, without a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import check_number, checked
from nestedmlm.covariance import relative_factors
from nestedmlm.deprecations import renamed
from nestedmlm.design.design import Design
from nestedmlm.design.model_parameters import model_parameters
from nestedmlm.errors import OptionError
from nestedmlm.families import Family
from nestedmlm.fits.estimates import Estimates
from nestedmlm.fits.plain_only import refuse_known_sigma
from nestedmlm.fits.simulation.extend import extended
from nestedmlm.fits.simulation.supposed_parameters import (
    covariance_parameters,
    fixed_effects,
    residual_sd,
    supposed,
)
from nestedmlm.inference.fitted import Approximation
from nestedmlm.inference.resampling.response_distribution import (
    ResponseDistribution,
    draw_frame,
    response_distribution,
)
from nestedmlm.inference.variances.parameters import values_at
from nestedmlm.inference.variances.residual_parameters import residual_values
from nestedmlm.late import late_imports
from nestedmlm.likelihood.plan import term_shapes
from nestedmlm.statistics.cells.condensed import condensed
from nestedmlm.statistics.pair_sums import ResidualAt, residual_at

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.fits.model import Model
    from nestedmlm.fits.simulation.assurance import assurance
    from nestedmlm.fits.simulation.planned_power import planned_power
    from nestedmlm.fits.simulation.simulated_power import power, power_curve
else:  # these modules import this one
    _VERBS = {
        "assurance": "assurance",
        "planned_power": "planned_power",
        "simulated_power": "power power_curve",
    }
    globals().update(late_imports("nestedmlm.fits.simulation", _VERBS, wrap=checked))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scenario:
    """A model with the parameters that responses are drawn with.

    Attributes
    ----------
    model : Model
    design : Design
    beta : (p,) array
    theta : (n_theta,) array
        lme4's covariance parameters, relative to sigma.
    sigma : float
        Of a generalized model 1: theta is absolute.
    REML : bool
        How refits are made where a test does not say.
    family : Family or None
        Of a generalized model.
    dispersion : float or None
        The family's parameter beside the mean, where it has one.
    approximation : Approximation or None
        How refits of a generalized model approximate the likelihood.
    residual : ResidualAt, optional
        Where residuals differ or correlate.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    >>> study = fit.extend(along="Subject", n=30).with_params(beta={"Days": 2})
    >>> study
    Scenario: Reaction ~ Days + (1 | Subject)
    300 observations, groups: Subject, 30
    (Intercept) = 251.4, Days = 2
    sd_(Intercept)|Subject = 37.12, sigma = 30.99
    >>> study.simulate(2, seed=1).shape
    (300, 2)
    >>> study.extend(within="Subject", n=5).design.n
    150
    >>> study.power("Days", nsim=20, seed=1, progress=False).trials
    20
    >>> curve = study.power_curve("Days", along="Subject", breaks=[5, 10], nsim=20, seed=1,
    ...                           progress=False)
    >>> print(round(study.planned_power("Days").estimate, 2))
    0.89
    >>> posterior = fit.sample(sampler="psis", draws=50, seed=1)
    >>> print(round(study.assurance(posterior, "Days", draws=20).estimate, 2))
    1.0
    """

    model: Model
    design: Design
    beta: FloatArray
    theta: FloatArray
    sigma: float
    REML: bool = True
    family: Family | None = None
    dispersion: float | None = None
    approximation: Approximation | None = None
    residual: ResidualAt | None = None

    @property
    def _native(self) -> str:
        return self.model._native

    def __repr__(self) -> str:
        d = self.design
        groups = "; ".join(f"{name}, {count}" for name, count in group_counts(d).items())
        beta = ", ".join(f"{n} = {b:.4g}" for n, b in zip(d.x_names, self.beta, strict=True))
        size = f"{d.n} observations, groups: {groups}"
        return "\n".join((f"Scenario: {self.model.formula.display}", size, beta, self._variances()))

    def _variances(self) -> str:
        """Standard deviations, correlations and what else is no fixed effect."""
        d, shapes = self.design, term_shapes(self.design)
        linear = self.family is None
        own = "" if self.dispersion is None else "dispersion"
        found = [
            p for p in model_parameters(d, residual=linear, dispersion=own) if p.kind != "beta"
        ]
        values = values_at(
            found, shapes, theta=self.theta, T=relative_factors(self.theta, shapes),
            sigma=self.sigma, beta=self.beta, dispersion=self.dispersion,
            residual=None if self.residual is None else residual_values(self.residual, self.sigma),
        )  # fmt: skip
        return ", ".join(f"{p.name} = {v:.4g}" for p, v in zip(found, values, strict=True))

    @property
    def distribution(self) -> ResponseDistribution:
        """Distribution of the response."""
        T = relative_factors(self.theta, term_shapes(self.design))
        design = self.design if self.design.rows is not None else condensed(self.design)
        return response_distribution(
            design, beta=self.beta, T=T, sigma=self.sigma, family=self.family,
            dispersion=self.dispersion, residual=self.residual,
        )  # fmt: skip

    @checked
    def simulate(self, nsim: int = 1, seed: int | None = None) -> pd.DataFrame:
        """Draw responses.

        Parameters
        ----------
        nsim : int
            Responses, one in each column.
        seed : int, optional
            The same seed, the same responses.

        Returns
        -------
        DataFrame
            A row for each row of the data.

        Raises
        ------
        OptionError
            For `nsim` or `seed` that are no whole numbers.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> pilot = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
        >>> pilot.extend(along="Subject", n=36).simulate(2, seed=1).shape
        (360, 2)
        """
        index = self.design.index
        return draw_frame(self.distribution, index, nsim=nsim, seed=seed)

    @checked
    def with_params(
        self,
        *,
        beta: Mapping[str, float] | Sequence[float] | None = None,
        theta: Sequence[float] | None = None,
        sigma: float | None = None,
        sd: Mapping[str, Any] | None = None,
        correlation: Mapping[str, Any] | None = None,
        icc: Mapping[str, float] | float | None = None,
        dispersion: float | None = None,
    ) -> Scenario:
        """Change parameters; a mapping changes the fixed effects that it names.

        Parameters
        ----------
        beta : mapping of str to float, or sequence, optional
            Fixed effects by name, or all of them in order.
        theta : sequence, optional
            lme4's covariance parameters, relative to sigma, in the order of ``theta_names``.
        sigma : float, optional
            Residual standard deviation.
        sd : mapping, optional
            Standard deviations by grouping factor, in the place of theta:
            ``{"Subject": {"(Intercept)": 25, "Days": 6}, "Residual": 26}``. Changes all
            covariances.
        correlation : mapping, optional
            By grouping factor, with ``sd``: a number for two columns, a matrix for more; else 0.
        icc : mapping of str to float, or float, optional
            Shares of the total variance by grouping factor (a number where there is one), for
            random intercepts.
        dispersion : float, optional
            Of a generalized model whose family has one, as ``fit.dispersion``.

        Raises
        ------
        OptionError
            For unknown names, wrong numbers of parameters, a sigma that is not positive, and
            parameters that this kind of model does not have.
        """
        if self.family is not None:
            if sigma is not None or icc is not None:
                raise OptionError(
                    "a generalized model has no residual standard deviation: give sd= or theta=, "
                    "which are on the scale of the link"
                )
            sigma = 1.0 if sd is not None or correlation is not None else None
        changed = replace(
            self,
            beta=self.beta if beta is None else fixed_effects(self.design, beta, self.beta),
            dispersion=self.dispersion if dispersion is None else self._new(dispersion),
        )
        if sd is not None or icc is not None or correlation is not None:
            found = supposed(
                self.design, theta=theta, sigma=sigma, sd=sd, correlation=correlation, icc=icc
            )
            return replace(changed, theta=found.theta, sigma=found.sigma)
        return replace(
            changed,
            theta=self.theta if theta is None else covariance_parameters(self.design, theta),
            sigma=self.sigma if sigma is None else residual_sd(sigma),
        )

    @checked
    def extend(self, *, along: str | None = None, within: str | None = None, n: int) -> Scenario:
        """Change the number of groups or of rows per group.

        Parameters
        ----------
        along : str, optional
            Grouping factor whose number of levels becomes `n`.
        within : str, optional
            Grouping factor within each of whose levels the number of rows becomes `n`.
        n : int
            The new number.

        Returns
        -------
        Scenario

        Raises
        ------
        OptionError
            If not exactly one of `along` and `within` is given, or `n` is no positive whole number.
        ResidualStructureError
            If a copied row would stand at the time of another one of its block, for residuals that
            correlate: copy blocks, not rows.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> pilot = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
        >>> larger = pilot.extend(along="Subject", n=36).extend(within="Subject", n=5)
        >>> larger.simulate(1, seed=1).shape
        (180, 1)
        """
        model, design = extended(
            self.model, self.design, along=along, within=within, n=n, residual=self.residual
        )
        if self.residual is None:
            return replace(self, model=model, design=design)
        own = residual_at(design, self.residual).residual
        return replace(self, model=model, design=design, residual=own)

    def _new(self, dispersion: float) -> float:
        if self.dispersion is None:
            raise OptionError("the responses of this model have no dispersion parameter")
        return check_number(dispersion, "dispersion", positive=True)

    power = power
    power_curve = power_curve
    planned_power = planned_power
    assurance = assurance

    if not TYPE_CHECKING:
        __getattr__ = renamed({"law": "scenario.distribution"})


def scenario_of(source: LmerFit | Scenario) -> Scenario:
    """Take a fit's estimates as the truth.

    Raises
    ------
    OptionError
        If it is neither a fit nor a scenario.
    """
    if isinstance(source, Scenario):
        return source
    if getattr(source, "engine", None) == "posterior":
        raise OptionError(
            "a posterior is many scenarios, and power is of one: take the fit of the same model "
            "(nm.lmer, nm.glmer), or average over the posterior, posterior.extend(along=..., "
            "n=...).assurance(posterior, effect)"
        )
    if not isinstance(source, Estimates):
        raise OptionError(f"a fit of lmer or a Scenario is needed, not {type(source).__name__}")
    refuse_known_sigma(source, "a scenario of simulated data")
    core = source.core
    if core.family is not None and core.penalty is not None:
        raise OptionError("a scenario refits by maximum likelihood, and this fit is penalised")
    s = source.solution
    return Scenario(
        model=source.model, design=source.design, beta=s.beta, theta=s.theta, sigma=core.scale,
        REML=core.REML, family=core.family, dispersion=core.dispersion,
        approximation=core.approximation,
        residual=s.stats.residual if source.design.residual is not None else None,
    )  # fmt: skip


def group_counts(design: Design) -> pd.Series:
    """Levels of each grouping factor, and of the blocks of correlated residuals."""
    counts = {f.name: len(f.levels) for f in design.factors if not f.is_whole}
    own = design.residual
    if own is not None and own.block is not None:
        counts.setdefault(own.block_name, len(np.unique(own.block)))
    return pd.Series(counts)
