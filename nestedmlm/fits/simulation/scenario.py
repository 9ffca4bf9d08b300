"""A design and parameters to draw from, without a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.callers import caller_names
from nestedmlm.covariance import relative_factors
from nestedmlm.covariance.parameters import term_shapes
from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError
from nestedmlm.fits.lmer_fit import LmerFit
from nestedmlm.fits.model import Model
from nestedmlm.fits.simulation.extend import as_pandas, extended
from nestedmlm.formula import parse_formula
from nestedmlm.formula.nodes import Name, strip_groups
from nestedmlm.inference.resampling.response_distribution import (
    ResponseLaw,
    Seed,
    draw_frame,
    law_of,
)

if TYPE_CHECKING:
    from nestedmlm.fits.simulation.power import Power, PowerCurve

_RESPONSE = ".y"  # stands in for a response that the formula leaves out


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
    REML : bool
        How refits are made where a test does not say.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    >>> study = fit.extend(along="Subject", n=30).with_params(beta={"Days": 2})
    >>> study
    Scenario: Reaction ~ Days + (1 | Subject)
    300 observations, groups: Subject, 30
    (Intercept) = 251.4, Days = 2
    >>> study.simulate(2, seed=1).shape
    (300, 2)
    >>> study.extend(within="Subject", n=5).design.n
    150
    >>> study.power("Days", nsim=20, seed=1, progress=False).trials
    20
    >>> curve = study.power_curve("Days", along="Subject", breaks=[5, 10], nsim=20, seed=1,
    ...                           progress=False)
    """

    model: Model
    design: Design
    beta: FloatArray
    theta: FloatArray
    sigma: float
    REML: bool = True

    def __repr__(self) -> str:
        d = self.design
        groups = "; ".join(f"{f.name}, {len(f.levels)}" for f in d.factors)
        beta = ", ".join(f"{n} = {b:.4g}" for n, b in zip(d.x_names, self.beta, strict=True))
        return (
            f"Scenario: {self.model.formula.display}\n{d.n} observations, groups: {groups}\n{beta}"
        )

    @property
    def law(self) -> ResponseLaw:
        """Distribution of the response."""
        T = relative_factors(self.theta, term_shapes(self.design))
        return law_of(self.design, beta=self.beta, T=T, sigma=self.sigma)

    def simulate(self, nsim: int = 1, seed: int | None = None) -> pd.DataFrame:
        """Draw responses; see `LmerFit.simulate`."""
        return draw_frame(self.law, self.design.index, nsim=nsim, seed=seed)

    def with_params(
        self,
        *,
        beta: Mapping[str, float] | Sequence[float] | None = None,
        theta: Sequence[float] | None = None,
        sigma: float | None = None,
    ) -> Scenario:
        """Change parameters; a mapping changes the fixed effects that it names.

        Raises
        ------
        OptionError
            For unknown names, wrong numbers of parameters, or a sigma that is not positive.
        """
        return replace(
            self,
            beta=self.beta if beta is None else _fixed(self.design, beta, self.beta),
            theta=self.theta if theta is None else _theta(self.design, theta),
            sigma=self.sigma if sigma is None else _sigma(sigma),
        )

    def extend(self, *, along: str | None = None, within: str | None = None, n: int) -> Scenario:
        """Change the number of groups or of rows per group; see `LmerFit.extend`."""
        model, design = extended(self.model, self.design, along=along, within=within, n=n)
        return replace(self, model=model, design=design)

    def power(self, effect: str, **options: Any) -> Power:
        """Power of a test of one effect; see `nestedmlm.power`."""
        from nestedmlm.fits.simulation.power import power

        return power(self, effect, **options)

    def power_curve(self, effect: str, **options: Any) -> PowerCurve:
        """Power for several sizes of the data; see `nestedmlm.power_curve`."""
        from nestedmlm.fits.simulation.power import power_curve

        return power_curve(self, effect, **options)


def scenario_of(source: LmerFit | Scenario) -> Scenario:
    """Take a fit's estimates as the truth.

    Raises
    ------
    OptionError
        If it is neither a fit nor a scenario.
    """
    if isinstance(source, Scenario):
        return source
    if not isinstance(source, LmerFit):
        raise OptionError(f"a fit of lmer or a Scenario is needed, not {type(source).__name__}")
    s = source.solution
    return Scenario(
        model=source.model, design=source.design, beta=s.beta, theta=s.theta, sigma=s.sigma,
        REML=source.REML,
    )  # fmt: skip


