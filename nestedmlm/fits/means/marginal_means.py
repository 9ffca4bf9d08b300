"""`Emmeans`: marginal means, slopes or contrasts, what `nm.emmeans` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import checked
from nestedmlm.errors import OptionError
from nestedmlm.fits.means.comparisons import (
    compare_means,
    interaction_contrasts,
    on_scale,
    pairs,
    shown_with,
)
from nestedmlm.fits.means.effect_sizes import eff_size
from nestedmlm.fits.means.joint_rows import joint_test
from nestedmlm.fits.means.letter_display import cld
from nestedmlm.fits.means.means_display import MeansDisplay
from nestedmlm.fits.means.regridded import regrid
from nestedmlm.fits.means.tests_and_intervals import conf_int, test
from nestedmlm.inference.effects.curve_coefficients import mean_method
from nestedmlm.inference.effects.ddf import DfMethod
from nestedmlm.inference.effects.df_record import ClusterRobust
from nestedmlm.inference.fitted import Fitted, PooledFitted
from nestedmlm.inference.means.null_hypothesis import (
    ZERO,
    NullHypothesis,
)
from nestedmlm.inference.means.response_scale import ResponseScale
from nestedmlm.inference.means.simultaneous import LinearFunctions, simultaneous_table, split_rows
from nestedmlm.posterior.linear_functions import CoefficientDraws
from nestedmlm.views.means import MarginalTable
from nestedmlm.views.render.view import Viewable


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Emmeans(MeansDisplay, Viewable):
    """Linear functions of the fixed effects with labels; prints as R's emmeans.

    Attributes
    ----------
    labels : DataFrame
        The variables (or the names of contrasts) of each row.
    L : (r, p + q) array
        Coefficients of the fixed effects, and of the penalised functions of smooth curves (none
        where there are no curves); NaN where the model cannot tell.
    offset : (r,) array
        Added to the estimates.
    fitted : Fitted, PooledFitted or None
        The fit; None for a posterior.
    ddf : DfMethod or CoefficientDraws
        Method of degrees of freedom, or draws of a posterior.
    by : tuple of str
        Columns of `labels` that split the rows into families.
    name : str
        What an estimate is called in print: ``emmean``, ``estimate``, ``Days.trend``.
    level : float
        Confidence level.
    adjust : str
        Adjustment for the number of rows of a family.
    pairwise : bool
        Whether the rows of a family are all pairwise differences of some means.
    means : tuple of float
        How many means are compared, for each family.
    intervals, tests : bool
        What is printed.
    averaged : tuple of str
        Variables averaged over.
    notes : tuple of str
        More lines below the table.
    scale : ResponseScale or None
        Of a generalized model: link or response.
    contrasts : tuple of str
        Columns of `labels` that hold names of contrasts.
    hypothesis : NullHypothesis
        What the rows are tested against.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> cake = nm.load_dataset("cake")
    >>> fit = nm.lmer("angle ~ recipe + temperature + (1 | recipe:replicate)", cake)
    >>> means = nm.emmeans(fit, "recipe")
    >>> means.conf_int(0.9).to_frame()[["recipe", "conf_low", "conf_high"]].round(1)
      recipe  conf_low  conf_high
    0      A      30.2       36.0
    1      B      28.7       34.6
    2      C      28.7       34.5
    >>> means.pairs().test(adjust="holm").to_frame()["p_value"].round(3).tolist()
    [1.0, 1.0, 1.0]
    >>> means.vcov().shape
    (3, 3)
    """

    labels: pd.DataFrame
    L: FloatArray
    offset: FloatArray
    fitted: Fitted | PooledFitted | None
    ddf: DfMethod | CoefficientDraws
    by: tuple[str, ...]
    name: str
    level: float
    adjust: str = "none"
    pairwise: bool = False
    means: tuple[float, ...]
    intervals: bool = True
    tests: bool = False
    averaged: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    scale: ResponseScale | None = None
    contrasts: tuple[str, ...] = ()
    hypothesis: NullHypothesis = ZERO

    def __reduce__(self) -> tuple[Any, ...]:
        if isinstance(self.ddf, CoefficientDraws):
            whole = {f.name: getattr(self, f.name) for f in fields(self)}
            return _made, (whole,)
        # the method holds functions: it is made again where it is unpickled
        state = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "ddf"}
        return _restored, (state, self.ddf.method, self.ddf.vcov)

    # --- numbers -------------------------------------------------------------------------------
    def to_frame(self) -> pd.DataFrame:
        """Labels, ``estimate, std_error, df, statistic, p_value, conf_low, conf_high``.

        Returns
        -------
        DataFrame
            Intervals and p-values are adjusted as `adjust` says, within each family; the tests
            are of zero (of a ratio, of one) unless `test` was given another hypothesis. Rows that
            cannot be estimated are NaN. Of a posterior: ``estimate, std_error, conf_low,
            conf_high`` (mean, standard deviation, equal-tailed interval) and ``probability`` of
            being above zero, or of the alternative.
        """
        families = split_rows(self.labels, self.by)
        if isinstance(self.ddf, CoefficientDraws):
            own = self.ddf.table(
                self.L,
                self.offset,
                level=self.level,
                shown=self._shown_draws,
                hypothesis=self.hypothesis,
                families=families,
            )
            return pd.concat([self._labels(), own], axis=1)
        functions = LinearFunctions(
            L=self.L,
            offset=self.offset,
            families=families,
            means=self.means,
        )
        numbers = simultaneous_table(
            functions, self.ddf, level=self.level, adjust=self.adjust, hypothesis=self.hypothesis
        )
        if self.scale is not None:
            numbers = self.scale.transformed(numbers)
        return pd.concat([self._labels(), numbers], axis=1)

    def _labels(self) -> pd.DataFrame:
        """Labels of the rows; those of ratios have a slash."""
        labels = self.labels
        if self.scale is None or not self.scale.ratios:
            return labels
        return labels.assign(**{n: labels[n].map(self.scale.label) for n in self.contrasts})

    def _shown_draws(self, eta: FloatArray) -> FloatArray:
        """Draws on the scale that is shown."""
        return eta if self.scale is None else self.scale.shown(eta)

    def vcov(self) -> FloatArray:
        """Covariance matrix of the estimates, (r, r)."""
        return self.L @ self.ddf.cov @ self.L.T

    # --- contrasts -----------------------------------------------------------------------------
    @checked
    def contrast(
        self,
        method: str | Mapping[str, Sequence[float]] = "eff",
        *,
        adjust: str | None = None,
        by: str | Sequence[str] | None = None,
        ref: Any = None,
        reverse: bool = False,
        interaction: bool | str | Sequence[Any] | Mapping[str, Any] = False,
        type: str | None = None,
        infer: bool | Sequence[bool] | None = None,
    ) -> Emmeans:
        """Compare the rows of each family.

        Parameters
        ----------
        method : str or mapping
            ``pairwise, revpairwise, trt.vs.ctrl, trt.vs.ctrlk, consec, eff, del.eff, mean.chg,
            poly, identity``, or coefficients by name: ``{"A against the rest": [1, -.5, -.5]}``.
        adjust : str, optional
            ``none, tukey, holm, hochberg, bonferroni, sidak, fdr, scheffe, dunnettx, mvt``; by
            default what goes with the method in R's emmeans.
        by : str or sequence of str, optional
            Compare within each combination of these; by default as the means were made.
        ref : str or int, optional
            The control of ``trt.vs.ctrl``, by label or position.
        reverse : bool
            Change the sign of every difference.
        interaction : bool, str, sequence or mapping
            Contrasts of contrasts: a method for each variable, one after another (``"pairwise"``
            for all, ``["pairwise", "poly"]``, ``{"recipe": "consec", "temp": "poly"}``; True: the
            `method`). They are not adjusted unless asked for, as in R's emmeans.
        type : {"link", "response"}, optional
            Scale of a generalized model's contrasts; by default as the means were made. With
            ``"response"`` differences of logits are odds ratios, and of logarithms ratios.
        infer : bool or pair of bool, optional
            Whether intervals and tests are printed: ``True`` for both, ``(True, False)`` for
            intervals alone; by default tests.

        Returns
        -------
        Emmeans

        Raises
        ------
        OptionError
            For an unknown method, adjustment, control, variable, type or kind of inference.

        Notes
        -----
        A family is what stands under one heading. R's emmeans takes all comparisons of a nested
        factor together where they are made within the levels of the factors around it.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("angle ~ recipe + temp + (1 | recipe:replicate)", nm.load_dataset("cake"))
        >>> nm.emmeans(fit, "recipe").contrast({"A - rest": [1, -0.5, -0.5]})
         contrast estimate   SE df t.ratio p.value
         A - rest      1.5 2.13 42   0.705  0.4846
        <BLANKLINE>
        Degrees-of-freedom method: kenward-roger

        Does the slope of temperature differ between recipes?

        >>> both = nm.lmer("angle ~ recipe * temp + (1 | recipe:replicate)",
        ...                nm.load_dataset("cake"))
        >>> means = nm.emmeans(both, ["recipe", "temp"], at={"temp": [180, 200]})
        >>> means.contrast(interaction="pairwise")
         recipe_pairwise temp_pairwise estimate    SE  df t.ratio p.value
         A - B           180 - 200       0.2171 0.798 222   0.272  0.7857
         A - C           180 - 200       0.0419 0.798 222   0.053  0.9582
         B - C           180 - 200      -0.1752 0.798 222  -0.220  0.8264
        <BLANKLINE>
        Degrees-of-freedom method: kenward-roger
        """
        groups = self._groups(by)
        means = self if type is None else on_scale(self, type)
        if interaction is not False:
            asked = method if interaction is True else interaction
            found = interaction_contrasts(means, asked, by=groups, adjust=adjust, reverse=reverse)
        else:
            found = compare_means(means, method, by=groups, adjust=adjust, ref=ref, reverse=reverse)
        return shown_with(found, infer)

    pairs = pairs
    eff_size = eff_size
    joint_test = joint_test
    cld = cld
    regrid = regrid

    # --- what is printed -----------------------------------------------------------------------
    conf_int = conf_int
    test = test

    def draws(self) -> FloatArray:
        """Draws of every row of a posterior, (S, r).

        Raises
        ------
        OptionError
            For a fit by likelihood, which has none.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> model = nm.Model("angle ~ recipe + (1 | recipe:replicate)", nm.load_dataset("cake"))
        >>> posterior = model.sample(sampler="psis", draws=250, seed=1)
        >>> nm.emmeans(posterior, "recipe").draws().shape
        (1000, 3)
        """
        if not isinstance(self.ddf, CoefficientDraws):
            raise OptionError("a fit by likelihood has no draws: sample its posterior (sample())")
        return self._shown_draws(self.ddf.of(self.L, self.offset))

    def _groups(self, by: str | Sequence[str] | None) -> tuple[str, ...]:
        """Columns within whose values rows are compared."""
        if by is None:
            return self.by
        groups = (by,) if isinstance(by, str) else tuple(by)
        unknown = [name for name in groups if name not in self.labels]
        if unknown:
            raise OptionError(f"by={', '.join(unknown)}: the columns are {', '.join(self.labels)}")
        return groups

    @property
    def table(self) -> MarginalTable:
        """What `view` prints: numbers, labels and notes."""
        return MarginalTable(
            frame=self.to_frame(),
            labels=tuple(map(str, self.labels)),
            by=self.by,
            blocks=split_rows(self.labels, self.by),
            means=self.means,
            name=self.name if self.scale is None else self.scale.name(self.name),
            level=self.level,
            adjust=self.adjust,
            ddf=self.ddf.method,
            rank=int(np.linalg.matrix_rank(np.nan_to_num(self.L))),
            intervals=self.intervals,
            tests=self.tests,
            averaged=self.averaged,
            notes=(*self.ddf.notes, *self._hypothesis_notes(), *self.notes, *self._scale_notes()),
            null=self._null(),
            ratios=self.scale is not None and self.scale.ratios,
            hypothesis=self.hypothesis,
            contrasts=bool(self.contrasts),
        )

    def _null(self) -> tuple[float, ...] | None:
        """Tested values of the rows, as they are shown; None where all are zero."""
        values = np.zeros(len(self.labels))
        for rows in split_rows(self.labels, self.by):
            values[rows] = self.hypothesis.values(len(rows))
        shown = values if self.scale is None else self.scale.null(values)
        return tuple(shown.tolist()) if np.any(shown != 0.0) else None

    def _hypothesis_notes(self) -> tuple[str, ...]:
        posterior = isinstance(self.ddf, CoefficientDraws)
        return self.hypothesis.notes() if self.tests and not posterior else ()

    def _scale_notes(self) -> tuple[str, ...]:
        if self.scale is None:
            return ()
        if isinstance(self.ddf, CoefficientDraws) and self.scale.moved:
            return ()  # every draw is on the scale that is shown
        return self.scale.notes(intervals=self.intervals, tests=self.tests)


def _made(state: dict[str, Any]) -> Emmeans:
    return Emmeans(**state)


def _restored(state: dict[str, Any], method: str, vcov: ClusterRobust | None) -> Emmeans:
    return Emmeans(**state, ddf=mean_method(state["fitted"], method, vcov))
