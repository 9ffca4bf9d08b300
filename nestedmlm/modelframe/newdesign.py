"""The matrices of new data, from what a design learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nestedmlm.errors import DataError, NewLevelsError, OptionError
from nestedmlm.modelframe.evaluate import Evaluator
from nestedmlm.modelframe.frames import Frame
from nestedmlm.modelframe.grouping import group_codes, unseen_codes, unseen_labels
from nestedmlm.modelframe.modelmatrix import build_matrix
from nestedmlm.schema import Schema, argument_numbers, group_values, matrix_values, offset_numbers

FloatArray = npt.NDArray[np.float64]
NEW_LEVELS = ("error", "population")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NewDesign:
    """The matrices of new data.

    Attributes
    ----------
    X : ndarray, shape (m, p)
    offset : ndarray, shape (m,), or None
    terms : tuple of (ndarray (m, k), ndarray of int32 (m,))
        For each term its matrix and the codes of its levels; -1 is an unseen level.
    unseen : tuple of ndarray of int32 (m,)
        For each term the number of each row's unseen level, 0, 1, …; -1 where it is known.
    index : pandas.Index
    """

    X: FloatArray
    offset: FloatArray | None
    terms: tuple[tuple[FloatArray, npt.NDArray[np.int32]], ...]
    unseen: tuple[npt.NDArray[np.int32], ...]
    index: pd.Index


def make_new_design(schema: Schema, data: Any, new_levels: str) -> NewDesign:
    """Make the columns of `data` as at the fit (see `Design.new`)."""
    if new_levels not in NEW_LEVELS:
        raise OptionError(f"new_levels={new_levels!r} is unknown; known: {', '.join(NEW_LEVELS)}")
    frame = Frame(data)
    evaluator = schema.evaluator(frame)
    values = matrix_values((schema.fixed, *schema.bars), evaluator)
    X = build_matrix(schema.fixed, values, frame.n)
    if len(schema.kept) < X.shape[1]:
        X = X[:, list(schema.kept)]
    groups = group_values(schema.groups, schema.formula, evaluator)
    codes = [group_codes(group, groups) for group in schema.groups]
    if new_levels == "error":
        for group, found in zip(schema.groups, codes, strict=True):
            if (found < 0).any():
                labels = unseen_labels(group, found, groups)
                raise NewLevelsError(
                    f"{group.name} has groups that were not there when the model was fitted: "
                    f"{', '.join(labels[:10])}; new_levels='population' predicts for them with "
                    "random effects of 0"
                )
    matrices = [build_matrix(spec, values, frame.n) for spec in schema.bars]
    terms = zip(matrices, (codes[f] for f in schema.factor_of), strict=True)
    new = [unseen_codes(g, found, groups) for g, found in zip(schema.groups, codes, strict=True)]
    return NewDesign(
        X=X,
        offset=_new_offset(schema, evaluator),
        terms=tuple(terms),
        unseen=tuple(new[f] for f in schema.factor_of),
        index=frame.index,
    )


def _new_offset(schema: Schema, evaluator: Evaluator) -> FloatArray | None:
    if schema.offset_array:
        raise DataError(
            "the model was fitted with an offset array, which new data do not have; "
            "give the offset as a column name or as offset() in the formula"
        )
    offset = offset_numbers(schema.offsets, evaluator)
    if schema.offset_column is None:
        return offset
    given = argument_numbers(schema.offset_column, evaluator, "offset")
    return given if offset is None else offset + given
