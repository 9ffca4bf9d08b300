"""Simpler random-effects terms: which one to try after a singular one.

Syntax only. The rules: correlations go before variances, higher-order effects before
lower-order ones, and a random intercept last of all, together with its term.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import BoolArray, FloatArray
from nestedmlm.covariance import STRUCTURES
from nestedmlm.formula.bars import Bar, left_side, random_term
from nestedmlm.formula.nodes import Literal, Node, joined
from nestedmlm.formula.structures import DOUBLE_BAR, UNSTRUCTURED
from nestedmlm.inference.variances.identification import Confounding


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Collapse:
    """Rank of one term's covariance, and the columns that have collapsed.

    Attributes
    ----------
    columns : tuple of str
        The term's random effects.
    sd : (k,) array
        Standard deviations relative to sigma, each times the root mean square of its column.
    zero : (k,) array of bool
        Which of them are zero.
    rank : int
        Rank of the relative covariance.
    rho : float
        Smallest correlation of two of them; NaN where there is none.
    """

    columns: tuple[str, ...]
    sd: FloatArray
    zero: BoolArray
    rank: int
    rho: float

    @property
    def singular(self) -> bool:
        """Whether the rank falls short of the number of columns."""
        return self.rank < len(self.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One simplification.

    Attributes
    ----------
    change : str
        What is different from the model before.
    terms : tuple of Node
        What takes the term's place, for `Formula.replacing`; empty when the term goes.
    """

    change: str
    terms: tuple[Node, ...]


def columns_of(bar: Bar, columns: Sequence[str]) -> dict[str, list[int]]:
    """Find the columns that each term label of a bar has made.

    Parameters
    ----------
    bar : Bar
    columns : sequence of str
        R's column names.

    Returns
    -------
    dict of str to list of int
        Labels in R's order; the intercept is left out.
    """
    labels = bar.terms.labels
    found: dict[str, list[int]] = {label: [] for label in labels}
    for j, column in enumerate(columns):
        parts = column.split(":")
        fitting = [
            label
            for label in labels
            if len(names := label.split(":")) == len(parts)
            and all(part.startswith(name) for part, name in zip(parts, names, strict=True))
        ]
        # of `x` and `x2`, the longer one made the column `x2`
        if fitting:
            found[max(fitting, key=len)].append(j)
    return found


def _order(label: str) -> int:
    return label.count(":")


def droppable(bar: Bar, collapse: Collapse) -> list[str]:
    """Labels whose variance is zero and that no other label of the term builds on."""
    owners = columns_of(bar, collapse.columns)
    gone = [label for label, cols in owners.items() if cols and all(collapse.zero[cols])]
    kept = [label for label in owners if label not in gone]
    return [
        label
        for label in gone
        if not any(set(label.split(":")) < set(other.split(":")) for other in kept)
    ]


def weakest(bar: Bar, collapse: Collapse) -> str | None:
    """The label to drop first when none is exactly zero: highest order, smallest variance."""
    owners = {k: v for k, v in columns_of(bar, collapse.columns).items() if v}
    if not owners:
        return None
    top = max(map(_order, owners))
    size = {k: float(np.sum(collapse.sd[v] ** 2)) for k, v in owners.items() if _order(k) == top}
    return min(size, key=lambda label: size[label])


def _without(bar: Bar, label: str, structure: str) -> Step:
    labels = [other for other in bar.terms.labels if other != label]
    change = f"{label} no longer varies across {bar.group_text}"
    if not labels and not bar.terms.intercept:
        return Step(change=change, terms=())
    alone = bar.terms.intercept and not labels  # one column left: nothing to structure
    kind = UNSTRUCTURED if alone else structure
    return Step(change=change, terms=(bar.keeping(labels, kind, bar.hom),))


def _whole(bar: Bar) -> Step:
    if bar.terms.intercept:
        return Step(change=f"no random intercept for {bar.group_text}", terms=())
    labels = " and ".join(bar.terms.labels)
    verb = "varies" if len(bar.terms.labels) == 1 else "vary"
    return Step(change=f"{labels} no longer {verb} across {bar.group_text}", terms=())


def _intercept_only(bar: Bar) -> Step:
    change = f"only the intercept varies across {bar.group_text}"
    return Step(change=change, terms=(random_term(Literal(1), bar.group),))


def _shared(bar: Bar, collapse: Collapse) -> Step:
    """What the indicators of a factor share: ``(1 | g)`` for f, ``(0 + x | g)`` for x:f."""
    parts = zip(*(column.split(":") for column in collapse.columns), strict=False)
    same = {next(iter(found)) for part in parts if len(found := set(part)) == 1}
    numeric = [v.node for v in bar.terms.variables if v.name in same]
    factor = " and ".join(bar.terms.labels)
    change = f"the same random effect of {bar.group_text} at all levels of {factor}"
    lhs = left_side(not numeric, [joined(":", numeric)] if numeric else [])
    return Step(change=change, terms=(random_term(lhs, bar.group),))


