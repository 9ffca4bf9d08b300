"""From draws to tables: estimate, spread, interval, and how well they are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.model.names import TermNames, pairs, parameter_names
from nestedmlm.design.design import Design, ReTerm
from nestedmlm.errors import OptionError, ResidualStructureError
from nestedmlm.inference.rows.modes import coefficient_tables
from nestedmlm.inference.variances.parameters import model_parameters
from nestedmlm.inference.variances.residual_parameters import residual_names
from nestedmlm.posterior.draws import chained, effect_draws, fixed_draws, stacked
from nestedmlm.posterior.effective_draws import DIAGNOSTICS, diagnostics

LEVEL = 0.95  # of the intervals, unless another one is asked for
ESTIMATES = ("estimate", "std_error", "conf_low", "conf_high")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One scalar parameter of the model.

    Attributes
    ----------
    kind : {"fixed", "sd", "cor", "par", "sigma", "family", "residual"}
        ``par``: a parameter of a structured correlation that is no correlation itself; ``family``:
        one that a family has beside the mean; ``residual``: of residuals that differ or correlate.
    group : str
        Name of the random-effects term (as in VarCorr); empty for a fixed effect, ``Residual``
        for sigma.
    var1, var2 : str or None
        R's names of the columns: one for a fixed effect or a standard deviation, two for a
        correlation; the name of a parameter of a structure.
    name : str
        What the posterior calls it: ``ses``, ``ses|schoolid_sigma``, ``schoolid_corr[1, 0]``.
    variable : str
        The variable of the posterior.
    at : tuple of int
        Where in that variable.
    log : bool
        Whether the variable is the logarithm.
    """

    kind: str
    group: str
    var1: str | None
    var2: str | None
    name: str
    variable: str
    at: tuple[int, ...] = ()
    log: bool = False


def list_parameters(design: Design) -> tuple[Parameter, ...]:
    """List fixed effects, standard deviations and correlations of each term, sigma, the residuals'.

    In the order of `nestedmlm.inference.variances.parameters.model_parameters`. In the place of
    sigma a generalized model has the parameters of its family, if any.
    """
    names = parameter_names(design)
    out = [
        Parameter(kind="fixed", group="", var1=column, var2=None, name=name, variable=name)
        for column, name in zip(design.x_names, names.fixed, strict=True)
    ]
    for term, own in zip(design.terms, names.terms, strict=True):
        shown = term.columns[: len(own.sds)]  # a common one goes by the first column, as in VarCorr
        if term.smooth is not None:
            shown = (term.smooth.label,)
        out += [
            Parameter(kind="sd", group=term.name, var1=column, var2=None, name=name, variable=name)
            for column, name in zip(shown, own.sds, strict=True)
        ]
        free = term.structure.free_correlations
        out += _correlations(term, own) if free else _structured(term, own)
    family = design.family
    kind, group = ("sigma", "Residual") if family is None else ("family", family.name)
    return (
        *out,
        *(
            Parameter(kind=kind, group=group, var1=None, var2=None, name=name, variable=name)
            for name in names.beside
        ),
        *_of_residuals(design),
    )


def _of_residuals(design: Design) -> Iterator[Parameter]:
    """Parameters of residuals that differ or correlate; ratios of standard deviations as such."""
    own = parameter_names(design).residual
    shown = iter(residual_names(design.residual) if design.residual is not None else ())

    def parameter(variable: str, name: str, **where: Any) -> Parameter:
        label = next(shown)[0]
        return Parameter(
            kind="residual", group="Residual", var1=label, var2=None, name=name, variable=variable,
            log=label.startswith("sd_ratio"), **where,
        )  # fmt: skip

    for name in own.log_sd:
        yield parameter(name, name)
    for group in own.groups:
        for name in (*group.parameters, *group.sds):
            yield parameter(name, name)
        k = len(group.visits) if group.correlation else 0
        for j in range(k):
            for i in range(j + 1, k):
                place = f"[{group.visits[i]}, {group.visits[j]}]"
                yield parameter(str(group.correlation), f"{group.correlation}{place}", at=(i, j))


def _correlations(term: ReTerm, names: TermNames) -> list[Parameter]:
    """The correlations, each once."""
    if names.correlation is None:
        return []
    columns = term.columns
    return [
        Parameter(
            kind="cor",
            group=term.name,
            var1=columns[j],
            var2=columns[i],
            name=f"{names.correlation}[{label}]",
            variable=names.correlation,
            at=(m,),
        )
        for m, ((i, j), label) in enumerate(zip(pairs(len(columns)), names.pairs, strict=True))
    ]


def _structured(term: ReTerm, names: TermNames) -> list[Parameter]:
    """The parameters of a structured correlation; a common one is that of the first two columns."""
    if names.rho is not None:
        first, second = term.columns[:2]
        shown: list[tuple[str, str, str | None]] = [("cor", first, second)]
    else:
        shown = [("par", p.name, None) for p in term.structure.parameters(len(term.columns))]
    return [
        Parameter(kind=kind, group=term.name, var1=var1, var2=var2, name=name, variable=name)
        for (kind, var1, var2), name in zip(shown, names.parameters, strict=True)
    ]


def reported_names(design: Design) -> list[str]:
    """Names of `list_parameters` as ``LmerFit.conf_int`` has them."""
    linear = design.family is None
    variances = [p.name for p in model_parameters(design, residual=linear) if p.kind != "beta"]
    own = () if linear else parameter_names(design).beside
    return [*design.x_names, *variances, *own]


def named_parameters(design: Design) -> dict[str, Parameter]:
    """Parameters by the names of `reported_names`."""
    return dict(zip(reported_names(design), list_parameters(design), strict=True))


