"""Scenarios and responses from a formula and parameters, without a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.arguments import checked
from nestedmlm.errors import OptionError
from nestedmlm.fits.model import Model
from nestedmlm.fits.simulation.extend import as_pandas
from nestedmlm.fits.simulation.scenario import Scenario
from nestedmlm.fits.simulation.supposed_parameters import fixed_effects, supposed
from nestedmlm.formula import parse_formula
from nestedmlm.formula.nodes import Name, strip_groups
from nestedmlm.inference.resampling.response_distribution import Seed, draw_frame

_RESPONSE = ".y"  # stands in for a response that the formula leaves out
# seed of a response that is not there yet: a plan's predictor may well be default_rng(0)'s normals
_SEED = 0x6E65_7374_6564


@checked
def scenario(
    formula: str,
    data: Any,
    *,
    beta: Mapping[str, float] | Sequence[float],
    theta: Sequence[float] | None = None,
    sigma: float | None = None,
    sd: Mapping[str, Any] | None = None,
    correlation: Mapping[str, Any] | None = None,
    icc: Mapping[str, float] | float | None = None,
    REML: bool = True,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    na_action: str = "omit",
    double_bar: str = "split",
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
    theta : sequence, optional
        lme4's covariance parameters, relative to sigma: for one column per term the ratio of
        standard deviations. In the order of ``lmer(formula, data).theta_names``.
    sigma : float, optional
        Residual standard deviation; with ``icc`` by default what makes the total 1.
    sd : mapping, optional
        Standard deviations by grouping factor, in the place of theta; where a factor has several
        columns, by column: ``{"Subject": {"(Intercept)": 25, "Days": 6}, "Residual": 26}``.
    correlation : mapping, optional
        By grouping factor, with ``sd``: a number for two columns, a matrix for more; else 0.
    icc : mapping of str to float, or float, optional
        Shares of the total variance by grouping factor (a number where there is one), in the place
        of theta, for random intercepts. Without ``sigma`` the total is 1: `beta` are in total
        standard deviations.
    REML : bool
        How refits are made where a test does not say.
    weights, offset : str or array, optional
        Prior weights, and what is added to the linear predictor: the name of a column, or one
        number for each row of the data.
    contrasts : mapping, optional
        Coding of factors in the fixed part: ``{"cond": "sum"}``, or a matrix; by default
        treatment contrasts.
    na_action : {"omit", "exclude", "raise"}
        Rows with missing values are left out, left out but kept (as NaN) in residuals and
        predictions, or refused.
    double_bar : {"split", "diag"}
        ``(f || g)`` as lme4 reads it, or one block with a diagonal covariance (as afex).

    Returns
    -------
    Scenario

    Raises
    ------
    OptionError
        For coefficients, theta or standard deviations that do not go with the formula, or both
        theta and sd.
    FormulaError
        For a formula that cannot be read, with its place.
    DataError
        For data that the formula cannot be evaluated on.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> import pandas as pd
    >>> plan = pd.DataFrame({"x": list(range(10)) * 8, "g": [i // 10 for i in range(80)]})
    >>> study = nm.scenario("y ~ x + (1 | g)", plan, beta={"x": 0.1}, theta=[1], sigma=1)
    >>> study.simulate(2, seed=1).shape
    (80, 2)
    >>> print(round(nm.scenario("y ~ x + (1 | g)", plan, beta={"x": 0.1}, icc=0.2).sigma, 3))
    0.894
    """
    text, table = with_response(formula, data, double_bar)
    model = Model(
        text,
        table,
        weights=weights,
        offset=offset,
        contrasts=contrasts,
        na_action=na_action,
        double_bar=double_bar,
    )
    design = model.design
    found = supposed(design, theta=theta, sigma=sigma, sd=sd, correlation=correlation, icc=icc)
    return Scenario(
        model=model,
        design=design,
        beta=fixed_effects(design, beta, np.zeros(design.p)),
        theta=found.theta,
        sigma=found.sigma,
        REML=REML,
    )


def with_response(formula: str, data: Any, double_bar: str) -> tuple[str, pd.DataFrame]:
    """The formula and its table with a response, made up where the table has none.

    Raises
    ------
    OptionError
        If the response is an expression.
    """
    text = formula if not formula.strip().startswith("~") else f"`{_RESPONSE}` {formula}"
    parsed = parse_formula(text, double_bar=double_bar)
    table = as_pandas(data)
    response = strip_groups(parsed.response)
    if not isinstance(response, Name):
        raise OptionError(
            f"the response {parsed.response_text} is an expression; simulate the expression "
            "itself: put a plain name in its place"
        )
    if response.name not in table.columns:
        stand_in = np.random.default_rng(_SEED).standard_normal(len(table))
        table = table.assign(**{response.name: stand_in})
    return text, table


@checked
def simulate(
    formula: str,
    data: Any,
    *,
    params: Mapping[str, Any],
    nsim: int = 1,
    seed: Seed = None,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    na_action: str = "omit",
    double_bar: str = "split",
) -> pd.DataFrame:
    """Draw responses without a fit: lme4's ``simulate`` of a formula.

    Parameters
    ----------
    formula : str
        With or without a response; the data need not have it.
    data : table
        Predictors and grouping factors.
    params : mapping
        ``beta`` (a mapping of names to values), ``theta`` (relative to sigma, in lme4's order) and
        ``sigma`` (the residual standard deviation).
    nsim : int
        Responses.
    seed : int, optional
        The same seed, the same responses.
    weights, offset : str or array, optional
        Prior weights, and what is added to the linear predictor: the name of a column, or one
        number for each row of the data.
    contrasts : mapping, optional
        Coding of factors in the fixed part: ``{"cond": "sum"}``, or a matrix; by default
        treatment contrasts.
    na_action : {"omit", "exclude", "raise"}
        Rows with missing values are left out, left out but kept (as NaN) in residuals and
        predictions, or refused.
    double_bar : {"split", "diag"}
        ``(f || g)`` as lme4 reads it, or one block with a diagonal covariance (as afex).

    Returns
    -------
    DataFrame, (n, nsim)
        A response in each column, ``sim_1, sim_2, …``, on the data's index.

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
    made = scenario(
        formula,
        data,
        beta=params["beta"],
        theta=params["theta"],
        sigma=params["sigma"],
        weights=weights,
        offset=offset,
        contrasts=contrasts,
        na_action=na_action,
        double_bar=double_bar,
    )
    return draw_frame(made.distribution, made.design.index, nsim=nsim, seed=seed)
