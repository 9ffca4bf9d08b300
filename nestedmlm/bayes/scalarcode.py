"""A PyTensor graph of scalars as one Python function: nothing to compile (layer 4).

The log-density of a marginal model is one heavy Op among some fifty operations on single
numbers. PyTensor's Python linker spends 10 µs on each of those, its C linker needs a C compiler
and up to half a minute with a cold cache, Numba longer. Written out as Python source they cost
50 ns each. Whatever is not a scalar operation runs through its own `perform`, so any graph
works; the table below only makes the common ones fast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.mode import Mode
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.tensor.basic import MakeVector
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.math import Dot, Sum
from pytensor.tensor.shape import SpecifyShape
from pytensor.tensor.subtensor import Subtensor, indices_from_subtensor

# In-place results would be written into values that are used again, and fused or BLAS nodes hide
# the operations that the table knows.
_MODE = Mode(linker="py", optimizer="fast_run").excluding("inplace", "fusion", "blas", "BlasOpt")

# What plain floats raise where NumPy would give an infinity or NaN.
_RANGE = (ZeroDivisionError, OverflowError, ValueError, TypeError)

# Scalar operations as Python expressions of {0}, {1}, …
EXPRESSIONS: MappingProxyType[str, str] = MappingProxyType(
    {
        "Sub": "{0} - {1}",
        "TrueDiv": "{0} / {1}",
        "Neg": "-{0}",
        "Reciprocal": "1.0 / {0}",
        "Sqr": "{0} * {0}",
        "Sqrt": "sqrt({0})",
        "Exp": "exp({0})",
        "Expm1": "expm1({0})",
        "Log": "log({0})",
        "Log1p": "log1p({0})",
        "Abs": "abs({0})",
        "Sign": "float(({0} > 0) - ({0} < 0))",
        "Pow": "pow({0}, {1})",
        "Sin": "sin({0})",
        "Cos": "cos({0})",
        "Tanh": "tanh({0})",
        "Sigmoid": "sigmoid({0})",
        "Softplus": "softplus({0})",
        "GT": "{0} > {1}",
        "GE": "{0} >= {1}",
        "LT": "{0} < {1}",
        "LE": "{0} <= {1}",
        "EQ": "{0} == {1}",
        "Switch": "({1} if {0} else {2})",
        "Identity": "{0}",
        "Second": "{1}",
    }
)
_JOINED = MappingProxyType({"Add": " + ", "Mul": " * "})


def sigmoid(x: float) -> float:
    """``1 / (1 + exp(-x))`` without overflow."""
    if x >= 0:
        return 1.0 / (1.0 + math.exp(-x))
    e = math.exp(x)
    return e / (1.0 + e)


def softplus(x: float) -> float:
    """``log(1 + exp(x))`` without overflow."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


