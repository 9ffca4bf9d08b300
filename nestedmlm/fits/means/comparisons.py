"""Contrasts of marginal means, and contrasts of these: what `Emmeans.contrast` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import check_choice, checked
from nestedmlm.errors import OptionError
from nestedmlm.fits.means.contrast_names import contrast_labels, row_names
from nestedmlm.inference.means.adjustments import check_adjust
from nestedmlm.inference.means.families import make_comparisons
from nestedmlm.inference.means.null_hypothesis import ZERO
from nestedmlm.inference.means.response_scale import TYPES
from nestedmlm.inference.means.simultaneous import split_rows
from nestedmlm.posterior.linear_functions import CoefficientDraws

if TYPE_CHECKING:
    from nestedmlm.fits.means.marginal_means import Emmeans


def compare_means(
    means: Emmeans,
    method: str | Mapping[str, Sequence[float]],
    *,
    by: Sequence[str],
    adjust: str | None = None,
    ref: Any = None,
    reverse: bool = False,
    column: str | None = None,
) -> Emmeans:
    """Compare the rows of each family.

    Parameters
    ----------
    means : Emmeans
    method, adjust, ref, reverse
        See `nestedmlm.Emmeans.contrast`.
    by : sequence of str
        Columns that split the rows into families.
    column : str, optional
        Of an interaction: what the column of contrasts is called; numbers stay bare there.

    Raises
    ------
    OptionError
    """
    own = [name for name in means.labels if name not in by]
    blocks = split_rows(means.labels, by)
    names = [row_names(means.labels, own, rows, named=column is None) for rows in blocks]
    made = [make_comparisons(method, one, ref=ref, reverse=reverse) for one in names]
    default = "none" if isinstance(means.ddf, CoefficientDraws) else made[0].adjust
    chosen = adjustment_of(means, default if adjust is None else adjust)
    pieces = list(zip(made, blocks, strict=True))
    labels = contrast_labels(means.labels, by, blocks, made, column)
    found = replace(
        means,
        labels=labels,
        L=np.concatenate([_combine(m.coef, means.L[rows]) for m, rows in pieces]),
        offset=np.concatenate([m.coef @ means.offset[rows] for m, rows in pieces]),
        by=tuple(by),
        name="estimate",
        pairwise=made[0].pairwise,
        means=tuple(float(len(rows)) for rows in blocks),
        intervals=False,
        tests=True,
        hypothesis=ZERO,
        scale=None if means.scale is None else replace(means.scale, contrasts=True),
        contrasts=(str(labels.columns[0]), *(c for c in means.contrasts if c in by)),
    )
    return _adjusted(found, chosen)


@checked
def pairs(
    self: Emmeans,
    *,
    adjust: str | None = None,
    by: str | Sequence[str] | None = None,
    reverse: bool = False,
    type: str | None = None,
    infer: bool | Sequence[bool] | None = None,
) -> Emmeans:
    """All pairwise differences within each family: ``contrast("pairwise")``.

    Parameters
    ----------
    adjust : str, optional
        Adjustment for many comparisons: ``tukey`` (the default), ``holm``, ``sidak``,
        ``bonferroni``, ``mvt``, ``none``, …
    by : str or sequence of str, optional
        Compare within each combination of these; by default as the means were made.
    reverse : bool
        Change the sign of every difference.
    type : {"link", "response"}, optional
        Of a generalized model's differences, as in `nestedmlm.Emmeans.contrast`.
    infer : bool or pair of bool, optional
        Whether intervals and tests are printed: ``True`` for both, ``(True, False)`` for intervals
        alone; by default tests.

    Returns
    -------
    Emmeans

    Raises
    ------
    OptionError
        For an unknown adjustment, variable, type or kind of inference.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("angle ~ recipe + temp + (1 | recipe:replicate)", nm.load_dataset("cake"))
    >>> nm.emmeans(fit, "recipe").pairs().labels["contrast"].tolist()
    ['A - B', 'A - C', 'B - C']

    Ratios of rates:

    >>> fit = nm.glmer("TICKS ~ YEAR + (1 | BROOD)", nm.load_dataset("grouseticks"),
    ...                family="poisson")
    >>> nm.emmeans(fit, "YEAR").pairs(type="response").to_frame()["contrast"].tolist()
    ['YEAR95 / YEAR96', 'YEAR95 / YEAR97', 'YEAR96 / YEAR97']
    """
    return self.contrast("pairwise", adjust=adjust, by=by, reverse=reverse, type=type, infer=infer)


def shown_with(means: Emmeans, infer: bool | Sequence[bool] | None) -> Emmeans:
    """The same with the intervals and the tests that `infer` asks for.

    Parameters
    ----------
    means : Emmeans
    infer : bool or pair of bool, optional
        One for both, or one for intervals and one for tests; None: as they are.

    Raises
    ------
    OptionError
        For anything else.
    """
    if infer is None:
        return means
    both = [infer, infer] if isinstance(infer, bool) else list(infer)
    if len(both) != 2 or not all(isinstance(one, bool | np.bool_) for one in both):
        raise OptionError(
            f"infer={infer!r}: True or False for intervals and tests, or a pair of these: "
            "(True, False) for intervals alone"
        )
    return replace(means, intervals=bool(both[0]), tests=bool(both[1]))


def on_scale(means: Emmeans, type: str) -> Emmeans:
    """The same of a generalized model on the scale of the link or the response.

    Parameters
    ----------
    means : Emmeans
        Of a linear model, which has one scale: they stay as they are.
    type : {"link", "response"}

    Raises
    ------
    OptionError
        For another type.
    """
    check_choice(type, "type", TYPES)
    if means.scale is None:
        return means
    return replace(means, scale=replace(means.scale, response=type == "response"))


def interaction_contrasts(
    means: Emmeans,
    methods: Any,
    *,
    by: Sequence[str],
    adjust: str | None,
    reverse: bool,
) -> Emmeans:
    """Contrasts of each variable, of the contrasts of the next: R's ``contrast(interaction=)``.

    Parameters
    ----------
    means : Emmeans
        Of all combinations of its variables.
    methods : str, mapping, or sequence
        One for each variable that is not in `by`: recycled, or by name.
    by, adjust, reverse
        See `compare_means`.

    Raises
    ------
    OptionError
        For names that are no variables, and where not all combinations are there.
    """
    own = [str(name) for name in means.labels if name not in by]
    chosen = _methods(methods, own)
    blocks = split_rows(means.labels, by)
    if len({len(rows) for rows in blocks}) > 1 or any(
        len(rows) != np.prod([means.labels[name].iloc[rows].nunique() for name in own])
        for rows in blocks
    ):
        raise OptionError(
            f"interaction= needs all combinations of {', '.join(own)}, which are not there: "
            "compare within each level with by="
        )
    variables = [*chosen, *by]
    for at in reversed(range(len(chosen))):
        name, method = list(chosen.items())[at]
        column = f"{name}_{method if isinstance(method, str) else 'custom'}"
        rest = [other for other in variables if other != name]
        means = compare_means(
            means, method, by=rest, adjust="none", reverse=reverse, column=column
        )  # fmt: skip
        variables[at] = column
    found = replace(means, by=tuple(by), pairwise=False, means=tuple(map(float, _sizes(means, by))))
    return _adjusted(found, "none" if adjust is None else adjustment_of(found, adjust))


def _adjusted(found: Emmeans, adjust: str) -> Emmeans:
    """With an adjustment; Tukey's where it is none says so."""
    if adjust != "tukey" or found.pairwise:
        return replace(found, adjust=adjust)
    said = "adjust: tukey is for pairwise differences only; sidak was used"
    return replace(found, adjust="sidak", notes=(*found.notes, said))


