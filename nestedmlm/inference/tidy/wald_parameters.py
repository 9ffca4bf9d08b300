"""All parameters of a solution with Wald intervals, in one table."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nestedmlm.arguments import normal_quantile
from nestedmlm.design.design import Design
from nestedmlm.inference.variances.wald import variance_parameters
from nestedmlm.likelihood.solution import Solution

COLUMNS = ("kind", "estimate", "se", "lower", "upper")


def wald_parameters(
    solution: Solution, design: Design, *, REML: bool, level: float = 0.95, random: bool = True
) -> pd.DataFrame:
    """Fixed effects, then standard deviations and correlations, then sigma.

    Parameters
    ----------
    solution : Solution
        The model at the optimum.
    design : Design
    REML : bool
        Which criterion was minimised.
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
        index=list(design.x_names),
    )
    if not random:
        return fixed
    parts = variance_parameters(solution, design, REML=REML, level=level)
    return pd.concat([fixed, parts[list(COLUMNS)]])
