"""Tables of rows: fitted values, residuals and other numbers of a fit beside the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.design.design import Design
from nestedmlm.design.frame.frames import Frame
from nestedmlm.errors import DataError
from nestedmlm.formula.nodes import variables_in
from nestedmlm.inference.rows.residuals import cooks_distance, hat_values, population
from nestedmlm.likelihood.solution import Solution


def row_numbers(solution: Solution, design: Design) -> pd.DataFrame:
    """Numbers of each row used, on its label.

    Returns
    -------
    DataFrame
        broom.mixed's columns in snake case: ``fitted, resid, hat, cooksd, fixed`` (without the
        random effects), ``mu, offset, sqrt_x_wt, sqrt_rwt, weights, wtres``.
    """
    resid = design.y - solution.fitted
    weights = np.ones(design.n) if design.weights is None else design.weights
    offset = np.zeros(design.n) if design.offset is None else design.offset
    root = np.sqrt(weights)
    columns = {
        "fitted": solution.fitted,
        "resid": resid,
        "hat": hat_values(solution, design),
        "cooksd": cooks_distance(solution, design),
        "fixed": population(solution, design),
        "mu": solution.fitted,
        "offset": offset,
        "sqrt_x_wt": root,
        "sqrt_rwt": root,
        "weights": weights,
        "wtres": root * resid,
    }
    return pd.DataFrame({name: design.align(values) for name, values in columns.items()})


def model_columns(
    design: Design, data: Any, weights: str | None = None, *, refitted: bool = False
) -> pd.DataFrame:
    """Columns of the data that the model uses, on the rows that `Design.align` gives.

    Parameters
    ----------
    design : Design
    data : table
        What the model was fitted to.
    weights : str, optional
        The column of prior weights.
    refitted : bool
        Whether the design's response and weights are others than the data's: the response has the
        place of its column (where it is one), and there is no column of weights.
    """
    frame = Frame(data)
    schema, formula = design.schema, design.formula
    nodes = [
        *([] if refitted else [formula.response]),
        *(v.node for v in schema.fixed.terms.variables),
    ]
    for bar in formula.bars:
        nodes += [v.node for v in bar.terms.variables]
        nodes += [part.node for part in bar.parts]
    nodes += [v.node for v in schema.offsets]
    names = [name for node in nodes for name in variables_in(node)]
    own = (schema.offset_column, None if refitted else weights)
    names += [name for name in own if name is not None]
    used = {name: frame.series(name) for name in dict.fromkeys(names) if name in frame}
    out = _rows(design, pd.DataFrame(used))
    if refitted and formula.response_text in frame:
        out.insert(0, formula.response_text, design.align(design.y))
    return out


def beside(design: Design, data: Any, numbers: pd.DataFrame) -> pd.DataFrame:
    """Put numbers beside a whole table with the rows of the fit.

    Raises
    ------
    DataError
        If the table has another number of rows.
    """
    frame = Frame(data)
    table = pd.DataFrame({name: frame.series(name) for name in frame.column_names})
    if frame.n not in (design.kept.size, design.n):
        raise DataError(
            f"augment puts what was computed beside the rows of the fit: data must have "
            f"{design.kept.size} rows, not {frame.n}; for other rows use predict(data)"
        )
    rows = _rows(design, table) if frame.n == design.kept.size else table
    return joined(rows, numbers)


def joined(rows: pd.DataFrame, numbers: pd.DataFrame) -> pd.DataFrame:
    """Put numbers beside columns; a name that is taken gets broom's dot in front."""
    taken = set(rows.columns)
    names = {name: f".{name}" for name in numbers.columns if name in taken}
    numbers = numbers.rename(columns=names).set_axis(rows.index)
    return pd.concat([rows, numbers], axis=1)


def _rows(design: Design, table: pd.DataFrame) -> pd.DataFrame:
    """Rows on which `Design.align` gives values."""
    if len(table) != design.kept.size:
        raise DataError(
            f"the data now have {len(table)} rows, the model was fitted to {design.kept.size}: "
            "they were changed after the fit"
        )
    if design.na_action == "exclude":
        return table.set_axis(design.full_index)
    return table.loc[design.kept].set_axis(design.index)