_MATH = ("sqrt", "exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "pow")
_NAMES = {
    **{name: getattr(math, name) for name in _MATH},
    "sigmoid": sigmoid,
    "softplus": softplus,
    "array": np.array,
    "dot": np.dot,
}


def python_function(inputs: Sequence[Variable], outputs: Sequence[Variable]) -> Callable[..., Any]:
    """Turn a graph into a Python function.

    Parameters
    ----------
    inputs : sequence of variables
        The function takes floats for scalars, arrays for the rest.
    outputs : sequence of variables

    Returns
    -------
    callable
        Returns a tuple: floats for scalars, arrays for the rest. Outside the range of plain
        floats it falls back on PyTensor's own Python linker, so infinities and NaN come out as
        NumPy would give them (with its warnings: see `numpy.errstate`).
    """
    slow = pytensor.function(list(inputs), list(outputs), mode=_MODE, on_unused_input="ignore")
    graph = slow.maker.fgraph
    fast = _write(graph.inputs, graph.outputs, graph.toposort())
    scalars = [v.type.ndim == 0 for v in outputs]

    def careful(*values: Any) -> tuple[Any, ...]:
        found = slow(*values)
        return tuple(float(v) if s else v for v, s in zip(found, scalars, strict=True))

    def function(*values: Any) -> tuple[Any, ...]:
        try:
            return fast(*values)
        except _RANGE:
            return careful(*values)

    return function


def _write(
    inputs: Sequence[Variable], outputs: Sequence[Variable], nodes: Sequence[Apply]
) -> Callable[..., Any]:
    names: dict[Variable, str] = {}
    space: dict[str, Any] = dict(_NAMES)

    def name_of(variable: Variable) -> str:
        if variable not in names:
            names[variable] = f"v{len(names)}"
            if isinstance(variable, Constant):
                data = variable.data
                is_scalar = getattr(variable.type, "ndim", None) == 0
                space[names[variable]] = data.item() if is_scalar else data
        return names[variable]

    arguments = ", ".join(name_of(v) for v in inputs)
    lines = [f"def function({arguments}):"]
    for number, node in enumerate(nodes):
        given = [name_of(v) for v in node.inputs]
        results = [name_of(v) for v in node.outputs]
        text = _expression(node, given, number, space)
        lines.append(f"    {', '.join(results)}{',' if len(results) > 1 else ''} = {text}")
    returned = ", ".join(name_of(v) for v in outputs)
    lines.append(f"    return ({returned},)")
    exec("\n".join(lines), space)
    function: Callable[..., Any] = space["function"]
    return function


def _expression(node: Apply, given: list[str], number: int, space: dict[str, Any]) -> str:
    """Source of one node; what it needs by name goes into `space`."""
    for kind, write in WRITERS.items():
        if isinstance(node.op, kind):
            text = write(node, given, f"f{number}", space)
            if text is not None:
                return text
    space[f"f{number}"] = _performer(node)
    return f"f{number}({', '.join(given)})"


def _write_elemwise(node: Apply, given: list[str], own: str, space: dict[str, Any]) -> str | None:
    op = node.op
    if all(v.type.ndim == 0 for v in node.inputs):
        kind = type(op.scalar_op).__name__
        if kind in _JOINED:
            return _JOINED[kind].join(given)
        if kind in EXPRESSIONS:
            return EXPRESSIONS[kind].format(*given)
        space[own] = op.scalar_op.impl
        return f"{own}({', '.join(given)})"
    ufunc = op.nfunc_spec and getattr(np, op.nfunc_spec[0], None)
    if not ufunc or op.nfunc_spec[1] != len(given):
        return None
    space[own] = ufunc
    return f"{own}({', '.join(given)})"


def _write_vector(node: Apply, given: list[str], own: str, space: dict[str, Any]) -> str | None:
    if node.outputs[0].type.dtype != "float64":
        return None
    return f"array(({', '.join(given)},), float)"


def _write_dot(node: Apply, given: list[str], own: str, space: dict[str, Any]) -> str:
    return _scalar(node, f"dot({', '.join(given)})")


def _write_dimshuffle(node: Apply, given: list[str], own: str, space: dict[str, Any]) -> str:
    order = node.op.new_order
    if node.inputs[0].type.ndim == 0:
        return f"array({given[0]}).reshape({(1,) * len(order)})" if order else given[0]
    kept = [i for i in order if i != "x"]
    drop = ", ".join(":" if i in kept else "0" for i in range(node.inputs[0].type.ndim))
    add = ", ".join("None" if i == "x" else ":" for i in order)
    rank = sorted(kept)
    text = given[0] if len(kept) == node.inputs[0].type.ndim else f"{given[0]}[{drop}]"
    if kept != rank:
        text += f".transpose({tuple(rank.index(i) for i in kept)})"
    return _scalar(node, f"{text}[{add}]" if "x" in order else text)


def _write_subtensor(node: Apply, given: list[str], own: str, space: dict[str, Any]) -> str | None:
    if not all(isinstance(v, Constant) for v in node.inputs[1:]):
        return None
    numbers = [int(v.data) for v in node.inputs[1:]]
    space[own] = indices_from_subtensor(numbers, node.op.idx_list)
    return _scalar(node, f"{given[0]}[{own}]")


def _write_specified(node: Apply, given: list[str], own: str, space: dict[str, Any]) -> str:
    return given[0]


def _write_sum(node: Apply, given: list[str], own: str, space: dict[str, Any]) -> str | None:
    return f"float({given[0]}.sum())" if node.outputs[0].type.ndim == 0 else None


def _scalar(node: Apply, text: str) -> str:
    return f"{text}.item()" if node.outputs[0].type.ndim == 0 else text


Writer = Callable[[Apply, list[str], str, dict[str, Any]], "str | None"]
WRITERS: MappingProxyType[type, Writer] = MappingProxyType(
    {
        Elemwise: _write_elemwise,
        MakeVector: _write_vector,
        Dot: _write_dot,
        DimShuffle: _write_dimshuffle,
        Subtensor: _write_subtensor,
        SpecifyShape: _write_specified,
        Sum: _write_sum,
    }
)


def _performer(node: Apply) -> Callable[..., Any]:
    """Call the Op's own `perform`, between floats outside and arrays inside."""
    perform = node.op.perform
    wrap = [
        np.dtype(v.type.dtype) if isinstance(v.type, pt.TensorType) and v.type.ndim == 0 else None
        for v in node.inputs
    ]
    unwrap = [isinstance(v.type, pt.TensorType) and v.type.ndim == 0 for v in node.outputs]

    def run(*values: Any) -> Any:
        arrays = [
            v if dtype is None else np.asarray(v, dtype)
            for v, dtype in zip(values, wrap, strict=True)
        ]
        storage: list[list[Any]] = [[None] for _ in unwrap]
        perform(node, arrays, storage)
        found = [s[0].item() if scalar else s[0] for s, scalar in zip(storage, unwrap, strict=True)]
        return found[0] if len(found) == 1 else found

    return run
