"""Tables of tests: fixed effects, random effects, contrasts, backward elimination."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pandas as pd

from nestedmlm.views.render.blocks import Block, Table, Text
from nestedmlm.views.render.coefmat import CoefmatLayout, coefmat_cells
from nestedmlm.views.render.frame_columns import named_frame
from nestedmlm.views.render.rformat import STARS_LEGEND
from nestedmlm.views.render.view import View, Viewable, blank

_DIGITS = 5  # of R's print for anova tables

METHOD_NAMES = MappingProxyType(
    {
        "satterthwaite": "Satterthwaite's method",
        "kenward-roger": "Kenward-Roger's method",
        "residual": "residual degrees of freedom",
        "none": "a normal approximation",
    }
)

F_COLUMNS = ("Sum Sq", "Mean Sq", "NumDF", "DenDF", "F value", "Pr(>F)")
T_COLUMNS = ("Estimate", "Std. Error", "df", "t value", "Pr(>|t|)")
CONTRAST_COLUMNS = ("Estimate", "Std. Error", "df", "t value", "lower", "upper", "Pr(>|t|)")
CHISQ_COLUMNS = ("Chisq", "Df", "Pr(>Chisq)")
Z_COLUMNS = ("Estimate", "Std. Error", "z value", "Pr(>|z|)")
Z_CONTRAST_COLUMNS = ("Estimate", "Std. Error", "z value", "lower", "upper", "Pr(>|z|)")
ELPD_COLUMNS = ("elpd", "elpd_diff", "diff_std_error")
RANOVA_COLUMNS = ("npar", "logLik", "AIC", "LRT", "Df", "Pr(>Chisq)")
DROP1_COLUMNS = ("npar", "AIC", "LRT", "Pr(Chi)")
POOLED_COLUMNS = ("RIV", "NumDF", "DenDF", "F value", "Pr(>F)")
LINEAR_COLUMNS = ("Df", "Sum of Sq", "RSS", "AIC", "F value", "Pr(>F)")

# by reference distribution: tests of several rows together, of coefficients, of contrasts
JOINT_COLUMNS = MappingProxyType({"t": F_COLUMNS, "z": CHISQ_COLUMNS})
COEFFICIENT_COLUMNS = MappingProxyType({"t": T_COLUMNS, "z": Z_COLUMNS})
ROW_COLUMNS = MappingProxyType({"t": CONTRAST_COLUMNS, "z": Z_CONTRAST_COLUMNS})


def _layout(columns: tuple[str, ...]) -> CoefmatLayout:
    """R's ``print.anova``: which columns are test statistics, which are cleaned of rounding."""
    tests = tuple(j for j, c in enumerate(columns) if c.endswith(" value") or c == "Chisq")
    pvalue = len(columns) - 1 if columns[-1].startswith("Pr(") else None
    special = {*tests, pvalue, *(j for j, c in enumerate(columns) if c.endswith("Df"))}
    zapped = tuple(j for j in range(len(columns)) if j not in special)
    return CoefmatLayout(tests=tests, zapped=zapped, pvalue=pvalue, digits=_DIGITS, na="")


_LAYOUTS = MappingProxyType(
    {
        T_COLUMNS: CoefmatLayout(estimates=(0, 1), tests=(3,), pvalue=4),
        CONTRAST_COLUMNS: CoefmatLayout(estimates=(0, 1, 4, 5), tests=(3,), pvalue=6),
        Z_COLUMNS: CoefmatLayout(estimates=(0, 1), tests=(2,), pvalue=3),
        Z_CONTRAST_COLUMNS: CoefmatLayout(estimates=(0, 1, 3, 4), tests=(2,), pvalue=5),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TestTable(Viewable):
    """A table of tests; prints as lmerTest's.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per test, with the headers that are printed; `to_frame` has the columns of all
        frames.
    heading : tuple of str
        Lines above the table.
    notes : tuple of str
        Lines below it.
    hypotheses : dict of str to (q, p) array
        Contrast matrices of the rows, where the rows have any.
    formulas : dict of str to str
        Formulas of the models that the rows are about, where they are about models.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> cake = nm.load_dataset("cake")
    >>> fit = nm.lmer("angle ~ recipe + temperature + (1 | recipe:replicate)", cake)
    >>> tests = fit.anova()
    >>> tests.to_frame()["num_df"].to_dict()
    {'recipe': 2.0, 'temperature': 5.0}
    """

    __test__ = False  # for pytest: no test case

    table: pd.DataFrame
    heading: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    hypotheses: Any = None
    formulas: Any = None

    def to_frame(self) -> pd.DataFrame:
        """The numbers; a copy, with the columns of all frames (`table` has R's headers).

        Returns
        -------
        DataFrame
            By term, those that the test has of ``sum_sq, mean_sq, num_df, den_df, estimate,
            std_error, npar, log_lik, aic, statistic, df, p_value, conf_low, conf_high``.
        """
        return _named(self.table)

    def view(self) -> View:
        """Build the document."""
        return View(tuple(table_blocks(self.table, "tests", self.heading, self.notes)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class StepResult(Viewable):
    """Backward elimination: random effects first, then fixed ones; prints as lmerTest's ``step``.

    Attributes
    ----------
    random, fixed : pandas.DataFrame
        What was eliminated, in order (column ``Eliminated``), then what stayed (0).
    final : LmerFit or LinearFit
        The model found; without random effects a linear model.
    heading : tuple of str
        Lines above the second table.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> cake = nm.load_dataset("cake")
    >>> fit = nm.lmer("angle ~ recipe + temperature + (1 | recipe:replicate)", cake)
    >>> result = fit.step()
    >>> result.final.formula
    'angle ~ temperature + (1 | recipe:replicate)'
    >>> result.to_frame().columns.tolist()
    ['eliminated', 'npar', 'log_lik', 'aic', 'statistic', 'df', 'p_value']
    """

    random: pd.DataFrame
    fixed: pd.DataFrame
    final: Any
    heading: tuple[str, ...]

    def view(self) -> View:
        """Build the document."""
        first = ("Backward reduced random-effect table:", "")
        return View(
            (
                *table_blocks(self.random, "random", first),
                blank(),
                *table_blocks(self.fixed, "fixed", self.heading),
                Text(("", "Model found:", str(self.final.formula))),
            )
        )


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns of all frames, intervals last."""
    found = named_frame(frame)
    last = [name for name in ("conf_low", "conf_high") if name in found]
    return found[[*found.columns.drop(last), *last]]


def table_blocks(
    frame: pd.DataFrame, name: str, heading: tuple[str, ...], notes: tuple[str, ...] = ()
) -> list[Block]:
    """Lay out a table of tests with its heading, legend and notes."""
    columns = tuple(map(str, frame.columns))
    layout = _LAYOUTS.get(columns, _layout(columns))
    cells, starred = coefmat_cells(frame.to_numpy(dtype=float), layout)
    table = Table(
        name=name,
        frame=_named(frame),
        cells=tuple(map(tuple, cells)),
        rows=tuple(map(str, frame.index)),
        columns=(*columns, "") if starred else columns,
        numeric=tuple(range(len(columns))),
    )
    blocks: list[Block] = [Text(heading)] if heading else []
    blocks.append(table)
    if starred:
        blocks.append(stars_legend())
    return [*blocks, Text(notes, role="note")] if notes else blocks


def stars_legend() -> Text:
    """Legend of the significance stars."""
    return Text(("---", f"Signif. codes:  {STARS_LEGEND}"), role="note")
