"""Checks of responses, weights and grouping factors: what lme4 refuses, in its words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.design.frame.values import Factor, Integers, Matrix, Vector, logical_numbers
from nestedmlm.design.matrices.grouping import GroupingFactor
from nestedmlm.errors import DataError, GroupingError, ResponseError, WeightsError

_LARGEST_WEIGHT = 1e150  # products of weights, as cross-products have them, stay finite
_TOO_LARGE = (
    f"beyond {_LARGEST_WEIGHT:.0e} are too large to compute with: divide them all by one number, "
    "which changes the unit of sigma and nothing else"
)


def response_numbers(value: Vector, name: str) -> FloatArray:
    """Return the response as floats (a copy).

    Raises
    ------
    ResponseError
        If it is categorical, a date or a matrix.
    """
    if isinstance(value, Matrix):
        raise ResponseError(
            f"the response {name} is a matrix; fit one model for each column (see refit()), or, if "
            'these are successes and failures, nm.glmer(..., family="binomial")'
        )
    if isinstance(value, Factor):
        if value.kind == "logical":
            return logical_numbers(value)
        raise ResponseError(f"response must be numeric; {name} is not{_cure(value, name)}")
    if isinstance(value, Integers):
        return value.numbers()
    if value.dtype.kind not in "iuf":
        raise ResponseError(f"response must be numeric; {name} has the type {value.dtype}")
    return value.astype(np.float64)


def _cure(value: Factor, name: str) -> str:
    """What to do about a response with levels."""
    levels = [str(level) for level in value.levels]
    if len(levels) == 2:
        return f' (its levels: {", ".join(levels)}): nm.glmer(..., family="binomial") takes two'
    shown = ", ".join(levels[:5]) + (", …" if len(levels) > 5 else "")
    return (
        f" (its levels: {shown}): give numbers, or compare levels, such as "
        f'I({name} == {levels[-1]!r}) with nm.glmer(..., family="binomial")'
    )


def check_response(y: FloatArray, name: str) -> None:
    """Refuse an infinite or constant response."""
    if not np.isfinite(y).all():
        raise ResponseError(f"the response {name} holds infinite values")
    if y.max() == y.min():
        what = name if name.startswith("the ") else f"the response {name}"
        raise ResponseError(f"{what} is constant ({y[0]:g}): there is nothing to fit")


def check_finite(X: FloatArray, names: Sequence[str]) -> None:
    """Refuse infinite values in a model matrix, naming the columns."""
    with np.errstate(all="ignore"):
        if np.isfinite(np.add.reduce(X, axis=None)):  # a sum is much cheaper than a mask
            return
    bad = [name for j, name in enumerate(names) if not np.isfinite(X[:, j]).all()]
    if bad:
        raise DataError(f"infinite values in {', '.join(bad)}")


def check_offset(offset: FloatArray, index: pd.Index) -> None:
    """Refuse an offset with infinite values, naming the first row.

    Raises
    ------
    DataError
    """
    bad = np.flatnonzero(~np.isfinite(offset))
    if bad.size:
        raise DataError(
            f"infinite values in the offset: {offset[bad[0]]:g} in row {index[bad[0]]}; an "
            "exposure of zero has no logarithm: leave such rows out of the data"
        )


def check_weights(weights: FloatArray, index: pd.Index | None = None) -> None:
    """Refuse weights that are not positive numbers, naming the first row if its name is known.

    Raises
    ------
    WeightsError
    """
    for wrong, said in (
        (np.isnan(weights), "are missing (NaN) in rows that are used"),
        (~np.isfinite(weights), "must be finite"),
        (weights < 0, "must not be negative"),
        (weights == 0, "must not be zero: leave those rows out of the data"),
        (weights > _LARGEST_WEIGHT, _TOO_LARGE),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            where = "" if index is None else f" (row {index[row]})"
            raise WeightsError(f"weights {said}{where}")


def check_levels(
    factors: Sequence[GroupingFactor],
    n: int,
    *,
    free_dispersion: bool = True,
    family: str | None = None,
) -> None:
    """Refuse factors with one level or with as many levels as rows (lme4's checkNlevels).

    Without a residual variance or dispersion, an effect of each row can be told apart. The name of
    a generalized model's family is for the message.

    Raises
    ------
    GroupingError
    """
    # of relatives each may have a row of its own; a smooth of all data is one level
    factors = [f for f in factors if f.basis is None and not f.is_whole]
    single = [f.name for f in factors if f.levels.size < 2]
    if single:
        names = ", ".join(single)
        raise GroupingError(f"grouping factors must have > 1 sampled level (problems: {names})")
    many = [f.name for f in factors if f.levels.size >= n + (not free_dispersion)]
    if many:
        advice = (
            "where the variance of each row is known (meta-analysis), give lmer weights=, one over "
            "it, and fixed={'sigma': 1}"
            if family is None
            else f"the dispersion of the {family} family is what varies between rows already: "
            "leave such an effect out"
        )
        raise GroupingError(
            "number of levels of each grouping factor must be < number of observations "
            f"(problems: {', '.join(many)}); {advice}"
        )


def check_effects(
    terms: Sequence[Any],
    factors: Sequence[GroupingFactor],
    n: int,
    *,
    free_dispersion: bool = True,
) -> None:
    """Refuse a term with at least as many random effects as there are rows (lme4's checkZdims).

    As in lme4 >= 2, nothing is refused when some term has a structured covariance.

    Raises
    ------
    GroupingError
    """
    if not all(term.structure.free_correlations for term in terms):
        return
    for term in terms:
        if factors[term.factor].basis is not None or term.smooth:
            continue
        effects = len(term.columns) * factors[term.factor].levels.size
        if n < effects + free_dispersion:
            raise GroupingError(
                f"number of observations (={n}) <= number of random effects (={effects}) for term "
                f"({term.text}); the random-effects parameters and the residual variance (or scale "
                "parameter) are probably unidentifiable"
            )
