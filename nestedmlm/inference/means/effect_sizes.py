"""Standardised differences of means: a contrast over a standard deviation."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nestedmlm.inference.normal_quantile import normal_quantile


def effect_size_table(
    numbers: pd.DataFrame, *, sd: float, sd_df: float, level: float
) -> pd.DataFrame:
    """Divide contrasts by a standard deviation that is estimated, too.

    Parameters
    ----------
    numbers : DataFrame
        ``estimate, std_error, df`` of the contrasts.
    sd, sd_df : float
        The standard deviation and its degrees of freedom; infinitely many where it is known.
    level : float
        Of the t intervals.

    Returns
    -------
    DataFrame
        ``estimate, std_error, df, conf_low, conf_high``.

    Notes
    -----
    By the delta method for a ratio of independent estimates, with ``Var(log sd) = 1 / (2 df)``:
    ``(se / sd)^2 + d^2 / (2 df)``.
    """
    from scipy.special import stdtrit

    d = numbers["estimate"].to_numpy() / sd
    df = numbers["df"].to_numpy()
    se = np.hypot(numbers["std_error"].to_numpy() / sd, d / np.sqrt(2.0 * sd_df))
    finite = np.isfinite(df)
    t = np.where(finite, stdtrit(np.where(finite, df, 1.0), 0.5 * (1.0 + level)),
                 np.where(np.isnan(df), np.nan, normal_quantile(level)))  # fmt: skip
    return pd.DataFrame(
        {
            "estimate": d,
            "std_error": se,
            "df": df,
            "conf_low": d - t * se,
            "conf_high": d + t * se,
        }
    )
