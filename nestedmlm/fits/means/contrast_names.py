"""Names of means in contrasts, and labels of contrasts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from nestedmlm.design.frame.values import level_label
from nestedmlm.inference.means.families import Comparisons

_PARENTHESES = frozenset("-+*/")  # a label with one of these is bracketed in a contrast's name


def row_names(
    labels: pd.DataFrame, own: Sequence[str], rows: np.ndarray, *, named: bool = True
) -> list[str]:
    """Name each mean by its levels; numbers follow their variable's name if `named`, as in R."""
    parts = []
    for name in own:
        texts = [level_label(value) for value in labels[name]]
        if named and all(_is_number(text) for text in texts):
            texts = [f"{name}{text}" for text in texts]
        parts.append(texts)
    joined = [" ".join(row) for row in zip(*parts, strict=True)] if parts else [""] * len(labels)
    return [_bracketed(joined[row]) for row in rows.tolist()]


def _bracketed(label: str) -> str:
    return f"({label})" if _PARENTHESES & set(label) else label


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def contrast_labels(
    labels: pd.DataFrame,
    by: Sequence[str],
    blocks: Sequence[np.ndarray],
    made: Sequence[Comparisons],
    column: str | None = None,
) -> pd.DataFrame:
    """Columns of labels: the name of each contrast (in `column`), and the group it is of."""
    names = [name for comparisons in made for name in comparisons.names]
    first = [int(b[0]) for b, m in zip(blocks, made, strict=True) for _ in m.names]
    groups = labels[list(by)].iloc[first].reset_index(drop=True)
    # contrasts of contrasts: as emmeans names them
    taken = sum(str(name).startswith("contrast") for name in by)
    own = pd.Series(names, name=column or f"contrast{taken or ''}", dtype=object)
    return pd.concat([own, groups], axis=1)
