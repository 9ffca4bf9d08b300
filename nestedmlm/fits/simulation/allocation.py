"""Allocation of a budget over the levels of a nested design: the power of each affordable one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.arguments import check_count, check_level, check_number, checked
from nestedmlm.errors import GroupingError, OptionError
from nestedmlm.fits.simulation.balanced_designs import balanced_plan, planned_together
from nestedmlm.fits.simulation.from_formula import scenario
from nestedmlm.fits.simulation.planned_power import known_test
from nestedmlm.fits.simulation.scenario import Scenario
from nestedmlm.plots import allocation as draw_allocation
from nestedmlm.views.render.blocks import Table, Text
from nestedmlm.views.render.view import View, Viewable, blank, note

# counts in a unit of the level above that are tried unless `sizes` says others
_ROWS = (2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 20, 25, 30)
_BETWEEN = tuple(range(2, 13))
_FEWEST = 3  # units of the outermost level: fewer say nothing about their variance
_SHOWN = 5  # designs in print


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Allocation(Viewable):
    """Affordable nested designs with the power of each; prints the best.

    Attributes
    ----------
    effect : str
    table : DataFrame
        A row per design, best first: a column per level (units in each unit of the level above),
        ``cost, nobs, power, df``.
    units : tuple of str
        Levels, outermost first.
    budget : float
    alpha : float
    left_out : int
        Designs without degrees of freedom for the effect.
    best : Scenario
        To simulate from.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> found = nm.allocation(
    ...     "y ~ arm + (1 | school)", "arm", budget=6000, costs={"school": 100, "pupil": 5},
    ...     varies={"arm": "school"}, beta={"arm": 0.4}, icc={"school": 0.1},
    ...     sizes={"pupil": [5, 10, 20, 40]},
    ... )
    >>> found.to_frame()[["school", "pupil", "cost", "nobs"]].iloc[0].tolist()
    [40.0, 10.0, 6000.0, 400.0]
    >>> found.best.design.n
    400
    >>> found.plot().get_xlabel()
    'pupil per school'
    """

    effect: str
    table: pd.DataFrame
    units: tuple[str, ...]
    budget: float
    alpha: float
    left_out: int
    best: Scenario

    def to_frame(self) -> pd.DataFrame:
        """Return the table: a row per design, best first."""
        return self.table.copy()

    def plot(self, *, ax: Any = None, figsize: tuple[float, float] | None = None) -> Any:
        """Draw power by design: `nestedmlm.plots.allocation`.

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
        return draw_allocation(self, ax=ax, figsize=figsize)

    def view(self) -> View:
        """Build the document."""
        shown = pd.concat([self.table.head(_SHOWN), self.table.tail(1)])
        shown = shown[~shown.index.duplicated()]
        cells = tuple(
            (
                *(str(int(row[unit])) for unit in self.units),
                str(int(row["nobs"])),
                f"{row['cost']:,.0f}",
                f"{row['df']:.1f}",
                f"{100.0 * row['power']:.1f}%",
            )
            for _, row in shown.iterrows()
        )
        names = tuple("best" if i == 0 else str(i + 1) for i in shown.index)
        table = Table(
            name="allocation", frame=shown, cells=cells, rows=names,
            columns=(*self.units, "rows", "cost", "df", "power"),
        )  # fmt: skip
        said = [f"{len(self.table)} designs, the last one is the worst; alpha = {self.alpha:g}"]
        if self.left_out:
            said.append(f"{self.left_out} more have no degrees of freedom for the effect")
        title = f"Power for {self.effect} within a budget of {self.budget:,.0f}"
        return View((Text((title,), role="title"), table, blank(), note(*said)))


