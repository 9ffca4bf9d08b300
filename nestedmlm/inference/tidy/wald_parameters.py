"""All parameters of a fit with Wald intervals, in one table."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nestedmlm.inference.effects.cluster_robust import ClusterRobust
from nestedmlm.inference.effects.ddf import coefficient_tests, intervals
from nestedmlm.inference.fitted import Fitted
from nestedmlm.inference.variances.wald import variance_parameters

COLUMNS = ("kind", "estimate", "se", "lower", "upper")


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
        ``kind`` (``beta``, ``sd``, ``cor``, ``par``, ``sigma``), ``estimate, se, lower, upper``.
    """
    ddf = "none" if vcov is None else "satterthwaite"
    tests = coefficient_tests(fitted, np.eye(fitted.design.p), ddf, vcov=vcov)
    lower, upper = intervals(tests, level)
    fixed = pd.DataFrame(
        {
            "kind": "beta",
            "estimate": tests.estimate,
            "se": tests.se,
            "lower": lower,
            "upper": upper,
        },
        index=list(fitted.design.x_names),
    )
    if not random:
        return fixed
    variances = variance_parameters(fitted, level=level)
    return pd.concat([fixed, variances[list(COLUMNS)]])
