"""`PooledFit`: one model fitted to multiply imputed data sets, pooled by Rubin's rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from nestedmlm.arguments import check_level, checked
from nestedmlm.design.design import Design
from nestedmlm.design.partitions.sources import is_source
from nestedmlm.errors import NotDefinedError
from nestedmlm.fits.imputation.compare import compare
from nestedmlm.fits.imputation.report import report
from nestedmlm.fits.imputation.same_model import check_same_model
from nestedmlm.fits.summaries.partitioned_rows import predicted
from nestedmlm.fits.verbs.anova import term_table
from nestedmlm.fits.verbs.contest import contest
from nestedmlm.inference.effects.ddf import df_method, intervals, row_tests
from nestedmlm.inference.effects.df_record import ClusterRobust
from nestedmlm.inference.fitted import PooledFitted
from nestedmlm.inference.imputation.pooled_tests import pool_of
from nestedmlm.inference.imputation.rubin import missing_shares
from nestedmlm.inference.normal_quantile import normal_quantile
from nestedmlm.late import late_imports
from nestedmlm.views.effect_tests import TestTable
from nestedmlm.views.pooled import pooled_view
from nestedmlm.views.render.view import View, Viewable
from nestedmlm.views.varcorr import VarCorr

if TYPE_CHECKING:
    from nestedmlm.fits.glmer_fit import GlmerFit
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.fits.means.emmeans import emmeans, emtrends
    from nestedmlm.fits.means.joint_tests import joint_tests
    from nestedmlm.fits.model import Model
else:
    _MEANS = {"emmeans": "emmeans emtrends", "joint_tests": "joint_tests"}
    globals().update(late_imports("nestedmlm.fits.means", _MEANS))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class PooledFit(Viewable):
    """Fits of one model to multiply imputed data sets, pooled by Rubin's rules.

    Attributes
    ----------
    fits : tuple of LmerFit, or of GlmerFit
        One for each data set. Generalized models have Rubin's large-sample degrees of freedom.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> data = nm.load_dataset("sleepstudy")
    >>> imputed = [data.assign(Reaction=data.Reaction + shift * (data.Days == 9))
    ...            for shift in (-8, 0, 9)]
    >>> pooled = nm.lmer("Reaction ~ Days + (Days | Subject)", imputed)
    >>> pooled.tidy()[["term", "estimate", "std_error", "df", "fmi"]].round(2)
              term  estimate  std_error     df   fmi
    0  (Intercept)    251.36       6.97  14.47  0.15
    1         Days     10.49       1.64  12.67  0.22
    >>> pooled.nobs, len(pooled.fits)
    (180, 3)
    >>> pooled.contest("Days = 8", joint=False).table["Pr(>|t|)"].round(3).tolist()
    [0.153]
    >>> pooled.anova().table.index.tolist(), pooled.cov_params().shape, pooled.summary().main
    (['Days'], (2, 2), 'coefficients')
    >>> pooled.varcorr().to_frame()["estimate"].round(2).tolist(), pooled.r2().round(2).tolist()
    ([24.71, 5.92, 0.07, 25.68], [0.28, 0.8])
    >>> pooled.predict(data.head(1), interval="confidence").round(1).iloc[0].tolist()
    [253.7, 12.3, 229.5, 277.9]
    >>> null = nm.lmer("Reaction ~ 1 + (Days | Subject)", imputed)
    >>> pooled.compare(null).table.index.tolist()
    ['D1']
    """

    fits: tuple[LmerFit, ...]

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Say where a member of one fit is.

            Raises
            ------
            NotDefinedError
            """
            if not name.startswith("_") and hasattr(type(self.fits[0]), name):
                raise NotDefinedError(
                    f"{name} of pooled fits is not defined: ask each of pooled.fits, "
                    f"[fit.{name} for fit in pooled.fits]"
                )
            return object.__getattribute__(self, name)

    # --- means ---------------------------------------------------------------------------------
    emmeans = emmeans
    emtrends = emtrends
    joint_tests = joint_tests

    # --- what it is of -------------------------------------------------------------------------
    @property
    def engine(self) -> Literal["pooled"]:
        """``pooled``."""
        return "pooled"

    @property
    def core(self) -> PooledFitted:
        """The fits as numbers: what tests and tables are computed from."""
        return PooledFitted(parts=tuple(fit.core for fit in self.fits))

    @property
    def _native(self) -> str:  # type: ignore[override]
        return self.model._native

    @property
    def model(self) -> Model:
        """The model of the first data set."""
        return self.fits[0].model

    @property
    def design(self) -> Design:
        """The design of the first data set."""
        return self.fits[0].design

    @property
    def REML(self) -> bool:
        """Fitted by REML (True) or maximum likelihood."""
        return self.fits[0].REML

    @property
    def penalty(self) -> Any:
        """Prior on the covariances, if one was used."""
        return self.fits[0].penalty

    @property
    def formula(self) -> str:
        """The formula as lme4 prints it."""
        return self.fits[0].formula

    @property
    def nobs(self) -> int:
        """Rows of each data set."""
        return self.fits[0].nobs

    @property
    def ngrps(self) -> pd.Series:
        """Number of levels of each grouping factor."""
        return self.fits[0].ngrps

    @property
    def converged(self) -> bool:
        """Whether all optima are certified."""
        return all(fit.converged for fit in self.fits)

    # --- estimates -----------------------------------------------------------------------------
    @property
    def params(self) -> pd.Series:
        """Fixed effects, the means over the data sets."""
        return pd.DataFrame([fit.params for fit in self.fits]).mean().rename("estimate")

    @property
    def fixef(self) -> pd.Series:
        """Fixed effects (the same as `params`)."""
        return self.params

    @property
    def bse(self) -> pd.Series:
        """Standard errors of the fixed effects, with what is missing counted."""
        cov = self.cov_params()
        return pd.Series(np.sqrt(np.diag(cov)), index=cov.index, name="std_error")

    @checked
    def cov_params(self, vcov: str | ClusterRobust | None = None) -> pd.DataFrame:
        """Total covariance matrix of the fixed effects, (p, p).

        Parameters
        ----------
        vcov : {"CR0", "CR1", "CR2", "CR3"} or ClusterRobust, optional
            Cluster-robust covariances in the place of the models'.

        Raises
        ------
        OptionError
            For an unknown `vcov`.
        """
        names = list(self.design.x_names)
        return pd.DataFrame(df_method(self.core, "none", vcov).cov, index=names, columns=names)

    @property
    def sigma(self) -> float:
        """Residual standard deviation, from the mean of the variances.

        Raises
        ------
        NotDefinedError
            Of generalized models.
        """
        return float(np.sqrt(np.mean([fit.sigma**2 for fit in self.fits])))

    def varcorr(self) -> VarCorr:
        """Variance components: means of the covariance matrices over the data sets."""
        found = [fit.varcorr() for fit in self.fits]
        blocks = [
            replace(one[0], cov=np.mean([block.cov for block in one], axis=0))
            for one in zip(*(v.blocks for v in found), strict=True)
        ]
        linear = self.core.family is None
        return VarCorr(blocks=tuple(blocks), sigma=self.sigma if linear else None)

    def r2(self) -> pd.Series:
        """Marginal and conditional R-squared, means over the data sets."""
        return pd.DataFrame([fit.r2() for fit in self.fits]).mean().rename("estimate")

    # --- tables and tests ----------------------------------------------------------------------
    @checked
    def tidy(
        self,
        *,
        ddf: str | None = None,
        vcov: str | ClusterRobust | None = None,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Fixed effects in long form.

        Parameters
        ----------
        ddf : {"satterthwaite", "kenward-roger", "residual", "none"}, optional
            Degrees of freedom of complete data, averaged over the data sets, from which Barnard
            and Rubin's follow; ``none`` has Rubin's large-sample ones (mitml's default). By
            default Satterthwaite's, and ``none`` of generalized models.
        vcov : {"CR0", "CR1", "CR2", "CR3"} or ClusterRobust, optional
            Cluster-robust covariances in the place of the models'.
        level : float
            Of the intervals.

        Returns
        -------
        DataFrame
            ``effect, term, estimate, std_error, df, statistic, p_value, conf_low, conf_high``, and
            ``riv``, the relative increase in variance, and ``fmi``, the fraction of missing
            information.

        Raises
        ------
        OptionError
            For an unknown `ddf` or `vcov`, or a level that is not between 0 and 1.
        """
        check_level(level)
        L = np.eye(self.design.p)
        tests = row_tests(df_method(self.core, ddf, vcov), L)
        low, high = intervals(tests, level)
        pool = pool_of([df_method(fit.core, "none", vcov) for fit in self.fits])
        riv, fmi = missing_shares(pool, L, tests.df)
        columns = {
            "effect": "fixed", "term": list(self.design.x_names), "estimate": tests.estimate,
            "std_error": tests.se, "df": tests.df, "statistic": tests.statistic,
            "p_value": tests.p_value, "conf_low": low, "conf_high": high, "riv": riv, "fmi": fmi,
        }  # fmt: skip
        return pd.DataFrame(columns)

    @checked
    def summary(self, ddf: str | None = None, *, vcov: str | ClusterRobust | None = None) -> View:
        """Summary as a view: mean variance components, pooled coefficients with tests.

        Parameters
        ----------
        ddf : {"satterthwaite", "kenward-roger", "residual", "none"}, optional
            Degrees of freedom of each fit's tests, before they are pooled.
        vcov : {"CR0", "CR1", "CR2", "CR3"} or ClusterRobust, optional
            Cluster-robust covariance of the fixed effects in the place of the model's.

        Raises
        ------
        OptionError
            For an unknown `ddf` or `vcov`.
        """
        notes = (*df_method(self.core, ddf, vcov).notes, *_residual_note(self))
        return pooled_view(self, self.tidy(ddf=ddf, vcov=vcov), notes=notes)

    def view(self) -> View:
        """Build the document: `summary`."""
        return self.summary()

    contest = checked(contest)

    @checked
    def anova(
        self,
        *,
        type: str = "III",
        ddf: str | None = None,
        vcov: str | ClusterRobust | None = None,
    ) -> TestTable:
        """F tests of the terms of the fixed effects, pooled by D1.

        Parameters
        ----------
        type : {"III", "II", "I"}
            Hypotheses: marginal, each given all that do not contain it, sequential.
        ddf : {"satterthwaite", "kenward-roger", "residual", "none"}, optional
            Degrees of freedom of each fit's tests, before they are pooled.
        vcov : {"CR0", "CR1", "CR2", "CR3"} or ClusterRobust, optional
            Cluster-robust covariance of the fixed effects in the place of the model's.

        Raises
        ------
        OptionError
            For an unknown `type`, `ddf` or `vcov`.
        """
        return term_table(self, df_method(self.core, ddf, vcov), type=type)

    compare = checked(compare)
    report = checked(report)

    # --- rows ----------------------------------------------------------------------------------
    @checked
    def predict(
        self,
        newdata: Any = None,
        *,
        re_form: Any = None,
        new_levels: str = "error",
        interval: str | None = None,
        level: float = 0.95,
        seed: int | None = None,
    ) -> pd.Series | pd.DataFrame:
        """Predict for new rows by every fit, pooled by Rubin's rules.

        Parameters
        ----------
        newdata : table, optional
            By default each fit's own rows.
        re_form : bool or str, optional
            Random effects that count: all (None), none (False), or a formula of some.
        new_levels : {"error", "population", "sample"}
            What to do with groups that were not in the data.
        seed : int, optional
            Of effects that are drawn for new groups.
        interval : {"confidence", "prediction"}, optional
            Add an interval, in which the differences between the data sets count.
        level : float
            Probability inside the interval.

        Returns
        -------
        Series or DataFrame
            ``estimate``, and with an interval ``std_error, conf_low, conf_high``.

        Raises
        ------
        OptionError, NewLevelsError
            For unknown choices; for unseen groups with ``new_levels="error"``.
        """
        options: dict[str, Any] = {
            "re_form": re_form, "new_levels": new_levels, "seed": seed, "level": level
        }  # fmt: skip
        if newdata is not None and is_source(newdata):
            return predicted(newdata, partial(self.predict, interval=interval, **options))
        if interval is None:
            plain = [fit.predict(newdata, **options) for fit in self.fits]
            return pd.concat(plain, axis=1).mean(axis=1).rename("estimate")
        found = [fit.predict(newdata, interval=interval, **options) for fit in self.fits]
        reach = normal_quantile(check_level(level))
        numbers = np.array([one["estimate"] for one in found])
        spreads = np.array([(one["conf_high"] - one["conf_low"]) / (2.0 * reach) for one in found])
        between = (1.0 + 1.0 / len(found)) * numbers.var(axis=0, ddof=1)
        mean, se = numbers.mean(axis=0), np.sqrt((spreads**2).mean(axis=0) + between)
        columns = {
            "estimate": mean, "std_error": se, "conf_low": mean - reach * se,
            "conf_high": mean + reach * se,
        }  # fmt: skip
        return pd.DataFrame(columns, index=found[0].index)


def _residual_note(fit: PooledFit) -> tuple[str, ...]:
    """What is not in the table of variance components."""
    residual = fit.design.residual
    if residual is None:
        return ()
    return (
        f"Residuals: {'; '.join(residual.arguments.texts)}; their parameters are not pooled, see "
        "each of .fits; Residual is where they are of the first stratum or time",
    )


def pooled_fit(fits: Sequence[LmerFit | GlmerFit]) -> PooledFit:
    """Check that fits are of one model and pool them.

    Raises
    ------
    OptionError
        For fewer than two fits, other models, or a mixture of criteria.
    """
    check_same_model(fits)
    return PooledFit(fits=tuple(fits))  # type: ignore[arg-type]