@checked
def allocation(
    formula: str,
    effect: str,
    *,
    budget: float,
    costs: Mapping[str, float],
    varies: Mapping[str, Any],
    beta: Mapping[str, float],
    sd: Mapping[str, Any] | None = None,
    correlation: Mapping[str, Any] | None = None,
    icc: Mapping[str, float] | float | None = None,
    sigma: float | None = None,
    sizes: Mapping[str, Sequence[int]] | None = None,
    alpha: float = 0.05,
    test: str = "satterthwaite",
) -> Allocation:
    """Allocate a budget over the levels of a balanced nested design.

    Parameters
    ----------
    formula : str
        Its grouping factors are among the levels of `costs`: ``"y ~ arm + (1 | school/class)"``.
    effect : str
        The fixed effect or term that is tested.
    budget : float
    costs : mapping of str to float
        Levels, outermost first, and what one unit costs; the last level is the row.
        ``{"school": 500, "class": 60, "pupil": 5}``.
    varies : mapping
        Where each predictor varies: a level, whose units get 0 and 1 in turn, or a level and
        values, which the units get in turn within each unit of the level above:
        ``{"arm": "class", "day": ("visit", [0, 1, 2])}``.
    beta : mapping of str to float
        Fixed effects that are supposed; others are zero.
    sd : mapping, optional
        Standard deviations by grouping factor, ``{"school": 4, "Residual": 10}``; of several
        columns by column.
    correlation : mapping, optional
        By grouping factor, with `sd`: ``{"school": -0.3}`` of intercept and slope; else 0.
    icc : mapping of str to float, or float, optional
        In the place of `sd`: shares of the total variance, ``{"school": 0.15}``; a number where
        there is one grouping factor.
    sigma : float, optional
        Residual standard deviation, where `sd` does not have it; with `icc` by default what makes
        the total 1.
    sizes : mapping of str to sequence of int, optional
        Counts to try, in each unit of the level above; of the outermost level the greatest that
        is affordable is taken.
    alpha : float
        Significance level.
    test : {"satterthwaite", "kenward-roger", "z"}

    Returns
    -------
    Allocation
        A view, with the best design as a `Scenario` to simulate from.

    Raises
    ------
    OptionError
        If no design is affordable, or levels and predictors do not fit together.

    Notes
    -----
    Power by `planned_power`. For two levels and a treatment between groups the best number of rows
    per group is near ``sqrt(cost of a group / cost of a row * (1 - ICC) / ICC)`` (Raudenbush
    1997, Psychological Methods 2, 173-185).

    Examples
    --------
    >>> import nestedmlm as nm
    >>> nm.allocation("y ~ arm + (1 | school)", "arm", budget=6000,
    ...               costs={"school": 100, "pupil": 5}, varies={"arm": "school"},
    ...               beta={"arm": 0.4}, icc={"school": 0.1}, sizes={"pupil": [5, 10, 20]})
    Power for arm within a budget of 6,000
         school pupil rows  cost   df power
    best     40    10  400 6,000 38.0 80.7%
    2        30    20  600 6,000 28.0 79.3%
    3        48     5  240 6,000 46.0 72.7%
    <BLANKLINE>
    3 designs, the last one is the worst; alpha = 0.05
    """
    check_level(alpha, "alpha")
    units = _units(costs, varies, sizes)
    prices = [check_number(costs[unit], f"cost of {unit}") for unit in units]
    total = check_number(budget, "budget", positive=True)
    designs = _affordable(units, prices, total, sizes or {})
    covariances: dict[str, Any] = {"sd": sd, "correlation": correlation, "icc": icc, "sigma": sigma}

    def study(counts: tuple[int, ...]) -> Scenario:
        plan = balanced_plan(dict(zip(units, counts, strict=True)), varies)
        return scenario(formula, plan, beta=beta, **covariances)

    known = planned_together(
        formula, effect, units, varies, designs, beta=beta, covariances=covariances,
        test=known_test(test),
    )  # fmt: skip
    rows: list[dict[str, float]] = []
    unfit: GroupingError | None = None
    for counts in designs:
        power, df = float("nan"), float("nan")
        try:
            power, df = _planned(study, counts, known, effect, alpha=alpha, test=test)
        except GroupingError as error:  # as many random effects as rows, say
            unfit = error
        if np.isfinite(power):
            sizes_of = dict(zip(units, counts, strict=True))
            cost, n = _cost(counts, prices), int(np.prod(counts))
            rows.append({**sizes_of, "cost": cost, "nobs": n, "power": power, "df": df})
    if not rows:
        raise OptionError(
            "no design within this budget has degrees of freedom for the effect"
        ) from unfit
    table = pd.DataFrame(rows).sort_values("power", ascending=False, kind="stable")
    best = study(tuple(int(n) for n in table.iloc[0][list(units)]))
    return Allocation(
        effect=effect, table=table.reset_index(drop=True), units=units, budget=total, alpha=alpha,
        left_out=len(designs) - len(rows), best=best,
    )  # fmt: skip


def _planned(
    study: Callable[[tuple[int, ...]], Scenario],
    counts: tuple[int, ...],
    known: Mapping[tuple[int, ...], Any],
    effect: str,
    *,
    alpha: float,
    test: str,
) -> tuple[float, float]:
    """Power and degrees of freedom of one design."""
    if counts in known:
        planned, size = known[counts]
        return planned.power(size, alpha), planned.den_df
    found = study(counts).planned_power(effect, alpha=alpha, test=test)
    return found.estimate, found.df


def _units(
    costs: Mapping[str, float], varies: Mapping[str, Any], sizes: Mapping[str, Sequence[int]] | None
) -> tuple[str, ...]:
    units = tuple(costs)
    if len(units) < 2:
        raise OptionError("costs= needs two levels or more, outermost first; the last is the row")
    named = [given if isinstance(given, str) else given[0] for given in varies.values()]
    unknown = [name for name in (*named, *(sizes or {})) if name not in units]
    if unknown:
        raise OptionError(f"{unknown[0]!r} is no level of costs=; there are {', '.join(units)}")
    return units


def _affordable(
    units: tuple[str, ...],
    prices: list[float],
    budget: float,
    sizes: Mapping[str, Sequence[int]],
) -> list[tuple[int, ...]]:
    """Counts of every level: for each choice of the inner ones the most of the outermost."""
    tried = [
        [check_count(n, f"sizes of {unit}") for n in sizes.get(unit, default)]
        for unit, default in zip(units[1:], _defaults(len(units)), strict=True)
    ]
    found = []
    for inner in product(*tried):
        most = int(budget // _cost((1, *inner), prices))
        allowed = [n for n in sizes.get(units[0], (most,)) if _FEWEST <= n <= most]
        if allowed:
            found.append((max(allowed), *inner))
    if not found:
        raise OptionError(
            f"the budget of {budget:g} does not pay for {_FEWEST} of {units[0]} in any design"
        )
    return found


def _defaults(levels: int) -> list[tuple[int, ...]]:
    return [_BETWEEN] * (levels - 2) + [_ROWS]


def _cost(counts: Sequence[int], prices: Sequence[float]) -> float:
    """``n_1 (c_1 + n_2 (c_2 + ...))``."""
    total = 0.0
    for count, price in zip(reversed(counts), reversed(prices), strict=True):
        total = count * (price + total)
    return total
