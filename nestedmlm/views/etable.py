"""Several models in one table."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.errors import OptionError
from nestedmlm.views.posterior.cells import to_decimal
from nestedmlm.views.render.blocks import STARS, Block, Table, Text
from nestedmlm.views.render.rformat import format_numbers
from nestedmlm.views.render.view import View, Viewable, note
from nestedmlm.views.term_labels import group_label, label_of

SPREADS = ("se", "ci", "p", "none")
SECTIONS = MappingProxyType(
    {
        "fixed": "Fixed effects",
        "random": "Random effects",
        "residual": "Residuals",
        "fit": "Fit",
    }
)
# kinds of parameters by section, where residuals have parameters of their own, and else
_RESIDUALS = {
    "fixed": ("fixed",),
    "random": ("sd", "cor", "par"),
    "residual": ("sigma", "residual"),
}
_PLAIN = {"fixed": ("fixed",), "random": ("sd", "cor", "par", "sigma")}
NUMBERS = ("estimate", "std_error", "df", "statistic", "p_value", "conf_low", "conf_high")

Row = tuple[str, str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ModelTable(Viewable):
    """Models side by side.

    Attributes
    ----------
    names : tuple of str
        Of the models.
    parameters : DataFrame
        ``model, term, kind, group, effect, estimate, std_error, df, statistic, p_value, conf_low,
        conf_high``; one row for each parameter and model. df, statistic and p_value are there
        where stars or p-values are.
    fit : DataFrame
        Fit statistics by model; None where one does not apply.
    spread : {"se", "ci", "p", "none"}
        What stands below the estimates.
    level : float
        Probability inside the intervals.
    labels : mapping of str to str
        Other names for rows, and for parts of them.
    stars : mapping of str to float
        Symbols and the p-values below which they stand; empty for none.
    notes : tuple of str
        What stands below the table.
    variables : tuple of str
        Of the models' fixed effects, which labels go by.
    title : str

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> table = nm.etable(fit, names=["slopes"], stats=["nobs"])
    >>> table.to_frame()[["term", "estimate"]].head(2).round(2)
              term  estimate
    0  (Intercept)    251.41
    1         Days     10.47
    >>> len(table.rows())
    13
    """

    names: tuple[str, ...]
    parameters: pd.DataFrame
    fit: pd.DataFrame
    spread: str
    level: float
    labels: Mapping[str, str]
    stars: Mapping[str, float] = MappingProxyType({})
    notes: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    title: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", MappingProxyType(dict(self.labels)))
        object.__setattr__(self, "stars", MappingProxyType(dict(self.stars)))

    def __reduce__(self) -> tuple[Any, ...]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        # a mapping proxy does not pickle
        plain = {"labels": dict(self.labels), "stars": dict(self.stars)}
        return _table_of, (values | plain,)

    def to_frame(self) -> pd.DataFrame:
        """Every number, the columns of `parameters`; fit statistics last.

        Returns
        -------
        DataFrame
            ``model, term, kind, group, effect, estimate, std_error, df, statistic, p_value,
            conf_low, conf_high``; rows of ``kind`` ``fit`` have the fit statistics.
        """
        stats = [
            {"model": model, "term": name, "kind": "fit", "effect": "fit", "estimate": float(value)}
            for model in self.names
            for name, value in self.fit[model].items()
            if value is not None and not isinstance(value, str)
        ]
        columns = list(self.parameters.columns)
        rows = pd.DataFrame(stats, columns=columns)
        numbers = {name: float for name in NUMBERS if name in columns}
        return pd.concat([self.parameters, rows.astype(numbers)], ignore_index=True)

    def rows(self) -> list[Row]:
        """Section, label and formatted cells of every line, from top to bottom."""
        out: list[Row] = []
        sds = self.parameters[self.parameters["kind"] == "sd"]["term"]
        effects = {str(name).removeprefix("sd_").rpartition("|")[0] for name in sds}
        own_residuals = (self.parameters["kind"] == "residual").any()
        for section, kinds in (_RESIDUALS if own_residuals else _PLAIN).items():
            part = self.parameters[self.parameters["kind"].isin(kinds)]
            for name in part["term"].unique() if section == "residual" else _in_order(part):
                out += self._lines(section, name, part[part["term"] == name], effects)
        for name, values in self.fit.iterrows():
            kind, colon, group = str(name).partition(": ")
            shown = f"{kind}{colon}{group_label(group, self.labels)}" if colon else str(name)
            label = self.labels.get(str(name), shown)
            out.append((SECTIONS["fit"], label, tuple(_statistic(value) for value in values)))
        return out

    def _lines(
        self, section: str, name: str, part: pd.DataFrame, effects: Collection[str]
    ) -> list[Row]:
        label = label_of(name, self.labels, self.variables, effects)
        numbers = part.set_index("model")
        decimals = _decimals(part["std_error"].to_numpy(dtype=float))
        upper, lower = [], []
        for model in self.names:
            if model not in numbers.index:
                upper.append("")
                lower.append("")
                continue
            row = numbers.loc[model]
            known = np.isfinite(row["std_error"])
            text = to_decimal(row["estimate"], decimals) if known else _plain(row["estimate"])
            upper.append(text + _stars(row["p_value"], self.stars))
            lower.append(_below(row, self.spread, decimals) if known else "")
        lines = [(SECTIONS[section], label, tuple(upper))]
        if any(lower):
            lines.append((SECTIONS[section], "", tuple(lower)))
        return lines

    def view(self) -> View:
        """Build the document."""
        rows = self.rows()
        labels: list[str] = []
        cells: list[tuple[str, ...]] = []
        sections: list[int] = []
        previous = None
        room = max(map(len, self.stars), default=0)
        for section, label, row in rows:
            if section != previous:
                sections.append(len(labels))
                labels.append(section)
                cells.append(("",) * len(self.names))
                previous = section
            labels.append(f"  {label}" if label else "")
            cells.append(tuple(_padded(cell, room) for cell in row))
        table = Table(
            name="models",
            frame=self.to_frame(),
            cells=tuple(cells),
            rows=tuple(labels),
            columns=self.names,
            sections=tuple(sections),
        )
        title: tuple[Block, ...] = (Text((self.title,), role="title"),) if self.title else ()
        below: tuple[Block, ...] = (note(*self.notes),) if self.notes else ()
        return View((*title, table, *below))

    def to_gt(self) -> Any:
        """Make a table of the package great_tables, to be styled and saved further.

        Returns
        -------
        great_tables.GT

        Raises
        ------
        OptionError
            If great_tables is not installed.
        """
        try:
            from great_tables import GT
        except ImportError as problem:
            raise OptionError(
                "to_gt needs great_tables, which is not installed: pip install great-tables"
            ) from problem
        rows = self.rows()
        frame = pd.DataFrame([cells for _, _, cells in rows], columns=list(self.names))
        frame.insert(0, "term", [label for _, label, _ in rows])
        frame.insert(0, "section", [section for section, _, _ in rows])
        gt = GT(frame, rowname_col="term", groupname_col="section")
        gt = gt.cols_align(align="right", columns=list(self.names))
        # no rule may part an estimate from its standard error, so there are none in the body
        gt = gt.tab_options(table_body_hlines_style="none", data_row_padding="2px")
        if self.title:
            gt = gt.tab_header(title=self.title)
        for line in self.notes:
            gt = gt.tab_source_note(line)
        return gt


def _in_order(part: pd.DataFrame) -> list[str]:
    """Names as they come, sigma last."""
    names = list(dict.fromkeys(part["term"]))
    return [n for n in names if n != "sigma"] + [n for n in names if n == "sigma"]


def _decimals(spreads: Any) -> int:
    """Decimals of a whole row: what three digits of the smallest standard error ask for."""
    known = spreads[np.isfinite(spreads) & (spreads > 0)]
    return max(2 - int(np.floor(np.log10(known.min()))), 0) if known.size else 0


def _stars(p: Any, stars: Mapping[str, float]) -> str:
    below = [symbol for symbol, limit in stars.items() if p < limit]
    return min(below, key=lambda symbol: stars[symbol], default="")


def _padded(cell: str, room: int) -> str:
    """Blanks where other cells have stars, so that digits stand below each other."""
    return cell + " " * (room - (len(cell) - len(cell.rstrip(STARS)))) if room and cell else cell


def _statistic(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or np.isnan(value):
        return ""
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.1f}"


def _plain(number: float) -> str:
    return format_numbers([number], digits=4)[0].strip() if np.isfinite(number) else ""


def format_p(p: float) -> str:
    """``p = 0.031``, ``p < 0.001``; blank where there is none."""
    if not np.isfinite(p):
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _below(row: pd.Series, spread: str, decimals: int) -> str:
    if spread == "p":
        return format_p(float(row["p_value"]))
    if spread == "se":
        return f"({to_decimal(row['std_error'], decimals)})"
    if spread == "ci":
        low, high = (to_decimal(row[end], decimals) for end in ("conf_low", "conf_high"))
        return f"[{low}, {high}]"
    return ""


def _table_of(values: dict[str, Any]) -> ModelTable:
    """Unpickle a table."""
    return ModelTable(**values)
