"""`Reading`: the variables of a formula in a partition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nestedmlm._typing import FloatArray
from nestedmlm.design.frame.environment import Environment
from nestedmlm.design.frame.evaluate import Evaluator
from nestedmlm.design.frame.fitters import FITTERS, Fitter
from nestedmlm.design.frame.values import Vector, take_rows
from nestedmlm.design.frame.variables import evaluate_variables
from nestedmlm.design.partitions.learners import LEARNERS
from nestedmlm.design.partitions.partition_frame import Kind, PartitionFrame
from nestedmlm.design.schema import predictor_variables
from nestedmlm.errors import PartitionError
from nestedmlm.formula.deparse import deparse
from nestedmlm.formula.formula import Formula
from nestedmlm.formula.nodes import Call, Node, variables_in, walk
from nestedmlm.formula.terms import Terms


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompleteRows:
    """The variables of a partition on its complete rows.

    Attributes
    ----------
    values : dict of str to Vector
    y : ndarray, shape (n,)
    weights, offset : ndarray, shape (n,), or None
    rows : int
        Number of all rows.
    missing : dict of str to int
        How many values each incomplete variable lacks.
    columns : dict of str to Vector, or None
        Columns of the data that the fixed effects and offsets use, where they were read.
    """

    values: dict[str, Vector]
    y: FloatArray
    weights: FloatArray | None
    offset: FloatArray | None
    rows: int
    missing: dict[str, int]
    columns: dict[str, Vector] | None = None

    def some(self, rows: npt.NDArray[Any]) -> CompleteRows:
        """Some of them, by their numbers."""
        return CompleteRows(
            values={name: take_rows(value, rows) for name, value in self.values.items()},
            y=self.y[rows],
            weights=None if self.weights is None else self.weights[rows],
            offset=None if self.offset is None else self.offset[rows],
            rows=len(rows),
            missing={},
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reading:
    """Reading of partitions by a formula: columns, levels, transforms.

    Attributes
    ----------
    formula : Formula
    fixed : Terms
        Of the fixed part, ``.`` written out.
    weights, offset : str or None
        Columns.
    env : Environment
        The caller's variables.
    columns : tuple of str
        Names of the data that the formula uses.
    kinds : mapping of str to Kind
        Columns among the predictors that must be the same in all partitions.
    states : mapping
        What functions such as `poly` learned, by R's text of the call.
    """

    formula: Formula
    fixed: Terms
    weights: str | None
    offset: str | None
    env: Environment
    columns: tuple[str, ...]
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    states: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fixed_columns(self) -> list[str]:
        """Columns of the data that the fixed effects and the offsets use."""
        own = (*predictor_variables(self.fixed), *self.fixed.offsets, *self.formula.offsets)
        names = dict.fromkeys(name for variable in own for name in variables_in(variable.node))
        if self.offset is not None:
            names[self.offset] = None
        return list(names)

    def frame(self, table: Any, label: str) -> PartitionFrame:
        """A partition's columns."""
        return PartitionFrame(table, label, self.kinds)

    def complete(self, frame: Any) -> CompleteRows:
        """Evaluate everything on a partition, and leave out its incomplete rows.

        Parameters
        ----------
        frame : Frame

        Returns
        -------
        CompleteRows
        """
        evaluator = Evaluator(
            frame, self.env, dict(self.states), learning=False, text=self.formula.text
        )
        found = evaluate_variables(
            self.formula, self.fixed, evaluator, weights=self.weights, offset=self.offset
        )
        values, y, w, offset = found.values, found.y, found.weights, found.offset
        columns = {name: frame.column(name) for name in self.fixed_columns if name in frame}
        if found.missing:
            kept = ~np.logical_or.reduce(list(found.missing.values()))
            columns = {name: take_rows(value, kept) for name, value in columns.items()}
            values = {name: take_rows(value, kept) for name, value in values.items()}
            y = y[kept]
            w = None if w is None else w[kept]
            offset = None if offset is None else offset[kept]
        return CompleteRows(
            values=values,
            y=y,
            weights=w,
            offset=offset,
            rows=frame.n,
            missing={name: int(mask.sum()) for name, mask in found.missing.items()},
            columns=columns,
        )


