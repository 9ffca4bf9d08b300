"""All parameters of a fit with Wald intervals, in one table."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nestedmlm.arguments import normal_quantile
from nestedmlm.inference.fitted import Fitted
from nestedmlm.inference.variances.wald import variance_parameters

COLUMNS = ("kind", "estimate", "se", "lower", "upper")


def wald_parameters(fitted: Fitted, *, level: float = 0.95, random: bool = True) -> pd.DataFrame:
    """Fixed effects, then standard deviations and correlations, then sigma.

    Parameters
    ----------
    fitted : Fitted
    level : float
        Coverage of the intervals, normal ones for the fixed effects.
    random : bool
        Whether to add what is not a fixed effect.

    Returns
    -------
    DataFrame
        Indexed by the names that ``conf_int`` uses (``Days``, ``sd_Days|Subject``, ``sigma``);
        ``kind`` (``beta``, ``sd``, ``cor``, ``par``, ``sigma``), ``estimate, se, lower, upper``.
    """
    solution = fitted.solution
    se = np.sqrt(np.diag(solution.vcov))
    reach = normal_quantile(level) * se
    fixed = pd.DataFrame(
        {
            "kind": "beta",
            "estimate": solution.beta,
            "se": se,
            "lower": solution.beta - reach,
            "upper": solution.beta + reach,
        },
        index=list(fitted.design.x_names),
    )
    if not random:
        return fixed
    variances = variance_parameters(fitted, level=level)
    return pd.concat([fixed, variances[list(COLUMNS)]])
