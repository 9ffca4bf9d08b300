"""Joint tests of terms, or of means together, in the layout of R's emmeans."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from nestedmlm.design.frame.values import level_label
from nestedmlm.native_frames import native_method
from nestedmlm.views.means import fixed_decimals, p_value_texts
from nestedmlm.views.render.blocks import Block, Table, Text
from nestedmlm.views.render.rformat import format_numbers, justify, round_r
from nestedmlm.views.render.view import View, Viewable, blank, note

_TERM = "term"
# columns of numbers, and what R calls them
_NUMBERS = MappingProxyType(
    {"num_df": "df1", "den_df": "df2", "statistic": "F.ratio", "p_value": "p.value"}
)
_DF_DIGITS = 5  # significant ones of degrees of freedom
_DECIMALS = 3  # of F ratios
_WHY = (("d", "d: df1 reduced due to linear dependence"),
        ("e", "e: df1 reduced due to non-estimability"))  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class JointTests(Viewable):
    """Joint tests; they print as R's ``emmeans::joint_tests``.

    Attributes
    ----------
    table : pandas.DataFrame
        The columns of `by`, ``term`` (of tests of terms), ``num_df``, ``den_df``, ``statistic``
        (an F ratio, chi-squared over its degrees of freedom where `den_df` is infinite),
        ``p_value``, and ``note``: e where functions could not be estimated, d where some depend on
        others.
    by : tuple of str
        What the tests are within.
    method : str
        Of the degrees of freedom.
    notes : tuple of str
        Lines below the table.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("angle ~ recipe * temp + (1 | recipe:replicate)", nm.load_dataset("cake"))
    >>> nm.joint_tests(fit).to_frame()["num_df"].tolist()
    [2, 1, 2]
    """

    table: pd.DataFrame
    by: tuple[str, ...]
    method: str
    notes: tuple[str, ...] = ()

    @native_method
    def to_frame(self) -> pd.DataFrame:
        """The numbers that are printed."""
        return self.table.copy()

    def view(self) -> View:
        """Build the document: one table for each combination of `by`."""
        names, cells = _cells(self.table, self._shown())
        blocks: list[Block] = []
        for number, rows in enumerate(self._blocks()):
            if self.by and _TERM in self.table:
                blocks.append(Text((self._heading(int(rows[0])),), role="heading"))
            blocks.append(
                Table(
                    name="" if number else "tests",
                    frame=self.table.iloc[rows] if number else self.table,
                    cells=tuple(tuple(column[row] for column in cells) for row in rows.tolist()),
                    rows=("",) * len(rows),
                    columns=names,
                    numeric=tuple(j for j, name in enumerate(names) if name in _NUMBERS.values()),
                )
            )
            blocks.append(blank())
        return View((*blocks, note(*self._footer())))

    def _shown(self) -> list[str]:
        """Columns of labels beside the numbers."""
        return [_TERM] if _TERM in self.table else list(self.by)

    def _heading(self, row: int) -> str:
        own = self.table.iloc[row]
        return ", ".join(f"{name} = {level_label(own[name])}" for name in self.by) + ":"

    def _blocks(self) -> list[np.ndarray]:
        if not self.by or _TERM not in self.table:
            return [np.arange(len(self.table))]
        groups = self.table.groupby(list(self.by), sort=False, observed=True).indices
        return list(groups.values())

    def _footer(self) -> list[str]:
        said = "".join(self.table["note"])
        method = "asymptotic" if self.method == "none" else self.method
        why = [text for letter, text in _WHY if letter in said]
        return [f"Degrees-of-freedom method: {method}", *why, *self.notes]


def _cells(table: pd.DataFrame, labels: list[str]) -> tuple[tuple[str, ...], list[list[str]]]:
    """Headings and columns of texts."""
    columns = {}
    for name in labels:
        heading = "model term" if name == _TERM else name
        own, *texts = justify([heading, *map(level_label, table[name])], right=False)
        columns[own] = texts
    df = format_numbers(round_r(table["den_df"], 2), digits=_DF_DIGITS, na="NA")
    columns |= {
        "df1": [str(df1) for df1 in table["num_df"]],
        "df2": df,
        "F.ratio": fixed_decimals(table["statistic"], _DECIMALS),
        "p.value": p_value_texts(table["p_value"]),
    }
    if any(table["note"]):
        columns["note"] = list(table["note"])
    return tuple(columns), list(columns.values())
