"""`Schema`: levels, contrasts and transforms that a design learned from its data.

A `Schema` holds levels, contrasts, knots, means, the caller's variables it needs: no data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.design.frame.environment import Environment
from nestedmlm.design.frame.evaluate import Evaluator
from nestedmlm.design.frame.frames import Frame, check_row_labels, load_array
from nestedmlm.design.frame.operators import as_numbers
from nestedmlm.design.frame.values import Matrix, Vector
from nestedmlm.design.matrices.grouping import GroupSpec
from nestedmlm.design.matrices.modelmatrix import MatrixSpec
from nestedmlm.errors import DataError
from nestedmlm.formula.formula import Formula
from nestedmlm.formula.nodes import Name
from nestedmlm.formula.terms import Terms, Variable


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Schema:
    """Levels, contrasts and transforms: enough to make the same columns of other data.

    Attributes
    ----------
    formula : Formula
    fixed : MatrixSpec
        Of the fixed effects, before columns were dropped.
    kept : tuple of int
        The columns of `fixed` that were kept.
    bars : tuple of MatrixSpec
        For each random-effects term, in the design's order.
    groups : tuple of GroupSpec
        For each grouping factor, in the design's order.
    factor_of : tuple of int
        The grouping factor of each term.
    offsets : tuple of Variable
        The formula's offsets.
    offset_column : str or None
        The column given as argument ``offset``.
    offset_array : bool
        Whether an array was given as argument ``offset`` (new data cannot have it).
    states : mapping
        What functions such as `poly` learned, by R's text of the call.
    env : Environment
        The caller's variables that the formula uses.
    """

    formula: Formula
    fixed: MatrixSpec
    kept: tuple[int, ...]
    bars: tuple[MatrixSpec, ...]
    groups: tuple[GroupSpec, ...]
    factor_of: tuple[int, ...]
    offsets: tuple[Variable, ...]
    offset_column: str | None
    offset_array: bool
    states: Mapping[str, Any]
    env: Environment

    def evaluator(self, frame: Frame) -> Evaluator:
        """Make an evaluator for new data that uses what was learned."""
        states = dict(self.states)
        return Evaluator(frame, self.env, states, learning=False, text=self.formula.text)


def predictor_variables(terms: Terms) -> Iterator[Variable]:
    """Yield the variables that are in some term."""
    used = {index for term in terms.terms for index in term}
    return (variable for index, variable in enumerate(terms.variables) if index in used)


def matrix_values(specs: tuple[MatrixSpec, ...], evaluator: Evaluator) -> dict[str, Vector]:
    """Evaluate every variable of some model matrices once."""
    return {
        variable.name: evaluator.vector(variable.node)
        for spec in specs
        for variable in predictor_variables(spec.terms)
    }


def group_values(
    groups: tuple[GroupSpec, ...], formula: Formula, evaluator: Evaluator
) -> dict[str, Vector]:
    """Evaluate every variable of some grouping factors once."""
    wanted = {part for group in groups for part in group.parts}
    nodes = {part.name: part.node for bar in formula.bars for part in bar.parts}
    return {name: evaluator.vector(node) for name, node in nodes.items() if name in wanted}


def argument_numbers(
    given: Any, evaluator: Evaluator, what: str, *, error: type[DataError] = DataError
) -> FloatArray:
    """Read an argument that is a column name or an array with one number per row.

    Parameters
    ----------
    given : str or array
    evaluator : Evaluator
    what : str
        The argument's name, for messages.
    error : type
        What is raised, a `DataError`.

    Returns
    -------
    ndarray, shape (n,)
        A copy.

    Raises
    ------
    DataError
        If it is not numeric, has the wrong length, or is a Series with other row labels.
    """
    frame = evaluator.frame
    if isinstance(given, str):
        value: Vector = evaluator.vector(Name(given))
    else:
        if np.ndim(given) != 1:
            raise error(f"{what} must be a column name or a one-dimensional array")
        if len(given) != frame.n:
            raise error(f"{what} has {len(given)} values, the data have {frame.n} rows")
        if isinstance(given, pd.Series):
            check_row_labels(given, frame.index, what)
        value = load_array(given, what)
    numbers = as_numbers(value, what)
    if isinstance(numbers, Matrix):
        raise error(f"{what} must be one column")
    return np.array(numbers, dtype=np.float64)


def offset_numbers(offsets: tuple[Variable, ...], evaluator: Evaluator) -> FloatArray | None:
    """Add up the formula's offsets; None when it has none."""
    total: FloatArray | None = None
    for variable in offsets:
        value = as_numbers(evaluator.vector(variable.node, scalar=True), variable.name)
        if isinstance(value, Matrix):
            raise DataError(f"offset({variable.name}) must be one column")
        total = np.array(value) if total is None else total + value
    return total
