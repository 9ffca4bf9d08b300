"""R code for fits whose residuals differ or correlate: nlme, the residuals' parameters held."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.design.frame.frames import Frame
from nestedmlm.design.frame.values import Factor
from nestedmlm.design.residual import ResidualRows
from nestedmlm.errors import ResidualStructureError
from nestedmlm.formula.deparse import deparse, quote_name
from nestedmlm.formula.nodes import Call, Name
from nestedmlm.formula.structures import UNSTRUCTURED
from nestedmlm.formula.terms import Variable
from nestedmlm.inference.resampling.resampling import nested_in
from nestedmlm.statistics.residual_correlation import Decay

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit

INTERCEPT = "(Intercept)"
_COVARIANCES = MappingProxyType({UNSTRUCTURED: "pdLogChol", "diag": "pdDiag"})
_LOG = "log"  # of a predictor in `dispersion`: nlme's power of it


def nlme_code(fit: LmerFit, table: str) -> str:
    """Lines of R: nlme's ``gls`` or ``lme`` with the residuals' parameters held where ours are.

    Parameters
    ----------
    fit : LmerFit
        With ``dispersion=`` or ``residual=``.
    table : str
        R's name of the data.

    Raises
    ------
    ResidualStructureError
        For what nlme has not, or writes in another way than this knows.
    """
    design, rows = fit.design, fit.design.residual
    assert rows is not None
    options = fit.model.source.options
    if options.weights is not None or design.offset is not None:
        raise ResidualStructureError(
            "weights and offsets beside dispersion= or residual= are not translated"
        )
    groups = _groups(design)
    parts = [f"model <- {'lme' if groups else 'gls'}({_fixed(fit)}, data = {table}"]
    if groups:
        parts.append(f"random = {_random(design, groups)}")
    correlation = None if rows.structure is None else _correlation(fit, rows, groups)
    parts += [f"correlation = {correlation}"] if correlation else []
    variances = _variances(fit, rows)
    if variances:
        one = variances[0] if len(variances) == 1 else f"varComb({', '.join(variances)})"
        parts.append(f"weights = {one}")
    parts.append(f'method = "{"REML" if fit.REML else "ML"}")')
    return "\n".join((
        "library(nlme)",
        ",\n             ".join(parts),
        f"-2 * as.numeric(logLik(model))  # nestedmlm: {fit.criterion!r}",
    ))  # fmt: skip


def _fixed(fit: LmerFit) -> str:
    formula = fit.model.formula
    return f"{formula.response_text} {formula.fixed_text}"


def _groups(design: Design) -> list[int]:
    """Grouping factors, those above the others first."""
    order = sorted(range(len(design.factors)), key=lambda f: len(design.factors[f].levels))
    for above, below in pairwise(order):
        if not nested_in(design.factors[below].codes, design.factors[above].codes):
            raise ResidualStructureError(
                "nlme has nested grouping factors only, and these are crossed"
            )
    return order


def _random(design: Design, groups: list[int]) -> str:
    listed, above = [], set[str]()
    for f in groups:
        own = [term for term in design.terms if term.factor == f]
        scalar = all(len(term.columns) == 1 for term in own)
        if not scalar and (len(own) > 1 or own[0].structure.name not in _COVARIANCES):
            raise ResidualStructureError(
                f"nlme's covariances of {design.factors[f].name} are written where there is one "
                "term, unstructured or diagonal, or one column in each"
            )
        names = [part for part in design.factors[f].name.split(":") if part not in above]
        if len(names) != 1:
            raise ResidualStructureError(
                f"nlme has no grouping factor like {design.factors[f].name}"
            )
        above.add(names[0])
        every = [column for term in own for column in term.columns]
        columns = [column for column in every if column != INTERCEPT]
        text = " + ".join(["1" if INTERCEPT in every else "0", *columns])
        kind = "pdDiag" if scalar and len(own) > 1 else _COVARIANCES[own[0].structure.name]
        listed.append(f"{quote_name(names[0])} = {kind}(~ {text})")
    return f"list({', '.join(listed)})"


@dataclass(frozen=True, slots=True)
class _Writer:
    """Spelling of a correlation in nlme: its constructor, the values, whether times are places."""

    name: str
    values: Callable[[FloatArray], FloatArray]
    time: bool | None


def _lower(C: FloatArray) -> FloatArray:
    sd = np.sqrt(np.diag(C))
    a, b = np.tril_indices(len(C), -1)
    order = np.lexsort((a, b))  # nlme goes down the columns
    out: FloatArray = (C / np.outer(sd, sd))[a[order], b[order]]
    return out


_CORRELATIONS: Mapping[str, _Writer] = MappingProxyType(
    {
        "ar1": _Writer("corAR1", lambda C: C, False),
        "car1": _Writer("corCAR1", lambda C: C, False),
        "cs": _Writer("corCompSymm", lambda C: C, None),
        "us": _Writer("corSymm", _lower, True),
    }
)


def _correlation(fit: LmerFit, rows: ResidualRows, groups: list[int]) -> str:
    term, at = rows.arguments.term, fit.solution.stats.residual
    assert term is not None and at is not None and rows.structure is not None
    name = rows.structure.name
    if name not in _CORRELATIONS or rows.by is not None:
        raise ResidualStructureError(f"nlme has no residual structure like {term.text}")
    part = at.model.correlations[0]
    if rows.structure.whole_gaps and isinstance(part, Decay) and part.unit != 1.0:
        raise ResidualStructureError("nlme's corAR1 counts steps of 1: divide the time by its step")
    writer = _CORRELATIONS[name]
    values = at.model.natural(at.free)[at.model.q :]
    if rows.structure.is_root:
        values = rows.structure.matrix(at.free[at.model.q :], rows.levels)
    text = ", ".join(repr(float(value)) for value in writer.values(values))
    time = "1" if writer.time is None or term.time is None else _time(fit, term.time, writer.time)
    block = rows.block_name.split(":")
    above = [fit.design.factors[f].name for f in groups]
    path = [name for name in above if name not in block] + block
    form = f"~ {time} | {'/'.join(quote_name(part) for part in dict.fromkeys(path))}"
    return f"{writer.name}(c({text}), form = {form}, fixed = TRUE)"


def _time(fit: LmerFit, time: Variable, place: bool) -> str:
    """The covariate of a correlation: the time itself, or the place of its level."""
    values = fit.design.schema.evaluator(Frame(fit.model.data)).vector(time.node)
    text = deparse(time.node)
    return f"as.integer({text})" if place or isinstance(values, Factor) else text


def _variances(fit: LmerFit, rows: ResidualRows) -> list[str]:
    """Variance functions of nlme: of ``dispersion=``, and of visits with variances of their own."""
    at, out = fit.solution.stats.residual, []
    assert at is not None
    log_sd = at.free[: at.model.q] / at.model.unit
    dispersion, term = rows.arguments.dispersion, rows.arguments.term
    if dispersion is not None:
        terms = dispersion.fixed_terms()
        if len(terms.labels) != 1 or len(terms.variables) != 1:
            raise ResidualStructureError(
                "r_code() writes dispersion= of one variable, with one term"
            )
        own = log_sd[: rows.n_dispersion]
        out.append(_strata(rows, terms.variables[0], own) if rows.strata
                   else _slope(terms.variables[0], float(own[0])))  # fmt: skip
    if term is not None and term.time is not None and not rows.hom:
        assert rows.structure is not None
        if rows.structure.is_root:
            sd = np.sqrt(np.diag(rows.structure.matrix(at.free[at.model.q :], rows.levels)))
        else:
            sd = np.exp(np.concatenate([[0.0], log_sd[rows.n_dispersion :]]))
        out.append(_ident(rows.time_labels, sd, term.time))
    return out


def _strata(rows: ResidualRows, variable: Variable, log_sd: FloatArray) -> str:
    assert rows.stratum is not None
    first = [int(np.flatnonzero(rows.stratum == s)[0]) for s in range(len(rows.strata))]
    return _ident(rows.strata, np.exp(rows.log_sd[first][:, : len(log_sd)] @ log_sd), variable)


def _ident(labels: tuple[str, ...], sd: FloatArray, variable: Variable) -> str:
    others = list(zip(labels, sd / sd[0], strict=True))[1:]
    ratios = ", ".join(f'"{label}" = {float(ratio)!r}' for label, ratio in others)
    return f"varIdent(form = ~ 1 | {deparse(variable.node)}, fixed = c({ratios}))"


def _slope(variable: Variable, value: float) -> str:
    node = variable.node
    if isinstance(node, Call) and isinstance(node.func, Name) and node.func.name == _LOG:
        return f"varPower(form = ~ {deparse(node.args[0].value)}, fixed = {value!r})"
    return f"varExp(form = ~ {deparse(node)}, fixed = {value!r})"
