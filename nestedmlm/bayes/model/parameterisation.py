"""Centred or non-centred random effects, term by term."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.model.names import parameter_names
from nestedmlm.design.moments import group_sizes
from nestedmlm.errors import OptionError
from nestedmlm.families import Family, rows

if TYPE_CHECKING:
    from nestedmlm.design.design import Design

# Observations per level and column from which "auto" centres. With few, a level's effect hardly
# moves away from its prior and centring makes a funnel (classes of 4 pupils: hundreds of
# divergences); with many, the effect is known and non-centring ties it to the SD.
CENTRE_FROM = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameterisation:
    """Centred or non-centred: what was decided for one term, and why.

    Attributes
    ----------
    term : str
        The term's label (``TermNames.label``).
    centred : bool
    per_level : float
        Median number of observations per level, divided by the term's columns; of a generalized
        model the median sum of the rows' Fisher information.
    reason : str
        In words.
    """

    term: str
    centred: bool
    per_level: float
    reason: str


def parameterisation(
    design: Design, noncentered: bool | str | Mapping[str, bool] = "auto"
) -> tuple[Parameterisation, ...]:
    """Decide for each term whether its effects are centred.

    Parameters
    ----------
    design : Design
    noncentered : "auto", bool, or mapping of term label to bool
        "auto" centres terms with at least 30 observations per level and column (the median
        level's); of a generalized model, 30 units of the rows' Fisher information about the linear
        predictor: counts, or about four times as many rows of 0 and 1. A mapping leaves the terms
        it does not name to "auto".

    Returns
    -------
    tuple of Parameterisation
        In the order of ``design.terms``.

    Raises
    ------
    OptionError
        For another value, or a label that no term has.
    """
    labels = [t.label for t in parameter_names(design).terms]
    given = _given(noncentered, labels)
    what = "observations" if design.family is None else "units of information"
    information = None if design.family is None else row_information(design, design.family)
    out = []
    for term, label in zip(design.terms, labels, strict=True):
        sizes = _sizes(design, term.factor, information)
        per_level = float(np.median(sizes)) / len(term.columns)
        centred = not given[label] if label in given else per_level >= CENTRE_FROM
        reason = (
            "asked for"
            if label in given
            else f"{per_level:.3g} {what} per level and column, "
            f"{'at least' if centred else 'fewer than'} {CENTRE_FROM:g}"
        )
        out.append(
            Parameterisation(term=label, centred=centred, per_level=per_level, reason=reason)
        )
    return tuple(out)


def row_information(design: Design, family: Family) -> FloatArray:
    """Fisher information of each row about its linear predictor, where means are near the data.

    For a family that has no derivatives (t) each row counts as one, as in a linear model.
    """
    if not family.has_derivatives:
        return np.ones(design.n)
    weights = np.ones(design.n) if design.weights is None else np.asarray(design.weights)
    with np.errstate(all="ignore"):
        mu = family.start_mean(design.y, weights)
        dispersion = family.value_of(None)
        if family.has_dispersion and family.start_dispersion is not None:
            middle = np.full_like(mu, np.average(mu, weights=weights))
            dispersion = family.start_dispersion(design.y, middle, weights)
        w = rows(family, family.link.eta(mu), design.y, weights, dispersion).w
    return np.where(np.isfinite(w), w, 0.0)


def _sizes(design: Design, factor: int, information: FloatArray | None) -> FloatArray:
    """Observations of each level, or their information."""
    if information is None:
        return group_sizes(design, factor).astype(float)
    own = design.factors[factor]
    return np.bincount(own.codes, information, minlength=len(own.levels))


def _given(noncentered: bool | str | Mapping[str, bool], labels: list[str]) -> Mapping[str, bool]:
    if isinstance(noncentered, Mapping):
        unknown = [name for name in noncentered if name not in labels]
        if unknown:
            raise OptionError(
                f"no random-effects term {unknown[0]!r}; the terms are: {', '.join(labels)}"
            )
        return noncentered
    if isinstance(noncentered, bool):
        return dict.fromkeys(labels, noncentered)
    if noncentered == "auto":
        return {}
    raise OptionError(
        f"noncentered must be 'auto', True, False, or say so for each term, not {noncentered!r}"
    )
