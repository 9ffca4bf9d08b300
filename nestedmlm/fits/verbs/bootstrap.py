"""Bootstraps of a fit: parametric, semiparametric, of residuals, of cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pandas as pd

from nestedmlm.arguments import (
    check_choice,
    check_level,
)
from nestedmlm.errors import OptionError
from nestedmlm.fits.plain_only import refuse_known_sigma, refuse_residuals
from nestedmlm.fits.simulation.bootstrap import Bootstrap
from nestedmlm.fits.simulation.replicates import Task, check_workers, run_replicates, together
from nestedmlm.fits.simulation.statistics import (
    Fun,
    GroupResampler,
    Refitter,
    observed,
    parameters_of,
)
from nestedmlm.fits.verbs.simulate import conditioned
from nestedmlm.inference.resampling.resampling import residual, semiparametric, top_factor
from nestedmlm.inference.resampling.response_distribution import (
    response_distribution,
    seed_sequence,
    streams,
)
from nestedmlm.inference.rows.re_form import chosen_columns
from nestedmlm.likelihood.elimination.speed import refit_seconds
from nestedmlm.optimum.batch import batch_seconds
from nestedmlm.statistics.cells.condensed import condensed

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def bootstrap(
    fit: LmerFit,
    nsim: int = 500,
    fun: Fun | None = None,
    *,
    type: str = "parametric",
    seed: int | None = None,
    workers: int = 1,
    progress: bool = True,
    use_u: bool = False,
    re_form: Any = False,
    by: str | None = None,
) -> Bootstrap:
    """Bootstrap statistics of the fit.

    Parameters
    ----------
    nsim : int
        Replicates.
    fun : callable (LmerFit) -> numbers, optional
        A number, an array, a mapping or a Series. By default fixed effects, standard
        deviations, correlations and sigma; these are refitted many at a time.
    type : {"parametric", "semiparametric", "residual", "cases"}
        Draw from the fitted model; resample residuals around the fitted groups (needs
        `use_u`); resample residuals of every level, centred and rescaled (Carpenter,
        Goldstein & Rasbash 2003); resample whole groups of the top-level factor.
    seed : int, optional
        The same seed, the same replicates.
    workers : int
        Processes. The results do not depend on it, and scripts need no
        ``if __name__ == "__main__"``.
    progress : bool
        Show a line of progress.
    use_u : bool
        The parametric bootstrap keeps the conditional modes; it draws random effects anew if not.
    re_form : False, None or str
        The same of some: False, all are drawn anew; None, all are kept; ``"~ (1 | schoolid)"``,
        these are kept.
    by : str, optional
        Factor whose groups the cases bootstrap resamples, where factors are crossed; or the
        factor of the blocks of correlated residuals, which a model without random effects takes.

    Returns
    -------
    Bootstrap
        ``.t``, ``.conf_int(kind)``, ``.to_frame()``; a view. Ctrl-C returns what is done so
        far, with ``.partial`` set.

    Raises
    ------
    OptionError
        For an unknown type of resampling, and fewer than one replicate.
    ResidualStructureError
        For residuals that are resampled where they differ or correlate, or sigma is known, and
        for groups across which they correlate.

    Notes
    -----
    Of a fit from sums, and of a table of 1e5 rows and more (without `fun`), the parametric
    bootstrap draws the sums that responses of all rows would have: their distribution is the same,
    the draws given a seed are others, and no replicate passes over the rows.

    lme4's ``bootMer``. Failed refits are rows of NaN and listed in ``.failures``.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> boot = fit.bootstrap(50, seed=1, progress=False)
    >>> boot.t.shape, list(boot.t0.index)
    ((50, 3), ['(Intercept)', 'sd_(Intercept)|Batch', 'sigma'])
    """
    check_choice(type, "type", _TASKS)
    root = seed_sequence(seed)
    ways = streams(root, nsim)
    check_workers(workers)
    conditions = conditioned(use_u, re_form)
    _REFUSALS[type](fit, f"the {type} bootstrap", _INSTEAD)
    if fit.core.family is not None:
        check_choice(type, "type", ("parametric", "cases"))  # residuals are not exchangeable
    if fit.core.family is not None or fit.design.residual is not None:
        fun = parameters_of if fun is None else fun  # refits are made one by one
    t0 = observed(fit, fun)
    task = _TASKS[type](fit, fun, len(t0), conditions, by)
    chunk, ahead = 1, refit_seconds(fit.solution.stats, nsim)
    if isinstance(task, Refitter) and fun is None and fit.penalty is None:
        design, stats = task.fit.design, fit.solution.stats
        chunk, ahead = together(design, stats, workers), batch_seconds(design, stats, nsim)
        task, workers = replace(task, workers=workers), 1
    outcome = run_replicates(
        task, ways, label="bootstrap", workers=workers, progress=progress, chunk=chunk, ahead=ahead
    )
    numbers = pd.RangeIndex(1, len(outcome.notes) + 1, name="replicate")
    failed = outcome.failed
    notes = pd.Series(outcome.notes, index=numbers, dtype=object)
    said = Counter(n for n in notes[~failed] if n)
    return Bootstrap(
        t0=t0,
        t=pd.DataFrame(outcome.values, index=numbers, columns=t0.index),
        type=type,
        nsim=nsim,
        seed=int(root.entropy),  # type: ignore[arg-type]  # an int: `seed_sequence` saw to it
        failures=notes[failed].rename("failure"),
        messages=dict(said),
        partial=len(numbers) < nsim,
        fit=fit,
        fun=fun,
        by=by,
    )


def _parametric(fit: LmerFit, fun: Fun | None, size: int, re_form: Any, by: str | None) -> Task:
    s = fit.solution
    keep = chosen_columns(fit.design, re_form)
    if fun is None or fit.design.rows is None:  # of the rows of a large table `fun` may ask
        fit = replace(fit, design=condensed(fit.design))
    distribution = response_distribution(
        fit.design,
        beta=s.beta,
        T=s.T,
        sigma=fit.core.scale,
        b=s.b,
        keep=keep,
        family=fit.core.family,
        dispersion=fit.core.dispersion,
        residual=s.stats.residual,
    )
    return Refitter(responses=distribution, fit=fit, fun=fun, size=size)


def _semiparametric(fit: LmerFit, fun: Fun | None, size: int, re_form: Any, by: str | None) -> Task:
    if re_form is not None:
        raise OptionError(
            "the semiparametric bootstrap resamples residuals around the fitted groups: give "
            "use_u=True (as lme4), or take type='residual', which resamples every level"
        )
    responses = semiparametric(fit.design, fit.solution)
    return Refitter(responses=responses, fit=fit, fun=fun, size=size)


def _residual(fit: LmerFit, fun: Fun | None, size: int, re_form: Any, by: str | None) -> Task:
    _only_new(re_form, "residual")
    return Refitter(responses=residual(fit.design, fit.solution), fit=fit, fun=fun, size=size)


def _cases(fit: LmerFit, fun: Fun | None, size: int, re_form: Any, by: str | None) -> Task:
    _only_new(re_form, "cases")
    return GroupResampler(fit=fit, factor=top_factor(fit.design, by), fun=fun, size=size)


def _only_new(re_form: Any, type: str) -> None:
    if re_form is not False:
        raise OptionError(f"the {type} bootstrap resamples groups: it takes no use_u or re_form")


_TASKS: MappingProxyType[str, Callable[[LmerFit, Fun | None, int, Any, str | None], Task]] = (
    MappingProxyType(
        {
            "parametric": _parametric,
            "semiparametric": _semiparametric,
            "residual": _residual,
            "cases": _cases,
        }
    )
)


_INSTEAD = "type='parametric' is"
# what knows no residuals that differ or correlate, and what no known sigma
_REFUSALS: MappingProxyType[str, Callable[[Any, str, str], None]] = MappingProxyType(
    {
        "parametric": lambda fit, what, instead: None,
        "semiparametric": refuse_residuals,
        "residual": refuse_residuals,
        "cases": refuse_known_sigma,
    }
)


def with_interval(
    fit: LmerFit,
    fun: Callable[[LmerFit], pd.Series],
    *,
    level: float | None,
    nsim: int,
    seed: int | None,
    progress: bool,
) -> pd.Series | pd.DataFrame:
    """Values of `fun`, and the percentiles of its parametric bootstrap when `level` is given."""
    found = fun(fit)
    if level is None:
        return found
    check_level(level)
    drawn = fit.bootstrap(nsim, fun, seed=seed, progress=progress)
    limits = drawn.conf_int(level=level).to_numpy()
    return pd.DataFrame(
        {"estimate": found, "conf_low": limits[:, 0], "conf_high": limits[:, 1]}, index=found.index
    )
