"""Power of tests by simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from nestedmlm.arguments import check_level, checked
from nestedmlm.errors import OptionError
from nestedmlm.fits.simulation.power import Power, PowerCurve
from nestedmlm.fits.simulation.powertests import prepare_test
from nestedmlm.fits.simulation.refitted_tests import prepare_refitted_test
from nestedmlm.fits.simulation.replicates import check_workers, run_replicates, together
from nestedmlm.fits.simulation.scenario import Scenario, group_counts, scenario_of
from nestedmlm.fits.simulation.tested_effect import TestedEffect, find_effect
from nestedmlm.inference.resampling.response_distribution import Seed, seed_sequence, streams
from nestedmlm.late import late_imports
from nestedmlm.likelihood.elimination.speed import refit_seconds
from nestedmlm.optimum.batch import batch_seconds
from nestedmlm.statistics.cells.condensed import condensed
from nestedmlm.statistics.crossproducts import cross_products

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.fits.simulation.generalized_powertests import prepare_generalized_test
else:  # only generalized models ask for it
    globals().update(
        late_imports(
            "nestedmlm.fits.simulation", {"generalized_powertests": "prepare_generalized_test"}
        )
    )

_VISITS_SHARE = 3  # times the eliminations of a linear model's fit that a generalized one takes


def power(
    source: LmerFit | Scenario,
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
    """Power of a test, by simulating from a fit and testing each replicate.

    Parameters
    ----------
    source : LmerFit, GlmerFit or Scenario
        Its estimates are taken as true: a pilot study's overestimate power. `Scenario` (from
        ``fit.extend`` or `scenario`) says what else to suppose.
    effect : str
        A fixed effect or term (``"ses"``), or a random-effects term: ``"(1 | classid)"``.
    nsim : int
        Replicates.
    alpha : float
        Significance level.
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
        A view. Ctrl-C returns what is done so far, with ``.partial`` set.

    Raises
    ------
    OptionError
        For an effect that is not in the model, an unknown test, or fewer than one replicate.

    Notes
    -----
    R: ``simr::powerSim``.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    >>> nm.power(fit, "Days", 20, effect_size=1.5, seed=1, progress=False).trials
    20
    """
    check_level(alpha, "alpha")
    check_workers(workers)
    scenario = scenario_of(source)
    tested = find_effect(scenario.design, effect)
    if effect_size is not None:
        scenario = scenario.with_params(beta={tested.coefficient(): effect_size})
    root = seed_sequence(seed)
    ways = streams(root, nsim)
    task, handed = _prepared(scenario, tested, test, nsim, workers)
    outcome = run_replicates(task, ways, label="power", progress=progress, **handed)
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


def _prepared(
    scenario: Scenario, tested: TestedEffect, test: str | None, nsim: int, workers: int
) -> tuple[Any, dict[str, Any]]:
    """The test of a replicate, and how `run_replicates` hands them out."""
    if scenario.residual is not None:
        return prepare_refitted_test(scenario, tested, test), {"workers": workers}
    if scenario.family is not None:
        task, stats = prepare_generalized_test(scenario, tested, test)
        ahead = refit_seconds(stats, _VISITS_SHARE * nsim)
        return task, {"workers": workers, "ahead": ahead}
    design = condensed(scenario.design)
    scenario, tested = replace(scenario, design=design), replace(tested, design=design)
    stats = cross_products(design)
    return prepare_test(scenario, tested, test, workers=workers), {
        "chunk": together(design, stats, workers),
        "ahead": batch_seconds(design, stats, nsim),
    }


def power_curve(
    source: LmerFit | Scenario,
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
    """Power for several numbers of groups, or of rows per group.

    Parameters
    ----------
    source : LmerFit, GlmerFit or Scenario
        Its estimates are taken as true.
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
    along, within : str, optional
        Grouping factor whose number of levels changes, or within whose levels the number of rows
        does; give one.
    breaks : sequence of int
        The numbers of levels (`along`) or rows (`within`).

    Returns
    -------
    PowerCurve
        A view. Ctrl-C returns the sizes done so far.

    Raises
    ------
    OptionError
        For an effect that is not in the model, an unknown test, or steps that cannot be taken
        along that column.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    >>> curve = nm.power_curve(fit, "Days", along="Subject", breaks=[5, 10], nsim=20,
    ...                        effect_size=1.5, seed=1, progress=False)
    >>> curve.to_frame()["nobs"].tolist()
    [50, 100]
    """
    sizes = [int(b) for b in breaks]
    if not sizes:
        raise OptionError("breaks must name at least one size")
    scenario = scenario_of(source)
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


if not TYPE_CHECKING:  # decorated where they stand, mypy would have to know LmerFit for LmerFit
    power, power_curve = checked(power), checked(power_curve)
