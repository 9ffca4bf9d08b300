"""All parameters of a fit of either engine in one table, under the same names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from nestedmlm.errors import OptionError
from nestedmlm.inference.variances.parameters import reported_parameters

COLUMNS = ("kind", "estimate", "se", "lower", "upper")


def is_posterior(fit: Any) -> bool:
    """Whether a fit holds draws."""
    return hasattr(fit, "run")


def engine(fit: Any) -> str:
    """``REML``, ``ML`` or ``posterior``."""
    if is_posterior(fit):
        return "posterior"
    return "REML" if fit.REML else "ML"


def parameter_table(fit: Any, *, prob: float = 0.95, random: bool = True) -> pd.DataFrame:
    """Fixed effects, then standard deviations and correlations, then sigma.

    Parameters
    ----------
    fit : LmerFit or BayesFit
    prob : float
        Probability inside the intervals: Wald's, or quantiles of a posterior.
    random : bool
        Whether to add what is not a fixed effect.

    Returns
    -------
    DataFrame
        Indexed by the names that ``conf_int`` uses (``Days``, ``sd_Days|Subject``, ``sigma``);
        ``kind`` (``beta``, ``sd``, ``cor``, ``par``, ``sigma``), ``estimate, se, lower, upper``.
    """
    return (_of_draws if is_posterior(fit) else _of_fit)(fit, prob, random)


def _of_fit(fit: Any, prob: float, random: bool) -> pd.DataFrame:
    from scipy.special import ndtri

    reach = float(ndtri(0.5 + 0.5 * prob)) * fit.bse
    fixed = pd.DataFrame(
        {
            "kind": "beta",
            "estimate": fit.params,
            "se": fit.bse,
            "lower": fit.params - reach,
            "upper": fit.params + reach,
        }
    )
    if not random:
        return fixed
    from nestedmlm.inference.variances.wald import variance_parameters

    parts = variance_parameters(fit.solution, fit.design, REML=fit.REML, level=prob)
    return pd.concat([fixed, parts[list(COLUMNS)]])


def _of_draws(fit: Any, prob: float, random: bool) -> pd.DataFrame:
    table = fit.parameters(prob=prob).rename(columns={"sd": "se"})
    fixed = table[table["kind"] == "fixed"]
    fixed = fixed.set_index(pd.Index(list(fixed["var1"]))).assign(kind="beta")
    if not random:
        return fixed[list(COLUMNS)]
    rest = table[table["kind"] != "fixed"]
    reported = [p for p in reported_parameters(fit.design) if p.kind != "beta"]
    rest = rest.set_index(pd.Index([p.name for p in reported]))
    rest = rest.assign(kind=[p.kind for p in reported])
    return pd.concat([fixed[list(COLUMNS)], rest[list(COLUMNS)]])


def fit_names(fits: Sequence[Any], names: Sequence[str] | None) -> list[str]:
    """Names of fits in pictures and tables: those given, or M1, M2, … (none for a single fit).

    Raises
    ------
    OptionError
        If there is no fit, something is no fit, or the number of names is wrong.
    """
    if not fits:
        raise OptionError("give at least one fit")
    for fit in fits:
        if not hasattr(fit, "design") or not hasattr(fit, "params"):
            raise OptionError(
                f"an LmerFit or a BayesFit is needed, not {type(fit).__name__}; give several fits "
                "one by one, not in a list"
            )
    if names is None:
        return [""] if len(fits) == 1 else [f"M{i + 1}" for i in range(len(fits))]
    found = [str(name) for name in names]
    if len(found) != len(fits):
        raise OptionError(f"{len(found)} names for {len(fits)} fits: give one for each")
    return found