def _decorrelate(bar: Bar, collapse: Collapse) -> list[Step]:
    """First without correlations, then without the weakest effect."""
    owners = columns_of(bar, collapse.columns).items()
    # `||` keeps the columns of a factor together, and gives it one for each level, of two levels
    # too (column `fb` of `f`): there a diagonal covariance has to be asked for
    single = all([collapse.columns[j] for j in own] == [label] for label, own in owners)
    kind = DOUBLE_BAR if single else STRUCTURES[bar.structure].simpler[-1]
    change = f"the random effects of {bar.group_text} are uncorrelated"
    first = Step(change=change, terms=(random_term(bar.lhs, bar.group, kind),))
    label = weakest(bar, collapse)
    if label is None or np.any(collapse.zero):
        return [first]  # which effect is the weakest then depends on the first step
    return [first, _without(bar, label, kind)]


def _steps_free(bar: Bar, collapse: Collapse) -> list[Step]:
    if len(collapse.columns) == 1 or all(collapse.zero):
        simple = bar.terms.intercept and len(collapse.columns) > 1
        return [_intercept_only(bar), _whole(bar)] if simple else [_whole(bar)]
    gone = droppable(bar, collapse)
    if gone:
        return [_without(bar, max(reversed(gone), key=_order), bar.structure)]
    if bar.terms.intercept or len(bar.terms.labels) > 1:
        return _decorrelate(bar, collapse)
    # the indicators of one factor: equal correlations first, then what they share
    nearest = STRUCTURES[bar.structure].simpler[0]
    cs = random_term(bar.lhs, bar.group, nearest)
    change = f"all random effects of {bar.group_text} are equally correlated"
    return [Step(change=change, terms=(cs,)), _shared(bar, collapse)]


def _steps_uncorrelated(bar: Bar, collapse: Collapse) -> list[Step]:
    if all(collapse.zero):
        return [_whole(bar)]
    gone = droppable(bar, collapse)
    label = max(reversed(gone), key=_order) if gone else None
    return [_without(bar, label, bar.structure)] if label is not None else []


def _steps_structured(bar: Bar, collapse: Collapse) -> list[Step]:
    if all(collapse.zero):
        return [_whole(bar)]
    if collapse.rho > 0 and not np.any(collapse.zero) and not bar.terms.intercept:
        return [_shared(bar, collapse)]  # perfectly correlated indicators are one effect
    simplest = STRUCTURES[bar.structure].simpler[-1]
    diag = random_term(bar.lhs, bar.group, simplest, bar.hom)
    return [Step(change=f"the random effects of {bar.group_text} are uncorrelated", terms=(diag,))]


# by what a structure lets differ from zero: (covariances at all, one of its own for each pair)
_STEPS: dict[tuple[bool, bool], Callable[[Bar, Collapse], list[Step]]] = {
    (True, True): _steps_free,
    (False, False): _steps_uncorrelated,
    (True, False): _steps_structured,
}


def steps(bar: Bar, collapse: Collapse, others: Sequence[Bar]) -> tuple[Step, ...]:
    """Simplifications of one singular term, in the order in which to try them.

    Parameters
    ----------
    bar : Bar
    collapse : Collapse
    others : sequence of Bar
        The formula's other terms that are not zero. An effect stays while one of them lets
        another effect vary that builds on it: a slope on the intercept, x:z on x.

    Returns
    -------
    tuple of Step
        Empty where nothing can be recommended.
    """
    structure = STRUCTURES[bar.structure]
    found = _STEPS[structure.correlated, structure.free_correlations](bar, collapse)
    needed = any(_builds_on(other, bar) for other in others)
    if found and not found[0].terms and needed:
        return ()
    return tuple(found)


def redundant_step(bar: Bar, found: Confounding) -> Step | None:
    """Leave out a term, or a column of one, that adds nothing to the model; None if there is none.

    `bar` is the term that is redundant, or whose columns are.
    """
    if len(found.terms) > 1 and found.redundant:
        return Step(change=f"{found.redundant} is left out, which adds nothing", terms=())
    if found.redundant not in bar.terms.labels:
        return None
    rest = [label for label in bar.terms.labels if label != found.redundant]
    change = f"{found.redundant} is left out of {found.terms[0]}, to which it adds nothing"
    return Step(change=change, terms=(bar.keeping(rest, bar.structure, bar.hom),))


def _builds_on(other: Bar, bar: Bar) -> bool:
    if other.group_text != bar.group_text:
        return False
    mine = [set(label.split(":")) for label in bar.terms.labels]
    mine += [set()] if bar.terms.intercept else []
    theirs = [set(label.split(":")) for label in other.terms.labels]
    return any(small < large for small in mine for large in theirs)
