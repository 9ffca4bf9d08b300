"""Why a fit is singular and what to fit instead: a report that recommends only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nestedmlm.fits.singularity.steps import Collapse
from nestedmlm.inference.variances.identification import Confounding
from nestedmlm.views.render.blocks import Block, Table, Text
from nestedmlm.views.render.view import View, Viewable, blank

FEW_ROWS = 3  # rows per level and effect below which a report says that they are few


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """A simpler model worth fitting.

    Attributes
    ----------
    formula : str
        The whole formula.
    change : str
        What is different.
    mixed : bool
        Whether random effects are left; without any it is an ordinary regression.
    """

    formula: str
    change: str
    mixed: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TermDiagnosis:
    """Finding on one random-effects term: its rank, and what to fit instead.

    Attributes
    ----------
    name, group, text : str
        VarCorr name, grouping factor and text of the term.
    collapse : Collapse
        Rank and what has collapsed.
    finding : str
        The same in words; empty for a term of full rank.
    groups : int
        Number of levels.
    rows_min, rows_median, rows_mean : float
        Rows per level.
    next : tuple of Recommendation
        Simpler models, in the order in which to try them.
    """

    name: str
    group: str
    text: str
    collapse: Collapse
    finding: str
    groups: int
    rows_min: int
    rows_median: float
    rows_mean: float
    next: tuple[Recommendation, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Diagnosis(Viewable):
    """Report on the random effects of a fit.

    Attributes
    ----------
    formula : str
        As the fit prints it.
    terms : tuple of TermDiagnosis
        In the order of VarCorr.
    restarting : tuple of str
        Grouping factors whose ids restart in each level of another one, in words.
    reread : tuple of Recommendation
        The models in which those are different groups.
    confounded : tuple of Confounding
        Random effects that the data cannot tell apart.
    same : tuple of Recommendation
        The same model without what is redundant in it.
    growing : tuple of str
        Random effects of a binomial model whose standard deviation grows without bound, in words.
    rest : str
        What the model is without random effects.
    """

    formula: str
    terms: tuple[TermDiagnosis, ...]
    restarting: tuple[str, ...] = ()
    reread: tuple[Recommendation, ...] = ()
    confounded: tuple[Confounding, ...] = ()
    same: tuple[Recommendation, ...] = ()
    growing: tuple[str, ...] = ()
    rest: str = "an ordinary regression"

    @property
    def singular(self) -> bool:
        """Whether any term is."""
        return any(term.collapse.singular for term in self.terms)

    @property
    def next(self) -> tuple[Recommendation, ...]:
        """Models worth fitting next, in order.

        First those that read ids that restart as different groups; then the same model without
        what is redundant; without any, the steps for the most complex singular term.
        """
        if self.reread or self.same:
            return self.reread or self.same
        candidates = [term for term in self.terms if term.next]
        if not candidates:
            return ()
        # ties: the term with fewest rows behind each of its groups
        return max(candidates, key=lambda t: (len(t.collapse.columns), -t.rows_mean)).next

    @property
    def table(self) -> pd.DataFrame:
        """One row per term: dimension, rank, rows per group, finding, next formula."""
        return pd.DataFrame(
            {
                "term": [t.name for t in self.terms],
                "group": [t.group for t in self.terms],
                "effects": [", ".join(t.collapse.columns) for t in self.terms],
                "dim": [len(t.collapse.columns) for t in self.terms],
                "rank": [t.collapse.rank for t in self.terms],
                "singular": [t.collapse.singular for t in self.terms],
                "finding": [t.finding for t in self.terms],
                "groups": [t.groups for t in self.terms],
                "rows_min": [t.rows_min for t in self.terms],
                "rows_median": [t.rows_median for t in self.terms],
                "rows_mean": [t.rows_mean for t in self.terms],
                "next": [t.next[0].formula if t.next else "" for t in self.terms],
            }
        )

    def view(self) -> View:
        """Build the document."""
        verdict = "singular" if self.singular else "not singular"
        blocks: list[Block] = [
            Text((f"Singularity diagnosis: the fit is {verdict}",), role="title"),
            Text((f"Formula: {self.formula}",)),
            blank(),
            _rank_table(self),
        ]
        for term in self.terms:
            if term.collapse.singular:
                blocks += [blank(), *_explanation(term)]
        if self.confounded:
            said = [f"{one.message[0].upper()}{one.message[1:]}." for one in self.confounded]
            blocks += [blank(), Text(tuple(said))]
        for one in self.growing:
            blocks += [blank(), Text((f"{one[0].upper()}{one[1:]}.",))]
        if self.restarting:
            blocks += [blank(), Text(self.restarting)]
        return View((*blocks, *_recommendations(self)))


def _rank_table(diagnosis: Diagnosis) -> Table:
    frame = diagnosis.table
    columns = [
        frame["term"],
        frame["effects"],
        [f"{r} of {d}" for r, d in zip(frame["rank"], frame["dim"], strict=True)],
        map(str, frame["groups"]),
        map(str, frame["rows_min"]),
        [f"{rows:g}" for rows in frame["rows_median"]],
        [f"{rows:.1f}" for rows in frame["rows_mean"]],
    ]
    return Table(
        name="diagnosis",
        frame=frame,
        cells=tuple(zip(*columns, strict=True)),
        rows=("",) * len(frame),
        columns=("Term", "Effects", "Rank", "Groups", "Rows: min", "median", "mean"),
        right=False,
        numeric=(3, 4, 5, 6),
    )


_MEANINGS = {
    "correlation": (
        "Two effects that are perfectly correlated are one: where a group stands on the first\n"
        "fixes where it stands on the second, and the covariance matrix is short of full rank."
    ),
    "zero": "The groups show no more variation in it than chance differences between rows explain.",
    "zeros": (
        "The groups show no more variation in them than chance differences between rows explain."
    ),
    "combination": (
        "Its effects do not vary in as many independent directions as the covariance matrix allows."
    ),
}


_STRAIGHT = "The curve is a straight line: the data show no bend that chance does not explain."
_BENT_BESIDE = "Another curve of the same s() bends, so it stays. The fit can be used as it is."


def _meaning(term: TermDiagnosis) -> str:
    zeros = int(np.sum(term.collapse.zero))
    if zeros:
        return _MEANINGS["zero" if zeros == 1 else "zeros"]
    perfect = "correlation" in term.finding
    return _MEANINGS["correlation" if perfect else "combination"]


def _explanation(term: TermDiagnosis) -> list[Block]:
    k = len(term.collapse.columns)
    if term.groups == 1:  # of a curve of all data: a grouping factor has two levels or more
        straight = [f"{term.name}: {term.finding} (rank {term.collapse.rank} of {k}).", _STRAIGHT]
        return [Text(tuple(straight if term.next else [*straight, _BENT_BESIDE]))]
    rows = f"{term.rows_mean:.1f} rows on average" if term.rows_mean != 1 else "a single row"
    lines = [f"{term.name}: {term.finding} (rank {term.collapse.rank} of {k})."]
    lines += _meaning(term).split("\n")
    lines.append(f"Each of the {term.groups} levels of {term.group} holds {rows}.")
    if k > 1 and term.rows_mean < FEW_ROWS * k:
        lines.append(f"So few rows per level can hardly tell {k} effects of one level apart.")
    if not term.next:
        lines += [
            "No simpler term is recommended: other effects that vary across the same groups build",
            "on what has collapsed. The fit can be used as it is.",
        ]
    return [Text(tuple(lines))]


def _recommendations(diagnosis: Diagnosis) -> list[Block]:
    if not diagnosis.next:
        return []
    lines = []
    for number, item in enumerate(diagnosis.next, start=1):
        lead = "" if number == 1 else "if that is singular too, "
        kind = "" if item.mixed else f" ({diagnosis.rest}: no random effects are left)"
        lines += [f"{number}. {lead}{item.change}{kind}:", f"     {item.formula}"]
    blocks: list[Block] = [
        blank(),
        Text(("Worth fitting next:",), role="heading"),
        Text(tuple(lines)),
    ]
    if diagnosis.next[0].mixed and (diagnosis.singular or diagnosis.same):
        hint = "fit.simplify() refits along this path until a fit is not singular."
        blocks.append(Text((hint,), role="note"))
    return blocks
