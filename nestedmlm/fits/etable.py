"""`etable`: several models in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from nestedmlm.arguments import checked
from nestedmlm.callers import Caller
from nestedmlm.errors import OptionError
from nestedmlm.fits.fit_statistics import STATISTICS, statistics_frame
from nestedmlm.inference.effects.cluster_robust import ClusterRobust
from nestedmlm.views.etable import SPREADS, ModelTable
from nestedmlm.views.parameters import fit_names, parameter_table
from nestedmlm.views.protocols import TabledFit


@checked
def etable(
    *fits: TabledFit,
    names: Sequence[str] | None = None,
    spread: str = "se",
    level: float = 0.95,
    stats: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    random: bool = True,
    title: str = "",
    vcov: str | ClusterRobust | None = None,
) -> ModelTable:
    """Compare models in one table: fixed effects, variance components, fit statistics.

    Parameters
    ----------
    *fits : LmerFit, PooledFit or BayesFit
    names : sequence of str, optional
        Of the columns; by default the names of the caller's variables, or M1, M2, …
    spread : {"se", "ci", "none"}
        Below the estimates: standard errors (posterior standard deviations), intervals (Wald's,
        or equal-tailed ones of the posterior), nothing.
    level : float
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
    vcov : {"CR0", "CR1", "CR2", "CR3"} or ClusterRobust, optional
        Cluster-robust covariance of the fixed effects of all models.

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
    if spread not in SPREADS:
        raise OptionError(f"spread must be one of {', '.join(SPREADS)}, not {spread!r}")
    if names is None:
        names = Caller.here().distinct_names_of(fits)
    wanted = tuple(STATISTICS) if stats is None else tuple(stats)
    if unknown := [name for name in wanted if name not in STATISTICS]:
        known = ", ".join(STATISTICS)
        raise OptionError(f"no statistic {', '.join(map(str, unknown))}; known: {known}")
    by_name = dict(zip(_model_names(fits, names), fits, strict=True))
    return ModelTable(
        names=tuple(by_name),
        parameters=_parameters(by_name, level=level, random=random, vcov=vcov),
        fit=statistics_frame(by_name, wanted),
        spread=spread,
        level=level,
        labels=labels or {},
        title=title,
        note="" if vcov is None else _said(vcov),
    )


def _model_names(fits: Sequence[TabledFit], names: Sequence[str] | None) -> list[str]:
    """Names of the columns, all different."""
    found = fit_names(fits, names)
    found = ["M1"] if found == [""] else found
    if len(set(found)) < len(found):
        raise OptionError(f"the models need different names, not {', '.join(found)}")
    return found


def _said(vcov: str | ClusterRobust) -> str:
    asked = vcov if isinstance(vcov, ClusterRobust) else ClusterRobust(type=vcov)
    by = f" by {asked.cluster}" if asked.cluster else ""
    return f"Fixed effects: cluster-robust covariance{by} ({asked.type})."


def _parameters(
    fits: Mapping[str, TabledFit],
    *,
    level: float,
    random: bool,
    vcov: str | ClusterRobust | None = None,
) -> pd.DataFrame:
    """The parameters of all models under each other."""
    parts = [
        parameter_table(fit, level=level, random=random, vcov=vcov).reset_index().assign(model=name)
        for name, fit in fits.items()
    ]
    columns = [
        "model",
        "term",
        "kind",
        "group",
        "effect",
        "estimate",
        "std_error",
        "conf_low",
        "conf_high",
    ]
    return pd.concat(parts, ignore_index=True)[columns]
