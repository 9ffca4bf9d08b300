"""Several models in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.errors import OptionError
from nestedmlm.views.parameters import engine, fit_names, is_posterior, parameter_table
from nestedmlm.views.posterior.cells import by_spread
from nestedmlm.views.render.blocks import Table
from nestedmlm.views.render.rformat import format_numbers
from nestedmlm.views.render.view import View, Viewable, note

SPREADS = ("se", "ci", "none")
SECTIONS = MappingProxyType({"beta": "Fixed effects", "random": "Random effects", "fit": "Fit"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ModelTable(Viewable):
    """Models side by side.

    Attributes
    ----------
    names : tuple of str
        Of the models.
    parameters : DataFrame
        ``model, name, kind, estimate, se, lower, upper``; one row for each parameter and model.
    fit : DataFrame
        Fit statistics by model; None where one does not apply.
    spread : {"se", "ci", "none"}
        What stands below the estimates.
    prob : float
        Probability inside the intervals.
    labels : mapping of str to str
        Other names for rows.
    title : str

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> table = nm.etable(fit, names=["slopes"], stats=["nobs"])
    >>> table.to_frame()[["name", "estimate"]].head(2).round(2)
              name  estimate
    0  (Intercept)    251.41
    1         Days     10.47
    >>> len(table.rows())
    13
    """

    names: tuple[str, ...]
    parameters: pd.DataFrame
    fit: pd.DataFrame
    spread: str
    prob: float
    labels: Mapping[str, str]
    title: str = ""

    def to_frame(self) -> pd.DataFrame:
        """Every number: ``model, name, kind, estimate, se, lower, upper``; fit statistics last.

        Returns
        -------
        DataFrame
        """
        stats = [
            {"model": model, "name": name, "kind": "fit", "estimate": float(value)}
            for model in self.names
            for name, value in self.fit[model].items()
            if value is not None and not isinstance(value, str)
        ]
        columns = list(self.parameters.columns)
        rows = pd.DataFrame(stats, columns=columns).astype({"estimate": float})
        numbers = {name: float for name in ("se", "lower", "upper")}
        return pd.concat([self.parameters, rows.astype(numbers)], ignore_index=True)

    def rows(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """Section, label and formatted cells of every line, from top to bottom."""
        out = []
        for section, kinds in (("beta", ("beta",)), ("random", ("sd", "cor", "par", "sigma"))):
            part = self.parameters[self.parameters["kind"].isin(kinds)]
            for name in _in_order(part):
                out += self._lines(section, name, part[part["name"] == name])
        for name, values in self.fit.iterrows():
            cells = tuple(_statistic(value) for value in values)
            out.append((SECTIONS["fit"], str(name), cells))
        return out

    def _lines(
        self, section: str, name: str, part: pd.DataFrame
    ) -> list[tuple[str, str, tuple[str, ...]]]:
        label = self.labels.get(name, name)
        shown = by_spread(part, ("estimate", "se", "lower", "upper"), "se").set_index("model")
        upper, lower = [], []
        for model in self.names:
            if model not in shown.index:
                upper.append("")
                lower.append("")
                continue
            row = shown.loc[model]
            known = np.isfinite(part.set_index("model").loc[model, "se"])
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
        legend = _LEGENDS[self.spread].format(100 * self.prob)
        return View((table, note(legend)) if legend else (table,))

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
        legend = _LEGENDS[self.spread].format(100 * self.prob)
        return gt.tab_source_note(legend) if legend else gt


_LEGENDS = MappingProxyType(
    {
        "se": "Standard errors (of posteriors: standard deviations) in parentheses.",
        "ci": "{:g} % intervals in brackets: Wald's, of posteriors equal-tailed.",
        "none": "",
    }
)


def make_table(
    fits: Sequence[Any],
    *,
    names: Sequence[str] | None = None,
    spread: str = "se",
    prob: float = 0.95,
    stats: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    random: bool = True,
    title: str = "",
) -> ModelTable:
    """Put models side by side; see `nestedmlm.etable`."""
    if spread not in SPREADS:
        raise OptionError(f"spread must be one of {', '.join(SPREADS)}, not {spread!r}")
    wanted = tuple(STATISTICS) if stats is None else tuple(stats)
    unknown = [name for name in wanted if name not in STATISTICS]
    if unknown:
        known = ", ".join(STATISTICS)
        raise OptionError(f"no statistic {', '.join(map(str, unknown))}; known: {known}")
    found = fit_names(fits, names)
    found = ["M1"] if found == [""] else found
    if len(set(found)) < len(found):
        raise OptionError(f"the models need different names, not {', '.join(found)}")
    parts = [
        parameter_table(fit, prob=prob, random=random)
        .rename_axis("name")
        .reset_index()
        .assign(model=name)
        for name, fit in zip(found, fits, strict=True)
    ]
    columns = ["model", "name", "kind", "estimate", "se", "lower", "upper"]
    columns_of_fit = dict(zip(found, fits, strict=True))
    return ModelTable(
        names=tuple(found),
        parameters=pd.concat(parts, ignore_index=True)[columns],
        fit=_statistics(columns_of_fit, wanted),
        spread=spread,
        prob=prob,
        labels=MappingProxyType(dict(labels or {})),
        title=title,
    )


def _in_order(part: pd.DataFrame) -> list[str]:
    """Names as they come, sigma last."""
    names = list(dict.fromkeys(part["name"]))
    return [n for n in names if n != "sigma"] + [n for n in names if n == "sigma"]


# --- fit statistics ------------------------------------------------------------------------------
def _of_fit(read: Callable[[Any], Any]) -> Callable[[Any], dict[str, Any]]:
    """A statistic that only an `LmerFit` has, under the name of its criterion."""
    return lambda fit: {} if is_posterior(fit) else read(fit)


def _groups(fit: Any) -> dict[str, Any]:
    return {f"Groups: {name}": int(count) for name, count in fit.ngrps.items()}


def _r2(fit: Any) -> dict[str, Any]:
    found = fit.r2()["estimate"] if is_posterior(fit) else fit.r2()
    return {f"R² {name}": float(found[name]) for name in ("marginal", "conditional")}


STATISTICS: Mapping[str, Callable[[Any], dict[str, Any]]] = MappingProxyType(
    {
        "method": lambda fit: {"Estimation": engine(fit)},
        "nobs": lambda fit: {"Observations": int(fit.nobs)},
        "groups": _groups,
        "criterion": _of_fit(
            lambda fit: {"REML criterion" if fit.REML else "-2 log-likelihood": fit.criterion}
        ),
        "aic": _of_fit(lambda fit: {"AIC": fit.aic}),
        "bic": _of_fit(lambda fit: {"BIC": fit.bic}),
        "r2": _r2,
    }
)


def _statistics(fits: Mapping[str, Any], wanted: Sequence[str]) -> pd.DataFrame:
    """One row for each statistic that applies to some model, in the order asked for."""
    rows: dict[str, dict[str, Any]] = {}
    for name in wanted:
        for model, fit in fits.items():
            for label, value in STATISTICS[name](fit).items():
                rows.setdefault(label, {})[model] = value
    values = [[row.get(model) for model in fits] for row in rows.values()]
    return pd.DataFrame(values, index=list(rows), columns=list(fits), dtype=object)


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
    texts = {"se": f"({row['se']})", "ci": f"[{row['lower']}, {row['upper']}]", "none": ""}
    return texts[spread]
