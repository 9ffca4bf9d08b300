"""`fit.bootstrap`: replicates of statistics of a fit, and what follows from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nestedmlm.arguments import check_level, checked
from nestedmlm.errors import OptionError
from nestedmlm.fits.plain_only import refuse_known_sigma
from nestedmlm.fits.simulation.statistics import (
    Fun,
    leave_one_out,
)
from nestedmlm.inference.resampling.bootstrap_intervals import KINDS, acceleration, interval
from nestedmlm.inference.resampling.resampling import top_factor
from nestedmlm.views.render.blocks import Block, Table, Text
from nestedmlm.views.render.rformat import format_numbers
from nestedmlm.views.render.view import View, Viewable, blank, note

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit

_DIGITS = 4  # significant digits of the print


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Bootstrap(Viewable):
    """Replicates of statistics of a fit; prints estimate, bias and standard error.

    Attributes
    ----------
    t0 : Series
        The statistics of the fit.
    t : DataFrame, shape (replicates, statistics)
        NaN in the rows of replicates that failed.
    type : str
    nsim : int
        Replicates asked for.
    seed : int
        Repeats them (also where none was given).
    failures : Series of str
        Why replicates failed, by their number.
    messages : mapping of str to int
        What was said about refits, and how often: ``{"boundary (singular) fit": 5}``.
    partial : bool
        Whether the run was interrupted.
    fit : LmerFit
    fun : callable or None
    by : str or None
        Factor whose groups are resampled or left out.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> boot = fit.bootstrap(50, seed=1, progress=False)
    >>> boot.conf_int("basic").columns.tolist()
    ['conf_low', 'conf_high']
    >>> boot.to_frame().columns.tolist()
    ['estimate', 'bias', 'std_error', 'median', 'replicates']
    >>> boot.summary().to_frame().index.tolist()
    ['(Intercept)', 'sd_(Intercept)|Batch', 'sigma']
    """

    t0: pd.Series
    t: pd.DataFrame
    type: str
    nsim: int
    seed: int
    failures: pd.Series
    messages: Mapping[str, int]
    partial: bool
    fit: LmerFit
    fun: Fun | None
    by: str | None

    @checked
    def conf_int(
        self, kind: str = "perc", level: float = 0.95, *, by: str | None = None
    ) -> pd.DataFrame:
        """Confidence intervals from the replicates.

        Parameters
        ----------
        kind : {"perc", "basic", "norm", "bca"}
            ``bca`` refits the model with each group of the top-level factor left out.
        level : float
        by : str, optional
            The factor whose groups are left out, where factors are crossed.

        Returns
        -------
        DataFrame
            ``conf_low, conf_high``, one row for each statistic. Replicates that failed are left
            out.

        Raises
        ------
        OptionError
            For an unknown kind of interval, or a level that is not between 0 and 1.
        ResidualStructureError
            For ``bca`` of a known sigma, or where residuals correlate across those groups.

        Notes
        -----
        The conventions are those of R's ``boot::boot.ci``.
        """
        if kind not in KINDS:
            raise OptionError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
        check_level(level)
        a = self._acceleration(by) if kind == "bca" else np.zeros(len(self.t0))
        rows = [
            interval(t, t0, kind=kind, level=level, acceleration=one)
            for t, t0, one in zip(self.t.to_numpy().T, self.t0.tolist(), a.tolist(), strict=True)
        ]
        return pd.DataFrame(
            rows, index=self.t0.index.rename("term"), columns=["conf_low", "conf_high"]
        )

    def to_frame(self) -> pd.DataFrame:
        """Numbers of the summary: ``estimate, bias, std_error, median, replicates``."""
        finite = self.t.where(np.isfinite(self.t))
        return pd.DataFrame(
            {
                "estimate": self.t0,
                "bias": finite.mean() - self.t0,
                "std_error": finite.std(ddof=1),
                "median": finite.median(),
                "replicates": finite.notna().sum(),
            }
        ).rename_axis("term")

    def summary(self) -> View:
        """Estimate, bias and standard error of each statistic, and what was said; a view."""
        return self.view()

    def view(self) -> View:
        """Build the document."""
        frame = self.to_frame()
        columns = ("original", "bias", "std. error")
        values = frame[["estimate", "bias", "std_error"]].to_numpy(dtype=float)
        cells = [
            [text for value in row for text in format_numbers([value], digits=_DIGITS, na="NA")]
            for row in values
        ]
        table = Table(
            name="bootstrap",
            frame=frame,
            cells=tuple(map(tuple, cells)),
            rows=tuple(map(str, frame.index)),
            columns=columns,
        )
        what = f"{_TITLES[self.type]}, {len(self.t)} replicates"
        blocks: list[Block] = [
            Text((what,), role="title"),
            Text((f"Formula: {self.fit.formula}",)),
            blank(),
            table,
        ]
        said = self._said()
        return View((*blocks, blank(), note(*said)) if said else tuple(blocks))

    def _said(self) -> list[str]:
        said = [f"{count} message(s): {text}" for text, count in self.messages.items()]
        said += [f"{count} failure(s): {text}" for text, count in Counter(self.failures).items()]
        unknown = self.t.isna().sum() - len(self.failures)
        said += [
            f"{name}: undefined in {count} replicate(s), which are left out"
            for name, count in unknown[unknown > 0].items()
        ]
        if self.partial:
            said.append(f"interrupted: {len(self.t)} of {self.nsim} replicates")
        return said

    def _acceleration(self, by: str | None) -> np.ndarray:
        refuse_known_sigma(self.fit, "an interval of kind 'bca'", "kind='perc' is")
        factor = top_factor(self.fit.design, by or self.by)
        left_out = leave_one_out(self.fit, factor, self.fun, len(self.t0))
        return np.array([acceleration(column) for column in left_out.T])


_TITLES = {
    "parametric": "Parametric bootstrap",
    "semiparametric": "Semiparametric bootstrap",
    "residual": "Residual bootstrap",
    "cases": "Cases bootstrap",
}
