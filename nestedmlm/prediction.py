"""Predictions for new data from a solution (layer 5)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.design import Design
from nestedmlm.results import Solution


def predict(
    solution: Solution,
    design: Design,
    data: Any,
    *,
    random_effects: bool = True,
    new_levels: str = "error",
) -> pd.Series:
    """``X beta + offset``, plus ``Z b`` for the groups that are known.

    Parameters
    ----------
    data : table
        New rows; the response is not needed.
    random_effects : bool
        Add the conditional modes (False: the population's mean).
    new_levels : {"error", "population"}
        What to do with unseen groups: refuse, or predict with their random effects at zero.

    Raises
    ------
    NewLevelsError
        For unseen groups with ``new_levels="error"``, and always for unseen levels of a fixed
        factor.
    """
    new = design.new(data, new_levels=new_levels if random_effects else "population")
    out = new.X @ solution.beta
    if new.offset is not None:
        out = out + new.offset
    if random_effects:
        for (X, codes), b in zip(new.terms, solution.b, strict=True):
            known = codes >= 0
            effect = np.einsum("ij,ij->i", X, b[np.where(known, codes, 0)])
            out = out + np.where(known, effect, 0.0)
    return pd.Series(out, index=new.index, name="prediction")
