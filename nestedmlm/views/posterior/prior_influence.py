"""Influence of the priors: where an estimate and a posterior part, and why, of `Comparison.why`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.bayes.model.distributions import Prior
from nestedmlm.posterior.prior_scales import scaled_prior
from nestedmlm.views.posterior import cells
from nestedmlm.views.render.blocks import Block, Text
from nestedmlm.views.render.view import View, Viewable, blank, note

_CONFLICT = 0.05  # tail probability below which prior and data are said to disagree
_NUMBERS = ("estimate", "mean", "from_averaging", "from_priors")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class PriorInfluence(Viewable):
    """Why the parameters of a posterior differ from those of a fit by likelihood.

    Attributes
    ----------
    table : DataFrame
        By parameter: ``variable, kind``; ``estimate, std_error`` of the fit, ``mean, sd`` of the
        posterior. Their difference in two parts: ``from_averaging``, what a posterior with flat
        priors (drawn anew) has beyond the estimate, because it averages over what the data leave
        open; ``from_priors``, the rest. ``prior_share``: of the posterior's curvature what is the
        priors'. ``conflict``: the probability that the priors give an estimate so far out.
        ``reference, verdict``: the posterior's interval lies above, below or around zero (of
        standard deviations: the estimate). ``narrower, wider``: multiples of the prior's width at
        which that changes, NaN where it does not between ``from`` and ``to``, which were tried.
    priors : dict of str to Prior
        By the posterior's names of the parameters.
    level : float
        Probability inside the intervals.
    method : str
        ``REML`` or ``ML``.
    notes : tuple of str
    conflicting : float
        Value of ``conflict`` below which prior and data are said to disagree.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> tight = {"1|Batch_sigma": nm.Prior("HalfNormal", sigma=5)}
    >>> posterior = fit.sample(priors=tight, sampler="psis", seed=1)
    >>> why = nm.compare(fit, posterior).why(draws=2000, seed=1)
    >>> bool(why.table.loc["sd_(Intercept)|Batch", "conflict"] < 0.05)
    True
    >>> len(why.sentences())
    3
    """

    table: pd.DataFrame
    priors: dict[str, Prior]
    level: float
    method: str
    notes: tuple[str, ...]
    conflicting: float = _CONFLICT

    def to_frame(self) -> pd.DataFrame:
        """The table; a copy."""
        return self.table.copy()

    def sentences(self) -> list[str]:
        """One sentence or two on each parameter."""
        return [self._sentence(row) for _, row in self.table.iterrows()]

    def _sentence(self, row: Any) -> str:
        if row["sd"] == 0.0:
            return f"{row.name} is held at {row['mean']:.6g}."
        said = f"{row.name}: {_share(row['prior_share'])} of the curvature is the priors'"
        if np.isfinite(row["from_priors"]):
            moved = (row["from_priors"] / row["sd"], row["from_averaging"] / row["sd"])
            said += (
                f"; the mean lies {moved[0]:+.2f} SD from the estimate by the priors, "
                f"{moved[1]:+.2f} by averaging"
            )
        if row["conflict"] < self.conflicting:
            said += f"; prior and data disagree (p = {row['conflict']:.2g})"
        return f"{said}.{self._tip(row)}"

    def _tip(self, row: Any) -> str:
        if not row["verdict"]:
            return ""
        around = row["verdict"] == "around"
        what = "0" if row["kind"] in ("fixed", "cor") else f"the {self.method} estimate"
        conclusion = f"contains {what}" if around else f"lies {row['verdict']} {what}"
        prior = self.priors[row["variable"]]
        if scaled_prior(prior, 1.0) is None:
            return f" The interval {conclusion}; {prior} has no width to change."
        ends = [
            f"{where} {scaled_prior(prior, row[where])}"
            for where in ("narrower", "wider")
            if np.isfinite(row[where])
        ]
        if not ends:
            low, high = (scaled_prior(prior, row[end]) for end in ("from", "to"))
            return f" The interval {conclusion} with every prior from {low} to {high}."
        tips = " and with a prior ".join(f"{end.replace(' ', ' than ', 1)}" for end in ends)
        return f" The interval {conclusion}; no longer with a prior {tips}."

    def view(self) -> View:
        """Build the document."""
        columns = {
            "estimate": (self.method, cells.as_is), "mean": ("Mean", cells.as_is),
            "from_averaging": ("averaging", cells.as_is), "from_priors": ("priors", cells.as_is),
            "prior_share": ("share", cells.fixed_point(3)),
            "conflict": ("p", cells.fixed_point(3)),
            "narrower": ("narrower", cells.significant), "wider": ("wider", cells.significant),
        }  # fmt: skip
        shown = cells.by_spread(self.table, _NUMBERS, "sd")
        table = cells.frame_table(
            "influence", self.table, columns, rows=list(self.table.index), shown=shown
        )
        title = f"Where {self.method} and posterior part, and why"
        legend = note(
            "Mean = estimate + averaging + priors. share: of the curvature, the priors'. p: an "
            "estimate so far out under the priors.",
            "narrower, wider: times the prior's width at which the interval moves over 0 (SDs: "
            "over the estimate).",
        )
        blocks: list[Block] = [Text((title,), role="title"), table, legend, blank()]
        return View((*blocks, Text((*self.sentences(), *self.notes))))


def _share(share: float) -> str:
    return f"{100.0 * share:.2g} %" if share >= 0.001 else "less than 0.1 %"
