"""A PyTensor graph of scalars as one Python function: nothing to compile.

The log-density of a marginal model is one heavy Op among some fifty operations on single
numbers. PyTensor's Python linker spends 10 µs on each of those, its C linker needs a C compiler
and up to half a minute with a cold cache, Numba longer. Written out as Python source they cost
50 ns each. Whatever is not a scalar operation runs through its own `perform`, so any graph
works; the table below only makes the common ones fast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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

from nestedmlm.bayes.model.likelihood import MarginalLikelihood

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
        The function takes floats for scalars, arrays for the rest. Shared variables are read at
        every call.
    outputs : sequence of variables

    Returns
    -------
    callable
        Returns a tuple: floats for scalars, arrays for the rest. Outside the range of plain
        floats it falls back on PyTensor's own Python linker, so infinities and NaN come out as
        NumPy would give them (with its warnings: see `numpy.errstate`).
    """
    return python_functions(inputs, outputs)[0]


def python_functions(
    inputs: Sequence[Variable], outputs: Sequence[Variable]
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Turn a graph into two Python functions: all outputs, and the first one alone.

    The second leaves out what only the other outputs need. See `python_function`.
    """
    slow = pytensor.function(list(inputs), list(outputs), mode=_MODE, on_unused_input="ignore")
    graph = slow.maker.fgraph
    shared = {
        variable: container.storage
        for variable, container in zip(graph.inputs, slow.input_storage, strict=True)
        if variable not in graph.inputs[: len(inputs)]
    }
    scalars = [v.type.ndim == 0 for v in outputs]

    def careful(*values: Any) -> tuple[Any, ...]:
        found = slow(*values)
        return tuple(float(v) if s else v for v, s in zip(found, scalars, strict=True))

    def guarded(fast: Callable[..., Any]) -> Callable[..., Any]:
        def function(*values: Any) -> tuple[Any, ...]:
            try:
                found: tuple[Any, ...] = fast(*values)
            except _RANGE:
                return careful(*values)
            return found

        return function

    nodes = graph.toposort()
    every = _write(graph.inputs[: len(inputs)], graph.outputs, nodes, shared)
    few = _needed(graph.outputs[0], nodes)
    first = _write(graph.inputs[: len(inputs)], graph.outputs[:1], few, shared)
    return guarded(every), guarded(first)


def _needed(output: Variable, nodes: Sequence[Apply]) -> list[Apply]:
    """The nodes that an output depends on, in order."""
    wanted, kept = {output}, []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs)
            kept.append(node)
    return kept[::-1]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Site:
    """The site of one node in the source: what its writer may look at.

    Attributes
    ----------
    node : Apply
    given : list of str
        Names of its inputs.
    own : str
        A name that it may use.
    space : dict
        What names stand for besides variables; writers add to it.
    used : set of variables
        What later nodes or the caller look at.
    """

    node: Apply
    given: list[str]
    own: str
    space: dict[str, Any]
    used: set[Variable]


def _write(
    inputs: Sequence[Variable],
    outputs: Sequence[Variable],
    nodes: Sequence[Apply],
    shared: Mapping[Variable, list[Any]],
) -> Callable[..., Any]:
    names: dict[Variable, str] = {}
    space: dict[str, Any] = dict(_NAMES)
    used = {*outputs, *(v for node in nodes for v in node.inputs)}

    def name_of(variable: Variable) -> str:
        if variable not in names:
            names[variable] = f"v{len(names)}"
            if isinstance(variable, Constant):
                data = variable.data
                is_scalar = getattr(variable.type, "ndim", None) == 0
                space[names[variable]] = data.item() if is_scalar else data
            elif variable in shared:  # a list of one, whose content may change
                space[names[variable]] = shared[variable]
                names[variable] += "[0]"
        return names[variable]

    arguments = ", ".join(name_of(v) for v in inputs)
    lines = [f"def function({arguments}):"]
    for number, node in enumerate(nodes):
        given = [name_of(v) for v in node.inputs]
        results = [name_of(v) for v in node.outputs]
        text = _expression(Site(node=node, given=given, own=f"f{number}", space=space, used=used))
        lines.append(f"    {', '.join(results)}{',' if len(results) > 1 else ''} = {text}")
    returned = ", ".join(name_of(v) for v in outputs)
    lines.append(f"    return ({returned},)")
    exec("\n".join(lines), space)
    function: Callable[..., Any] = space["function"]
    return function


def _expression(at: Site) -> str:
    """Source of one node; what it needs by name goes into its space."""
    for kind, write in WRITERS.items():
        if isinstance(at.node.op, kind):
            text = write(at)
            if text is not None:
                return text
    at.space[at.own] = _performer(at.node)
    return f"{at.own}({', '.join(at.given)})"


def _write_elemwise(at: Site) -> str | None:
    op = at.node.op
    if all(v.type.ndim == 0 for v in at.node.inputs):
        kind = type(op.scalar_op).__name__
        if kind in _JOINED:
            return _JOINED[kind].join(at.given)
        if kind in EXPRESSIONS:
            return EXPRESSIONS[kind].format(*at.given)
        at.space[at.own] = op.scalar_op.impl
        return f"{at.own}({', '.join(at.given)})"
    ufunc = op.nfunc_spec and getattr(np, op.nfunc_spec[0], None)
    if not ufunc or op.nfunc_spec[1] != len(at.given):
        return None
    at.space[at.own] = ufunc
    return f"{at.own}({', '.join(at.given)})"


def _write_vector(at: Site) -> str | None:
    if at.node.outputs[0].type.dtype != "float64":
        return None
    return f"array(({', '.join(at.given)},), float)"


def _write_dot(at: Site) -> str:
    return _scalar(at.node, f"dot({', '.join(at.given)})")


def _write_dimshuffle(at: Site) -> str:
    node, name, order = at.node, at.given[0], at.node.op.new_order
    if node.inputs[0].type.ndim == 0:
        return f"array({name}).reshape({(1,) * len(order)})" if order else name
    kept = [i for i in order if i != "x"]
    drop = ", ".join(":" if i in kept else "0" for i in range(node.inputs[0].type.ndim))
    add = ", ".join("None" if i == "x" else ":" for i in order)
    rank = sorted(kept)
    text = name if len(kept) == node.inputs[0].type.ndim else f"{name}[{drop}]"
    if kept != rank:
        text += f".transpose({tuple(rank.index(i) for i in kept)})"
    return _scalar(node, f"{text}[{add}]" if "x" in order else text)


def _write_subtensor(at: Site) -> str | None:
    node = at.node
    if not all(isinstance(v, Constant) for v in node.inputs[1:]):
        return None
    numbers = [int(v.data) for v in node.inputs[1:]]
    if node.inputs[0].type.ndim == 1 and node.outputs[0].type.ndim == 0:
        return f"{at.given[0]}.item({numbers[0]})"
    at.space[at.own] = indices_from_subtensor(numbers, node.op.idx_list)
    return _scalar(node, f"{at.given[0]}[{at.own}]")


def _write_specified(at: Site) -> str:
    return at.given[0]


def _write_sum(at: Site) -> str | None:
    return f"float({at.given[0]}.sum())" if at.node.outputs[0].type.ndim == 0 else None


def _write_likelihood(at: Site) -> str:
    at.space[at.own] = at.node.op.function()
    gradient = bool(at.used.intersection(at.node.outputs[1:]))
    return f"{at.own}({', '.join(at.given)}, {gradient})"


def _scalar(node: Apply, text: str) -> str:
    return f"{text}.item()" if node.outputs[0].type.ndim == 0 else text


Writer = Callable[[Site], "str | None"]
WRITERS: MappingProxyType[type, Writer] = MappingProxyType(
    {
        Elemwise: _write_elemwise,
        MakeVector: _write_vector,
        Dot: _write_dot,
        DimShuffle: _write_dimshuffle,
        Subtensor: _write_subtensor,
        SpecifyShape: _write_specified,
        Sum: _write_sum,
        MarginalLikelihood: _write_likelihood,
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
