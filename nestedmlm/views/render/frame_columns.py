"""Columns of frames: printed tables have R's headers, frames one name for one number.

A table prints ``Std. Error`` and ``Pr(>F)`` as R does; the frame behind it has ``std_error`` and
``p_value``, whatever function made it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd

# R's header -> column; what is not here keeps its name
FRAME_COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "Estimate": "estimate",
        "Std. Error": "std_error",
        "Df": "df",
        "NumDF": "num_df",
        "DenDF": "den_df",
        "t value": "statistic",
        "z value": "statistic",
        "F value": "statistic",
        "Chisq": "statistic",
        "LRT": "statistic",
        "RLRT": "statistic",
        "Pr(>|t|)": "p_value",
        "Pr(>|z|)": "p_value",
        "Pr(>F)": "p_value",
        "Pr(>Chisq)": "p_value",
        "Pr(Chi)": "p_value",
        "Pr(>RLRT)": "p_value",
        "Pr(boundary)": "p_boundary",
        "Pr(bootstrap)": "p_bootstrap",
        "lower": "conf_low",
        "upper": "conf_high",
        "Sum Sq": "sum_sq",
        "Sum of Sq": "sum_sq",
        "Mean Sq": "mean_sq",
        "RSS": "rss",
        "AIC": "aic",
        "BIC": "bic",
        "logLik": "log_lik",
        "-2*log(L)": "deviance",
        "Eliminated": "eliminated",
        "RIV": "riv",
    }
)


def named_frame(frame: pd.DataFrame, index: str = "term") -> pd.DataFrame:
    """Copy a printed table with the names that all frames share.

    Parameters
    ----------
    frame : DataFrame
        Columns with R's headers.
    index : str
        Name of what the rows are about, where the index has none.

    Returns
    -------
    DataFrame

    Examples
    --------
    >>> named_frame(pd.DataFrame({"F value": [2.0], "Pr(>F)": [0.2]}, index=["x"]))
          statistic  p_value
    term
    x           2.0      0.2
    """
    found = frame.rename(columns=dict(FRAME_COLUMNS))
    return found.rename_axis(index=found.index.name or index)
