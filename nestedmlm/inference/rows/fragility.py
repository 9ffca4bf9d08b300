"""Fragility: how few groups (or rows) carry a conclusion.

Each group is left out and the model is fitted again. Where no single one changes the conclusion,
groups are left out together, those first that carry most of it: to first order, what a set does to
a statistic is the sum of what its groups do (Broderick, Giordano & Meager 2023, *An automatic
finite-sample robustness metric*). Every set that is reported was left out and fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.errors import NestedMLMError
from nestedmlm.inference.effects.ddf import RowTests, df_method, row_tests
from nestedmlm.inference.fitted import Fitted
from nestedmlm.inference.rows.deletion import delete_held
from nestedmlm.progress import track

NO_ROWS: IntArray = np.zeros(0, dtype=np.int64)
_MOST = 0.5  # share of the groups that are left out together at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One test of one set of rows.

    Attributes
    ----------
    estimate, std_error, df, statistic, p_value : float
        `estimate` and `std_error` are NaN for a likelihood ratio; all are NaN where the rows do
        not tell what is tested.
    refitted : bool
        Whether the covariances were optimised without those rows, or held.
    converged : bool
        Whether the optimum without them is certified.
    """

    estimate: float = np.nan
    std_error: float = np.nan
    df: float = np.nan
    statistic: float = np.nan
    p_value: float = np.nan
    refitted: bool = True
    converged: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of the conclusion that is looked for.

    Attributes
    ----------
    name : str
        As it is printed.
    direction : float
        -1: by a smaller statistic (of the sign that it has); 1: by a larger one.
    reached : callable (Evidence) -> bool
    """

    name: str
    direction: float
    reached: Callable[[Evidence], bool]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChangingSet:
    """The smallest set found without which the conclusion changes.

    Attributes
    ----------
    change : str
    groups : tuple of int
        Positions of the groups; empty where no set was found.
    evidence : Evidence
        Without them.
    """

    change: str
    groups: tuple[int, ...]
    evidence: Evidence


type Tested = Callable[[IntArray], Evidence]
type Refit = Callable[[IntArray], tuple[Fitted, bool]]


def contrast_evidence(refit: Refit, L: FloatArray, rhs: float, ddf: str | None) -> Tested:
    """Test of ``L beta = rhs`` without some rows.

    Parameters
    ----------
    refit : callable (rows left out) -> (Fitted, whether its optimum is certified)
    L : (p,) array
    rhs : float
    ddf : str or None
        Method of degrees of freedom.
    """
    names = np.array(refit(NO_ROWS)[0].design.x_names)

    def tested(gone: IntArray) -> Evidence:
        rest, converged = refit(gone)
        kept = np.isin(names, rest.design.x_names)
        if np.any(L[~kept]):
            return Evidence()
        found = row_tests(df_method(rest, ddf), L[None, kept], rhs=rhs)
        return _first_row(found, converged)

    return tested


def ratio_evidence(small: Refit, large: Refit, df: float) -> Tested:
    """Likelihood ratio test of two models without some rows.

    Parameters
    ----------
    small, large : callable (rows left out) -> (Fitted, whether its optimum is certified)
        By maximum likelihood.
    df : float
        Difference of their numbers of parameters.
    """
    from scipy.special import chdtrc

    columns = large(NO_ROWS)[0].design.p - small(NO_ROWS)[0].design.p

    def tested(gone: IntArray) -> Evidence:
        (lower, first), (higher, second) = small(gone), large(gone)
        if higher.design.p - lower.design.p != columns:
            return Evidence()  # what only the larger model has cannot be estimated
        statistic = max(0.0, lower.solution.deviance - higher.solution.deviance)
        p_value = float(chdtrc(df, statistic))
        return Evidence(df=df, statistic=statistic, p_value=p_value, converged=first and second)

    return tested


def held_evidence(
    fitted: Fitted, L: FloatArray, rhs: float, ddf: str | None, sets: Sequence[IntArray]
) -> tuple[Evidence, ...]:
    """Test of ``L beta = rhs`` without each group, the covariances and the df held: no refits.

    Parameters
    ----------
    fitted, L, rhs, ddf
        As in `contrast_evidence`.
    sets : sequence of int arrays
        Rows of each group.
    """
    found = delete_held(fitted.solution, fitted.design, list(sets), REML=fitted.REML)
    method = df_method(fitted, ddf)
    share = float(np.sqrt(L @ method.cov @ L / (L @ fitted.solution.vcov @ L)))  # 1 but for KR
    out = []
    for beta, vcov in zip(found.beta, found.vcov, strict=True):
        if np.any(L[np.isnan(beta)]):
            out.append(Evidence(refitted=False))
            continue
        one = replace(method, beta=np.nan_to_num(beta), cov=share**2 * np.nan_to_num(vcov))
        out.append(replace(_first_row(row_tests(one, L[None], rhs=rhs)), refitted=False))
    return tuple(out)


def changes_of(whole: Evidence, rhs: float, alpha: float) -> tuple[Change, ...]:
    """Changes of a conclusion that can be asked for.

    Parameters
    ----------
    whole : Evidence
        With all rows.
    rhs : float
        Hypothetical value.
    alpha : float
        Significance level.
    """

    def crossed(found: Evidence) -> bool:
        return (found.estimate - rhs) * whole.statistic < 0.0

    def lost(found: Evidence) -> bool:
        return not found.p_value < alpha

    gained = Change(name="becomes significant", direction=1.0, reached=lambda e: not lost(e))
    significance = (
        gained
        if lost(whole)
        else Change(name="is no longer significant", direction=-1.0, reached=lost)
    )
    if np.isnan(whole.estimate):
        return (significance,)
    return (
        significance,
        Change(name="changes its sign", direction=-1.0, reached=crossed),
        Change(
            name="is significant with the other sign",
            direction=-1.0,
            reached=lambda found: crossed(found) and not lost(found),
        ),
    )


def leave_out_singly(
    tested: Tested,
    sets: Sequence[IntArray],
    *,
    held: Sequence[Evidence] | None = None,
    refits: int,
    progress: bool,
) -> tuple[Evidence, ...]:
    """Leave out each group by itself and fit again.

    A group without which the model cannot be fitted has NaN throughout.

    Parameters
    ----------
    tested : callable (rows left out) -> Evidence
    sets : sequence of int arrays
        Rows of each group.
    held : sequence of Evidence, optional
        Without each group, the covariances held.
    refits : int
        With `held`: how many are refitted, those first whose p-values are most apart from the rest.
    progress : bool
    """
    out = list(held or [Evidence()] * len(sets))
    chosen = list(range(len(sets)))
    if held is not None and len(sets) > refits:
        statistics = np.array([e.statistic for e in held])
        apart = np.abs(statistics - np.nanmedian(statistics))
        chosen = sorted(np.argsort(-np.nan_to_num(apart, nan=np.inf))[:refits].tolist())

    def each() -> Iterator[None]:
        for g in chosen:
            out[g] = _or_nothing(tested, sets[g])
            yield

    for _ in track(each(), len(chosen), "refits", show=progress):
        pass
    return tuple(out)


def smallest_set(
    tested: Tested,
    sets: Sequence[IntArray],
    change: Change,
    whole: Evidence,
    singly: Sequence[Evidence],
) -> ChangingSet:
    """Find the smallest set of groups without which the conclusion changes.

    Parameters
    ----------
    tested : callable (rows left out) -> Evidence
    sets : sequence of int arrays
        Rows of each group.
    change : Change
    whole : Evidence
        With all groups.
    singly : sequence of Evidence
        Without each group.

    Returns
    -------
    ChangingSet
        Of one group, where one is enough: that is certain. Larger sets are the smallest among
        those that begin with the groups that carry most; a smaller one may exist among others.
    """
    sign = np.sign(whole.statistic) or 1.0
    moved = np.array([sign * change.direction * (e.statistic - whole.statistic) for e in singly])
    order = np.argsort(-np.nan_to_num(moved, nan=-np.inf), kind="stable")
    for g in alone_enough(change, singly, order.tolist()):
        return ChangingSet(change=change.name, groups=(g,), evidence=singly[g])
    useful = [int(g) for g in order if moved[g] > 0.0]

    def without(size: int) -> Evidence:
        return _or_nothing(tested, np.concatenate([sets[g] for g in useful[:size]]))

    most = min(len(useful), int(_MOST * len(sets)))
    low, size = 1, 2
    while True:  # double until it changes, then halve the bracket
        size = min(size, most)
        if size <= low:
            return ChangingSet(change=change.name, groups=(), evidence=Evidence())
        found = without(size)
        if np.isfinite(found.p_value) and change.reached(found):
            break
        low, size = size, 2 * size
    while size - low > 1:
        middle = (low + size) // 2
        tried = without(middle)
        if np.isfinite(tried.p_value) and change.reached(tried):
            size, found = middle, tried
        else:
            low = middle
    return ChangingSet(change=change.name, groups=tuple(useful[:size]), evidence=found)


def alone_enough(
    change: Change, singly: Sequence[Evidence], order: Sequence[int]
) -> tuple[int, ...]:
    """Groups each of which changes the conclusion by itself, confirmed by a refit."""
    return tuple(
        g
        for g in order
        if singly[g].refitted and np.isfinite(singly[g].p_value) and change.reached(singly[g])
    )


def _first_row(found: RowTests, converged: bool = True) -> Evidence:
    return Evidence(
        estimate=float(found.estimate[0]),
        std_error=float(found.se[0]),
        df=float(found.df[0]),
        statistic=float(found.statistic[0]),
        p_value=float(found.p_value[0]),
        converged=converged,
    )


def _or_nothing(tested: Tested, gone: IntArray) -> Evidence:
    try:
        return tested(gone)
    except (NestedMLMError, np.linalg.LinAlgError):
        return Evidence()