def adjustment_of(means: Emmeans, asked: str) -> str:
    """Name of a known adjustment; a posterior has none.

    Raises
    ------
    OptionError
    """
    chosen = check_adjust(asked)
    if isinstance(means.ddf, CoefficientDraws) and chosen != "none":
        raise OptionError(
            f"adjust={asked!r}: p-values are adjusted for their number, posterior "
            "probabilities are not; use draws() for joint statements"
        )
    return chosen


def _methods(methods: Any, own: Sequence[str]) -> dict[str, Any]:
    """A method for each variable; the order is that of the columns."""
    if isinstance(methods, Mapping):
        unknown = [str(name) for name in methods if name not in own]
        if unknown or len(methods) < len(own):
            raise OptionError(
                f"interaction= has methods of {', '.join(map(str, methods))}; the variables are "
                f"{', '.join(own)}"
            )
        return dict(methods)
    given = [methods] if isinstance(methods, str) else list(methods)
    if not given:
        raise OptionError("interaction=[] names no method")
    return {name: given[k % len(given)] for k, name in enumerate(own)}


def _sizes(means: Emmeans, by: Sequence[str]) -> list[int]:
    return [len(rows) for rows in split_rows(means.labels, by)]


def _combine(coef: FloatArray, L: FloatArray) -> FloatArray:
    """``coef @ L`` where a zero coefficient lets what cannot be estimated alone."""
    out: FloatArray = coef @ np.nan_to_num(L)
    missing = np.isnan(L).any(axis=1)
    out[(coef[:, missing] != 0).any(axis=1)] = np.nan
    return out
