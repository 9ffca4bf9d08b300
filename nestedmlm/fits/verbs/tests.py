"""Degrees of freedom, tests of fixed and random effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nestedmlm.errors import OptionError
from nestedmlm.fits.verbs.effects import coefficient_frame, contest, droppable_tests, term_table
from nestedmlm.fits.verbs.reduction import drop1_likelihood, ranova, step
from nestedmlm.views.anova import anova_table
from nestedmlm.views.summary import summary_view

if TYPE_CHECKING:
    import pandas as pd

    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.views.anova import AnovaResult
    from nestedmlm.views.effect_tests import StepResult, TestTable
    from nestedmlm.views.render.view import View


class TestVerbs:
    """Degrees of freedom, tests of fixed and random effects; mixed into `LmerFit`.

    `ddf` names the method of the denominator degrees of freedom everywhere: ``satterthwaite`` (as
    lmerTest), ``kenward-roger`` (as pbkrtest, but with prior weights), ``residual`` (rows minus
    fixed effects), ``none`` (infinitely many: a normal approximation).
    """

    __slots__ = ()
    __test__ = False  # for pytest: no test case

    def summary(
        self: LmerFit, ddf: str = "satterthwaite", *, correlation: bool | None = None
    ) -> View:
        """Summary in lmerTest's layout as a view; ``.tables`` holds the numbers as DataFrames.

        Parameters
        ----------
        ddf : {"satterthwaite", "kenward-roger", "residual", "none"}
            Method of the t tests; ``none`` gives lme4's own summary, without p-values.
        correlation : bool, optional
            Whether to show the correlations of the fixed effects; by default up to 12 of them.

        Raises
        ------
        OptionError
            For an unknown `ddf`; for ``kenward-roger`` with a fit by maximum likelihood.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
        >>> fit.summary().tables["coefficients"].round(3)
                     Estimate  Std. Error    df  t value  Pr(>|t|)
        (Intercept)   251.405       6.825  17.0   36.838       0.0
        Days           10.467       1.546  17.0    6.771       0.0
        """
        if ddf == "none" or not self.design.p:
            return summary_view(self, correlation=correlation)
        frame, notes = coefficient_frame(self, ddf)
        return summary_view(
            self, correlation=correlation, coefficients=frame, method=ddf, notes=notes
        )

    @property
    def pvalues(self: LmerFit) -> pd.Series:
        """p-values of the fixed effects, Satterthwaite's (those of `summary`)."""
        return coefficient_frame(self, "satterthwaite")[0]["Pr(>|t|)"].rename("p_value")

    def anova(
        self: LmerFit, *, type: str = "III", ddf: str = "satterthwaite"
    ) -> TestTable | AnovaResult:
        """F tests of the terms of the fixed effects, as lmerTest's ``anova``.

        Parameters
        ----------
        type : {"III", "II", "I"}
            Hypotheses: marginal, each given all that do not contain it, sequential (SAS's types).
        ddf : {"satterthwaite", "kenward-roger", "residual", "none"}
            ``none`` gives lme4's sequential sums of squares, without tests.

        Returns
        -------
        TestTable
            ``.table``: Sum Sq, Mean Sq, NumDF, DenDF, F value, Pr(>F); ``.hypotheses``: the
            contrast matrices.

        Raises
        ------
        OptionError

        Examples
        --------
        >>> import nestedmlm as nm
        >>> cake = nm.load_dataset("cake")
        >>> nm.lmer("angle ~ recipe * temperature + (1 | recipe:replicate)", cake).anova()
        Type III Analysis of Variance Table with Satterthwaite's method
                             Sum Sq Mean Sq NumDF DenDF F value Pr(>F)
        recipe                10.19    5.09     2    42  0.2488 0.7809
        temperature         2100.30  420.06     5   210 20.5199 <2e-16 ***
        recipe:temperature   205.98   20.60    10   210  1.0062 0.4393
        ---
        Signif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1
        """
        if ddf == "none":
            return anova_table([self])
        return term_table(self, type=type, ddf=ddf)

    def contest(
        self: LmerFit,
        L: Any,
        rhs: Any = 0.0,
        *,
        joint: bool = True,
        ddf: str = "satterthwaite",
        level: float = 0.95,
    ) -> TestTable:
        """Test contrasts of the fixed effects, as lmerTest's ``contest``.

        Parameters
        ----------
        L : str, sequence of str, mapping, array (p,) or (m, p), Series, DataFrame
            Hypotheses as text (``"ses = 0"``, ``"a1 - a2"``, ``"Days - 10 = 0.5"``; backticks
            around odd names), or numbers for each coefficient; a mapping labels them.
        rhs : float or (m,) array
            Hypothetical values.
        joint : bool
            One F test of all (True), or a t test with a confidence interval for each.
        ddf : {"satterthwaite", "kenward-roger", "residual", "none"}
        level : float
            Of the confidence intervals.

        Returns
        -------
        TestTable
            Estimates are those of the coefficients' part: constants in a text go to the right.

        Raises
        ------
        OptionError

        Examples
        --------
        >>> import nestedmlm as nm
        >>> sleepstudy = nm.load_dataset("sleepstudy")
        >>> fit = nm.lmer("Reaction ~ Days + I(Days^2) + (Days | Subject)", sleepstudy)
        >>> fit.contest(["Days = 0", "I(Days^2) = 0"]).table.iloc[0].round(4).tolist()
        [30974.3817, 15487.1908, 2.0, 51.5631, 23.7544, 0.0]
        >>> fit.contest("10 * Days = 50", joint=False)
                       Estimate Std. Error    df t value  lower  upper Pr(>|t|)
        10 * Days = 50    74.34      28.19 114.4   0.863  18.50 130.18     0.39
        """
        return contest(self, L, rhs, joint=joint, ddf=ddf, level=level)

    def ranova(self: LmerFit, *, reduce_terms: bool = True) -> TestTable:
        """Likelihood-ratio tests of the random effects, as lmerTest's ``ranova``.

        Parameters
        ----------
        reduce_terms : bool
            Take one effect at a time out of terms with several (True), or whole terms.

        Returns
        -------
        TestTable
            ``.formulas`` has the models. REML fits are compared by REML; a model without random
            effects is a linear one.

        Notes
        -----
        The p-values are lmerTest's: chi-squared, hence conservative where a variance of zero is
        tested. `nestedmlm.anova` with ``test="boundary"`` and `nestedmlm.rlrt` do better.

        Raises
        ------
        ModelComparisonError
            If a smaller model has more rows, because of missing values.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
        >>> fit.ranova().table.round(3).iloc[1].tolist()
        [4.0, -893.233, 1794.465, 42.837, 2.0, 0.0]
        """
        return ranova(self, reduce_terms=reduce_terms)

    def drop1(
        self: LmerFit,
        scope: Sequence[str] | None = None,
        *,
        ddf: str = "satterthwaite",
        test: str = "F",
    ) -> TestTable:
        """Test each term of the fixed effects that can be dropped, given all others.

        Parameters
        ----------
        scope : sequence of str, optional
            Some of these terms; by default all that no other term contains.
        ddf : {"satterthwaite", "kenward-roger", "residual", "none"}
        test : {"F", "Chisq"}
            F tests as lmerTest's ``drop1``, or likelihood-ratio tests of models refitted by
            maximum likelihood as lme4's.

        Raises
        ------
        OptionError

        Examples
        --------
        >>> import nestedmlm as nm
        >>> cake = nm.load_dataset("cake")
        >>> fit = nm.lmer("angle ~ recipe * temperature + (1 | recipe:replicate)", cake)
        >>> fit.drop1().table["Pr(>F)"].round(4)
        recipe:temperature    0.4393
        Name: Pr(>F), dtype: float64
        >>> fit.drop1(test="Chisq").table["Pr(Chi)"].round(4)["recipe:temperature"]
        np.float64(0.3953)
        """
        if test not in ("F", "Chisq"):
            raise OptionError(f"test={test!r} is unknown; known: F, Chisq")
        if test == "Chisq":
            return drop1_likelihood(self, scope)
        return droppable_tests(self, ddf, scope)

    def step(
        self: LmerFit,
        *,
        ddf: str = "satterthwaite",
        alpha_random: float = 0.1,
        alpha_fixed: float = 0.05,
        reduce_random: bool = True,
        reduce_fixed: bool = True,
        keep: Sequence[str] = (),
    ) -> StepResult:
        """Backward elimination of random, then of fixed effects, as lmerTest's ``step``.

        Parameters
        ----------
        ddf : {"satterthwaite", "kenward-roger", "residual", "none"}
        alpha_random, alpha_fixed : float
            Terms go while the largest p-value is above these.
        reduce_random, reduce_fixed : bool
            Whether to eliminate anything of that kind.
        keep : sequence of str
            Terms of the fixed effects that stay.

        Returns
        -------
        StepResult
            ``.random``, ``.fixed``: what went, in order, and what stayed; ``.final``: the model.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> cake = nm.load_dataset("cake")
        >>> fit = nm.lmer("angle ~ recipe * temperature + (1 | recipe:replicate)", cake)
        >>> fit.step().final.formula
        'angle ~ temperature + (1 | recipe:replicate)'
        """
        return step(
            self,
            ddf=ddf,
            alpha_random=alpha_random if reduce_random else 1.0,
            alpha_fixed=alpha_fixed if reduce_fixed else 1.0,
            keep=keep,
        )