class _Pending(Exception):
    """A function has not learned yet."""


class Asking(Evaluator):
    """Evaluator that writes down which functions have not learned, and on what they would."""

    def __init__(self, frame: Any, reading: Reading) -> None:
        super().__init__(
            frame, reading.env, dict(reading.states), learning=False, text=reading.formula.text
        )
        self.asked: dict[str, tuple[str, list[Any], dict[str, Any]]] = {}

    def ask(self, node: Node) -> Vector | None:
        """Evaluate; None where that takes what is not learned yet."""
        try:
            return self.vector(node)
        except _Pending:
            return None

    def _stateful(self, node: Call, name: str) -> Any:
        key = deparse(node)
        fitter: Fitter = FITTERS[name]
        columns, options = self._data_and_options(node, fitter, key)
        if key in self.states:
            return self.states[key].apply(*columns)
        if name not in LEARNERS:
            raise PartitionError(
                f"{key}: {name}() looks at all rows at once (ranks, orders or occasions), and the "
                "data come in partitions; make it a column of the data first"
            )
        self.asked[key] = (name, columns, options)
        raise _Pending


def nodes_of(reading: Reading) -> dict[str, Node]:
    """Every expression of the formula that is evaluated, by R's text."""
    formula, fixed = reading.formula, reading.fixed
    nodes: dict[str, Node] = {formula.response_text: formula.response}
    offsets = (*fixed.offsets, *formula.offsets)
    for variable in (*predictor_variables(fixed), *offsets, *fixed.mentioned):
        nodes.setdefault(variable.name, variable.node)
    smooth = next((bar.smooth for bar in formula.bars if bar.smooth is not None), None)
    if smooth is not None:
        raise PartitionError(
            f"{smooth.name}: a smooth learns from all rows at once, and these data come in "
            "partitions or sums; give the rows"
        )
    for bar in formula.bars:
        for variable in (*predictor_variables(bar.terms), *bar.parts, *bar.terms.mentioned):
            nodes.setdefault(variable.name, variable.node)
    return nodes


def check_elementwise(
    reading: Reading, frame: Any, half: Callable[[Any, slice], Any], nodes: Mapping[str, Node]
) -> None:
    """Refuse functions of the caller that look at the whole column.

    Parameters
    ----------
    reading : Reading
    frame : Frame
        Some rows.
    half : callable
        ``(frame, rows) -> frame`` of some of them.
    nodes : mapping of str to Node

    Raises
    ------
    PartitionError
        If a function gives other values where it is called on half of the rows.
    """
    own = {name for name, value in reading.env.values.items() if callable(value)}
    middle = frame.n // 2
    for text, node in nodes.items():
        if middle < 1 or not own & set(_called(node)):
            continue
        whole, *parts = (
            _plain(Asking(some, reading).ask(node))
            for some in (frame, half(frame, slice(0, middle)), half(frame, slice(middle, frame.n)))
        )
        if whole is None or any(part is None for part in parts):
            continue
        same = np.concatenate(parts)
        if whole.shape != same.shape or not _alike(whole, same):
            raise PartitionError(
                f"{text} gives other values where it is called on a part of the rows, so it looks "
                "at the whole column, and the data come in partitions: a mean, a rank or a "
                "quantile would be the partition's. Write scale(x) or center(x), which learn from "
                "all partitions, or make the column in the data"
            )


def _alike(one: Any, other: Any) -> bool:
    if one.dtype.kind == "f" and other.dtype.kind == "f":
        return bool(np.allclose(one, other, rtol=1e-12, atol=0.0, equal_nan=True))
    return bool((one == other).all())


def _plain(value: Any) -> Any:
    if value is None:
        return None
    if hasattr(value, "codes"):
        return np.append(np.array(value.labels, dtype=object), "NA")[value.codes]
    return getattr(value, "values", value)


def _called(node: Node) -> list[str]:
    return [inner.func.name for inner in walk(node) if isinstance(inner, Call)]
