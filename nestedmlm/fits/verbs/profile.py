"""Profiles of the deviance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nestedmlm.design.model_parameters import ModelParameter
from nestedmlm.errors import NotDefinedError, OptionError
from nestedmlm.inference.normal_quantile import normal_quantile
from nestedmlm.inference.profile.profile import profile_parameters
from nestedmlm.inference.variances.parameters import NAMES, in_order, old_names, select
from nestedmlm.late import late_imports
from nestedmlm.views.profile import Profile

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.inference.profile.generalized_deviance import check_profiled
else:  # of generalized models only
    globals().update(
        late_imports("nestedmlm.inference.profile", {"generalized_deviance": "check_profiled"})
    )

_STEPS = 8  # steps of a profile from the estimate to the cutoff, as in lme4
_MARGIN = 1.03  # an interval needs the profile a little beyond its quantile
_NO_RESIDUAL = 1e-6  # share of the response's standard deviation below which sigma vanishes
_USUAL = (0.9, 0.95, 0.99)  # levels whose limits a profile holds to full accuracy
_JOINT = 0.99  # a profile reaches the region of this level for all parameters jointly, as in lme4


def profile(
    fit: LmerFit,
    parm: Any = None,
    *,
    cutoff: float | None = None,
    order: str = "lme4-2",
    names: str = "new",
    progress: bool = True,
) -> Profile:
    """Profile the deviance over standard deviations, correlations, sigma and fixed effects.

    Parameters
    ----------
    parm : str, int or sequence of these, optional
        ``"theta_"`` (all variance parameters), ``"beta_"``, names or positions; default all.
    cutoff : float, optional
        How far to go, in units of zeta; by default to the joint region of level 0.99 of all
        parameters, as lme4.
    order : {"lme4-2", "lme4-1"}
        Standard deviations of a term before its correlations, or the lower triangle of its
        covariance column by column.
    names : {"new", "old"}
        ``sd_Days|Subject`` or lme4's ``.sig03``.
    progress : bool
        Show how far it is when it takes long.

    Returns
    -------
    Profile
        ``.to_frame()``, ``.conf_int(level)``, ``.curve(name)``, ``.messages``; a view.

    Raises
    ------
    OptionError
        For an unknown parameter or option, for a penalised fit, and for ``nAGQ=0``.
    NotDefinedError
        For a generalized model whose responses are separated, and where the effects fit the rows
        of a linear model exactly: there is no maximum.

    Notes
    -----
    lme4's ``profile``: of the maximum-likelihood fit, also where this fit is by REML. That of a
    generalized model is of its -2 log-likelihood, by the Laplace approximation or quadrature as it
    was fitted, and has an estimated dispersion (in place of sigma), which lme4's has not. Bates,
    Mächler, Bolker & Walker (2015), section 5.1. The fits along a profile start from the
    tangent of the path with exact gradients, and pass smoothly through standard deviations of
    zero and correlations of one.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> fit.profile()
    Profiles of the deviance
                         estimate    2.5 %   97.5 %
    sd_(Intercept)|Batch    37.26   12.197   84.063
    sigma                   49.51   38.230   67.658
    (Intercept)           1527.50 1486.451 1568.549
    """
    wanted = shown_parameters(fit, parm, order=order, names=names)
    return profile_fit(fit, wanted, cutoff=cutoff, level=None, progress=progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownParameters:
    """Parameters to show, in their order, and the names to show them under."""

    parameters: tuple[ModelParameter, ...]
    names: tuple[str, ...]


def shown_parameters(fit: LmerFit, parm: Any, *, order: str, names: str) -> ShownParameters:
    """Find the parameters that `parm` names, in the order and under the names to show.

    Raises
    ------
    OptionError
        For an unknown order, kind of names or parameter.
    """
    if names not in NAMES:
        raise OptionError(f"names must be one of {', '.join(NAMES)}, not {names!r}")
    everything = fit.core.parameters
    everything = tuple(everything[i] for i in in_order(everything, order))
    old = old_names(everything)
    labels = old if names == "old" else tuple(p.name for p in everything)
    places = select(parm, everything, old)
    return ShownParameters(
        parameters=tuple(everything[i] for i in places), names=tuple(labels[i] for i in places)
    )


def profile_fit(
    fit: LmerFit,
    wanted: ShownParameters,
    *,
    cutoff: float | None,
    level: float | None,
    progress: bool,
) -> Profile:
    """Profile parameters of the maximum-likelihood fit.

    Parameters
    ----------
    cutoff : float or None
        How far in units of zeta; None: the joint region of level 0.99.
    level : float or None
        Profile only as far as intervals of this level need.
    """
    if fit.solution.stats.sparse is not None:
        raise OptionError(
            "a profile needs the exact criterion, and that of an iterative fit has a Monte Carlo "
            'error: conf_int(method="wald")'
        )
    if fit.penalty is not None:
        raise OptionError(
            "a penalised fit has no profile: the likelihood alone is not what it maximises; "
            "fit without penalty, or use method='wald' or method='boot'"
        )
    core = fit.core
    if core.solved is not None:
        check_profiled(core.solved)
        found: Any = core.solved
    else:  # a profile is taken around the optimum, also of a fit that stopped before it
        best = fit.refit_ml() if fit.REML or fit.converged else fit.polish()
        _check_residual(best)
        found = best.solution
    if level is None:
        reach = _default_cutoff(fit.npar) if cutoff is None else _checked(cutoff)
        step, zetas = reach / _STEPS, [normal_quantile(p) for p in _USUAL]
    else:
        zetas = [normal_quantile(level)]
        reach, step = _MARGIN * zetas[0], 0.5 * zetas[0]
    made = profile_parameters(
        fit.design,
        found,
        wanted.parameters,
        everything=core.parameters,
        cutoff=reach,
        step=step,
        zetas=[*(-z for z in zetas), *zetas],
        progress=progress,
    )
    renamed = dict(zip((p.name for p in wanted.parameters), wanted.names, strict=True))
    points = made.points.assign(term=made.points["term"].map(renamed))
    return Profile(
        names=wanted.names[: len(made.curves)],
        curves=made.curves,
        points=points,
        deviance=made.solution.deviance,
        messages=made.messages,
    )


def _check_residual(best: LmerFit) -> None:
    """Refuse a likelihood that rises as the residuals vanish.

    Raises
    ------
    NotDefinedError
        Where the effects fit the rows exactly.
    """
    if not best.converged and best.sigma < _NO_RESIDUAL * np.std(best.design.y):
        raise NotDefinedError(
            "there is no maximum to profile around: the effects fit the rows exactly, and the "
            f"likelihood rises as sigma vanishes (it is {best.sigma:.1g} where the search ended); "
            "take fewer effects, or method='wald' of the REML fit"
        )


def _default_cutoff(npar: int) -> float:
    from scipy.special import chdtri

    return float(np.sqrt(chdtri(npar, 1.0 - _JOINT)))


def _checked(cutoff: float) -> float:
    if not (np.isfinite(cutoff) and cutoff > 0):
        raise OptionError(f"cutoff must be a positive number of standard errors, not {cutoff!r}")
    return float(cutoff)
