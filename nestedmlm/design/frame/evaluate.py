"""Evaluation of formula expressions on the columns of a table, with R's meaning.

`Evaluator` walks our syntax tree: no Python `eval`. What a function learns from the data (a mean,
knots, coefficients) is kept under R's text of the call, and used again for new data.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pandas as pd

from nestedmlm.design.frame.environment import Environment
from nestedmlm.design.frame.frames import Frame, load_array
from nestedmlm.design.frame.functions import FUNCTIONS
from nestedmlm.design.frame.operators import BINARY, UNARY, as_numbers
from nestedmlm.design.frame.transforms import FITTERS, Transform
from nestedmlm.design.frame.values import Factor, Matrix, Vector, as_factor
from nestedmlm.errors import ColumnNotFoundError, DataError, FormulaError
from nestedmlm.formula.deparse import NUMPY_FUNCTIONS, deparse
from nestedmlm.formula.formula import find_place
from nestedmlm.formula.nodes import Arg, Binary, Call, Group, Items, Literal, Name, Node, Unary


class Evaluator:
    """Values of expressions on one table.

    Parameters
    ----------
    frame : Frame
    env : Environment
        Where names that are no columns are looked up.
    states : dict
        What functions have learned, by R's text of the call.
    learning : bool
        Whether to learn what is not in `states` (at the fit) or to refuse (new data).
    text : str
        The formula, for messages.
    """

    def __init__(
        self, frame: Frame, env: Environment, states: dict[str, Any], *, learning: bool, text: str
    ) -> None:
        self.frame = frame
        self.env = env
        self.states = states
        self.learning = learning
        self.text = text
        self.used: set[str] = set()  # names found in `env`

    def vector(self, node: Node, *, scalar: bool = False) -> Vector:
        """Evaluate an expression that must have one value per row.

        Parameters
        ----------
        node : Node
        scalar : bool
            Whether a single number is repeated over the rows (offsets) or refused.
        """
        value = self.value(node)
        if isinstance(value, list):
            value = load_array(value, deparse(node))
        elif scalar and isinstance(value, int | float | np.number):
            value = np.full(self.frame.n, float(value))
        elif callable(value):  # a function of that name is no column
            self._unknown_column(node)
        if not isinstance(value, np.ndarray | Factor | Matrix):
            raise DataError(f"{deparse(node)} does not give one value per row")
        length = len(value.codes) if isinstance(value, Factor) else self._rows(value)
        if length != self.frame.n:
            raise DataError(
                f"{deparse(node)} has {length} values, the data have {self.frame.n} rows"
            )
        return value

    @staticmethod
    def _rows(value: npt.NDArray[Any] | Matrix) -> int:
        return len(value.values) if isinstance(value, Matrix) else len(value)

    def value(self, node: Node) -> Any:
        """Evaluate any expression: vectors, numbers, strings, lists, functions."""
        return _EVALUATORS[type(node)](self, node)

    def numbers(self, node: Node) -> Any:
        """Evaluate to floats (an array, a matrix or a number)."""
        return as_numbers(self.value(node), deparse(node))

    def name(self, node: Name) -> Any:
        """Look a name up: columns first, then the caller's variables."""
        if node.name in self.frame:
            return self.frame.column(node.name)
        try:
            found = self.env.find(node.name)
        except KeyError:
            self._unknown_column(node)
        self.used.add(node.name)
        return self.from_python(found, node)

    def from_python(self, found: Any, node: Node) -> Any:
        """Turn an object of the caller or of a called function into one of our values."""
        if isinstance(found, pd.DataFrame):
            return Matrix(found.to_numpy(dtype=float), tuple(str(c) for c in found.columns))
        if isinstance(found, np.ndarray) and found.ndim == 2:
            return Matrix(found.astype(np.float64))
        if isinstance(found, pd.Series | pd.Categorical | pd.Index):
            return load_array(found, deparse(node))
        if isinstance(found, np.ndarray) and found.ndim == 1:
            return load_array(found, deparse(node))
        return list(found) if isinstance(found, tuple) else found

    def _unknown_column(self, node: Node) -> NoReturn:
        name = node.name if isinstance(node, Name) else deparse(node)
        near = difflib.get_close_matches(name, self.frame.column_names, n=3, cutoff=0.5)
        folded = [c for c in self.frame.column_names if c.casefold() == name.casefold()]
        near = list(dict.fromkeys(folded + near))
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        if not near and self.frame.column_names:
            hint = f"; the columns are {', '.join(self.frame.column_names[:20])}"
        message = f"{name!r} is neither a column of the data nor a known variable{hint}"
        place = find_place(self.text, name, node.pos)
        if place is not None:
            message += f"\n  {self.text}\n  {' ' * place}^"
        raise ColumnNotFoundError(message)

    def refuse(self, message: str, node: Node, name: str) -> NoReturn:
        """Raise a `FormulaError` that marks `name` in the formula."""
        raise FormulaError(message, self.text, find_place(self.text, name, node.pos))

    def call(self, node: Call) -> Any:
        """Call one of the known functions, or one of the caller's."""
        short = node.func.name.rpartition("::")[2]
        plain = short.removeprefix("np.").removeprefix("numpy.")
        if plain in FITTERS and plain == short:
            return self._stateful(node, plain)
        handler = FUNCTIONS.get(plain)
        if handler is not None and (plain == short or plain in NUMPY_FUNCTIONS):
            return handler(self, node)
        return self._foreign(node)

    def arguments(self, node: Call) -> tuple[list[Any], dict[str, Any]]:
        """Evaluate the arguments; dots in R's names become underscores."""
        positional = [self.value(arg.value) for arg in node.args if arg.name is None]
        named = {a.name.replace(".", "_"): self.value(a.value) for a in node.args if a.name}
        return positional, named

    def _stateful(self, node: Call, name: str) -> Any:
        key = deparse(node)
        positional, named = self.arguments(node)
        if "x" in named:
            positional.insert(0, named.pop("x"))
        if not positional:
            self.refuse(f"{name}() needs a column", node, node.func.name)
        data = [self._data(name, value, key) for value in positional]
        state: Transform | None = self.states.get(key)
        if state is None:
            if not self.learning:
                raise DataError(f"{key} was not learned at the fit")
            try:
                state = self.states[key] = FITTERS[name](*data, **named)
            except TypeError as error:
                text = str(error).partition("() ")[2] or str(error)
                self.refuse(f"{name}(): {text}", node, node.func.name)
        vectors = [value for value in data if isinstance(value, np.ndarray | Factor)]
        # poly(x, z) has several columns of data; everywhere else only the first argument is data
        return state.apply(*(vectors if name == "poly" else vectors[:1]))

    def _data(self, name: str, value: Any, key: str) -> Any:
        if name == "dummy":
            is_vector = isinstance(value, np.ndarray | Factor)
            return as_factor(value, name=key) if is_vector else value
        if isinstance(value, np.ndarray | Factor):
            return as_numbers(value, key)
        if isinstance(value, Matrix):
            if value.values.shape[1] != 1:
                raise DataError(f"{key}: a matrix cannot be transformed")
            return value.values[:, 0]
        return value

    def _foreign(self, node: Call) -> Any:
        """Call a function from the caller's variables (or ``np.``, ``pd.``)."""
        try:
            function = self.env.find(node.func.name)
            self.used.add(node.func.name)
        except KeyError:
            function = None
        if not callable(function):
            known = sorted([*FUNCTIONS, *FITTERS])
            near = difflib.get_close_matches(node.func.name, known, n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            self.refuse(f"unknown function {node.func.name}(){hint}", node, node.func.name)
        positional, named = self.arguments(node)
        args = [to_python(value) for value in positional]
        result = function(*args, **{k: to_python(v) for k, v in named.items()})
        return self.from_python(result, node)


def to_python(value: Any) -> Any:
    """Turn one of our values into what functions of the caller understand."""
    if isinstance(value, Matrix):
        return value.values
    if not isinstance(value, Factor):
        return value
    if value.kind == "category":
        dtype = pd.CategoricalDtype(pd.Index(value.levels), ordered=value.ordered)
        return pd.Categorical.from_codes(value.codes, dtype=dtype)
    if value.kind == "logical" and (value.codes >= 0).all():
        return value.codes.astype(bool)
    padded = np.append(value.levels, np.array([np.nan], dtype=object))
    return padded[value.codes]


def _binary(evaluator: Evaluator, node: Binary) -> Any:
    operator = BINARY.get(node.op)
    if operator is None:
        evaluator.refuse(f"{node.op} has no meaning here", node, node.op)
    left, right = evaluator.value(node.left), evaluator.value(node.right)
    return operator(left, right, deparse(node))


def _unary(evaluator: Evaluator, node: Unary) -> Any:
    return UNARY[node.op](evaluator.value(node.operand), deparse(node))


def _argument(evaluator: Evaluator, node: Arg) -> Any:
    return evaluator.value(node.value)


_EVALUATORS: dict[type[Node], Callable[[Evaluator, Any], Any]] = {
    Name: Evaluator.name,
    Call: Evaluator.call,
    Binary: _binary,
    Unary: _unary,
    Arg: _argument,
    Literal: lambda evaluator, node: node.value,
    Group: lambda evaluator, node: evaluator.value(node.inner),
    Items: lambda evaluator, node: [evaluator.value(item) for item in node.items],
}
