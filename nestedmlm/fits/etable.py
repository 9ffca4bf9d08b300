"""`etable`: several models in one table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.arguments import checked
from nestedmlm.callers import Caller
from nestedmlm.errors import OptionError
from nestedmlm.fits.fit_statistics import (
    DEFAULT,
    STATISTIC_NAMES,
    STATISTICS,
    statistics_frame,
)
from nestedmlm.inference.effects.df_record import ClusterRobust
from nestedmlm.views.etable import NUMBERS, SPREADS, ModelTable
from nestedmlm.views.parameters import fit_names, given_fits, parameter_table
from nestedmlm.views.protocols import TabledFit

STARS: Mapping[str, float] = MappingProxyType({"*": 0.05, "**": 0.01, "***": 0.001})
_METHODS = MappingProxyType(
    {
        "satterthwaite": "Satterthwaite's",
        "kenward-roger": "Kenward and Roger's",
        "residual": "residual",
    }
)


@checked
def etable(
    *fits: TabledFit | Sequence[TabledFit] | Mapping[str, TabledFit],
    names: Sequence[str] | None = None,
    spread: str = "se",
    stars: bool | Mapping[str, float] = False,
    ddf: str = "satterthwaite",
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
        Or one list of them, or a dictionary by their names.
    names : sequence of str, optional
        Of the columns; by default the names of the caller's variables, or M1, M2, …
    spread : {"se", "ci", "p", "none"}
        Below the estimates: standard errors (posterior standard deviations), intervals (Wald's,
        or equal-tailed ones of the posterior), p-values of fixed effects, nothing.
    stars : bool or mapping of str to float
        Stars beside fixed effects, with a note: ``True`` for ``{"*": 0.05, "**": 0.01, "***":
        0.001}``, or symbols and limits of one's own. Posteriors have none.
    ddf : {"satterthwaite", "kenward-roger", "residual"}
        Degrees of freedom of the p-values.
    level : float
        Probability inside the intervals.
    stats : sequence of str, optional
        Which fit statistics, among ``method, nobs, groups, criterion, aic, bic, r2``; by default
        these. Others: ``loglik, npar, sigma, icc, singular``, and ``aic_ml, bic_ml`` of the same
        model fitted by maximum likelihood. What does not apply to a model is left blank.
    labels : mapping of str to str, optional
        Other names for rows: ``{"ses": "Socio-economic status"}``. They reach inside interactions,
        factor levels (``{"recipe": "Recipe"}`` makes ``recipeB`` ``Recipe: B``; a level may have a
        label too) and random effects.
    random : bool
        Show standard deviations and correlations.
    title : str
        Above the table.
    vcov : {"CR0", "CR1", "CR2", "CR3"} or ClusterRobust, optional
        Cluster-robust covariance of the fixed effects of all models.

    Returns
    -------
    ModelTable
        A view; ``.to_frame()`` has the numbers, ``.to_gt()`` makes a great_tables table, and
        ``.save("table.docx")`` writes a file (also ``.xlsx``, ``.tex``, ``.html``, ``.md``).

    Raises
    ------
    OptionError
        For an unknown statistic or spread, wrong stars, or names that do not fit.

    Notes
    -----
    All models of a row have the same decimals: as many as three digits of the smallest standard
    error deserve. AIC and BIC of REML fits use the REML criterion (as lme4). Where fits by REML
    stand beside fits by ML, or REML fits differ in their fixed effects, or models in their rows, a
    note says that the criteria cannot be compared.

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
      Days                          10.467  10.467
                                   (0.804) (1.546)
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
    if ddf not in _METHODS:
        raise OptionError(f"ddf must be one of {', '.join(_METHODS)}, not {ddf!r}")
    models, names = given_fits(fits, names)
    if names is None:
        names = Caller.here().distinct_names_of(models)
    wanted = DEFAULT if stats is None else tuple(stats)
    if unknown := [name for name in wanted if name not in STATISTICS]:
        known = ", ".join(STATISTICS)
        raise OptionError(f"no statistic {', '.join(map(str, unknown))}; known: {known}")
    symbols = _symbols(stars)
    by_name = dict(zip(_model_names(models, names), models, strict=True))
    tested = bool(symbols) or spread == "p"
    return ModelTable(
        names=tuple(by_name),
        parameters=_parameters(
            by_name, level=level, random=random, ddf=ddf if tested else None, vcov=vcov
        ),
        fit=statistics_frame(by_name, wanted),
        spread=spread,
        level=level,
        labels=labels or {},
        stars=symbols,
        notes=tuple(_notes(by_name, wanted, spread, symbols, _method(ddf, vcov), level, vcov)),
        variables=tuple(dict.fromkeys(
            v.name for fit in models for v in fit.design.schema.fixed.terms.variables
        )),
        title=title,
    )  # fmt: skip


def _symbols(stars: bool | Mapping[str, float]) -> Mapping[str, float]:
    if isinstance(stars, bool):
        return STARS if stars else {}
    for symbol, limit in stars.items():
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit <= 1:
            raise OptionError(
                f"stars are symbols and p-values between 0 and 1, such as {dict(STARS)}, not "
                f"{symbol!r}: {limit!r}"
            )
    return stars


_LEGENDS = MappingProxyType(
    {
        "se": "Standard errors (of posteriors: standard deviations) in parentheses.",
        "ci": "{:g} % intervals in brackets: Wald's, of posteriors equal-tailed.",
        "p": "p-values of fixed effects by {} degrees of freedom.",
        "none": "",
    }
)


def _notes(
    fits: Mapping[str, TabledFit],
    stats: Sequence[str],
    spread: str,
    stars: Mapping[str, float],
    method: str,
    level: float,
    vcov: str | ClusterRobust | None,
) -> Iterator[str]:
    """What has to be said below a table."""
    legend = _LEGENDS[spread].format(method if spread == "p" else 100 * level)
    if legend:
        yield legend
    if vcov is not None:
        yield _said(vcov)
    posterior = any(fit.engine == "posterior" for fit in fits.values())
    if stars:
        limits = sorted(stars.items(), key=lambda item: -item[1])
        shown = ", ".join(f"{symbol} p < {limit:g}" for symbol, limit in limits)
        by = "" if spread == "p" else f", by {method} degrees of freedom"
        yield f"{shown}{by}."
    if posterior and (stars or spread == "p"):
        yield "Posteriors have no p-values."
    yield from _incomparable(fits, stats)


def _incomparable(fits: Mapping[str, TabledFit], stats: Sequence[str]) -> Iterator[str]:
    """Say which criteria that stand in one row cannot be compared."""
    shown = [STATISTIC_NAMES[name] for name in stats if name in STATISTIC_NAMES]
    own: dict[str, Any] = {
        name: fit for name, fit in fits.items() if fit.engine not in ("posterior", "pooled")
    }
    if not shown or len(own) < 2:
        return
    what = " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
    what = what[0].upper() + what[1:]
    reml = [name for name, fit in own.items() if fit.REML]
    if 0 < len(reml) < len(own):
        rest = [name for name in own if name not in reml]
        yield (
            f"{what} of REML fits ({', '.join(reml)}) and ML fits ({', '.join(rest)}) cannot be "
            "compared."
        )
    if len({tuple(sorted(own[name].design.x_names)) for name in reml}) > 1:
        yield (
            f"{what} of REML fits with different fixed effects cannot be compared; those of ML "
            "fits can (stats: aic_ml, bic_ml)."
        )
    if len({fit.nobs for fit in own.values()}) > 1:
        yield f"{what} of fits to different rows cannot be compared."


def _model_names(fits: Sequence[TabledFit], names: Sequence[str] | None) -> list[str]:
    """Names of the columns, all different."""
    found = fit_names(fits, names)
    found = ["M1"] if found == [""] else found
    if len(set(found)) < len(found):
        raise OptionError(f"the models need different names, not {', '.join(found)}")
    return found


def _method(ddf: str, vcov: str | ClusterRobust | None) -> str:
    """What the degrees of freedom of tests are called."""
    return _METHODS[ddf] if vcov is None else "the cluster-robust covariance's"


def _said(vcov: str | ClusterRobust) -> str:
    asked = vcov if isinstance(vcov, ClusterRobust) else ClusterRobust(type=vcov)
    by = f" by {asked.cluster}" if asked.cluster else ""
    return f"Fixed effects: cluster-robust covariance{by} ({asked.type})."


def _parameters(
    fits: Mapping[str, TabledFit],
    *,
    level: float,
    random: bool,
    ddf: str | None,
    vcov: str | ClusterRobust | None,
) -> pd.DataFrame:
    """The parameters of all models under each other, with tests where a method is given."""
    parts = []
    for name, fit in fits.items():
        part = parameter_table(fit, level=level, random=random, vcov=vcov).reset_index()
        part = part.assign(model=name, df=np.nan, statistic=np.nan, p_value=np.nan)
        if ddf is not None and fit.engine != "posterior" and fit.design.p:
            tests = _tests(fit, ddf, vcov)
            for column in ("df", "statistic", "p_value"):
                if column in tests:
                    part.loc[: len(tests) - 1, column] = tests[column].to_numpy(dtype=float)
        parts.append(part)
    columns = ["model", "term", "kind", "group", "effect", *NUMBERS]
    return pd.concat(parts, ignore_index=True)[columns]


def _tests(fit: Any, ddf: str, vcov: str | ClusterRobust | None) -> pd.DataFrame:
    """Tests of the fixed effects; a generalized fit has one method, its own."""
    options = {} if hasattr(fit, "family") else {"ddf": ddf}
    effects = () if fit.engine == "pooled" else ("fixed",)
    found: pd.DataFrame = fit.tidy(*effects, **options, vcov=vcov)
    return found
