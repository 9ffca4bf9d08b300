"""Prior weights of new rows, which only draws and intervals of a new response depend on."""

from __future__ import annotations

from typing import Any

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.design.frame.checks import check_weights
from nestedmlm.design.frame.frames import Frame
from nestedmlm.design.schema import argument_numbers
from nestedmlm.errors import DataError, WeightsError


def new_weights(design: Design, data: Any, weights: Any) -> FloatArray | None:
    """Read the prior weights of new rows.

    Parameters
    ----------
    design : Design
        Of the fit.
    data : table
        The new rows.
    weights : str, array or None
        A column of `data`, or one number per row; by the caller's choice the column that the
        fit took its weights from.

    Returns
    -------
    ndarray, shape (m,), or None
        None where the fit has no weights and none are given.

    Raises
    ------
    DataError
        If the fit has weights and none are given.
    WeightsError
        If they are not positive numbers, one for each row.
    """
    if weights is None and design.weights is None:
        return None
    if weights is None and design.family is not None and design.family.name == "binomial":
        raise DataError(
            "the numbers of trials of the new rows are not known: give weights= (a column name, "
            "or one number per row) with the new data"
        )
    if weights is None:
        raise DataError(
            "the model was fitted with an array of weights, which new data do not have; give "
            "weights= (a column name, or one number per row) with the new data"
        )
    evaluator = design.schema.evaluator(Frame(data))
    numbers = argument_numbers(weights, evaluator, "weights", error=WeightsError)
    check_weights(numbers)
    return numbers
