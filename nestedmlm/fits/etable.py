"""`etable`: several models in one table."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from nestedmlm.views.anova import names_from_frame
from nestedmlm.views.etable import ModelTable, make_table


def etable(
    *fits: Any,
    names: Sequence[str] | None = None,
    spread: str = "se",
    prob: float = 0.95,
    stats: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    random: bool = True,
    title: str = "",
) -> ModelTable:
    """Compare models in one table: fixed effects, variance components, fit statistics.

    Parameters
    ----------
    *fits : LmerFit or BayesFit
    names : sequence of str, optional
        Of the columns; by default the names of the caller's variables, or M1, M2, …
    spread : {"se", "ci", "none"}
        Below the estimates: standard errors (posterior standard deviations), intervals (Wald's,
        or equal-tailed ones of the posterior), nothing.
    prob : float
        Probability inside the intervals.
    stats : sequence of str, optional
        Which fit statistics, among ``method, nobs, groups, criterion, aic, bic, r2``; by default
        all. What does not apply to a model is left blank.
    labels : mapping of str to str, optional
        Other names for rows: ``{"ses": "Socio-economic status"}``.
    random : bool
        Show standard deviations and correlations.
    title : str
        Of the table made by `ModelTable.to_gt`.

    Returns
    -------
    ModelTable
        A view; ``.to_frame()`` has the numbers, ``.to_gt()`` makes a great_tables table.

    Raises
    ------
    OptionError
        For an unknown statistic or spread, or names that do not fit.

    Notes
    -----
    Estimates have as many decimals as three digits of their standard error deserve. AIC and BIC
    of REML fits use the REML criterion (as lme4): compare them only between models with the same
    fixed effects.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> data = nm.load_dataset("sleepstudy")
    >>> one = nm.lmer("Reaction ~ Days + (1 | Subject)", data)
    >>> two = nm.lmer("Reaction ~ Days + (Days | Subject)", data)
    >>> nm.etable(one, two, stats=["nobs", "aic"])
                                       one     two
    Fixed effects
      (Intercept)                   251.41  251.41
                                    (9.75)  (6.82)
      Days                          10.467   10.47
                                   (0.804)  (1.55)
    Random effects
      sd_(Intercept)|Subject         37.12   24.74
                                    (6.81)  (5.84)
      sd_Days|Subject                         5.92
                                            (1.25)
      cor_Days.(Intercept)|Subject           0.066
                                           (0.325)
      sigma                          30.99   25.59
                                    (1.73)  (1.51)
    Fit
      Observations                     180     180
      AIC                           1794.5  1755.6
    Standard errors (of posteriors: standard deviations) in parentheses.
    """
    if names is None:
        names = names_from_frame(fits, sys._getframe(1))
    return make_table(
        fits,
        names=names,
        spread=spread,
        prob=prob,
        stats=stats,
        labels=labels,
        random=random,
        title=title,
    )
