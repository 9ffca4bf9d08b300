"""`power`, `power_curve` and `planned_power` of a fit or a scenario."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nestedmlm.arguments import checked
from nestedmlm.fits.simulation.planned_power import PlannedPower
from nestedmlm.fits.simulation.power import Power, PowerCurve
from nestedmlm.fits.simulation.scenario import Scenario, scenario_of
from nestedmlm.inference.resampling.response_distribution import Seed

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


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
    return scenario_of(source).power(
        effect,
        nsim,
        alpha=alpha,
        test=test,
        effect_size=effect_size,
        seed=seed,
        workers=workers,
        progress=progress,
    )


@checked
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
    return scenario_of(source).power_curve(
        effect,
        along=along,
        within=within,
        breaks=breaks,
        nsim=nsim,
        seed=seed,
        alpha=alpha,
        test=test,
        effect_size=effect_size,
        workers=workers,
        progress=progress,
    )


@checked
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
    return scenario_of(source).planned_power(
        effect, alpha=alpha, test=test, effect_size=effect_size
    )


if not TYPE_CHECKING:  # decorated where it stands, mypy would have to know LmerFit for LmerFit
    power = checked(power)
