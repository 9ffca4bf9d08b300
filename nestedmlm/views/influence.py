"""Influence of each case or group on the estimates: what ``fit.influence()`` returns."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.errors import OptionError
from nestedmlm.inference.rows.influence import deletion_distances, standardized_changes
from nestedmlm.views.render.blocks import Block, Table, Text
from nestedmlm.views.render.rformat import format_numbers
from nestedmlm.views.render.view import View, Viewable, blank, note

DIGITS = 4  # significant digits
SHOWN = 10  # rows of the printed table
WHICH = ("fixed", "varcorr")
_HOW = {
    "full": "each by a full refit",
    "one-step": "each by one Newton step in theta",
    "none": "theta held",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Influence(Viewable):
    """Estimates without each case or group, and the distances they make.

    Attributes
    ----------
    by : str
        What was left out: ``"case"``, or the name of the groups.
    refit : {"full", "one-step", "none"}
        What was done about theta.
    asked : int
        How many were to be left out; more than there are here after Ctrl-C.
    fixef, fixef_without : Series (p,), DataFrame (m, p)
        Fixed effects with all rows, and without each; NaN where one cannot be estimated then.
    vcov, vcov_without : (p, p) and (m, p, p) arrays
        Their covariance matrices.
    theta, theta_without : Series, DataFrame
        lme4's covariance parameters.
    varcorr, varcorr_without : Series, DataFrame
        Variances and covariances: ``Subject.(Intercept)``, ``Subject.Days.(Intercept)``, …,
        ``Residual``.
    sigma, sigma_without : float, Series
    converged : Series of bool
        Whether the optimum without each was certified (always True where theta was not optimised).

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    >>> without = fit.influence("Subject", refit="none")
    >>> without.cooks_distance().idxmax()
    '335'
    >>> without.dfbeta().loc["308"].round(3).to_dict()
    {'(Intercept)': 0.424, 'Days': -0.665}
    >>> without.dfbetas().shape, without.to_frame().shape
    ((18, 2), (18, 7))
    """

    by: str
    refit: str
    asked: int
    fixef: pd.Series
    fixef_without: pd.DataFrame
    vcov: FloatArray
    vcov_without: FloatArray
    theta: pd.Series
    theta_without: pd.DataFrame
    varcorr: pd.Series
    varcorr_without: pd.DataFrame
    sigma: float
    sigma_without: pd.Series
    converged: pd.Series

    @property
    def partial(self) -> bool:
        """Whether the run was interrupted."""
        return len(self) < self.asked

    def __len__(self) -> int:
        return len(self.fixef_without)

    def dfbeta(self, which: str = "fixed") -> pd.DataFrame:
        """Estimates without each, minus the estimates with all rows.

        Parameters
        ----------
        which : {"fixed", "varcorr"}
            Of the fixed effects, or of the variances and covariances.

        Raises
        ------
        OptionError
            For an unknown `which`.
        """
        if which not in WHICH:
            raise OptionError(f"which must be one of {', '.join(WHICH)}, not {which!r}")
        if which == "fixed":
            return self.fixef_without - self.fixef
        return self.varcorr_without - self.varcorr

    def dfbetas(self) -> pd.DataFrame:
        """`dfbeta` of the fixed effects over their standard errors without each (as lme4)."""
        d = self.dfbeta()
        values = standardized_changes(d.to_numpy(), self.vcov_without)
        return pd.DataFrame(values, index=d.index, columns=d.columns)

    def cooks_distance(self) -> pd.Series:
        """lme4's Cook's distance: ``(m - p) / (m p) d' vcov^{-1} d`` with m the number left out.

        The factor is that of ``cooks.distance(influence(fit))``; d is `dfbeta`.
        """
        d = self.dfbeta()
        values = deletion_distances(d.to_numpy(), self.vcov)
        return pd.Series(values, index=d.index, name="cooks_distance")

    def to_frame(self) -> pd.DataFrame:
        """One row for each: Cook's distance, the estimates without it, and `converged`.

        Returns
        -------
        DataFrame
            ``cooks_distance``, the fixed effects, the entries of `varcorr`, ``sigma``,
            ``converged``.
        """
        parts = [
            self.cooks_distance(),
            self.fixef_without,
            self.varcorr_without,
            self.sigma_without.rename("sigma"),
            self.converged.rename("converged"),
        ]
        return pd.concat(parts, axis=1)

    def view(self) -> View:
        """Build the document: the most influential ones, with `dfbetas`."""
        frame = pd.concat([self.cooks_distance(), self.dfbetas()], axis=1)
        frame = frame.sort_values("cooks_distance", ascending=False, kind="stable")
        top = frame.head(SHOWN)
        columns = [format_numbers(top[name].to_numpy(), digits=DIGITS) for name in top]
        title = f"Influence of leaving out each {self.by} ({_HOW[self.refit]})"
        blocks: list[Block] = [Text((title,), role="title"), blank()]
        blocks.append(
            Table(
                name="influence",
                frame=frame,
                cells=tuple(zip(*columns, strict=True)),
                rows=tuple(map(str, top.index)),
                columns=("Cook's D", *map(str, self.fixef.index)),
            )
        )
        return View((*blocks, blank(), note(*self._notes())))

    def _notes(self) -> list[str]:
        lines = ["Fixed effects: change in standard errors (dfbetas)."]
        if len(self) > SHOWN:
            lines.append(f"The {SHOWN} most influential of {len(self)}; .to_frame() has all.")
        failed = int((~self.converged).sum())
        if failed:
            lines.append(f"{failed} refits were not certified; see .converged.")
        if self.partial:
            lines.append(f"interrupted: {len(self)} of {self.asked} were left out")
        return lines
