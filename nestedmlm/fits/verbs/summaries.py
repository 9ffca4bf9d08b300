"""Tidy tables, shares of variance, marginal means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from nestedmlm.fits.verbs.shares import (
    icc_by_group,
    icc_values,
    r2_by_group,
    r2_values,
    with_interval,
)
from nestedmlm.fits.verbs.tidying import Tidy, tidy_frame
from nestedmlm.inference.rows import row_tables
from nestedmlm.inference.variances.partition import partition_variance
from nestedmlm.views.partition import VariancePartition

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


class SummaryVerbs:
    """Tidy tables, shares of variance, marginal means; mixed into `LmerFit`."""

    __slots__ = ()

    def tidy(
        self: LmerFit,
        effects: str | Sequence[str] = ("fixed", "ran_pars"),
        *,
        conf_int: bool = False,
        level: float = 0.95,
        conf_method: str = "wald",
        ddf: str = "satterthwaite",
        scales: str | None = None,
        nsim: int = 500,
        seed: int | None = None,
        progress: bool = True,
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
        ddf : {"satterthwaite", "kenward-roger", "residual", "none"}
            Degrees of freedom of the fixed effects; with ``none`` there are no p-values.
        scales : {"sdcor", "vcov"}, optional
            Of the variance parameters: standard deviations and correlations, or variances and
            covariances.
        nsim, seed
            Of the bootstrap.
        progress : bool
            False: bootstrap or profile without a progress bar.

        Returns
        -------
        DataFrame
            Those of ``effect, group, level, term, estimate, std_error, statistic, df, p_value,
            conf_low, conf_high`` that apply.

        Raises
        ------
        OptionError

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
        >>> fit.tidy()[["effect", "group", "term", "estimate", "std_error"]].round(2)
             effect     group                   term  estimate  std_error
        0     fixed      None            (Intercept)    251.41       6.82
        1     fixed      None                   Days     10.47       1.55
        2  ran_pars   Subject        sd__(Intercept)     24.74       5.84
        3  ran_pars   Subject  cor__(Intercept).Days      0.07       0.33
        4  ran_pars   Subject               sd__Days      5.92       1.25
        5  ran_pars  Residual        sd__Observation     25.59       1.51
        """
        asked = Tidy(
            effects=effects,
            conf_int=conf_int,
            level=level,
            conf_method=conf_method,
            ddf=ddf,
            scales=scales,
            nsim=nsim,
            seed=seed,
            progress=progress,
        )
        return tidy_frame(self, asked)

    def augment(self: LmerFit, data: Any = None) -> pd.DataFrame:
        """The data with what the fit says of each row.

        Parameters
        ----------
        data : table, optional
            The table the model was fitted to, with any other columns that should be kept; by
            default the columns that the model uses.

        Returns
        -------
        DataFrame
            On the caller's index, after the data's columns: ``fitted, resid, hat, cooksd, fixed``
            (the population's mean), ``mu, offset, sqrt_x_wt, sqrt_rwt, weights, wtres``. A name
            that the data have already gets a dot in front.

        Raises
        ------
        DataError
            If `data` has another number of rows.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> fit.augment().iloc[:2, :6].round(3)
           Yield Batch    fitted   resid    hat  cooksd
        0   1545     A  1509.893  35.107  0.164   0.118
        1   1440     A  1509.893 -69.893  0.164   0.467
        """
        numbers = row_tables.row_numbers(self.solution, self.design)
        if data is not None:
            return row_tables.beside(self.design, data, numbers)
        own = row_tables.model_columns(self.design, self.model.data, self.model.weights_column)
        return row_tables.joined(own, numbers)

    def glance(self: LmerFit) -> pd.DataFrame:
        """One row with the numbers by which fits are compared.

        Returns
        -------
        DataFrame
            ``nobs, npar, sigma, log_lik, aic, bic, reml_criterion, deviance, df_residual, REML,
            converged, singular``. As in lme4, `log_lik`, `aic` and `bic` of a REML fit are those
            of the REML criterion; `deviance` is -2 log-likelihood at the same theta.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> fit.glance()[["nobs", "sigma", "log_lik", "aic", "bic", "df_residual"]].round(3)
           nobs  sigma  log_lik      aic      bic  df_residual
        0    30  49.51 -159.827  325.654  329.858           27
        """
        numbers = {
            "nobs": self.nobs,
            "npar": self.npar,
            "sigma": self.sigma,
            "log_lik": self.llf,
            "aic": self.aic,
            "bic": self.bic,
            "reml_criterion": self.reml_criterion,
            "deviance": self.deviance,
            "df_residual": self.df_resid,
            "REML": self.REML,
            "converged": self.converged,
            "singular": self.is_singular(),
        }
        return pd.DataFrame([numbers])

    def icc(
        self: LmerFit,
        *,
        by_group: bool = False,
        ci: float | None = None,
        nsim: int = 500,
        seed: int | None = None,
        progress: bool = True,
    ) -> pd.Series | pd.DataFrame:
        """Intraclass correlation: the share of the random effects in the variance of a row.

        Parameters
        ----------
        by_group : bool
            One share for each grouping factor, and one for the residual.
        ci : float, optional
            Level of bootstrap intervals (percentiles of the parametric bootstrap).
        nsim, seed
            Of the bootstrap.
        progress : bool
            False: bootstrap without a progress bar.

        Returns
        -------
        Series, with `ci` a DataFrame ``estimate, lower, upper``
            ``adjusted`` (in the variance given the predictors) and ``unadjusted`` (in the variance
            that the fixed effects contribute to); with `by_group` indexed by grouping factor, parts
            of the adjusted whole.

        Notes
        -----
        Random slopes count with their average over the rows, ``mean(z' Sigma z)`` (Johnson 2014).
        With `by_group` too, so that the parts add up; R's performance counts only intercepts
        there. With weights the residual variance is ``sigma^2 mean(1 / w)``; performance takes
        ``sigma^2``.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
        >>> fit.icc().round(3).to_dict()
        {'adjusted': 0.722, 'unadjusted': 0.521}
        """
        fun = icc_by_group if by_group else icc_values
        return with_interval(self, fun, ci=ci, nsim=nsim, seed=seed, progress=progress)

    def r2(
        self: LmerFit,
        *,
        by_group: bool = False,
        ci: float | None = None,
        nsim: int = 500,
        seed: int | None = None,
        progress: bool = True,
    ) -> pd.Series | pd.DataFrame:
        """R-squared of Nakagawa & Schielzeth.

        Parameters
        ----------
        by_group : bool
            Instead, the proportion of variance explained at each level: one minus its ratio to
            the variance in the model without predictors (which is fitted; same rows, same random
            effects, same criterion).
        ci, nsim, seed, progress
            As in `icc`.

        Returns
        -------
        Series, with `ci` a DataFrame ``estimate, lower, upper``
            ``marginal``: share of the fixed effects in the variance of a row; ``conditional``:
            share of fixed and random effects. With `by_group` indexed by grouping factor, with
            ``Residual`` (performance's "Level 1") last; a negative value is no error: a predictor
            can uncover variance at another level.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
        >>> fit.r2().round(3).to_dict()
        {'marginal': 0.279, 'conditional': 0.799}
        """
        fun = r2_by_group if by_group else r2_values
        return with_interval(self, fun, ci=ci, nsim=nsim, seed=seed, progress=progress)

    def variance_partition(self: LmerFit) -> VariancePartition:
        """Variance components read by level: shares, ratios, what random slopes make of them.

        Returns
        -------
        VariancePartition
            A view; ``.to_frame("level" | "component" | "slope")`` has the numbers.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("strength ~ 1 + (1 | batch/cask)", nm.load_dataset("Pastes"))
        >>> fit.variance_partition()
        Variance by level
        Formula: strength ~ 1 + (1 | batch/cask)
        <BLANKLINE>
                   Groups Variance Std.Dev. Share To residual Correlation
        cask:batch     30    8.434   2.9041 78.3%      12.439       0.937
        batch          10    1.657   1.2874 15.4%       2.444       0.154
        Residual             0.678   0.8234  6.3%
        <BLANKLINE>
        Share: of the variance given the predictors.
        Correlation: of two rows in the same group (and in the groups around it).
        Fixed effects: variance 0, 0.0% of the whole.
        """
        numbers = partition_variance(self.solution, self.design)
        return VariancePartition(numbers=numbers, formula=self.formula)
