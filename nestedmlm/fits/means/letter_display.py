"""`Emmeans.cld`: means with letters that those share which do not differ."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm.arguments import checked
from nestedmlm.errors import OptionError
from nestedmlm.fits.means.means_display import MeansDisplay
from nestedmlm.inference.means.letters import compact_letters
from nestedmlm.inference.means.simultaneous import split_rows
from nestedmlm.posterior.linear_functions import CoefficientDraws
from nestedmlm.views.means import MarginalTable, adjustment_note
from nestedmlm.views.render.view import Viewable

if TYPE_CHECKING:
    from nestedmlm.fits.means.marginal_means import Emmeans

_SHARED = (
    "NOTE: means that share a letter were not shown to differ; they were not shown to be the same"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class LetterDisplay(MeansDisplay, Viewable):
    """Means with their compact letter display, in order of size.

    Attributes
    ----------
    alpha : float
        Level of the pairwise tests.
    adjust : str
        Their adjustment.
    table : MarginalTable
        What is printed.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("angle ~ recipe + (1 | recipe:replicate)", nm.load_dataset("cake"))
    >>> nm.emmeans(fit, "recipe").cld().to_frame()["letters"].unique().tolist()
    ['a']
    """

    alpha: float
    adjust: str
    table: MarginalTable


@checked
def cld(
    means: Emmeans, *, alpha: float = 0.05, adjust: str | None = None, reverse: bool = False
) -> LetterDisplay:
    """Compact letter display: means that share a letter are not significantly different.

    Parameters
    ----------
    alpha : float
        Level of the pairwise tests.
    adjust : str, optional
        Their adjustment: ``tukey`` (the default), ``holm``, ``none``, …, see `Emmeans.pairs`.
    reverse : bool
        Begin with the largest mean.

    Returns
    -------
    LetterDisplay
        Within each family of means its own letters.

    Raises
    ------
    OptionError
        For a posterior, which has no tests, and for an unknown adjustment.

    Notes
    -----
    Piepho (2004); R's ``multcomp::cld(emmeans(...), Letters = letters)``. A letter display says
    where differences were found, not how large they are: `Emmeans.pairs` has their intervals.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("angle ~ temperature + (1 | recipe:replicate)", nm.load_dataset("cake"))
    >>> nm.emmeans(fit, "temperature").cld()
     temperature emmean   SE   df lower.CL upper.CL .group
     175           28.0 1.16 82.5     25.7     30.3 a
     185           30.0 1.16 82.5     27.6     32.3 ab
     195           31.4 1.16 82.5     29.1     33.7  b
     205           32.2 1.16 82.5     29.9     34.5  b
     225           35.4 1.16 82.5     33.0     37.7   c
     215           35.8 1.16 82.5     33.5     38.2   c
    <BLANKLINE>
    Degrees-of-freedom method: kenward-roger
    Confidence level used: 0.95
    P value adjustment: tukey method for comparing a family of 6 estimates
    significance level used: alpha = 0.05
    NOTE: means that share a letter were not shown to differ; they were not shown to be the same
    """
    if isinstance(means.ddf, CoefficientDraws):
        raise OptionError(
            "letters sort by tests, and a posterior has none: pairs() has the probability that a "
            "mean is above another, draws() what else can be said of all"
        )
    pairs = means.pairs(adjust=adjust)
    tested = pairs.table
    frame = means.to_frame()
    order, letters = [], []
    blocks = split_rows(means.labels, means.by)
    tests = split_rows(pairs.labels, pairs.by)
    p_values = tested.frame["p_value"].to_numpy()
    for rows, own in zip(blocks, tests, strict=True):
        place = _by_size(frame["estimate"].to_numpy()[rows], reverse=reverse)
        order.append(rows[place])
        letters += _letters(frame["estimate"].to_numpy()[rows], p_values[own], place, alpha)
    sorted_frame = frame.iloc[np.concatenate(order)].reset_index(drop=True)
    base = replace(means, intervals=True, tests=False).table
    table = replace(
        base,
        frame=sorted_frame.assign(letters=[text.replace(" ", "") for text in letters]),
        blocks=split_rows(sorted_frame, means.by),
        letters=tuple(letters),
        notes=(
            *base.notes,
            *adjustment_note(tested),
            f"significance level used: alpha = {alpha:g}",
            _SHARED,
        ),
    )
    return LetterDisplay(alpha=alpha, adjust=pairs.adjust, table=table)


def _by_size(estimate: np.ndarray, *, reverse: bool) -> np.ndarray:
    """Places in order of size; what cannot be estimated comes last."""
    return np.argsort(-estimate if reverse else estimate, kind="stable")


def _letters(
    estimate: np.ndarray, p_value: np.ndarray, place: np.ndarray, alpha: float
) -> list[str]:
    """Letters in the order of `place`, each in a column of its own; none for NaN."""
    n = int(np.sum(~np.isnan(estimate)))
    rank = np.argsort(place).tolist()
    pairs = combinations(range(len(place)), 2)
    tests = zip(pairs, p_value < alpha, strict=False)  # of one mean there is a row that says so
    different = [sorted((rank[i], rank[j])) for (i, j), differ in tests if differ]
    return [*compact_letters(n, [(i, j) for i, j in different]), *[""] * (len(place) - n)]
