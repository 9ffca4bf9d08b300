"""`NewDesign`: the matrices of new data, made with what a design learned."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.design.frame.evaluate import Evaluator
from nestedmlm.design.frame.frames import Frame
from nestedmlm.design.matrices.grouping import group_codes, unseen_codes, unseen_labels
from nestedmlm.design.matrices.modelmatrix import build_matrix
from nestedmlm.design.schema import (
    Schema,
    argument_numbers,
    group_values,
    matrix_values,
    offset_numbers,
)
from nestedmlm.errors import ColumnNotFoundError, DataError, NewLevelsError, OptionError

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


def make_new_design(
    schema: Schema,
    data: Any,
    new_levels: str,
    *,
    matrices: Collection[int] | None = None,
    groups: Collection[int] | None = None,
    offset: Any = None,
    fixed: bool = True,
) -> NewDesign:
    """Make the columns of `data` as at the fit (see `Design.new`)."""
    if new_levels not in NEW_LEVELS:
        raise OptionError(f"new_levels={new_levels!r} is unknown; known: {', '.join(NEW_LEVELS)}")
    everything = range(len(schema.bars))
    matrices = everything if matrices is None else matrices
    groups = everything if groups is None else groups
    frame = Frame(data)
    evaluator = schema.evaluator(frame)
    # first the groups: between() and others warn of new ones, which may be refused
    codes, unseen = _find_groups(schema, {schema.factor_of[t] for t in groups}, evaluator)
    if new_levels == "error":
        _refuse_unseen(schema, codes, evaluator)
    bars = tuple(schema.bars[t] for t in everything if t in matrices)
    values = matrix_values((schema.fixed, *bars) if fixed else bars, evaluator)
    X = np.zeros((frame.n, len(schema.kept)))
    if fixed:
        X = build_matrix(schema.fixed, values, frame.n)
        if len(schema.kept) < X.shape[1]:
            X = X[:, list(schema.kept)]
    none = np.full(frame.n, -1, dtype=np.int32)
    terms, new = [], []
    for t, (spec, f) in enumerate(zip(schema.bars, schema.factor_of, strict=True)):
        wanted = t in matrices
        Z = build_matrix(spec, values, frame.n) if wanted else np.zeros((frame.n, len(spec.names)))
        terms.append((Z, codes[f] if t in groups else none))
        new.append(unseen[f] if t in groups else none)
    return NewDesign(
        X=X,
        offset=_new_offset(schema, evaluator, offset) if fixed else None,
        terms=tuple(terms),
        unseen=tuple(new),
        index=frame.index,
    )


def _find_groups(
    schema: Schema, wanted: Collection[int], evaluator: Evaluator
) -> tuple[dict[int, npt.NDArray[np.int32]], dict[int, npt.NDArray[np.int32]]]:
    """Codes of the wanted grouping factors, and numbers of their unseen levels."""
    specs = {f: schema.groups[f] for f in sorted(wanted)}
    try:
        found = group_values(tuple(specs.values()), schema.formula, evaluator)
    except ColumnNotFoundError as error:
        message = f"{error}\nre_form=False predicts from the fixed effects alone, without groups"
        raise ColumnNotFoundError(message) from None
    n = evaluator.frame.n
    codes = {f: group_codes(spec, found, n) for f, spec in specs.items()}
    return codes, {f: unseen_codes(spec, codes[f], found) for f, spec in specs.items()}


def _refuse_unseen(
    schema: Schema, codes: dict[int, npt.NDArray[np.int32]], evaluator: Evaluator
) -> None:
    for f, found in codes.items():
        if (found < 0).any():
            spec = schema.groups[f]
            labels = unseen_labels(spec, found, group_values((spec,), schema.formula, evaluator))
            raise NewLevelsError(
                f"{spec.name} has groups that were not there when the model was fitted: "
                f"{', '.join(labels[:10])}; new_levels='population' predicts for them with "
                "random effects of 0"
            )


def _new_offset(schema: Schema, evaluator: Evaluator, given: Any) -> FloatArray | None:
    """The formula's offsets plus the one that takes the place of the argument at the fit."""
    argument = schema.offset_column if given is None else given
    if argument is None and schema.offset_array:
        raise DataError(
            "the model was fitted with an offset array, which new data do not have; give "
            "offset= (a column name, or one number per row) with the new data"
        )
    offset = offset_numbers(schema.offsets, evaluator)
    if argument is None:
        return offset
    numbers = argument_numbers(argument, evaluator, "offset")
    return numbers if offset is None else offset + numbers
