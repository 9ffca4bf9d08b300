"""Standard deviations, correlations, sigma, fixed effects as they are read: values and orders."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance import TermShape, split_parameters
from nestedmlm.design.model_parameters import ModelParameter
from nestedmlm.errors import OptionError
from nestedmlm.inference.variances.residual_parameters import residual_values
from nestedmlm.likelihood.solution import Solution

ORDERS = ("lme4-2", "lme4-1")
NAMES = ("new", "old")


def component_names(entries: Sequence[tuple[str, str, str | None, str | None]]) -> list[str]:
    """Names of the entries of covariance blocks, as `model_parameters` has those it lists.

    Parameters
    ----------
    entries : sequence of (factor, term, first column, second column)
        The second is None for a standard deviation, both are for the residual.
    """
    heads = [
        f"sd_{first}" if second is None else f"cor_{second}.{first}"
        for _, _, first, second in entries
    ]
    counts = Counter(f"{head}|{one[0]}" for head, one in zip(heads, entries, strict=True))
    return [
        "sigma" if first is None
        else f"{head}|{factor if counts[f'{head}|{factor}'] == 1 else term}"
        for head, (factor, term, first, _) in zip(heads, entries, strict=True)
    ]  # fmt: skip


def variance_name(component: str) -> str:
    """Name of a variance or covariance, from that of its standard deviation or correlation."""
    if component == "sigma":
        return "sigma^2"
    if component.startswith("sd_"):
        return f"var_{component[3:]}"
    return f"cov_{component[4:]}"


def in_order(parameters: Sequence[ModelParameter], order: str) -> tuple[int, ...]:
    """Positions of `parameters` in one of lme4's orders.

    Parameters
    ----------
    parameters : sequence
        As `model_parameters` lists them.
    order : {"lme4-2", "lme4-1"}
        lme4 before 2.0 went through the lower triangle of each term column by column, so that a
        correlation stands between two standard deviations.

    Raises
    ------
    OptionError
        For another order.
    """
    if order not in ORDERS:
        raise OptionError(f"order must be one of {', '.join(ORDERS)}, not {order!r}")
    places = range(len(parameters))
    if order == "lme4-2":
        return tuple(places)

    def place(at: int) -> tuple[int, int, int, int]:
        p = parameters[at]
        if p.term < 0:
            return (len(parameters), 0, 0, at)
        if p.kind == "cor":
            return (p.term, p.j, p.i, at)
        return (p.term, p.i, p.i, at) if p.kind == "sd" else (p.term, len(parameters), 0, at)

    return tuple(sorted(places, key=place))


def old_names(parameters: Sequence[ModelParameter]) -> tuple[str, ...]:
    """lme4's short names (``.sig01``, ``.sigma``) for parameters in the order given."""
    out, count = [], 0
    for p in parameters:
        if p.term >= 0:
            count += 1
            out.append(f".sig{count:02d}")
        else:
            out.append(".sigma" if p.kind == "sigma" else p.name)
    return tuple(out)


def parameter_values(parameters: Sequence[ModelParameter], solution: Solution) -> FloatArray:
    """Values of `parameters`; a correlation beside a standard deviation of zero is NaN."""
    return values_at(
        parameters,
        solution.plan.shapes,
        theta=solution.theta,
        T=solution.T,
        sigma=solution.sigma,
        beta=solution.beta,
        residual=_of_residuals(solution),
        dispersion=getattr(solution, "dispersion", None),
    )


def _of_residuals(solution: Solution) -> FloatArray | None:
    at = solution.stats.residual
    return None if at is None else residual_values(at, solution.sigma)


def values_at(
    parameters: Sequence[ModelParameter],
    shapes: Sequence[TermShape],
    *,
    theta: FloatArray,
    T: Sequence[FloatArray],
    sigma: float,
    beta: FloatArray,
    residual: FloatArray | None = None,
    dispersion: float | None = None,
) -> FloatArray:
    """Values of `parameters` at relative factors `T` (user's columns) and the rest."""
    parts = split_parameters(theta, shapes)

    def correlation(p: ModelParameter) -> float:
        a, b = T[p.term][p.i], T[p.term][p.j]
        size = math.hypot(*a.tolist()) * math.hypot(*b.tolist())
        return max(min(float(a @ b) / size, 1.0), -1.0) if size > 0 else np.nan

    def structured(p: ModelParameter) -> float:
        shape = shapes[p.term]
        own = shape.structure.correlation_part(parts[p.term], shape.k)
        return float(own[p.i]) if np.any(T[p.term]) else np.nan

    values: dict[str, Callable[[ModelParameter], float]] = {
        "sd": lambda p: sigma * math.hypot(*T[p.term][p.i].tolist()),
        "cor": correlation,
        "par": structured,
        "sigma": lambda p: sigma,
        "residual": lambda p: np.nan if residual is None else float(residual[p.i]),
        "dispersion": lambda p: np.nan if dispersion is None else float(dispersion),
        "beta": lambda p: float(beta[p.i]),
    }
    return np.array([values[p.kind](p) for p in parameters])


def select(
    parm: object, parameters: Sequence[ModelParameter], names: Sequence[str]
) -> tuple[int, ...]:
    """Positions that `parm` asks for.

    Parameters
    ----------
    parm : None, str, int, or sequence of these
        ``"theta_"`` (variance parameters, sigma included), ``"beta_"``, names old or new, or
        positions.
    parameters : sequence
        In the order shown.
    names : sequence of str
        The old names in the same order.

    Raises
    ------
    OptionError
        For a name or a position that is not there.
    """
    if parm is None:
        return tuple(range(len(parameters)))
    if isinstance(parm, str | int | np.integer):
        wanted: list[object] = [parm]
    elif isinstance(parm, Sequence | np.ndarray):
        wanted = list(parm)
    else:
        raise OptionError(f"parm must be names or positions, not {type(parm).__name__}")
    found = (at for one in wanted for at in _matching(one, parameters, names))
    return tuple(dict.fromkeys(found))


def _matching(one: object, parameters: Sequence[ModelParameter], names: Sequence[str]) -> list[int]:
    everywhere = range(len(parameters))
    if isinstance(one, int | np.integer) and not isinstance(one, bool):
        if -len(parameters) <= one < len(parameters):
            return [int(one) % len(parameters)]
        raise OptionError(f"there are {len(parameters)} parameters; position {one} is none of them")
    groups = {"theta_": False, "beta_": True}
    if isinstance(one, str) and one in groups:
        return [i for i in everywhere if (parameters[i].kind == "beta") == groups[one]]
    named = isinstance(one, str)
    found = [i for i in everywhere if named and one in (parameters[i].name, names[i])]
    if not found:
        known = ", ".join(p.name for p in parameters)
        raise OptionError(f"no parameter {one!r:.60}; known: theta_, beta_, {known}")
    return found
