"""`Power` and `PowerCurve`: what simulations found of a test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pandas as pd

from nestedmlm.arguments import check_level, checked
from nestedmlm.errors import OptionError
from nestedmlm.plots import power_curve as draw_power_curve
from nestedmlm.views.render.blocks import Block, Table, Text
from nestedmlm.views.render.view import View, Viewable, blank, note

INTERVALS = MappingProxyType({"clopper-pearson": "exact", "wilson": "wilson"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Power(Viewable):
    """Power of a test: how often an effect was found.

    Attributes
    ----------
    effect, test : str
    pvalues : Series
        By number of the replicate; NaN where a refit failed, which counts as not found.
    alpha : float
    nsim : int
        Replicates asked for.
    nobs : int
        Rows of the simulated data.
    groups : Series
        Levels of each grouping factor.
    effect_size : float or None
        The true coefficient, where there is one.
    failures : Series of str
    seed : int
    partial : bool
        Whether the run was interrupted.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    >>> result = nm.power(fit, "Days", 20, effect_size=1.5, seed=1, progress=False)
    >>> low, high = result.conf_int(0.9)
    >>> low < result.estimate < high
    True
    >>> result.to_frame().columns.tolist()
    ['successes', 'trials', 'power', 'conf_low', 'conf_high']
    """

    effect: str
    test: str
    pvalues: pd.Series
    alpha: float
    nsim: int
    nobs: int
    groups: pd.Series
    effect_size: float | None
    failures: pd.Series
    seed: int
    partial: bool

    @property
    def successes(self) -> int:
        """Replicates with a p-value below alpha."""
        return int((self.pvalues < self.alpha).sum())

    @property
    def trials(self) -> int:
        """Replicates done."""
        return len(self.pvalues)

    @property
    def estimate(self) -> float:
        """Share of successes."""
        return self.successes / self.trials

    @checked
    def conf_int(
        self, level: float = 0.95, *, method: str = "clopper-pearson"
    ) -> tuple[float, float]:
        """Interval for the power, from the binomial distribution of the successes.

        Parameters
        ----------
        level : float
        method : {"clopper-pearson", "wilson"}

        Raises
        ------
        OptionError
            For an unknown method, or a level that is not between 0 and 1.
        """
        from scipy.stats import binomtest

        if method not in INTERVALS:
            raise OptionError(f"method must be one of {', '.join(INTERVALS)}, not {method!r}")
        check_level(level)
        found = binomtest(self.successes, self.trials).proportion_ci(level, INTERVALS[method])
        return float(found.low), float(found.high)

    def to_frame(self) -> pd.DataFrame:
        """One row: ``successes, trials, power, conf_low, conf_high``."""
        low, high = self.conf_int()
        columns = {
            "successes": self.successes, "trials": self.trials, "power": self.estimate,
            "conf_low": low, "conf_high": high,
        }  # fmt: skip
        return pd.DataFrame(columns, index=pd.Index([self.effect], name="term"))

    def view(self) -> View:
        """Build the document."""
        low, high = self.conf_int()
        groups = "; ".join(f"{name}, {count}" for name, count in self.groups.items())
        said = [f"Test: {self.test}"]
        if self.effect_size is not None:
            said.append(f"Effect size: {self.effect_size:.4g}")
        said.append(f"{self.trials} simulations, {len(self.failures)} failures")
        said.append(f"alpha = {self.alpha:g}, rows: {self.nobs}{groups and ', groups: '}{groups}")
        if self.partial:
            said.append(f"interrupted: {self.nsim} simulations were asked for")
        blocks: list[Block] = [
            Text((f"Power for {self.effect} (95% confidence interval):",), role="title"),
            Text((f"    {_percent(self.estimate)}% ({_percent(low)}, {_percent(high)})",)),
            blank(),
            note(*said),
        ]
        return View(tuple(blocks))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class PowerCurve(Viewable):
    """Power for several sizes of the data; prints a table.

    Attributes
    ----------
    along : str
        What was changed.
    results : mapping of int to Power
        By size.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    >>> curve = nm.power_curve(fit, "Days", along="Subject", breaks=[5, 10], nsim=20,
    ...                        effect_size=1.5, seed=1, progress=False)
    >>> curve.to_frame().columns.tolist()
    ['nobs', 'successes', 'trials', 'power', 'conf_low', 'conf_high']
    """

    along: str
    results: Mapping[int, Power]

    def to_frame(self) -> pd.DataFrame:
        """One row per size: ``nobs, successes, trials, power, conf_low, conf_high``."""
        rows = [r.to_frame().assign(nobs=r.nobs) for r in self.results.values()]
        frame = pd.concat(rows).set_axis(pd.Index(list(self.results), name=self.along))
        return frame[["nobs", "successes", "trials", "power", "conf_low", "conf_high"]]

    @checked
    def plot(self, *, ax: Any = None, figsize: tuple[float, float] | None = None) -> Any:
        """Draw power by size: `nestedmlm.plots.power_curve`.

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
        return draw_power_curve(self, ax=ax, figsize=figsize)

    def view(self) -> View:
        """Build the document."""
        frame = self.to_frame()
        any_result = next(iter(self.results.values()))
        cells = tuple(
            (str(row.nobs), *(f"{_percent(p)}%" for p in (row.power, row.conf_low, row.conf_high)))
            for row in frame.itertuples()
        )
        table = Table(
            name="power",
            frame=frame,
            cells=cells,
            rows=tuple(str(size) for size in frame.index),
            columns=("rows", "power", "2.5 %", "97.5 %"),
        )
        title = f"Power for {any_result.effect} by number of {self.along}"
        said = f"Test: {any_result.test}, alpha = {any_result.alpha:g}"
        return View((Text((title,), role="title"), table, blank(), note(said)))


def _percent(share: float) -> str:
    return f"{100.0 * share:.2f}"
