"""Profiles and confidence intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from nestedmlm.errors import OptionError
from nestedmlm.fits.verbs.confidence import METHODS, profile_fit, shown
from nestedmlm.inference.variances.wald import variance_parameters

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.views.profile import Profile


class IntervalVerbs:
    """Profiles and confidence intervals; mixed into `LmerFit`."""

    __slots__ = ()

    def profile(
        self: LmerFit,
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
            For an unknown parameter or option, and for a penalised fit.

        Notes
        -----
        lme4's ``profile``: of the maximum-likelihood fit, also where this fit is by REML. Bates,
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
        wanted = shown(self, parm, order=order, names=names)
        return profile_fit(self, wanted, cutoff=cutoff, level=None, progress=progress)

    def conf_int(
        self: LmerFit,
        parm: Any = None,
        level: float = 0.95,
        *,
        method: str = "profile",
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
        method : {"profile", "wald", "boot"}
            ``profile``: where the profile of the maximum-likelihood deviance crosses the quantile,
            as lme4's default. ``wald``: estimate and standard error of this fit, on the log scale
            for standard deviations and the atanh scale for correlations; NaN on the boundary.
            ``boot``: `bootstrap`.
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
            ``lower, upper``, indexed by parameter. ``attrs["messages"]`` holds what deserves to
            be said, such as ends that are infinite.

        Raises
        ------
        OptionError
            For an unknown parameter or option, and for profiles of a penalised fit.

        Notes
        -----
        lme4's ``confint``, which has no standard errors of variance parameters.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> fit.conf_int().round(2)
                                lower    upper
        sd_(Intercept)|Batch    12.20    84.06
        sigma                   38.23    67.66
        (Intercept)           1486.45  1568.55
        """
        if method not in METHODS:
            raise OptionError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
        wanted = shown(self, parm, order=order, names=names)
        options = {"nsim": nsim, "seed": seed, "kind": kind, "progress": progress}
        return METHODS[method](self, wanted, level, options)

    def variance_parameters(self: LmerFit, level: float = 0.95) -> pd.DataFrame:
        """Standard errors and Wald intervals of standard deviations, correlations and sigma.

        Parameters
        ----------
        level : float

        Returns
        -------
        DataFrame
            ``kind, grp, var1, var2, estimate, se, lower, upper``, indexed by parameter; NaN on the
            boundary, where ``attrs["messages"]`` says so.

        Notes
        -----
        Delta method with the observed information of this fit's criterion, on the log and atanh
        scales. lme4 leaves these out because such intervals are poor in small samples: prefer
        `conf_int`.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> fit.variance_parameters()[["estimate", "se", "lower", "upper"]].round(2)
                              estimate     se  lower  upper
        sd_(Intercept)|Batch     42.00  17.06  18.95  93.09
        sigma                    49.51   7.15  37.31  65.70
        """
        return variance_parameters(
            self.solution, self.design, REML=self.REML, level=level, penalty=self.penalty
        )
