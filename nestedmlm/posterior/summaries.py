"""From draws to tables: estimate, spread, interval, and how well they are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.model.names import parameter_names
from nestedmlm.bayes.model.scalar_parameters import Parameter, list_parameters, printed_names
from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError, ResidualStructureError
from nestedmlm.inference.rows.modes import coefficient_tables
from nestedmlm.posterior.draws import chained, effect_draws, fixed_draws, stacked
from nestedmlm.posterior.effective_draws import DIAGNOSTICS, diagnostics

LEVEL = 0.95  # of the intervals, unless another one is asked for
ESTIMATES = ("estimate", "std_error", "conf_low", "conf_high")


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
    frame.index = pd.Index(printed_names(design), dtype=object, name="term")
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
