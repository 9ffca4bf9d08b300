"""Several models in one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.errors import OptionError
from nestedmlm.views.posterior.cells import by_spread
from nestedmlm.views.render.blocks import Table
from nestedmlm.views.render.rformat import format_numbers
from nestedmlm.views.render.view import View, Viewable, note

SPREADS = ("se", "ci", "none")
SECTIONS = MappingProxyType({"fixed": "Fixed effects", "random": "Random effects", "fit": "Fit"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ModelTable(Viewable):
    """Models side by side.

    Attributes
    ----------
    names : tuple of str
        Of the models.
    parameters : DataFrame
        ``model, term, kind, group, effect, estimate, std_error, conf_low, conf_high``; one row for
        each parameter and model.
    fit : DataFrame
        Fit statistics by model; None where one does not apply.
    spread : {"se", "ci", "none"}
        What stands below the estimates.
    level : float
        Probability inside the intervals.
    labels : mapping of str to str
        Other names for rows.
    title, note : str
        Above a table of `to_gt`, and below every table.

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
    title: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", MappingProxyType(dict(self.labels)))

    def __reduce__(self) -> tuple[Any, ...]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        # a mapping proxy does not pickle
        return _table_of, (values | {"labels": dict(self.labels)},)

    def to_frame(self) -> pd.DataFrame:
        """Every number, as in `parameters`; fit statistics last.

        Returns
        -------
        DataFrame
        """
        stats = [
            {"model": model, "term": name, "kind": "fit", "effect": "fit", "estimate": float(value)}
            for model in self.names
            for name, value in self.fit[model].items()
            if value is not None and not isinstance(value, str)
        ]
        columns = list(self.parameters.columns)
        rows = pd.DataFrame(stats, columns=columns).astype({"estimate": float})
        numbers = {name: float for name in ("std_error", "conf_low", "conf_high")}
        return pd.concat([self.parameters, rows.astype(numbers)], ignore_index=True)

    def rows(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """Section, label and formatted cells of every line, from top to bottom."""
        out = []
        for section, kinds in (("fixed", ("fixed",)), ("random", ("sd", "cor", "par", "sigma"))):
            part = self.parameters[self.parameters["kind"].isin(kinds)]
            for name in _in_order(part):
                out += self._lines(section, name, part[part["term"] == name])
        for name, values in self.fit.iterrows():
            cells = tuple(_statistic(value) for value in values)
            out.append((SECTIONS["fit"], str(name), cells))
        return out

    def _lines(
        self, section: str, name: str, part: pd.DataFrame
    ) -> list[tuple[str, str, tuple[str, ...]]]:
        label = self.labels.get(name, name)
        shown = by_spread(
            part, ("estimate", "std_error", "conf_low", "conf_high"), "std_error"
        ).set_index("model")
        upper, lower = [], []
        for model in self.names:
            if model not in shown.index:
                upper.append("")
                lower.append("")
                continue
            row = shown.loc[model]
            known = np.isfinite(part.set_index("model").loc[model, "std_error"])
            number = part.set_index("model").loc[model, "estimate"]
            upper.append(row["estimate"] if known else _plain(number))
            lower.append(_below(row, self.spread) if known else "")
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
        for section, label, row in rows:
            if section != previous:
                sections.append(len(labels))
                labels.append(section)
                cells.append(("",) * len(self.names))
                previous = section
            labels.append(f"  {label}" if label else "")
            cells.append(row)
        table = Table(
            name="models",
            frame=self.to_frame(),
            cells=tuple(cells),
            rows=tuple(labels),
            columns=self.names,
            sections=tuple(sections),
        )
        said = [line for line in (self._legend(), self.note) if line]
        return View((table, note(*said)) if said else (table,))

    def _legend(self) -> str:
        return _LEGENDS[self.spread].format(100 * self.level)

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
                "to_gt needs great_tables, which is not installed: pip install 'nestedmlm[tables]'"
            ) from problem
        rows = self.rows()
        frame = pd.DataFrame([cells for _, _, cells in rows], columns=list(self.names))
        frame.insert(0, "term", [label for _, label, _ in rows])
        frame.insert(0, "section", [section for section, _, _ in rows])
        gt = GT(frame, rowname_col="term", groupname_col="section")
        gt = gt.cols_align(align="right", columns=list(self.names))
        if self.title:
            gt = gt.tab_header(title=self.title)
        for line in (self._legend(), self.note):
            gt = gt.tab_source_note(line) if line else gt
        return gt


_LEGENDS = MappingProxyType(
    {
        "se": "Standard errors (of posteriors: standard deviations) in parentheses.",
        "ci": "{:g} % intervals in brackets: Wald's, of posteriors equal-tailed.",
        "none": "",
    }
)


def _in_order(part: pd.DataFrame) -> list[str]:
    """Names as they come, sigma last."""
    names = list(dict.fromkeys(part["term"]))
    return [n for n in names if n != "sigma"] + [n for n in names if n == "sigma"]


def _statistic(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.1f}"


def _plain(number: float) -> str:
    return format_numbers([number], digits=4)[0].strip() if np.isfinite(number) else ""


def _below(row: pd.Series, spread: str) -> str:
    texts = {
        "se": f"({row['std_error']})",
        "ci": f"[{row['conf_low']}, {row['conf_high']}]",
        "none": "",
    }
    return texts[spread]


def _table_of(values: dict[str, Any]) -> ModelTable:
    """Unpickle a table."""
    return ModelTable(**values)
