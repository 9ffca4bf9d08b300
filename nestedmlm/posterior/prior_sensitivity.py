"""Sensitivity of a posterior to each prior, by power-scaling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.bayes.model.prior_set import PriorSet, is_held
from nestedmlm.bayes.model.scalar_parameters import list_parameters
from nestedmlm.design.design import Design
from nestedmlm.posterior.loglik import joint_log_likelihood
from nestedmlm.posterior.parameter_priors import log_prior
from nestedmlm.posterior.summaries import parameter_draws


def prior_sensitivity(data: Any, design: Design, priors: PriorSet) -> pd.DataFrame:
    """Power-scaling sensitivity of each parameter to all priors, the likelihood, and each prior.

    Parameters
    ----------
    data : DataTree
    design : Design
    priors : PriorSet

    Returns
    -------
    DataFrame
        By parameter: ``prior``, ``likelihood``, and a column for each prior, by its name. What is
        held at a value is left out.

    Raises
    ------
    OptionError
        If a prior is a function.
    """
    from arviz import from_dict, psense

    held = [name for name, row in priors.items() if is_held(row)]
    before = {k: v for k, v in log_prior(data, design, priors).items() if k not in held}
    total = joint_log_likelihood(data, design)
    varying = [p for p in list_parameters(design) if p.variable not in held]
    parameters = {p.name: parameter_draws(data, p) for p in varying}
    tree = from_dict(
        {"posterior": parameters, "log_prior": before, "log_likelihood": {"total": total}}
    )

    def of(group: str, names: list[str] | None = None) -> list[float]:
        found = psense(tree, group=group, group_var_names=names)
        return [float(found[name]) for name in parameters]

    columns = {"prior": of("prior"), "likelihood": of("likelihood")}
    for name, value in before.items():  # one that is level moves nothing
        columns[name] = of("prior", [name]) if np.ptp(value) > 0.0 else [0.0] * len(parameters)
    return pd.DataFrame(columns, index=pd.Index(parameters, name="variable"))
