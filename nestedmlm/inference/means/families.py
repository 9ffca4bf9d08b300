"""Families of contrasts among means: pairwise, against a control, polynomial, effects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import gcd, lcm
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.errors import OptionError

_DEGREES = ("linear", "quadratic", "cubic", "quartic")
NOTHING = "(nothing)"  # in the place of comparisons where there are none
_MAX_DEGREE = 6  # of polynomial contrasts, as in emmeans


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparisons:
    """Linear functions of k means.

    Attributes
    ----------
    names : tuple of str
    coef : (c, k) array
        NaN where there is nothing to compare.
    adjust : str
        The adjustment that goes with this family.
    pairwise : bool
        Whether these are all pairwise differences (for which Tukey's method is meant).
    """

    names: tuple[str, ...]
    coef: FloatArray
    adjust: str
    pairwise: bool = False


def make_comparisons(
    method: str | Mapping[str, Sequence[float]],
    labels: Sequence[str],
    *,
    ref: Any = None,
    reverse: bool = False,
) -> Comparisons:
    """Make the contrasts of a family.

    Parameters
    ----------
    method : str or mapping
        A name in `FAMILIES` (dots and underscores are the same), or coefficients by name.
    labels : sequence of str
        The means' labels.
    ref : str or int, optional
        The control, by label or position (from 0), for ``trt.vs.ctrl``.
    reverse : bool
        Change the sign of every difference.

    Raises
    ------
    OptionError
        For an unknown family, an unknown control, or coefficients of the wrong number.
    """
    if isinstance(method, Mapping):
        return _custom(method, labels)
    name = str(method).replace("_", ".").lower()
    if name not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise OptionError(f"method={method!r} is no family of contrasts; known: {known}")
    made = FAMILIES[name](labels, _position(ref, labels))
    if not made.names:  # one mean has nothing to be compared with; R's emmeans says so, too
        made = replace(made, names=(NOTHING,), coef=np.full((1, len(labels)), np.nan))
    return _reversed(made) if reverse else made


def _custom(method: Mapping[str, Sequence[float]], labels: Sequence[str]) -> Comparisons:
    rows = []
    for name, values in method.items():
        row = np.asarray(values, dtype=float)
        if row.shape != (len(labels),):
            raise OptionError(
                f"contrast {name!r} has {row.size} coefficients for {len(labels)} means "
                f"({', '.join(labels)})"
            )
        rows.append(row)
    coef = np.array(rows).reshape(len(rows), len(labels))
    return Comparisons(names=tuple(map(str, method)), coef=coef, adjust="none")


def _position(ref: Any, labels: Sequence[str]) -> int | None:
    if ref is None:
        return None
    if isinstance(ref, int) and not isinstance(ref, bool) and -len(labels) <= ref < len(labels):
        return ref % len(labels)
    if str(ref) in labels:
        return list(labels).index(str(ref))
    raise OptionError(f"ref={ref!r} is none of the means: {', '.join(labels)}")


def _reversed(made: Comparisons) -> Comparisons:
    names = tuple(" - ".join(name.split(" - ")[::-1]) for name in made.names)
    return Comparisons(names=names, coef=-made.coef, adjust=made.adjust, pairwise=made.pairwise)


def _pairwise(labels: Sequence[str], ref: int | None) -> Comparisons:
    pairs = [(i, j) for i in range(len(labels)) for j in range(i + 1, len(labels))]
    return _differences(labels, pairs, "tukey", pairwise=True)


def _revpairwise(labels: Sequence[str], ref: int | None) -> Comparisons:
    pairs = [(i, j) for i in range(len(labels)) for j in range(i)]
    return _differences(labels, pairs, "tukey", pairwise=True)


def _differences(
    labels: Sequence[str],
    pairs: Sequence[tuple[int, int]],
    adjust: str,
    *,
    pairwise: bool = False,
) -> Comparisons:
    coef = np.zeros((len(pairs), len(labels)))
    for row, (i, j) in enumerate(pairs):
        coef[row, i], coef[row, j] = 1.0, -1.0
    names = tuple(f"{labels[i]} - {labels[j]}" for i, j in pairs)
    return Comparisons(names=names, coef=coef, adjust=adjust, pairwise=pairwise)


def _control(labels: Sequence[str], ref: int | None) -> Comparisons:
    control = 0 if ref is None else ref
    pairs = [(i, control) for i in range(len(labels)) if i != control]
    return _differences(labels, pairs, "dunnettx")


def _last_control(labels: Sequence[str], ref: int | None) -> Comparisons:
    return _control(labels, len(labels) - 1)


def _consecutive(labels: Sequence[str], ref: int | None) -> Comparisons:
    return _differences(labels, [(i + 1, i) for i in range(len(labels) - 1)], "mvt")


def _effects(labels: Sequence[str], ref: int | None) -> Comparisons:
    k = len(labels)
    names = tuple(f"{label} effect" for label in labels)
    return Comparisons(names=names, coef=np.eye(k) - 1.0 / k, adjust="fdr")


def _others(labels: Sequence[str], ref: int | None) -> Comparisons:
    k = len(labels)
    names = tuple(f"{label} effect" for label in labels)
    coef = (np.eye(k) * k - 1.0) / max(k - 1, 1)
    return Comparisons(names=names, coef=coef, adjust="fdr")


def _mean_change(labels: Sequence[str], ref: int | None) -> Comparisons:
    k = len(labels)
    coef = np.array([[-1.0 / i if j < i else 1.0 / (k - i) for j in range(k)] for i in range(1, k)])
    names = tuple(f"{labels[i - 1]}|{labels[i]}" for i in range(1, k))
    return Comparisons(names=names, coef=coef.reshape(k - 1, k), adjust="mvt")


def _identity(labels: Sequence[str], ref: int | None) -> Comparisons:
    return Comparisons(names=tuple(labels), coef=np.eye(len(labels)), adjust="none")


def _polynomial(labels: Sequence[str], ref: int | None) -> Comparisons:
    """Orthogonal polynomials in whole numbers, positive at the last mean."""
    k = len(labels)
    powers = [[Fraction(i) ** d for i in range(k)] for d in range(min(_MAX_DEGREE, k - 1) + 1)]
    basis: list[list[Fraction]] = []
    for column in powers:  # Gram-Schmidt in exact arithmetic
        rest = column
        for done in basis:
            factor = _dot(column, done) / _dot(done, done)
            rest = [r - factor * d for r, d in zip(rest, done, strict=True)]
        basis.append(rest)
    names = [*_DEGREES, *(f"degree {d}" for d in range(5, _MAX_DEGREE + 1))]
    coef = np.array([_whole(column) for column in basis[1:]], dtype=float).reshape(-1, k)
    return Comparisons(names=tuple(names[: len(coef)]), coef=coef, adjust="none")


def _dot(a: Sequence[Fraction], b: Sequence[Fraction]) -> Fraction:
    return sum((x * y for x, y in zip(a, b, strict=True)), Fraction(0))


def _whole(column: Sequence[Fraction]) -> list[int]:
    """Scale to the smallest whole numbers."""
    scale = lcm(*(value.denominator for value in column))
    numbers = [int(value * scale) for value in column]
    shared = gcd(*numbers)
    return [number // shared for number in numbers]


FAMILIES: dict[str, Callable[[Sequence[str], int | None], Comparisons]] = {
    "pairwise": _pairwise,
    "revpairwise": _revpairwise,
    "trt.vs.ctrl": _control,
    "trt.vs.ctrl1": _control,
    "trt.vs.ctrlk": _last_control,
    "dunnett": _control,
    "consec": _consecutive,
    "eff": _effects,
    "del.eff": _others,
    "mean.chg": _mean_change,
    "poly": _polynomial,
    "identity": _identity,
}
