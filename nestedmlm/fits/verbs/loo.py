"""Leave-one-group-out cross-validation of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nestedmlm.arguments import check_choice
from nestedmlm.inference.rows.group_prediction import predict_groups
from nestedmlm.views.loo import GroupLoo

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def loo(
    fit: LmerFit,
    unit: str = "group",
    *,
    group: str | None = None,
    refit: str = "full",
    progress: bool = True,
) -> GroupLoo:
    """Predict each group by the fit to the others: elpd on the scale of a posterior's ``loo``.

    Parameters
    ----------
    unit : {"group"}
        Rows given their random effects are a posterior's matter.
    group : str, optional
        Which grouping factor; by default the one that contains all others.
    refit : {"full", "one-step", "none"}
        Without each group theta is optimised anew, moved by one Newton step, or held.
    progress : bool

    Returns
    -------
    GroupLoo
        A view: ``elpd``, ``se``, ``rmse``, and a table by group. ``posterior.loo("group")`` of the
        same data is on the same scale, and so are other models of the same response.

    Raises
    ------
    OptionError
        For another unit, or if no factor holds all others.
    DataError
        If a fixed effect cannot be estimated without one of the groups.

    Notes
    -----
    The predictive density integrates the random effects out and counts the uncertainty of the
    fixed effects, not that of theta (which a posterior does).

    Examples
    --------
    >>> import nestedmlm as nm
    >>> data = nm.load_dataset("sleepstudy")
    >>> slopes = nm.lmer("Reaction ~ Days + (Days | Subject)", data)
    >>> slopes.loo(progress=False)
             Estimate    SE
    elpd_loo  -891.34 29.76
    rmse         49.6
    <BLANKLINE>
    Each of 18 Subject predicted by the others (theta: full); worst predicted per row: 332
    """
    check_choice(unit, "unit", ("group",))
    found = predict_groups(fit.core, group, refit=refit, progress=progress)
    factor = fit.design.factors[found.factor]
    columns = {
        "rows": found.rows, "elpd": found.elpd, "rmse": np.sqrt(found.squares / found.rows)
    }  # fmt: skip
    index = pd.Index(factor.levels[: len(found.rows)], name=factor.name)
    return GroupLoo(group=factor.name, table=pd.DataFrame(columns, index=index), refit=refit)
