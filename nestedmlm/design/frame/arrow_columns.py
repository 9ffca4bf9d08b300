"""Columns of Arrow tables as vectors, without Python lists where there are no nulls."""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm.design.frame.values import (
    Factor,
    Integers,
    Vector,
    factor_of_objects,
    logical,
    object_array,
)


def is_arrow(data: Any) -> bool:
    """Whether `data` is a table or a batch of pyarrow's."""
    kind = type(data)
    return kind.__module__.partition(".")[0] == "pyarrow" and kind.__name__ in (
        "Table",
        "RecordBatch",
    )


def load_arrow(column: Any) -> Vector | None:
    """Turn an Arrow column into numbers or a factor.

    Parameters
    ----------
    column : pyarrow.ChunkedArray or pyarrow.Array

    Returns
    -------
    Vector or None
        None for a type that pandas knows better (dates, decimals, nested types).
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_dictionary(kind):
        return _dictionary(_one_chunk(column))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        coded = _one_chunk(pc.dictionary_encode(column))
        codes = _indices(coded)
        return factor_of_objects(codes, coded.dictionary.to_pylist(), "string")
    if pa.types.is_boolean(kind):
        missing = pc.is_null(column).to_numpy(zero_copy_only=False) if column.null_count else None
        filled = pc.fill_null(column, False) if column.null_count else column
        return logical(_numpy(filled), missing)
    if pa.types.is_integer(kind):
        if not column.null_count:
            return _numpy(column)  # type: ignore[no-any-return]
        missing = _numpy(pc.is_null(column))
        return Integers(_numpy(pc.fill_null(column, 0)), missing)
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if pa.types.is_float64(kind) or pa.types.is_float32(kind):
        return _numpy(column)  # type: ignore[no-any-return]
    return None


def _one_chunk(column: Any) -> Any:
    if not hasattr(column, "chunks"):
        return column
    if not column.num_chunks:  # a file without row groups
        import pyarrow as pa

        return pa.array([], column.type)
    return (
        column.chunk(0) if column.num_chunks == 1 else column.unify_dictionaries().combine_chunks()
    )


def _numpy(column: Any) -> Any:
    if hasattr(column, "chunks"):
        return (
            column.chunk(0).to_numpy(zero_copy_only=False)
            if column.num_chunks == 1
            else (column.to_numpy())
        )
    return column.to_numpy(zero_copy_only=False)


def _indices(coded: Any) -> Any:
    import pyarrow.compute as pc

    indices = coded.indices
    return _numpy(pc.fill_null(indices.cast("int64"), -1) if indices.null_count else indices)


def _dictionary(coded: Any) -> Vector:
    codes, levels = _indices(coded), coded.dictionary.to_pylist()
    if len(set(levels)) < len(levels) or None in levels:  # polars and DuckDB may write either
        known = list(dict.fromkeys(level for level in levels if level is not None))
        place = {level: j for j, level in enumerate(known)}
        table = np.array([place.get(level, -1) for level in levels] + [-1], dtype=np.int32)
        codes, levels = table[codes], known
    return Factor(
        codes=codes, levels=object_array(levels), kind="category", ordered=coded.type.ordered
    )
