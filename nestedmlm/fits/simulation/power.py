"""Power by simulation: results and runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pandas as pd

from nestedmlm.arguments import check_level, checked
from nestedmlm.errors import OptionError
from nestedmlm.fits.simulation.planned_power import group_counts
from nestedmlm.fits.simulation.powertests import prepare_test
from nestedmlm.fits.simulation.refitted_tests import prepare_refitted_test
from nestedmlm.fits.simulation.replicates import (
    check_workers,
    run_replicates,
    together,
)
from nestedmlm.fits.simulation.tested_effect import find_effect
from nestedmlm.inference.resampling.response_distribution import Seed, seed_sequence, streams
from nestedmlm.late import late_imports
from nestedmlm.likelihood.elimination.speed import refit_seconds
from nestedmlm.optimum.batch import batch_seconds
from nestedmlm.plots import power_curve as draw_power_curve
from nestedmlm.statistics.cells.condensed import condensed
from nestedmlm.statistics.crossproducts import cross_products
from nestedmlm.views.render.blocks import Block, Table, Text
from nestedmlm.views.render.view import View, Viewable, blank, note

if TYPE_CHECKING:
    from nestedmlm.fits.simulation.generalized_powertests import prepare_generalized_test
    from nestedmlm.fits.simulation.scenario import Scenario
else:  # only generalized models ask for it
    globals().update(
        late_imports(
            "nestedmlm.fits.simulation", {"generalized_powertests": "prepare_generalized_test"}
        )
    )

_VISITS_SHARE = 3  # times the eliminations of a linear model's fit that a generalized one takes
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


@checked
def power(
    scenario: Scenario,
    effect: str,
    nsim: int = 1000,
    *,
    alpha: float = 0.05,
    test: str | None = None,
    effect_size: float | None = None,
    seed: Seed = None,
    workers: int = 1,
    progress: bool = True,
) -> Power:
    """Power of a test of one effect in a scenario.

    Parameters
    ----------
    scenario : Scenario
    effect : str
        A fixed effect or term (``"ses"``), or a random-effects term: ``"(1 | classid)"``.
    nsim : int
        Replicates.
    alpha : float
        Significance level of the test.
    test : str, optional
        For fixed effects ``satterthwaite`` (the default), ``kenward-roger``, or ``lrt`` (by
        maximum likelihood) and ``z``, which find too much in few groups; for random effects
        ``boundary`` (the default), ``lrt`` (naive) or ``rlrt``. Of a generalized model ``z`` (the
        default) and ``lrt``, for random effects ``lrt``.
    effect_size : float, optional
        Coefficient to suppose in the place of the estimate, for a single fixed effect.
    seed : int, optional
        The same seed, the same replicates.
    workers : int
        Processes.
    progress : bool
        False: no progress bar.

    Returns
    -------
    Power

    Raises
    ------
    OptionError
        For an effect that is not in the model, an unknown test, or fewer than one replicate.
    """
    check_level(alpha, "alpha")
    check_workers(workers)
    tested = find_effect(scenario.design, effect)
    if effect_size is not None:
        scenario = scenario.with_params(beta={tested.coefficient(): effect_size})
    root = seed_sequence(seed)
    ways = streams(root, nsim)
    if scenario.residual is not None:
        task = prepare_refitted_test(scenario, tested, test)
        outcome = run_replicates(task, ways, label="power", progress=progress, workers=workers)
    elif scenario.family is None:
        scenario = replace(scenario, design=condensed(scenario.design))
        tested = replace(tested, design=scenario.design)
        task = prepare_test(scenario, tested, test, workers=workers)
        stats = cross_products(scenario.design)
        ahead = batch_seconds(scenario.design, stats, nsim)
        outcome = run_replicates(
            task, ways, label="power", progress=progress, ahead=ahead,
            chunk=together(scenario.design, stats, workers),
        )  # fmt: skip
    else:
        task, stats = prepare_generalized_test(scenario, tested, test)
        outcome = run_replicates(
            task, ways, label="power", progress=progress, workers=workers,
            ahead=refit_seconds(stats, _VISITS_SHARE * nsim),
        )  # fmt: skip
    numbers = pd.RangeIndex(1, len(outcome.notes) + 1, name="replicate")
    notes = pd.Series(outcome.notes, index=numbers, dtype=object)
    return Power(
        effect=tested.name,
        test=task.title,
        pvalues=pd.Series(outcome.values[:, 0], index=numbers, name="pvalue"),
        alpha=alpha,
        nsim=nsim,
        nobs=scenario.design.n,
        groups=group_counts(scenario.design),
        effect_size=tested.size(scenario.beta),
        failures=notes[outcome.failed].rename("failure"),
        seed=int(root.entropy),  # type: ignore[arg-type]  # an int: `seed_sequence` saw to it
        partial=len(numbers) < nsim,
    )


@checked
def power_curve(
    scenario: Scenario,
    effect: str,
    *,
    along: str | None = None,
    within: str | None = None,
    breaks: Sequence[int],
    nsim: int = 1000,
    seed: Seed = None,
    alpha: float = 0.05,
    test: str | None = None,
    effect_size: float | None = None,
    workers: int = 1,
    progress: bool = True,
) -> PowerCurve:
    """Power of a test of one effect for several sizes of a scenario's data.

    Parameters
    ----------
    scenario : Scenario
    effect : str
        A fixed effect or term (``"ses"``), or a random-effects term: ``"(1 | classid)"``.
    nsim : int
        Replicates.
    alpha : float
        Significance level of the test.
    test : str, optional
        For fixed effects ``satterthwaite`` (the default), ``kenward-roger``, or ``lrt`` (by
        maximum likelihood) and ``z``, which find too much in few groups; for random effects
        ``boundary`` (the default), ``lrt`` (naive) or ``rlrt``. Of a generalized model ``z`` (the
        default) or ``lrt``.
    effect_size : float, optional
        Coefficient to suppose in the place of the estimate, for a single fixed effect.
    seed : int, optional
        The same seed, the same replicates.
    workers : int
        Processes.
    progress : bool
        False: no progress bar.
    along, within : str, optional
        Grouping factor whose number of levels changes, or within whose levels the number of rows
        does; give one.
    breaks : sequence of int
        The numbers of levels (`along`) or rows (`within`).

    Returns
    -------
    PowerCurve

    Raises
    ------
    OptionError
        For an effect that is not in the model, an unknown test, or steps that cannot be taken
        along that column.
    """
    sizes = [int(b) for b in breaks]
    if not sizes:
        raise OptionError("breaks must name at least one size")
    results: dict[int, Power] = {}
    for size, way in zip(sizes, seed_sequence(seed).spawn(len(sizes)), strict=True):
        one = power(
            scenario.extend(along=along, within=within, n=size), effect, nsim, alpha=alpha,
            test=test, effect_size=effect_size, seed=int(way.generate_state(1)[0]),
            workers=workers, progress=progress,
        )  # fmt: skip
        results[size] = one
        if one.partial:
            break
    return PowerCurve(along=str(along or f"rows per {within}"), results=results)


def _percent(share: float) -> str:
    return f"{100.0 * share:.2f}"
