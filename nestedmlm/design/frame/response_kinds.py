"""Responses of each kind: the left side of a formula as numbers, checked against a family.

A binomial response is a proportion with its numbers of trials as weights, however it is written:
``cbind(success, failure)``, Bambi's ``p(k, n)``, 0 and 1, two levels, proportions with weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.design.frame.checks import check_response, response_numbers
from nestedmlm.design.frame.evaluate import Evaluator
from nestedmlm.design.frame.operators import as_numbers
from nestedmlm.design.frame.values import Factor, Matrix, drop_unused
from nestedmlm.errors import ResponseError
from nestedmlm.formula.deparse import deparse
from nestedmlm.formula.nodes import Call, Node

if TYPE_CHECKING:
    from nestedmlm.families import Family


PROPORTION = ("p", "proportion", "prop")  # Bambi's words for (successes, trials)
_WHOLE = 1e-6  # how far from a whole number a count may be for rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseKind:
    """The kind of response that a family takes.

    Attributes
    ----------
    name : str
        A key of `KINDS`: ``real``, ``binomial``, ``counts``, ``positive`` or ``unit``.
    family : str
        The family, for messages.
    free_dispersion : bool
        Whether a dispersion is estimated; without one, a grouping factor may have a level for
        each row.
    check : callable or None
        ``(y, weights)``: the family's own check.
    """

    name: str = "real"
    family: str = "gaussian"
    free_dispersion: bool = True
    check: Callable[[FloatArray, FloatArray], None] | None = None


REAL = ResponseKind()

# what the response of a family is called in `KINDS`; those that are not here say it in their check
_OF_FAMILY = MappingProxyType(
    {
        "binomial": "binomial",
        "poisson": "counts",
        "negativebinomial": "counts",
        "gamma": "positive",
        "inverse_gaussian": "positive",
        "beta": "unit",
    }
)


def response_kind(family: Family | None) -> ResponseKind:
    """The kind of response that a family takes; of a linear model, any number."""
    if family is None:
        return REAL
    name = _OF_FAMILY.get(family.name, "real")
    free = family.has_dispersion and family.name != "negativebinomial"
    return ResponseKind(name=name, family=family.name, free_dispersion=free, check=family.check)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Response:
    """A response before rows with missing values are left out.

    Attributes
    ----------
    y : ndarray, shape (n,)
        Of a binomial response the proportion.
    trials : ndarray, shape (n,), or None
        Numbers of trials that were written with the response.
    """

    y: FloatArray
    trials: FloatArray | None = None


def read_response(node: Node, evaluator: Evaluator, kind: ResponseKind) -> Response:
    """Evaluate the left side of a formula.

    Parameters
    ----------
    node : Node
    evaluator : Evaluator
    kind : ResponseKind

    Returns
    -------
    Response
        NaN where a value is missing or there were no trials.

    Raises
    ------
    ResponseError
        For what is no response of this kind: a matrix, more than two levels, dates.
    """
    if kind.name != "binomial":
        return Response(y=response_numbers(evaluator.vector(node), deparse(node)))
    if isinstance(node, Call) and node.func.name in PROPORTION and len(node.args) == 2:
        successes, trials = (_column(evaluator, arg.value, node.func.name) for arg in node.args)
        return _of_counts(successes, trials)
    value = evaluator.vector(node)
    if isinstance(value, Matrix):
        columns = value.values
        if columns.shape[1] != 2:
            raise ResponseError(
                f"{deparse(node)} has {columns.shape[1]} columns; a binomial response has two, "
                "cbind(success, failure)"
            )
        return _of_counts(columns[:, 0], columns.sum(axis=1))
    if isinstance(value, Factor) and value.kind != "logical":
        return Response(y=_second_level(value, deparse(node)))
    return Response(y=response_numbers(value, deparse(node)))


def _column(evaluator: Evaluator, node: Node, name: str) -> FloatArray:
    numbers = as_numbers(evaluator.vector(node, scalar=True), deparse(node))
    if isinstance(numbers, Matrix):
        raise ResponseError(f"{name}() takes two columns, and {deparse(node)} is a matrix")
    return np.asarray(numbers, dtype=np.float64)


def _of_counts(successes: FloatArray, trials: FloatArray) -> Response:
    """Proportions of successes; NaN without trials, which says nothing and is left out."""
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.where((trials == 0) & (successes == 0), np.nan, successes / trials)
    return Response(y=y, trials=trials)


def _second_level(factor: Factor, name: str) -> FloatArray:
    """0 for the first of two levels, 1 for the second."""
    used = drop_unused(factor)
    if used.levels.size == 1:
        raise ResponseError(
            f"the response {name} is constant ({used.labels[0]}): there is nothing to fit"
        )
    if used.levels.size != 2:
        listed = ", ".join(used.labels[:6]) + (", ..." if used.levels.size > 6 else "")
        raise ResponseError(
            f"the response {name} has {used.levels.size} levels ({listed}); a binomial response "
            f"has two, failure and success: write a comparison, such as "
            f"I({name} == {used.labels[-1]!r})"
        )
    y = used.codes.astype(np.float64)
    y[used.codes < 0] = np.nan
    return y


def check_values(
    y: FloatArray,
    weights: FloatArray | None,
    trials: FloatArray | None,
    *,
    kind: ResponseKind,
    name: str,
    index: pd.Index,
) -> None:
    """Refuse a response that its family does not take, naming the first row.

    Parameters
    ----------
    y : ndarray, shape (n,)
    weights, trials : ndarray, shape (n,), or None
        The argument ``weights``; trials that came with the response.
    kind : ResponseKind
    name : str
        The response as it was written.
    index : pandas.Index
        Labels of the rows.

    Raises
    ------
    ResponseError
    """
    if trials is not None and not np.isfinite(trials).all():
        raise ResponseError(f"the response {name} holds infinite values")
    here = Checked(y=y, weights=weights, trials=trials, kind=kind, name=name, index=index)
    if trials is None:
        check_response(y, name)
    KINDS[kind.name](here)
    if trials is not None and (np.ptp(y) != 0 or y[0] in (0.0, 1.0)):
        check_response(y, name)
    if kind.check is not None:
        kind.check(y, np.ones(len(y)) if weights is None else weights)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checked:
    """A response on complete rows, and what may be wrong with it.

    The attributes are the arguments of `check_values`.
    """

    y: FloatArray
    weights: FloatArray | None
    trials: FloatArray | None
    kind: ResponseKind
    name: str
    index: pd.Index

    def refuse(
        self, bad: npt.NDArray[np.bool_], what: str, *, values: FloatArray | None = None,
        advice: str | None = None,
    ) -> None:  # fmt: skip
        """Raise where some row is bad, with the first one and what would take it."""
        if not bad.any():
            return
        first = int(np.argmax(bad))
        value = (self.y if values is None else values)[first]
        raise ResponseError(
            f"{self.name} is {value:g} in row {self.index[first]}, but {what}: "
            f"{taken_by(self.y) if advice is None else advice}"
        )

    def binomial(self) -> None:
        """Proportions of whole numbers of trials."""
        y, trials = self.y, self.trials
        advice = _TWO if trials is not None else None
        if advice is None and np.unique(y).size == 2:
            advice = f"write I({self.name} == {y.max():g}) for two values"
        what = "a binomial response is 0, 1 or a proportion of trials"
        bad = (y < 0) | (y > 1)
        if trials is not None:  # -1 of -2 is a half
            bad |= trials < 0
        self.refuse(bad, what, advice=advice)
        if trials is not None:
            counts = trials * y
            self.refuse(_fractional(counts), "successes are whole numbers", values=counts,
                        advice=_TWO)  # fmt: skip
            self.refuse(_fractional(trials), "trials are whole numbers", values=trials, advice=_TWO)
            return
        between = (y != 0) & (y != 1)
        if not between.any():
            return
        if self.weights is None:
            first = int(np.argmax(between))
            raise ResponseError(
                f"{self.name} is a proportion ({y[first]:g} in row {self.index[first]}): give the "
                "numbers of trials in weights= or write cbind(success, failure) or p(success, "
                'trials); a share that is not of trials has family="beta"'
            )
        counts = y * self.weights
        wrong = _fractional(counts)
        product = counts[np.argmax(wrong)]
        self.refuse(
            wrong,
            f"times its weight it is {product:g}, no whole number of successes",
            advice="the weights of a proportion are its numbers of trials",
        )

    def counts(self) -> None:
        """Whole numbers from 0 on."""
        y = self.y
        bad = (y < 0) | _fractional(y)
        self.refuse(bad, f"the {self.kind.family} family takes counts, 0, 1, 2, ...")

    def positive(self) -> None:
        """Numbers above zero."""
        self.refuse(self.y <= 0, f"the {self.kind.family} family takes numbers above 0")

    def unit(self) -> None:
        """Numbers strictly between 0 and 1."""
        bad = (self.y <= 0) | (self.y >= 1)
        self.refuse(bad, f"the {self.kind.family} family takes numbers between 0 and 1, neither "
                    "included")  # fmt: skip

    def real(self) -> None:
        """Any number."""


_TWO = "write cbind(success, failure) or p(success, trials), each a whole number"


def _fractional(values: FloatArray) -> npt.NDArray[np.bool_]:
    out: npt.NDArray[np.bool_] = np.abs(values - np.round(values)) > _WHOLE * (1 + np.abs(values))
    return out


def taken_by(y: FloatArray) -> str:
    """Which family would take such a response, in words for a message."""
    if (y < 0).any():
        return "numbers of any sign are a matter of nm.lmer"
    if not _fractional(y).any():
        two = bool(np.isin(y, (0.0, 1.0)).all())
        return (
            'family="binomial" takes 0 and 1'
            if two
            else 'family="poisson" or family="negativebinomial" takes counts'
        )
    if (y > 0).all():
        shares = ', and family="beta" shares between 0 and 1' if (y < 1).all() else ""
        return f'family="gamma" takes positive numbers{shares}; nm.lmer takes any'
    if (y <= 1).all():
        return (
            'shares of trials go as cbind(success, failure) with family="binomial"; nm.lmer takes '
            "any number"
        )
    return "nm.lmer takes any number"


KINDS: Mapping[str, Callable[[Checked], None]] = MappingProxyType(
    {
        "real": Checked.real,
        "binomial": Checked.binomial,
        "counts": Checked.counts,
        "positive": Checked.positive,
        "unit": Checked.unit,
    }
)
