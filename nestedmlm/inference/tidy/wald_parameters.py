"""All parameters of a fit with Wald intervals, in one table."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.inference.effects.ddf import coefficient_tests, intervals
from nestedmlm.inference.effects.df_record import ClusterRobust
from nestedmlm.inference.fitted import Fitted, PooledFitted
from nestedmlm.inference.variances.wald import variance_parameters

COLUMNS = ("kind", "group", "effect", "estimate", "std_error", "conf_low", "conf_high")


def wald_parameters(
    fitted: Fitted,
    *,
    level: float = 0.95,
    random: bool = True,
    vcov: str | ClusterRobust | None = None,
) -> pd.DataFrame:
    """Fixed effects, then standard deviations and correlations, then sigma.

    Parameters
    ----------
    fitted : Fitted
    level : float
        Coverage of the intervals, normal ones for the fixed effects.
    random : bool
        Whether to add what is not a fixed effect.
    vcov : str or ClusterRobust, optional
        Of the fixed effects, whose intervals are then t intervals with its degrees of freedom.

    Returns
    -------
    DataFrame
        Indexed by the names that ``conf_int`` uses (``Days``, ``sd_Days|Subject``, ``sigma``);
        ``kind`` (``fixed``, ``sd``, ``cor``, ``par``, ``sigma``), ``group``, ``effect`` (``fixed``,
        ``ran_pars``), ``estimate, std_error, conf_low, conf_high``.
    """
    fixed = _fixed(fitted, "none" if vcov is None else None, level, vcov)
    if not random:
        return fixed
    variances = variance_parameters(fitted, level=level)
    return pd.concat([fixed, variances[list(COLUMNS)]])


def pooled_parameters(
    fitted: PooledFitted,
    varcorr: pd.DataFrame,
    level: float,
    random: bool,
    vcov: str | ClusterRobust | None,
) -> pd.DataFrame:
    """The same of fits to imputed data sets; variance components without standard errors.

    Parameters
    ----------
    fitted : PooledFitted
    varcorr : DataFrame
        Its variance components, ``term, group, var1, var2, estimate``.
    level, random, vcov
        See `wald_parameters`.
    """
    fixed = _fixed(fitted, None, level, vcov)
    if not random:
        return fixed
    kinds = [component_kind(row) for row in varcorr.to_dict("records")]
    unknown = dict.fromkeys(("std_error", "conf_low", "conf_high"), np.nan)
    components = varcorr.set_index("term").assign(kind=kinds, effect="ran_pars", **unknown)
    return pd.concat([fixed, components[list(COLUMNS)]])


def component_kind(row: dict[Hashable, Any]) -> str:
    """Say which of sigma, sd and cor a row of a table of variance components holds."""
    return "sigma" if row["var1"] is None else "sd" if row["var2"] is None else "cor"


def _fixed(
    fitted: Fitted | PooledFitted, ddf: str | None, level: float, vcov: str | ClusterRobust | None
) -> pd.DataFrame:
    tests = coefficient_tests(fitted, np.eye(fitted.design.p), ddf, vcov=vcov)
    lower, upper = intervals(tests, level)
    columns = {
        "kind": "fixed", "group": None, "effect": "fixed", "estimate": tests.estimate,
        "std_error": tests.se, "conf_low": lower, "conf_high": upper,
    }  # fmt: skip
    names = pd.Index(list(fitted.design.x_names), dtype=object, name="term")
    return pd.DataFrame(columns, index=names)
