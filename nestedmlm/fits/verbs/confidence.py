"""Intervals of a fit's parameters by three methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm.arguments import normal_quantile
from nestedmlm.errors import OptionError
from nestedmlm.inference.profile.profile import profile_parameters
from nestedmlm.inference.variances.parameters import (
    NAMES,
    ModelParameter,
    in_order,
    model_parameters,
    old_names,
    select,
)
from nestedmlm.inference.variances.wald import variance_parameters
from nestedmlm.views.profile import LIMITS, Profile

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit

_STEPS = 8  # steps of a profile from the estimate to the cutoff, as in lme4
_MARGIN = 1.03  # an interval needs the profile a little beyond its quantile
_USUAL = (0.9, 0.95, 0.99)  # levels whose limits a profile holds to full accuracy
_JOINT = 0.99  # a profile reaches the region of this level for all parameters jointly, as in lme4


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Which parameters are shown, in which order, under which names."""

    parameters: tuple[ModelParameter, ...]
    names: tuple[str, ...]


def shown(fit: LmerFit, parm: Any, *, order: str, names: str) -> Shown:
    """Resolve `parm`.

    Raises
    ------
    OptionError
        For an unknown order, kind of names or parameter.
    """
    if names not in NAMES:
        raise OptionError(f"names must be one of {', '.join(NAMES)}, not {names!r}")
    everything = model_parameters(fit.design)
    everything = tuple(everything[i] for i in in_order(everything, order))
    old = old_names(everything)
    labels = old if names == "old" else tuple(p.name for p in everything)
    places = select(parm, everything, old)
    return Shown(
        parameters=tuple(everything[i] for i in places), names=tuple(labels[i] for i in places)
    )


def profile_fit(
    fit: LmerFit, wanted: Shown, *, cutoff: float | None, level: float | None, progress: bool
) -> Profile:
    """Profile parameters of the maximum-likelihood fit.

    Parameters
    ----------
    cutoff : float or None
        How far in units of zeta; None: the joint region of level 0.99.
    level : float or None
        Profile only as far as intervals of this level need.
    """
    if fit.penalty is not None:
        raise OptionError(
            "a penalised fit has no profile: the likelihood alone is not what it maximises; "
            "fit without penalty, or use method='wald' or method='boot'"
        )
    best = fit.refit_ml()
    if level is None:
        reach = _default_cutoff(fit.npar) if cutoff is None else _checked(cutoff)
        step, zetas = reach / _STEPS, [normal_quantile(p) for p in _USUAL]
    else:
        zetas = [normal_quantile(level)]
        reach, step = _MARGIN * zetas[0], 0.5 * zetas[0]
    found = profile_parameters(
        best.design,
        best.solution,
        wanted.parameters,
        cutoff=reach,
        step=step,
        zetas=[*(-z for z in zetas), *zetas],
        progress=progress,
    )
    renamed = dict(zip((p.name for p in wanted.parameters), wanted.names, strict=True))
    points = found.points.assign(parameter=found.points["parameter"].map(renamed))
    return Profile(
        names=wanted.names[: len(found.curves)],
        curves=found.curves,
        points=points,
        deviance=found.solution.deviance,
        messages=found.messages,
    )


def _default_cutoff(npar: int) -> float:
    from scipy.special import chdtri

    return float(np.sqrt(chdtri(npar, 1.0 - _JOINT)))


def _checked(cutoff: float) -> float:
    if not (np.isfinite(cutoff) and cutoff > 0):
        raise OptionError(f"cutoff must be a positive number of standard errors, not {cutoff!r}")
    return float(cutoff)


def profile_limits(fit: LmerFit, wanted: Shown, level: float, options: Any) -> pd.DataFrame:
    """Intervals from the profile."""
    found = profile_fit(fit, wanted, cutoff=None, level=level, progress=options["progress"])
    return found.conf_int(level)


def wald_limits(fit: LmerFit, wanted: Shown, level: float, options: Any) -> pd.DataFrame:
    """Estimate plus and minus quantile times standard error; variance parameters transformed."""
    z = normal_quantile(level)
    rows, messages = [], ()
    variances = None
    for p in wanted.parameters:
        if p.kind == "beta":
            estimate, se = float(fit.params.iloc[p.i]), float(fit.bse.iloc[p.i])
            rows.append((estimate - z * se, estimate + z * se))
            continue
        if variances is None:
            variances = variance_parameters(
                fit.solution, fit.design, REML=fit.REML, level=level, penalty=fit.penalty
            )
            messages = variances.attrs["messages"]
        rows.append(tuple(variances.loc[p.name, list(LIMITS)]))
    return _labelled(rows, wanted, "wald", level, messages)


def boot_limits(fit: LmerFit, wanted: Shown, level: float, options: Any) -> pd.DataFrame:
    """Intervals from a parametric bootstrap."""
    boot = fit.bootstrap(options["nsim"], seed=options["seed"], progress=options["progress"])
    table = boot.conf_int(options["kind"], level).to_numpy()
    p = fit.design.p
    everything = model_parameters(fit.design)  # the bootstrap lists fixed effects first
    place = {q: i + p if q.kind != "beta" else q.i for i, q in enumerate(everything)}
    rows = [tuple(table[place[q]]) for q in wanted.parameters]
    failed = len(boot.failures)
    messages = (f"{failed} of {boot.nsim} refits failed and are left out",) if failed else ()
    return _labelled(rows, wanted, "boot", level, messages)


def _labelled(
    rows: list[Any], wanted: Shown, method: str, level: float, messages: tuple[str, ...]
) -> pd.DataFrame:
    values = np.array(rows, dtype=float).reshape(-1, 2)
    frame = pd.DataFrame(values, index=pd.Index(wanted.names), columns=list(LIMITS))
    frame.attrs.update(method=method, level=level, messages=messages)
    return frame


METHODS: MappingProxyType[str, Callable[[LmerFit, Shown, float, Any], pd.DataFrame]] = (
    MappingProxyType({"profile": profile_limits, "wald": wald_limits, "boot": boot_limits})
)
