"""Response and weights that a fit was refitted to, for the models that are made from it later.

The table that a model reads still has the first response: what is fitted again after `refit`
(`drop1`, `ranova`, `update`) has to take the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nestedmlm._typing import BoolArray, FloatArray
from nestedmlm.design.design import Design
from nestedmlm.errors import DataError, OptionError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChangedRows:
    """Response and weights in the place of those of the data.

    Attributes
    ----------
    response_text : str
        The response of the formula that they stand in for.
    kept : array of bool
        Which rows of the data they are of.
    y : (n,) array
    weights : (n,) array or None
        None: those of the data.
    """

    response_text: str
    kept: BoolArray
    y: FloatArray
    weights: FloatArray | None

    def put_into(self, design: Design) -> Design:
        """The design with this response and these weights.

        Raises
        ------
        OptionError
            If the formula has another response.
        DataError
            If the design has rows that the fit had left out.
        """
        if design.formula.response_text != self.response_text:
            raise OptionError(
                f"the fit was refitted to another response than {self.response_text}, of which "
                f"{design.formula.response_text} is not known: make it a column of the data"
            )
        out = design.with_response(self._rows(self.y, design.kept))
        return out if self.weights is None else out.with_weights(self._rows(self.weights, out.kept))

    def _rows(self, values: FloatArray, kept: BoolArray) -> FloatArray:
        every = np.full(len(self.kept), np.nan)
        every[self.kept] = values
        found: FloatArray = every[kept]
        if np.isnan(found).any():
            row = int(np.flatnonzero(kept)[np.isnan(found).argmax()])
            raise DataError(
                f"the response that the fit was refitted to has no value in row {row}, which this "
                "formula uses: make the response a column of the data"
            )
        return found


def changed_of(model: Any) -> ChangedRows | None:
    """Response and weights that a model has in the place of its data's, if it has any."""
    found: ChangedRows | None = getattr(model.source, "changed", None)
    return found


def changed_rows(model: Any, design: Design, *, weighted: bool) -> ChangedRows:
    """What a refit's design has in the place of the data's response, and of weights."""
    before = model.source.changed
    weighted = weighted or (before is not None and before.weights is not None)
    return ChangedRows(
        response_text=model.formula.response_text,
        kept=design.kept,
        y=design.y,
        weights=design.weights if weighted else None,
    )
