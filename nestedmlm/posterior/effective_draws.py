"""Effective numbers of draws: of chains by ArviZ, of importance sampling by its weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.model.names import IMPORTANCE

DIAGNOSTICS = ("r_hat", "ess_bulk", "ess_tail")
_TAILS = (0.05, 0.95)  # quantiles whose probabilities the tails' effective draws are of, as ArviZ's


def diagnostics(data: Any, draws: FloatArray) -> pd.DataFrame:
    """R-hat and effective numbers of draws of each column.

    Parameters
    ----------
    data : DataTree
        Of which they are draws.
    draws : (chains, draws, m) array

    Returns
    -------
    DataFrame
        ``r_hat, ess_bulk, ess_tail``. Of importance sampling: R-hat is NaN (chains say nothing of
        independent draws), ``ess_bulk`` is of the mean and ``ess_tail`` of the probabilities in the
        tails, 5 % on either side, whichever is less.

    Notes
    -----
    With weights w that sum to one, ``sum w (h - mean)^2 / sum w^2 (h - mean)^2`` draws of a
    quantity h are effective (Owen 2013, Monte Carlo theory, methods and examples, eq. 9.8), which
    differs from parameter to parameter; what resampling adds is counted.
    """
    variance = importance_variance(data)
    return _of_chains(draws) if variance is None else _of_weights(draws, variance)


def importance_variance(data: Any) -> FloatArray | None:
    """What each draw of importance sampling adds to the variance of a mean, (chains, draws)."""
    if "sample_stats" not in data or IMPORTANCE not in data["sample_stats"].data_vars:
        return None
    stats = data["sample_stats"][IMPORTANCE].transpose("chain", "draw")
    return np.asarray(stats.values, dtype=np.float64)


def _of_weights(draws: FloatArray, variance: FloatArray) -> pd.DataFrame:
    columns = draws.reshape(-1, draws.shape[2])
    own = variance.reshape(-1)
    tails = [effective(columns <= np.quantile(columns, q, axis=0), own) for q in _TAILS]
    return pd.DataFrame(
        {
            "r_hat": np.nan,
            "ess_bulk": effective(columns, own),
            "ess_tail": np.min(tails, axis=0),
        }
    )


def effective(columns: np.ndarray, variance: FloatArray) -> FloatArray:
    """Effective draws of the mean of each column, (m,); NaN where nothing varies.

    Parameters
    ----------
    columns : (S, m) array
    variance : (S,) array
        From `importance_variance`.
    """
    squares = (columns - columns.mean(axis=0)) ** 2
    out = np.full(columns.shape[1], np.nan)
    np.divide(squares.sum(axis=0), variance @ squares, out=out, where=squares.any(axis=0))
    return out


def _of_chains(draws: FloatArray) -> pd.DataFrame:
    from arviz import dict_to_dataset, ess, rhat

    out = pd.DataFrame(np.nan, index=range(draws.shape[2]), columns=list(DIAGNOSTICS))
    varies = np.ptp(draws, axis=(0, 1)) > 0.0  # not what is held at a value
    if draws.shape[1] < 4 or not varies.any():  # too few to say anything
        return out
    data = dict_to_dataset({"x": draws[..., varies]}, check_conventions=False)
    out.loc[varies] = np.column_stack(
        [rhat(data)["x"], ess(data, method="bulk")["x"], ess(data, method="tail")["x"]]
    )
    return out
