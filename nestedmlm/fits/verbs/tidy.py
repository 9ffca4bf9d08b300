"""Estimates in long form: broom.mixed's ``tidy``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm.arguments import check_level
from nestedmlm.errors import OptionError
from nestedmlm.fits.verbs.conf_int import check_exponentiate
from nestedmlm.inference.effects.ddf import coefficient_tests
from nestedmlm.inference.effects.df_record import ClusterRobust
from nestedmlm.inference.means.max_distributions import t_critical
from nestedmlm.inference.tidy import tidy as frames
from nestedmlm.inference.tidy.ran_pars import check_scale, entries_of, ran_pars_columns
from nestedmlm.inference.variances.structured_correlations import structured_correlations
from nestedmlm.inference.variances.wald import parameter_labels, variance_estimates, wald_limits
from nestedmlm.views.varcorr import component_rows

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit

Columns = dict[str, Any]

METHODS = ("wald", "profile", "boot")
LIMITS = ["conf_low", "conf_high"]
_PARAMETERS = {"fixed": "beta_", "ran_pars": "theta_"}  # what `conf_int` calls them


def tidy(
    fit: LmerFit,
    effects: str | Sequence[str] = ("fixed", "ran_pars"),
    *,
    conf_int: bool = False,
    level: float = 0.95,
    conf_method: str = "wald",
    ddf: str | None = None,
    scales: str | None = None,
    exponentiate: bool = False,
    nsim: int = 500,
    seed: int | None = None,
    progress: bool = True,
    vcov: str | ClusterRobust | None = None,
) -> pd.DataFrame:
    """Estimates in long form, with broom.mixed's columns in snake case.

    Parameters
    ----------
    effects : {"fixed", "ran_pars", "ran_vals", "ran_coefs"} or several of them
        Fixed effects; standard deviations and correlations; conditional modes of the random
        effects; fixed effects plus conditional modes of each level.
    conf_int : bool
        Add ``conf_low`` and ``conf_high``.
    level : float
        Confidence level.
    conf_method : {"wald", "profile", "boot"}
        Of the intervals of fixed effects and variance parameters (`conf_int`); those of the
        levels are always Wald's. Wald intervals of fixed effects use `ddf`.
    ddf : {"satterthwaite", "kenward-roger", "residual", "none"}, optional
        Degrees of freedom of the fixed effects, by default Satterthwaite's; with ``none`` there
        are no p-values. A generalized model has z tests.
    scales : {"sdcor", "vcov"}, optional
        Of the variance parameters: standard deviations and correlations, or variances and
        covariances.
    exponentiate : bool
        Exponentiate fixed effects and their limits: odds ratios of a logit link, ratios of a log
        link; standard errors by the delta method, tests as they are.
    nsim, seed
        Of the bootstrap.
    progress : bool
        False: bootstrap or profile without a progress bar.
    vcov : {"CR0", "CR1", "CR2", "CR3"} or ClusterRobust, optional
        Cluster-robust covariance in the place of the model's, with its degrees of freedom
        (of fixed effects; their intervals are Wald's).

    Returns
    -------
    DataFrame
        Those of ``effect, group, level, term, estimate, std_error, statistic, df, p_value,
        conf_low, conf_high`` that apply.

    Raises
    ------
    OptionError
        For unknown effects, or a level that is not between 0 and 1.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> fit.tidy()[["effect", "group", "term", "estimate", "std_error"]].round(2)
         effect     group                          term  estimate  std_error
    0     fixed      None                   (Intercept)    251.41       6.82
    1     fixed      None                          Days     10.47       1.55
    2  ran_pars   Subject        sd_(Intercept)|Subject     24.74       5.84
    3  ran_pars   Subject  cor_Days.(Intercept)|Subject      0.07       0.33
    4  ran_pars   Subject               sd_Days|Subject      5.92       1.25
    5  ran_pars  Residual                         sigma     25.59       1.51
    """
    options = TidyOptions(
        effects=effects,
        conf_int=conf_int,
        level=level,
        conf_method=conf_method,
        ddf=ddf,
        scales=scales,
        exponentiate=exponentiate,
        nsim=nsim,
        seed=seed,
        progress=progress,
        vcov=vcov,
    )
    return tidy_frame(fit, options)


@dataclass(frozen=True, slots=True, kw_only=True)
class TidyOptions:
    """Options of a tidy table: the arguments of `fit.tidy`."""

    effects: str | Sequence[str]
    conf_int: bool
    level: float
    conf_method: str
    ddf: str | None
    scales: str | None
    exponentiate: bool
    nsim: int
    seed: int | None
    progress: bool
    vcov: str | ClusterRobust | None = None


def tidy_frame(fit: LmerFit, options: TidyOptions) -> pd.DataFrame:
    """Make each kind of table and put them under each other."""
    wanted = frames.check_effects(options.effects)
    if options.conf_method not in METHODS:
        raise OptionError(
            f"conf_method must be one of {', '.join(METHODS)}, not {options.conf_method!r}"
        )
    check_level(options.level)
    if options.exponentiate:
        check_exponentiate(fit.core.family)
    check_scale(options.scales)
    limits = _intervals(fit, options, wanted)
    pieces = {effect: _PIECES[effect](fit, options, limits) for effect in wanted}
    return frames.stack(pieces, conf_int=options.conf_int)


def _intervals(fit: LmerFit, options: TidyOptions, wanted: Sequence[str]) -> pd.DataFrame | None:
    """Profile or bootstrap intervals of the parameters that are wanted, by their names."""
    parts = [_PARAMETERS[effect] for effect in wanted if effect in _PARAMETERS]
    if not options.conf_int or options.conf_method == "wald" or not parts:
        return None
    return fit.conf_int(
        parts[0] if len(parts) == 1 else None,
        options.level,
        method=options.conf_method,
        nsim=options.nsim,
        seed=options.seed,
        progress=options.progress,
    )


def _fixed(fit: LmerFit, options: TidyOptions, limits: pd.DataFrame | None) -> Columns:
    tests = coefficient_tests(fit.core, np.eye(fit.design.p), options.ddf, vcov=options.vcov)
    names = list(fit.design.x_names)
    half = t_critical(options.level, tests.df) * tests.se if options.conf_int else tests.se
    ends = tests.estimate - half, tests.estimate + half
    if limits is not None:
        ends = limits.reindex(names)[LIMITS].to_numpy().T
    estimate, se = tests.estimate, tests.se
    if options.exponentiate:
        estimate, ends = np.exp(estimate), tuple(np.exp(ends))
        se = se * estimate
    out: Columns = {"term": names, "estimate": estimate, "std_error": se}
    out.update(zip(LIMITS, ends, strict=True), statistic=tests.statistic)
    if fit.core.reference == "z":
        return {**out, "p_value": tests.p_value}
    return out if options.ddf == "none" else {**out, "df": tests.df, "p_value": tests.p_value}


def _ran_pars(fit: LmerFit, options: TidyOptions, limits: pd.DataFrame | None) -> Columns:
    found, design = variance_estimates(fit.core), fit.design
    names = [p.name for p in found.parameters]
    if limits is None:
        ends, level = wald_limits(found, options.level), options.level
    else:
        ends, level = limits.reindex(names)[LIMITS].to_numpy(), None
    own = [
        (p.kind, *parameter_labels(p, design), (float(se), float(low), float(high)))
        for p, se, (low, high) in zip(found.parameters, found.se, ends, strict=True)
    ]
    pairs = structured_correlations(found, ends, design, level=level)
    out = ran_pars_columns(
        component_rows(replace(fit.varcorr(), residual=())),  # their parameters follow below
        entries_of([*own, *pairs], design),
        scale=check_scale(options.scales),
    )
    residual = [i for i, p in enumerate(found.parameters) if p.kind == "residual"]
    if not residual:
        return out
    more = ("Residual",) * len(residual), found.estimate[residual], found.se[residual]
    columns = [names[i] for i in residual], *more, *ends[residual].T
    return {
        name: [*out[name], *values]
        for name, values in zip(
            ("term", "group", "estimate", "std_error", *LIMITS), columns, strict=True
        )
    }


def _with_limits(frame: pd.DataFrame, options: TidyOptions) -> Columns:
    low, high = frames.normal_interval(
        frame["estimate"].to_numpy(), frame["std_error"].to_numpy(), options.level
    )
    return {**{name: frame[name].to_numpy() for name in frame}, "conf_low": low, "conf_high": high}


def _ran_vals(fit: LmerFit, options: TidyOptions, limits: pd.DataFrame | None) -> Columns:
    return _with_limits(frames.ran_vals_frame(fit.solution, fit.design), options)


def _ran_coefs(fit: LmerFit, options: TidyOptions, limits: pd.DataFrame | None) -> Columns:
    return _with_limits(frames.ran_coefs_frame(fit.solution, fit.design), options)


_PIECES: dict[str, Callable[[LmerFit, TidyOptions, pd.DataFrame | None], Columns]] = {
    "fixed": _fixed,
    "ran_pars": _ran_pars,
    "ran_vals": _ran_vals,
    "ran_coefs": _ran_coefs,
}
