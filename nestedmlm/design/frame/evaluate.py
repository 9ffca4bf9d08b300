"""Evaluation of formula expressions on the columns of a table, with R's meaning.

`Evaluator` walks our syntax tree: no Python `eval`. What a function learns from the data (a mean,
knots, coefficients) is kept under R's text of the call, and used again for new data.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pandas as pd

from nestedmlm.design.frame.array_functions import (
    CONSTANTS,
    ArrayFunction,
    find_array_function,
    of_ufunc,
)
from nestedmlm.design.frame.call_arguments import match_arguments
from nestedmlm.design.frame.environment import Environment
from nestedmlm.design.frame.fitters import FITTERS, UNANSWERABLE, Fitter
from nestedmlm.design.frame.frames import Frame, check_row_labels, load_array, load_matrix
from nestedmlm.design.frame.functions import FUNCTIONS
from nestedmlm.design.frame.operators import BINARY, UNARY, as_numbers, elementwise
from nestedmlm.design.frame.transforms import Transform
from nestedmlm.design.frame.values import (
    Factor,
    Integers,
    Matrix,
    Vector,
    as_factor,
    flat_list,
    logical,
    vector_length,
)
from nestedmlm.errors import ColumnNotFoundError, DataError, FormulaError, NestedMLMError
from nestedmlm.formula.deparse import NUMPY_FUNCTIONS, deparse
from nestedmlm.formula.formula import find_place
from nestedmlm.formula.nodes import Arg, Binary, Call, Group, Items, Literal, Name, Node, Unary
from nestedmlm.formula.trampoline import Task, run


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
        try:
            value = self.value(node)
        except RecursionError:
            message = "too many function calls are nested in this formula"
            raise FormulaError(message, self.text) from None
        if isinstance(value, list):
            value = load_array(value, deparse(node))
        elif scalar and isinstance(value, int | float | np.number):
            value = np.full(self.frame.n, float(value))
        elif callable(value):  # a function of that name is no column
            self._unknown_column(node)
        if not isinstance(value, np.ndarray | Factor | Matrix | Integers):
            raise DataError(f"{deparse(node)} does not give one value per row")
        length = vector_length(value)
        if length != self.frame.n:
            raise DataError(
                f"{deparse(node)} has {length} values, the data have {self.frame.n} rows"
            )
        return value

    def value(self, node: Node) -> Any:
        """Evaluate any expression: vectors, numbers, strings, lists, functions."""
        if isinstance(node, Binary | Unary | Group):
            return run(self._operation(node, deparse(node)))
        return _EVALUATORS[type(node)](self, node)

    def _operation(self, node: Node, text: str) -> Task:
        """Evaluate operators, however many; `text` is the whole expression, for messages."""
        if isinstance(node, Group):
            return (yield self._operation(node.inner, text))
        if isinstance(node, Unary):
            return UNARY[node.op]((yield self._operation(node.operand, text)), text)
        if not isinstance(node, Binary):
            return self.value(node)
        operator = BINARY.get(node.op)
        if operator is None:
            self.refuse(f"{node.op} has no meaning here", node, node.op)
        left = yield self._operation(node.left, text)
        right = yield self._operation(node.right, text)
        return operator(left, right, text)

    def numbers(self, node: Node) -> Any:
        """Evaluate to floats (an array, a matrix or a number)."""
        return as_numbers(self.value(node), deparse(node))

    def name(self, node: Name) -> Any:
        """Look a name up: columns first, then the caller's variables."""
        if node.name in self.frame:
            return self.frame.column(node.name)
        if node.name in CONSTANTS:
            return CONSTANTS[node.name]
        try:
            found = self.env.find(node.name)
        except KeyError:
            self._unknown_column(node)
        self.used.add(node.name)
        if isinstance(found, pd.Series | pd.DataFrame):
            check_row_labels(found, self.frame.index, node.name)
        return self.from_python(found, node)

    def from_python(self, found: Any, node: Node) -> Any:
        """Turn an object of the caller or of a called function into one of our values."""
        if isinstance(found, pd.DataFrame) or (isinstance(found, np.ndarray) and found.ndim == 2):
            return load_matrix(found, deparse(node))
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
        known = find_array_function(short)
        return self._own_function(node) if known is None else self._array_function(node, known)

    def arguments(self, node: Call) -> tuple[list[Any], dict[str, Any]]:
        """Evaluate the arguments; dots in R's names become underscores."""
        positional = [self.value(arg.value) for arg in node.args if arg.name is None]
        named = {a.name.replace(".", "_"): self.value(a.value) for a in node.args if a.name}
        return positional, named

    def _stateful(self, node: Call, name: str) -> Any:
        """Apply one of the functions that learn, with what it learned at the fit."""
        key = deparse(node)
        state: Transform | None = self.states.get(key)
        if state is None and not self.learning:
            raise DataError(f"{key} was not learned at the fit")
        fitter = FITTERS[name]
        columns, options = self._data_and_options(node, fitter, key)
        if state is None:
            state = self.states[key] = fitter.fit(*columns, **options)
        return state.apply(*columns)

    def _data_and_options(
        self, node: Call, fitter: Fitter, key: str
    ) -> tuple[list[Any], dict[str, Any]]:
        """Columns that a function learns from, and its options by Python's names."""
        more: list[Node] = []
        if fitter.several:  # poly(x, z, degree = 2): columns as long as no single number comes
            columns = [a for a in node.args[1:] if a.name is None and self._is_column(a.value)]
            more = [a.value for a in columns]
            rest = tuple(a for a in node.args if not any(a is other for other in columns))
            node = Call(node.func, rest, pos=node.pos)
        names, kinds = fitter.columns.split(), fitter.kinds.split()
        matched = match_arguments(self, node, f"{fitter.columns} {fitter.options}", len(names))
        first, *others = (*(matched.pop(name) for name in names), *more)
        absent = fitter.remembers and not self.learning and self._is_absent(first)
        own = np.full(self.frame.n, np.nan) if absent else self.value(first)
        values = [own, *(self.value(n) for n in others)]
        readers = [_READERS[kind] for kind in (*kinds, *kinds[:1] * len(more))]
        options = {k.replace(".", "_"): self.value(n) for k, n in matched.items()}
        if any(isinstance(v, np.ndarray | Factor | Matrix | Integers) for v in options.values()):
            self.refuse(f"{key}: an option is a single value or a list, no column", node, key)
        read = [reader(v, key) for reader, v in zip(readers, values, strict=True)]
        if len({vector_length(column) for column in read}) > 1:
            raise DataError(f"{key}: columns of different lengths")
        return read, options

    def _is_absent(self, node: Node) -> bool:
        """Whether it is the name of a column of the fit that these rows do not have."""
        if not isinstance(node, Name) or node.name in self.frame:
            return False
        try:
            self.env.find(node.name)
        except KeyError:
            return True
        return False

    def _is_column(self, node: Node) -> bool:
        return isinstance(self.value(node), np.ndarray | Factor | Matrix | Integers)

    def _array_function(self, node: Call, known: ArrayFunction) -> Any:
        """Apply one of NumPy's or SciPy's elementwise functions."""
        positional, named = self.arguments(node)
        name = node.func.name
        if named or not known.least <= len(positional) <= known.most:
            most = f" to {known.most}" if known.most > known.least else ""
            count = f"{known.least}{most} argument{'s' if known.most > 1 else ''}"
            self.refuse(f"{name}() takes {count} by position here", node, name)
        try:
            result = elementwise(known.function, positional, deparse(node))
        except (TypeError, ValueError, OverflowError) as error:
            if isinstance(error, DataError):
                raise
            self.refuse(f"{deparse(node)}: {error}", node, name)
        is_logical = isinstance(result, np.ndarray) and result.dtype == bool
        return logical(result) if is_logical else result

    def _own_function(self, node: Call) -> Any:
        """Call a function of the caller's."""
        name = node.func.name
        try:
            function = self.env.find(name)
        except KeyError:
            function = None
        if not callable(function):
            self._unknown_function(node)
        self.used.add(name)
        known = of_ufunc(function)
        if known is not None:
            return self._array_function(node, known)
        positional, named = self.arguments(node)
        args = [to_python(value) for value in positional]
        try:
            result = function(*args, **{k: to_python(v) for k, v in named.items()})
        except NestedMLMError:
            raise
        except Exception as error:
            message = f"{name}() raised {type(error).__name__}: {error}"
            raise FormulaError(message, self.text, find_place(self.text, name, node.pos)) from error
        return self.from_python(result, node)

    def _unknown_function(self, node: Call) -> NoReturn:
        name = node.func.name
        reason = UNANSWERABLE.get(name.rpartition("::")[2])
        if reason is not None:
            message = f"{name}() {reason}; make it a column of the data first"
            self.refuse(message, node, name)
        near = difflib.get_close_matches(name, sorted([*FUNCTIONS, *FITTERS]), n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else "."
        short = name.rpartition(".")[2]
        self.refuse(
            f"unknown function {name}(){hint} A formula calls functions of a list (R's, such as "
            "log, poly and factor; NumPy's and SciPy's elementwise ones, such as np.log1p and "
            "scipy.special.expit) and plain functions that you wrote, nothing inside modules or "
            f"objects; pass any other by a name of its own: env={{{short!r}: {name}}}",
            node,
            name,
        )


def _read_factor(value: Any, key: str) -> Factor:
    return as_factor(value, name=key)


def _read_column(value: Any, key: str) -> npt.NDArray[np.float64]:
    numbers = as_numbers(value, key)
    if isinstance(numbers, Matrix) and numbers.values.shape[1] == 1:
        numbers = numbers.values[:, 0]
    if isinstance(numbers, Matrix):
        raise DataError(f"{key}: a matrix cannot be transformed")
    if not isinstance(value, np.ndarray | Factor | Matrix | Integers):
        raise DataError(f"{key}: this needs a column, but there is a single value or a list")
    column: npt.NDArray[np.float64] = numbers
    return column


def _read_time(value: Any, key: str) -> npt.NDArray[np.float64]:
    """Numbers, or dates as seconds."""
    if not isinstance(value, Factor) or value.kind == "logical":
        return _read_column(value, key)
    if value.kind != "other":
        raise DataError(f"{key}: times are numbers or dates, but there is a categorical column")
    seconds = [pd.Timestamp(level).timestamp() for level in value.levels]
    times: npt.NDArray[np.float64] = np.array([*seconds, np.nan])[value.codes]
    return times


_READERS: Mapping[str, Callable[[Any, str], Any]] = {
    "number": _read_column,
    "factor": _read_factor,
    "time": _read_time,
}


def to_python(value: Any) -> Any:
    """Turn one of our values into what functions of the caller understand."""
    if isinstance(value, Matrix):
        return value.values
    if isinstance(value, Integers):
        return value.numbers()
    if isinstance(value, np.ndarray):
        return _wide(value)
    if not isinstance(value, Factor):
        return value
    if value.kind == "category":
        dtype = pd.CategoricalDtype(pd.Index(value.levels), ordered=value.ordered)
        return pd.Categorical.from_codes(value.codes, dtype=dtype)
    if value.kind == "logical" and (value.codes >= 0).all():
        return value.codes.astype(bool)
    padded = np.append(value.levels, np.array([np.nan], dtype=object))
    return padded[value.codes]


def _wide(numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Copy numbers into 64 bits, so that a function neither wraps around nor writes to data."""
    if numbers.dtype.kind == "u" and numbers.size and numbers.max() > np.iinfo(np.int64).max:
        return numbers.astype(np.float64)
    wide = {"u": np.int64, "i": np.int64, "f": np.float64}.get(numbers.dtype.kind)
    return numbers.copy() if wide is None else numbers.astype(wide)


def _argument(evaluator: Evaluator, node: Arg) -> Any:
    return evaluator.value(node.value)


def _items(evaluator: Evaluator, node: Items) -> list[Any]:
    return flat_list([evaluator.value(item) for item in node.items], deparse(node))


_EVALUATORS: dict[type[Node], Callable[[Evaluator, Any], Any]] = {
    Name: Evaluator.name,
    Call: Evaluator.call,
    Arg: _argument,
    Literal: lambda evaluator, node: node.value,
    Items: _items,
}
