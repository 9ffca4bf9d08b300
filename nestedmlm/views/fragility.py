"""Fragility of a conclusion: what ``fit.fragility()`` returns."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from nestedmlm.views.render.blocks import Block, Table, Text
from nestedmlm.views.render.rformat import format_numbers, format_pvalues
from nestedmlm.views.render.view import View, Viewable, blank, note

DIGITS = 4  # significant digits
SHOWN = 8  # groups named in a line


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Fragility(Viewable):
    """Fragility of a conclusion: how few groups (or rows) carry it.

    Attributes
    ----------
    what : str
        The hypothesis, or the two models compared.
    by : str
        What was left out: ``"case"``, or the name of the groups.
    level : float
        Confidence level: significant is a p-value below ``1 - level``.
    rhs : float
        Hypothetical value.
    all_rows : Series
        ``estimate, std_error, df, statistic, p_value`` with all rows.
    changes : DataFrame
        One row for each change of the conclusion: ``n_groups`` (how many groups left out together
        bring it about; missing where no set was found), ``groups`` (their labels), and the columns
        of `all_rows` without them.
    without : DataFrame
        Without each group: the columns of `all_rows`; ``changes`` (whether that alone changes
        significance or sign), ``refitted`` (otherwise the covariances were held), ``converged``.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> found = fit.fragility("Days", by="Subject", progress=False)
    >>> found.changes["n_groups"].tolist()
    [<NA>, <NA>, <NA>]
    >>> bool(found.without["p_value"].max() < 0.001)
    True
    """

    what: str
    by: str
    level: float
    rhs: float
    all_rows: pd.Series
    changes: pd.DataFrame
    without: pd.DataFrame

    @property
    def n_groups(self) -> int:
        """How many groups there are."""
        return len(self.without)

    def to_frame(self) -> pd.DataFrame:
        """Return the table of changes: `changes`."""
        return self.changes.copy()

    def sentence(self) -> str:
        """Say in one sentence how few groups the conclusion rests on.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
        >>> fit.fragility("Days", by="Subject", progress=False).sentence()
        'Days: no set of up to 9 of the 18 groups of Subject was found without which it is no \
longer significant.'
        """
        first = self.changes.iloc[0]
        groups = "rows" if self.by == "case" else f"groups of {self.by}"
        if pd.isna(first["n_groups"]):
            return (
                f"{self.what}: no set of up to {self.n_groups // 2} of the {self.n_groups} {groups}"
                f" was found without which it {self.changes.index[0]}."
            )
        p = format_pvalues([first["p_value"]], digits=2)[0]
        equal = "" if p.startswith("<") else "= "
        return (
            f"{self.what}: without {first['n_groups']} of the {self.n_groups} {groups} "
            f"({_listed(first['groups'])}) it {self.changes.index[0]} (p {equal}{p})."
        )

    def view(self) -> View:
        """Build the document: the sentence, the changes, and single groups that are enough."""
        frame = self.changes
        numbers = ["statistic"] if pd.isna(self.all_rows["estimate"]) else ["estimate", "std_error"]
        columns = [
            ["none" if pd.isna(n) else str(n) for n in frame["n_groups"]],
            *(format_numbers(frame[name].to_numpy(), digits=DIGITS) for name in numbers),
            format_pvalues(frame["p_value"].to_numpy(), digits=2),
            [_listed(groups) for groups in frame["groups"]],
        ]
        heads = {"estimate": "Estimate", "std_error": "Std. Error", "statistic": "Chisq"}
        blocks: list[Block] = [Text((self.sentence(),), role="title"), blank()]
        blocks.append(
            Table(
                name="changes",
                frame=frame,
                cells=tuple(zip(*columns, strict=True)),
                rows=tuple(frame.index),
                columns=("Left out", *(heads[n] for n in numbers), "p value", self.by),
                numeric=tuple(range(2 + len(numbers))),
            )
        )
        return View((*blocks, blank(), note(*self._notes())))

    def _notes(self) -> list[str]:
        p = format_pvalues([self.all_rows["p_value"]], digits=2)[0]
        refitted = int(self.without["refitted"].sum())
        lines = [f"With all rows: p {p if p.startswith('<') else '= ' + p}."]
        alone = self.without.index[self.without["changes"]].tolist()
        if len(alone) > 1:
            lines.append(f"Each of these alone is enough: {_listed(tuple(map(str, alone)))}.")
        done = "each" if refitted == self.n_groups else f"{refitted} of {self.n_groups}"
        lines.append(
            f"Left out and refitted: {done}; sets larger than one were looked for among those "
            "that carry most, and refitted."
        )
        unknown = int(self.without["p_value"].isna().sum())
        if unknown:
            lines.append(f"Without each of {unknown}, it cannot be tested; see .without.")
        failed = int((~self.without["converged"]).sum())
        if failed:
            lines.append(f"{failed} refits were not certified; see .without.")
        return lines


def _listed(labels: tuple[str, ...]) -> str:
    """Name labels, not more than fit in a line."""
    if len(labels) <= SHOWN:
        return ", ".join(labels)
    return ", ".join(labels[:SHOWN]) + f", and {len(labels) - SHOWN} more"