def parameter_draws(data: Any, parameter: Parameter) -> FloatArray:
    """Draws of one parameter, shape (chains, draws)."""
    draws = chained(data, parameter.variable)
    for place in reversed(parameter.at):
        draws = draws[..., place]
    return np.exp(draws) if parameter.log else draws


def parameter_table(data: Any, design: Design, *, level: float = LEVEL) -> pd.DataFrame:
    """Every parameter with estimate, spread, interval, R-hat and effective draws.

    Returns
    -------
    DataFrame
        Indexed by the names that ``LmerFit.conf_int`` uses (``term``); ``variable``, the
        posterior's own name; ``group, effect, kind, var1, var2, estimate, std_error, conf_low,
        conf_high, r_hat, ess_bulk, ess_tail``.
    """
    rows = list_parameters(design)
    draws = np.stack([parameter_draws(data, row) for row in rows], axis=-1)
    frame = pd.DataFrame(
        {
            column: pd.Series([getattr(row, column) for row in rows], dtype=object)
            for column in ("group", "kind", "var1", "var2")
        }
    )
    frame["group"] = frame["group"].replace("", None)
    frame.insert(0, "variable", [row.name for row in rows])
    frame.insert(2, "effect", ["fixed" if row.kind == "fixed" else "ran_pars" for row in rows])
    frame.index = pd.Index(reported_names(design), dtype=object, name="term")
    numbers = estimates(draws.reshape(-1, len(rows)), level=level)
    found = diagnostics(data, draws)
    return frame.assign(
        **{name: numbers[name].to_numpy() for name in ESTIMATES},
        **{name: found[name].to_numpy() for name in DIAGNOSTICS},
    )


def varcorr_table(data: Any, design: Design, *, level: float = LEVEL) -> pd.DataFrame:
    """The parameter table without fixed effects, and ``vcov``: means of variances, covariances.

    NaN for a parameter of a structure, or of a family, that is no entry of a covariance matrix.
    """
    table = parameter_table(data, design, level=level)
    table = table[table["kind"] != "fixed"]
    sd = {
        (p.group, p.var1): parameter_draws(data, p)
        for p in list_parameters(design)
        if p.kind in ("sd", "sigma")
    }
    means = [
        np.mean(_second_moment(data, p, sd)) for p in list_parameters(design) if p.kind != "fixed"
    ]
    return table.assign(vcov=means)


def _second_moment(
    data: Any, p: Parameter, sd: Mapping[tuple[str, str | None], FloatArray]
) -> FloatArray:
    if p.kind in ("par", "family", "residual"):
        return np.full(1, np.nan)  # no entry of a covariance matrix
    first = sd[p.group, p.var1]
    if p.kind != "cor":
        return first**2
    # columns with a common standard deviation have it under the first one's name
    return parameter_draws(data, p) * first * sd.get((p.group, p.var2), first)


def estimates(draws: FloatArray, *, level: float = LEVEL, index: Any = None) -> pd.DataFrame:
    """Mean, standard deviation and equal-tailed interval of each column.

    Parameters
    ----------
    draws : (S, m) array
    level : float
        Probability inside the interval.
    index : Index, optional

    Returns
    -------
    DataFrame
        ``estimate, std_error, conf_low, conf_high``, m rows.
    """
    lower, upper = np.quantile(draws, tails(level), axis=0)
    ddof = 1 if len(draws) > 1 else 0
    return pd.DataFrame(
        {
            "estimate": draws.mean(axis=0),
            "std_error": draws.std(axis=0, ddof=ddof),
            "conf_low": lower,
            "conf_high": upper,
        },
        index=index,
    )


def fixed_covariance(data: Any, design: Design) -> pd.DataFrame:
    """Posterior covariance matrix of the fixed effects, (p, p)."""
    names, draws = list(design.x_names), fixed_draws(data, design)
    centred = draws - draws.mean(axis=0)
    cov = centred.T @ centred / max(len(draws) - 1, 1)
    return pd.DataFrame(cov, index=names, columns=names)


def tails(level: float) -> tuple[float, float]:
    """Levels of the two quantiles that enclose probability `level`.

    Raises
    ------
    OptionError
        If `level` is not between 0 and 1.
    """
    if not 0.0 < level < 1.0:
        raise OptionError(f"level must lie between 0 and 1, for example 0.95; got {level!r}")
    # 0.5 * (1 - 0.95) is not 0.025 in binary; the rounded level makes readable column names
    low = round(0.5 * (1.0 - level), 12)
    return low, 1.0 - low


def effects_table(data: Any, design: Design, *, level: float = LEVEL) -> pd.DataFrame:
    """Random effects: ``group, term, level, estimate, std_error, conf_low, conf_high``."""
    pieces = []
    names = parameter_names(design).terms
    for f, factor in enumerate(design.factors):
        for term, own in zip(design.terms, names, strict=True):
            if term.factor != f:
                continue
            for column, variable in zip(term.columns, own.variables, strict=True):
                found = estimates(stacked(data, variable), level=level)
                labels = {"group": factor.name, "term": column, "level": factor.levels}
                pieces.append(pd.DataFrame(labels).join(found))
    if not pieces:
        raise ResidualStructureError("this model has no random effects")
    return pd.concat(pieces, ignore_index=True)


def coef_tables(data: Any, design: Design) -> dict[str, pd.DataFrame]:
    """Posterior means of fixed plus random effects, one table per grouping factor."""
    beta = fixed_draws(data, design).mean(axis=0)
    modes = tuple(b.mean(axis=0) for b in effect_draws(data, design))
    return coefficient_tables(design, beta, modes)
