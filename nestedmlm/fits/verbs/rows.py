"""Prediction, residuals, influence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm.design.design import Design
from nestedmlm.fits.verbs.leaveout import influence_of
from nestedmlm.inference.rows import prediction
from nestedmlm.inference.rows import residuals as row_residuals

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.views.influence import Influence


def _aligned(design: Design, frame: pd.DataFrame) -> pd.DataFrame:
    """A table of the rows used on the caller's index, as `Design.align` puts a series."""
    index = design.align(np.arange(design.n)).index
    return pd.DataFrame({name: design.align(frame[name]) for name in frame}, index=index)


class RowVerbs:
    """Prediction, residuals, influence; mixed into `LmerFit`."""

    __slots__ = ()

    @property
    def resid(self: LmerFit) -> pd.Series:
        """Response minus fitted values, on the caller's index."""
        return self.residuals()

    def residuals(
        self: LmerFit,
        type: str = "response",
        *,
        which: str = "conditional",
        scaled: bool = False,
        standardized: bool = False,
    ) -> pd.Series:
        """Residuals, on the caller's index.

        Parameters
        ----------
        type : {"response", "working", "pearson", "deviance"}
            Pearson and deviance residuals are multiplied by the square root of the weights; in a
            linear model the first two are the same, and so are the last two.
        which : {"conditional", "marginal"}
            From the fitted values ``X beta + Z b``, or from the population's mean ``X beta``.
        scaled : bool
            Divide by sigma.
        standardized : bool
            Divide by the residual's standard deviation given theta, whatever the type:
            ``sigma sqrt((1 - h) / w)`` for conditional residuals.

        Raises
        ------
        OptionError
            For an unknown type, and for ``"partial"``, which lme4 does not have either.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
        >>> r = fit.residuals("pearson", scaled=True)
        >>> print(round(r.min(), 4), round(r.max(), 4))
        -3.9536 5.1793
        """
        values = row_residuals.residuals(
            self.solution,
            self.design,
            type,
            which=which,
            scaled=scaled,
            standardized=standardized,
        )
        return self.design.align(values).rename("resid")

    def hatvalues(self: LmerFit) -> pd.Series:
        """Leverages given theta: how much each fitted value moves with its own response.

        Returns
        -------
        Series
            The diagonal of H in ``fitted - offset = H (y - offset)``; its sum is the effective
            number of parameters.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
        >>> print(round(fit.hatvalues().sum(), 3))
        17.892
        """
        values = row_residuals.hat_values(self.solution, self.design)
        return self.design.align(values).rename("hat")

    def rstudent(self: LmerFit, *, external: bool = False) -> pd.Series:
        """Studentised residuals ``sqrt(w) e / (sigma sqrt(1 - h))``.

        Parameters
        ----------
        external : bool
            Take sigma from the fit without the row (theta held), exactly and without refitting.
            lme4's ``rstudent`` divides by the sigma of the fit.

        Notes
        -----
        lme4 1.1-31 writes ``sign(r) sqrt(r^2 + h r^2 / (1 - h)) / sigma`` with deviance and
        Pearson residuals r, which in a linear model is the same.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
        >>> print(round(fit.rstudent().iloc[0], 5))
        -1.45598
        """
        df = (self.nobs - self.design.p if self.REML else self.nobs) if external else None
        values = row_residuals.standardized_residuals(self.solution, self.design, df)
        return self.design.align(values).rename("rstudent")

    def cooks_distance(self: LmerFit) -> pd.Series:
        """Cook's distance of each row on all that is fitted, given theta (lme4's).

        Returns
        -------
        Series
            ``(r / (1 - h))^2 h / (sigma^2 p)`` with r the Pearson residual and h the leverage,
            which counts the random effects too (NaN without fixed effects).
            ``influence().cooks_distance()`` is about the fixed effects.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
        >>> print(round(fit.cooks_distance().iloc[0], 5))
        0.12765
        """
        values = row_residuals.cooks_distance(self.solution, self.design)
        return self.design.align(values).rename("cooks_distance")

    def dfbeta(self: LmerFit) -> pd.DataFrame:
        """Fixed effects without each row minus those with it, theta held: exact, no refits.

        Returns
        -------
        DataFrame
            One row for each row of the fit. ``influence(refit="full").dfbeta()`` lets theta move.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
        >>> fit.dfbeta().head(2).round(3)
           (Intercept)   Days
        0        0.917 -0.145
        1        0.791 -0.115
        """
        return _aligned(self.design, self.influence(refit="none").dfbeta())

    def dfbetas(self: LmerFit) -> pd.DataFrame:
        """`dfbeta` over the standard errors without each row (theta held).

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
        >>> fit.dfbetas().head(2).round(3)
           (Intercept)   Days
        0        0.094 -0.179
        1        0.081 -0.143
        """
        return _aligned(self.design, self.influence(refit="none").dfbetas())

    def influence(
        self: LmerFit, groups: Any = None, *, refit: str = "full", progress: bool = True
    ) -> Influence:
        """Estimates without each case, or without each group; a view.

        Parameters
        ----------
        groups : str, list of str or array, optional
            What is left out at a time: a grouping factor (``"schoolid"``), a column of the data,
            columns whose combinations are left out, or one label for each row. Default: each row.
        refit : {"full", "one-step", "none"}
            Refit, starting at the fit's theta (as lme4's ``influence``); move theta by one Newton
            step with the remaining rows' exact gradient; or hold theta, which needs no refit and
            is exact for the fixed effects and sigma given theta.
        progress : bool
            Show a line of progress for long work.

        Returns
        -------
        Influence
            With ``.cooks_distance()``, ``.dfbeta()``, ``.dfbetas()``, ``.to_frame()``.

        Raises
        ------
        OptionError, ColumnNotFoundError, DataError, GroupingError

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
        >>> fit.influence("Subject").cooks_distance().head(2).round(5)
        Subject
        308    0.33921
        309    0.29031
        Name: cooks_distance, dtype: float64
        """
        return influence_of(self, groups, refit=refit, progress=progress)

    def predict(
        self: LmerFit,
        newdata: Any = None,
        *,
        re_form: Any = None,
        new_levels: str = "error",
        se_fit: bool = False,
        interval: str | None = None,
        level: float = 0.95,
        seed: int | None = None,
        offset: Any = None,
        weights: Any = None,
        random_only: bool = False,
        na_action: str = "pass",
    ) -> pd.Series | pd.DataFrame:
        """Predict for new rows (without `newdata`: for the rows of the fit).

        Parameters
        ----------
        newdata : table, optional
            New rows; the response, and the columns of random effects that `re_form` leaves out,
            need not be there.
        re_form : None, False or str
            Which random effects count. None: all. False or ``"~ 0"``: none, the population's
            mean. ``"~ (1 | schoolid)"``: those, matched by grouping factor and column.
        new_levels : {"error", "population", "sample"}
            Unseen (or missing) groups: refuse; random effects of zero; or random effects drawn
            from their distribution, once for each new group.
        se_fit : bool
            Add standard errors.
        interval : {"confidence", "prediction"}, optional
            Add an interval for the expected value, or for a new response.
        level : float
            Probability inside the interval.
        seed : int, optional
            For ``new_levels="sample"``.
        offset : str or array, optional
            A column of `newdata` or one number per row, in place of the argument ``offset`` of the
            fit. Needed where the fit was given an array; a column's name is remembered.
        weights : str or array, optional
            Prior weights of new rows, for ``interval="prediction"`` of a weighted fit; the name
            of the fit's column is remembered.
        random_only : bool
            ``Z b`` alone, without the fixed effects and offsets.
        na_action : {"pass", "omit", "raise"}
            Rows with missing values: predict NaN, leave them out, or refuse.

        Returns
        -------
        Series or DataFrame
            ``prediction``, and if asked ``se, lower, upper``, on the index of `newdata`.

        Raises
        ------
        OptionError
            For unknown choices, for random effects in `re_form` that the model does not have, and
            for a prediction interval that would leave out part of a correlated term.
        NewLevelsError
            For unseen groups with ``new_levels="error"``, and for unseen levels of a fixed factor.
        DataError
            If an offset or weights are needed and missing.

        Notes
        -----
        Standard errors are exact given theta: they use the joint covariance of the estimated
        fixed effects and the random effects (Henderson's mixed-model equations), as lme4's
        ``se.fit`` since 1.1-35. They do not count the uncertainty of theta, and the intervals
        use the normal quantile.

        Where a group is new and its random effects are set to zero, the standard error and both
        intervals count its between-group variance, which lme4 leaves out. A prediction interval
        counts the residual variance, divided by the row's weight, and the variance of the random
        effects that `re_form` leaves out, so that it is one for the response of a group drawn
        anew.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> sleepstudy = nm.load_dataset("sleepstudy")
        >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
        >>> fit.predict(sleepstudy.iloc[[0, 9]], interval="confidence").round(2)
           prediction     se   lower   upper
        0      253.66  12.25  229.64  277.68
        9      430.66  13.86  403.50  457.82
        """
        asked = prediction.Asked(
            re_form=re_form,
            new_levels=new_levels,
            se_fit=se_fit,
            interval=interval,
            level=level,
            seed=seed,
            offset=offset,
            weights=self.model.weights_column if weights is None else weights,
            random_only=random_only,
            na_action=na_action,
        )
        return prediction.predict(self.solution, self.design, newdata, asked=asked)
