"""Tidy tables, shares of variance, marginal means (layer 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from nestedmlm.inference import shares
from nestedmlm.inference.partition import partition_variance
from nestedmlm.tables.partition import VariancePartition

if TYPE_CHECKING:
    from nestedmlm.fit import LmerFit


class SummaryVerbs:
    """Tidy tables, shares of variance, marginal means; mixed into `LmerFit`."""

    __slots__ = ()

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

    def icc(self: LmerFit, *, by_group: bool = False) -> pd.Series:
        """Intraclass correlation: the share of the random effects in the variance of a row.

        Parameters
        ----------
        by_group : bool
            One share for each grouping factor, and one for the residual.

        Returns
        -------
        Series
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
        found = shares.variance_shares(self.solution, self.design)
        return shares.icc_by_group(found, self.design) if by_group else shares.icc_values(found)

    def r2(self: LmerFit, *, by_group: bool = False) -> pd.Series:
        """R-squared of Nakagawa & Schielzeth.

        Parameters
        ----------
        by_group : bool
            Instead, the proportion of variance explained at each level: one minus its ratio to
            the variance in the model without predictors (which is fitted; same rows, same random
            effects, same criterion).

        Returns
        -------
        Series
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
        found = shares.variance_shares(self.solution, self.design)
        if not by_group:
            return shares.r2_values(found)
        from nestedmlm.verbs.nullmodel import fit_null

        null = fit_null(self)
        before = shares.variance_shares(null.solution, null.design)
        return shares.r2_by_group(found, before, self.design)

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
