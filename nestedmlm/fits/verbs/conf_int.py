"""Confidence intervals by three methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm.arguments import check_choice
from nestedmlm.errors import OptionError
from nestedmlm.fits.verbs.profile import ShownParameters, profile_fit, shown_parameters
from nestedmlm.inference.means.response_scale import RATIOS
from nestedmlm.inference.normal_quantile import normal_quantile
from nestedmlm.inference.resampling.bootstrap_intervals import KINDS
from nestedmlm.inference.variances.wald import variance_parameters
from nestedmlm.views.profile import LIMITS

if TYPE_CHECKING:
    from nestedmlm.families import Family
    from nestedmlm.fits.lmer_fit import LmerFit


def conf_int(
    fit: LmerFit,
    parm: Any = None,
    level: float = 0.95,
    *,
    method: str | None = None,
    exponentiate: bool = False,
    order: str = "lme4-2",
    names: str = "new",
    nsim: int = 500,
    seed: int | None = None,
    kind: str = "perc",
    progress: bool = True,
) -> pd.DataFrame:
    """Confidence intervals of standard deviations, correlations, sigma and fixed effects.

    Parameters
    ----------
    parm : str, int or sequence of these, optional
        ``"theta_"`` (all variance parameters), ``"beta_"``, names or positions; default all.
    level : float
    method : {"profile", "wald", "boot"}, optional
        By default ``profile``, and ``wald`` of a generalized model. ``profile``: where the profile
        of the maximum-likelihood deviance crosses the quantile, as lme4's default. ``wald``:
        estimate and standard error of this fit, on the log scale for standard deviations and the
        atanh scale for correlations; NaN on the boundary.
        ``boot``: `bootstrap`.
    exponentiate : bool
        Exponentiate the limits of fixed effects: odds ratios of a logit link, ratios of a log
        link.
    order : {"lme4-2", "lme4-1"}
        Standard deviations of a term before its correlations, or the lower triangle of its
        covariance column by column.
    names : {"new", "old"}
        ``sd_Days|Subject`` or lme4's ``.sig03``.
    nsim, seed, kind
        Of the bootstrap: replicates, seed, and ``perc``, ``basic``, ``norm`` or ``bca``.
    progress : bool
        Show how far it is when it takes long.

    Returns
    -------
    DataFrame
        ``conf_low, conf_high``, indexed by parameter. ``attrs["messages"]`` holds what deserves to
        be said, such as ends that are infinite.

    Raises
    ------
    OptionError
        For an unknown parameter or option, and for profiles of a penalised fit.
    NotDefinedError
        For profiles where the likelihood has no maximum.

    Notes
    -----
    lme4's ``confint``, which has no standard errors of variance parameters.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> fit.conf_int().round(2)
                          conf_low  conf_high
    term
    sd_(Intercept)|Batch     12.20      84.06
    sigma                    38.23      67.66
    (Intercept)            1486.45    1568.55
    """
    if method is None:
        method = "profile" if fit.core.family is None else "wald"
    check_choice(method, "method", METHODS)
    if exponentiate:
        check_exponentiate(fit.core.family)
    check_choice(kind, "kind", KINDS)
    wanted = shown_parameters(fit, parm, order=order, names=names)
    options = IntervalOptions(level=level, nsim=nsim, seed=seed, kind=kind, progress=progress)
    found = METHODS[method](fit, wanted, options)
    if exponentiate:
        fixed = [p.kind == "beta" for p in wanted.parameters]
        found.loc[fixed] = np.exp(found.loc[fixed])
    return found


def check_exponentiate(family: Family | None) -> None:
    """Refuse to exponentiate where that gives no ratio.

    Raises
    ------
    OptionError
        For links other than log and logit.
    """
    link = None if family is None else family.link.name
    if link not in (None, *RATIOS):
        raise OptionError(
            f"exponentiate=True gives ratios with a log or logit link; this model's is {link}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalOptions:
    """Options of confidence intervals: the arguments of `conf_int` that a method may need."""

    level: float
    nsim: int
    seed: int | None
    kind: str
    progress: bool


def profile_limits(fit: LmerFit, wanted: ShownParameters, options: IntervalOptions) -> pd.DataFrame:
    """Intervals from the profile."""
    found = profile_fit(fit, wanted, cutoff=None, level=options.level, progress=options.progress)
    return found.conf_int(options.level)


def wald_limits(fit: LmerFit, wanted: ShownParameters, options: IntervalOptions) -> pd.DataFrame:
    """Estimate plus and minus quantile times standard error; variance parameters transformed."""
    z = normal_quantile(options.level)
    rows, messages = [], ()
    variances = None
    for p in wanted.parameters:
        if p.kind == "beta":
            estimate, se = float(fit.params.iloc[p.i]), float(fit.bse.iloc[p.i])
            rows.append((estimate - z * se, estimate + z * se))
            continue
        if variances is None:
            variances = variance_parameters(fit.core, level=options.level)
            messages = variances.attrs["messages"]
        rows.append(tuple(variances.loc[p.name, list(LIMITS)]))
    return _labelled(rows, wanted, "wald", options.level, messages)


def boot_limits(fit: LmerFit, wanted: ShownParameters, options: IntervalOptions) -> pd.DataFrame:
    """Intervals from a parametric bootstrap."""
    boot = fit.bootstrap(options.nsim, seed=options.seed, progress=options.progress)
    table = boot.conf_int(options.kind, options.level).to_numpy()
    p = fit.design.p
    everything = fit.core.parameters  # the bootstrap lists fixed effects first
    place = {q: i + p if q.kind != "beta" else q.i for i, q in enumerate(everything)}
    rows = [tuple(table[place[q]]) for q in wanted.parameters]
    failed = len(boot.failures)
    messages = (f"{failed} of {boot.nsim} refits failed and are left out",) if failed else ()
    return _labelled(rows, wanted, "boot", options.level, messages)


def _labelled(
    rows: list[Any], wanted: ShownParameters, method: str, level: float, messages: tuple[str, ...]
) -> pd.DataFrame:
    values = np.array(rows, dtype=float).reshape(-1, 2)
    frame = pd.DataFrame(values, index=pd.Index(wanted.names, name="term"), columns=list(LIMITS))
    frame.attrs.update(method=method, level=level, messages=messages)
    return frame


METHODS: MappingProxyType[
    str, Callable[[LmerFit, ShownParameters, IntervalOptions], pd.DataFrame]
] = MappingProxyType({"profile": profile_limits, "wald": wald_limits, "boot": boot_limits})