def scenario(
    formula: str,
    data: Any,
    *,
    beta: Mapping[str, float] | Sequence[float],
    theta: Sequence[float],
    sigma: float,
    REML: bool = True,
    **options: Any,
) -> Scenario:
    """Make a scenario from nothing but a formula, predictors and parameters.

    Parameters
    ----------
    formula : str
        With or without a response; the data need not have it.
    data : table
        Predictors and grouping factors.
    beta : mapping of str to float, or sequence
        Fixed effects; those that a mapping leaves out are zero.
    theta : sequence
        lme4's covariance parameters, relative to sigma: for one column per term the ratio of
        standard deviations. In the order of ``lmer(formula, data).theta_names``.
    sigma : float
        Residual standard deviation.
    REML : bool
        How refits are made where a test does not say.
    **options
        Of `Model`: ``weights, offset, contrasts, double_bar``.

    Returns
    -------
    Scenario

    Raises
    ------
    OptionError, FormulaError, DataError

    Examples
    --------
    >>> import nestedmlm as nm
    >>> import pandas as pd
    >>> plan = pd.DataFrame({"x": list(range(10)) * 8, "g": [i // 10 for i in range(80)]})
    >>> study = nm.scenario("y ~ x + (1 | g)", plan, beta={"x": 0.1}, theta=[1], sigma=1)
    >>> study.simulate(2, seed=1).shape
    (80, 2)
    """
    env = options.pop("env", None)
    text = formula if not formula.strip().startswith("~") else f"`{_RESPONSE}` {formula}"
    parsed = parse_formula(text, double_bar=options.get("double_bar", "split"))
    env = caller_names(parsed.names, depth=2) if env is None else env
    table = as_pandas(data)
    response = strip_groups(parsed.response)
    if not isinstance(response, Name):
        raise OptionError(
            f"the response {parsed.response_text} is an expression; simulate the expression "
            "itself: put a plain name in its place"
        )
    if response.name not in table.columns:
        stand_in = np.random.default_rng(0).standard_normal(len(table))
        table = table.assign(**{response.name: stand_in})
    model = Model(text, table, env=env, **options)
    design = model.design
    return Scenario(
        model=model,
        design=design,
        beta=_fixed(design, beta, np.zeros(design.p)),
        theta=_theta(design, theta),
        sigma=_sigma(sigma),
        REML=REML,
    )


def simulate(
    formula: str,
    data: Any,
    *,
    params: Mapping[str, Any],
    nsim: int = 1,
    seed: Seed = None,
    **options: Any,
) -> pd.DataFrame:
    """Draw responses without a fit: lme4's ``simulate`` of a formula.

    Parameters
    ----------
    formula, data, **options
        See `scenario`.
    params : mapping
        ``beta``, ``theta`` and ``sigma``, as in `scenario`.
    nsim : int
    seed : int, optional

    Returns
    -------
    DataFrame, (n, nsim)

    Raises
    ------
    OptionError
        If a parameter is missing or unknown.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> params = {"beta": [1500], "theta": [0.8], "sigma": 50}
    >>> nm.simulate("~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"), params=params).shape
    (30, 1)
    """
    if set(params) != {"beta", "theta", "sigma"}:
        given = ", ".join(map(str, params)) or "nothing"
        raise OptionError(f"params must have beta, theta and sigma, not {given}")
    parsed = parse_formula(formula if "~" in formula.strip()[1:] else f"`{_RESPONSE}` {formula}")
    env = caller_names(parsed.names, depth=2)
    made = scenario(formula, data, env=env, **dict(params), **options)
    return draw_frame(made.law, made.design.index, nsim=nsim, seed=seed)


def _fixed(design: Design, beta: Any, default: FloatArray) -> FloatArray:
    names = list(design.x_names)
    if isinstance(beta, Mapping):
        unknown = [str(name) for name in beta if name not in names]
        if unknown:
            raise OptionError(
                f"beta names {', '.join(unknown)}, and the fixed effects are {', '.join(names)}"
            )
        out = np.array(default, dtype=float)
        out[[names.index(name) for name in beta]] = list(beta.values())
        return out
    out = np.array(beta, dtype=float)
    if out.shape != (design.p,):
        raise OptionError(f"beta must hold {design.p} numbers: {', '.join(names)}")
    return out


def _theta(design: Design, theta: Any) -> FloatArray:
    out = np.array(theta, dtype=float)
    count = sum(shape.count for shape in term_shapes(design))
    if out.shape != (count,) or not np.all(np.isfinite(out)):
        terms = ", ".join(f"({t.text})" for t in design.terms)
        raise OptionError(f"theta must hold {count} finite numbers, for {terms} in this order")
    return out


def _sigma(sigma: Any) -> float:
    if isinstance(sigma, bool) or not isinstance(sigma, int | float | np.number) or not sigma > 0:
        raise OptionError(f"sigma must be a positive number, not {sigma!r}")
    return float(sigma)
