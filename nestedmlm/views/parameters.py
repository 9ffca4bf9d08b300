"""All parameters of a fit of either engine in one table, under the same names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from nestedmlm.errors import OptionError
from nestedmlm.inference.effects.df_record import ClusterRobust
from nestedmlm.inference.tidy.wald_parameters import COLUMNS, pooled_parameters, wald_parameters
from nestedmlm.views.protocols import TabledFit


def parameter_table(
    fit: TabledFit,
    *,
    level: float = 0.95,
    random: bool = True,
    vcov: str | ClusterRobust | None = None,
) -> pd.DataFrame:
    """Fixed effects, then standard deviations and correlations, then sigma.

    Parameters
    ----------
    fit : LmerFit, PooledFit or BayesFit
    level : float
        Probability inside the intervals: Wald's, or quantiles of a posterior.
    random : bool
        Whether to add what is not a fixed effect.
    vcov : str or ClusterRobust, optional
        Of the fixed effects of a fit by likelihood.

    Returns
    -------
    DataFrame
        Indexed by the names that ``conf_int`` uses (``Days``, ``sd_Days|Subject``, ``sigma``);
        ``kind`` (``fixed``, ``sd``, ``cor``, ``par``, ``sigma``), ``group``, ``effect`` (``fixed``,
        ``ran_pars``), ``estimate, std_error, conf_low, conf_high``.
    """
    if fit.engine == "posterior" and vcov is not None:
        raise OptionError("vcov= is for fits by likelihood: a posterior's spread is its draws'")
    if fit.engine == "pooled":
        return pooled_parameters(fit.core, fit.varcorr().to_frame(), level, random, vcov)
    if fit.engine == "posterior":
        table = fit.parameters(level=level)[list(COLUMNS)]
        return table if random else table[table["kind"] == "fixed"]
    return wald_parameters(fit.core, level=level, random=random, vcov=vcov)


def given_fits(
    fits: Sequence[Any], names: Sequence[str] | None
) -> tuple[tuple[Any, ...], Sequence[str] | None]:
    """Fits that were given one by one, in one list, or in one dictionary by their names.

    Raises
    ------
    OptionError
        For names beside a dictionary, which has its own.
    """
    if len(fits) != 1:
        return tuple(fits), names
    (one,) = fits
    if isinstance(one, Mapping):
        if names is not None:
            raise OptionError("a dictionary of fits has their names: leave out names=")
        return tuple(one.values()), [str(name) for name in one]
    return (tuple(one), names) if isinstance(one, list | tuple) else (tuple(fits), names)


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
