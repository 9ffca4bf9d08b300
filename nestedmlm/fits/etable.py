"""`etable`: several models in one table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.arguments import checked
from nestedmlm.callers import Caller
from nestedmlm.errors import OptionError
from nestedmlm.fits.fit_statistics import DEFAULT, STATISTICS, statistics_frame
from nestedmlm.fits.table_notes import DF_METHODS, Covariance, table_notes
from nestedmlm.fits.verbs.conf_int import check_exponentiate
from nestedmlm.inference.effects.df_record import ROBUST_TYPES, ClusterRobust
from nestedmlm.posterior.draws import fixed_draws
from nestedmlm.posterior.summaries import ESTIMATES, estimates
from nestedmlm.views.etable import NUMBERS, SPREADS, ModelTable
from nestedmlm.views.parameters import fit_names, given_fits, parameter_table
from nestedmlm.views.protocols import TabledFit

STARS: Mapping[str, float] = MappingProxyType({"*": 0.05, "**": 0.01, "***": 0.001})


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
    vcov: str
    | ClusterRobust
    | Sequence[str | ClusterRobust | None]
    | Mapping[str, str | ClusterRobust | None]
    | None = None,
    exponentiate: bool = False,
    keep: str | Sequence[str] | None = None,
    drop: str | Sequence[str] | None = None,
    notes: str | Sequence[str] = (),
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
    vcov : {"CR0", "CR1", "CR2", "CR3"} or ClusterRobust, or one for each model, optional
        Cluster-robust covariance of the fixed effects: of all models, or a list (or a dictionary by
        the models' names) with None for a model's own. A fit may stand in two columns.
    exponentiate : bool
        Exponentiate fixed effects and their limits: odds ratios of a logit link, ratios of a log
        link; standard errors by the delta method, tests as they are; posteriors draw by draw.
    keep : str or sequence of str, optional
        The fixed effects to show, in this order: names, or regular expressions that are searched in
        names (``"recipe"`` also finds ``recipeB:temp``).
    drop : str or sequence of str, optional
        Fixed effects to leave out, in the same way; variance parameters by their whole names. A
        note says what is not shown.
    notes : str or sequence of str
        More lines below the table.

    Returns
    -------
    ModelTable
        A view; ``.to_frame()`` has the numbers, ``.to_gt()`` makes a great_tables table, and
        ``.save("table.docx")`` writes a file (also ``.xlsx``, ``.tex``, ``.html``, ``.md``).

    Raises
    ------
    OptionError
        For an unknown statistic or spread, wrong stars, names or covariances that do not fit the
        models, patterns that match no fixed effect, and ratios of a link that gives none.

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
    Standard errors in parentheses.
    """
    if spread not in SPREADS:
        raise OptionError(f"spread must be one of {', '.join(SPREADS)}, not {spread!r}")
    if ddf not in DF_METHODS:
        raise OptionError(f"ddf must be one of {', '.join(DF_METHODS)}, not {ddf!r}")
    models, names = given_fits(fits, names)
    if names is None:
        names = Caller.here().distinct_names_of(models)
    wanted = DEFAULT if stats is None else tuple(stats)
    if unknown := [name for name in wanted if name not in STATISTICS]:
        known = ", ".join(STATISTICS)
        raise OptionError(f"no statistic {', '.join(map(str, unknown))}; known: {known}")
    symbols = _symbols(stars)
    by_name = dict(zip(_model_names(models, names), models, strict=True))
    covariances = _covariances(vcov, tuple(by_name))
    parameters, left_out = _shown(
        _parameters(
            by_name, level=level, random=random, ddf=ddf if symbols or spread == "p" else None,
            covariances=covariances, exponentiate=exponentiate,
        ), keep, drop,
    )  # fmt: skip
    own_notes = table_notes(
        by_name, stats=wanted, spread=spread, stars=symbols, ddf=ddf, level=level,
        covariances=covariances, exponentiate=exponentiate, left_out=left_out,
    )  # fmt: skip
    return ModelTable(
        names=tuple(by_name),
        parameters=parameters,
        fit=statistics_frame(by_name, wanted),
        spread=spread,
        level=level,
        labels=labels or {},
        stars=symbols,
        notes=(*own_notes, *([notes] if isinstance(notes, str) else map(str, notes))),
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


def _model_names(fits: Sequence[TabledFit], names: Sequence[str] | None) -> list[str]:
    """Names of the columns, all different."""
    found = fit_names(fits, names)
    found = ["M1"] if found == [""] else found
    if len(set(found)) < len(found):
        raise OptionError(f"the models need different names, not {', '.join(found)}")
    return found


def _covariances(vcov: Any, names: Sequence[str]) -> dict[str, Covariance]:
    """The covariance that was asked for, by model: one for all, or each its own."""
    if vcov is None or isinstance(vcov, str | ClusterRobust):
        return dict.fromkeys(names, vcov)
    if isinstance(vcov, Mapping):
        if unknown := [str(name) for name in vcov if name not in names]:
            raise OptionError(
                f"vcov= names no model {', '.join(unknown)}; there are {', '.join(names)}"
            )
        return {name: vcov.get(name) for name in names}
    given = list(vcov) if isinstance(vcov, Sequence) else []
    if len(given) != len(names):
        raise OptionError(
            f"vcov= is one of {', '.join(ROBUST_TYPES)} for all models, a dictionary by their "
            f"names, or a list of {len(names)}, one for each (None: the model's), not {vcov!r}"
        )
    return dict(zip(names, given, strict=True))


def _parameters(
    fits: Mapping[str, TabledFit],
    *,
    level: float,
    random: bool,
    ddf: str | None,
    covariances: Mapping[str, Covariance],
    exponentiate: bool,
) -> pd.DataFrame:
    """The parameters of all models under each other, with tests where a method is given."""
    parts = []
    for name, fit in fits.items():
        vcov = covariances[name]
        part = parameter_table(fit, level=level, random=random, vcov=vcov).reset_index()
        part = part.assign(model=name, df=np.nan, statistic=np.nan, p_value=np.nan)
        if ddf is not None and fit.engine != "posterior" and fit.design.p:
            tests = _tests(fit, ddf, vcov)
            for column in ("df", "statistic", "p_value"):
                if column in tests:
                    part.loc[: len(tests) - 1, column] = tests[column].to_numpy(dtype=float)
        if exponentiate and fit.design.p:
            fixed = part.index[part["kind"] == "fixed"]
            part.loc[fixed, list(ESTIMATES)] = _ratios(fit, part.loc[fixed], level).to_numpy()
        parts.append(part)
    columns = ["model", "term", "kind", "group", "effect", *NUMBERS]
    return pd.concat(parts, ignore_index=True)[columns]


def _ratios(fit: Any, fixed: pd.DataFrame, level: float) -> pd.DataFrame:
    """Exponentiated fixed effects: by the delta method, those of a posterior draw by draw."""
    check_exponentiate(fit.design.family)
    if fit.engine == "posterior":
        return estimates(np.exp(fixed_draws(fit.data, fit.design)), level=level)[list(ESTIMATES)]
    out = np.exp(fixed[list(ESTIMATES)])
    return out.assign(std_error=fixed["std_error"] * out["estimate"])


def _tests(fit: Any, ddf: str, vcov: Covariance) -> pd.DataFrame:
    """Tests of the fixed effects; a generalized fit has one method, its own."""
    options = {} if hasattr(fit, "family") else {"ddf": ddf}
    effects = () if fit.engine == "pooled" else ("fixed",)
    found: pd.DataFrame = fit.tidy(*effects, **options, vcov=vcov)
    return found


def _shown(parameters: pd.DataFrame, keep: Any, drop: Any) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The rows that were asked for, in that order, and the fixed effects that have none."""
    fixed = list(dict.fromkeys(parameters.loc[parameters["kind"] == "fixed", "term"]))
    others = [name for name in dict.fromkeys(parameters["term"]) if name not in fixed]
    order = fixed if keep is None else _matching(keep, "keep", fixed, ())
    gone = set() if drop is None else set(_matching(drop, "drop", fixed, others))
    shown = [name for name in (*order, *others) if name not in gone]
    place = parameters["term"].map({name: i for i, name in enumerate(shown)})
    place = place.dropna()
    rows = place.index if keep is None else place.sort_values(kind="stable").index
    left_out = tuple(name for name in fixed if name not in shown)
    return parameters.loc[rows].reset_index(drop=True), left_out


def _matching(given: Any, argument: str, fixed: Sequence[str], others: Sequence[str]) -> list[str]:
    """Names that are given, or in which a regular expression is found, in the order given."""
    found: dict[str, None] = {}
    for pattern in [given] if isinstance(given, str) else given:
        if pattern in (*fixed, *others):
            found[pattern] = None
            continue
        try:
            own = [name for name in fixed if re.search(pattern, name)]
        except (re.error, TypeError) as problem:
            raise OptionError(
                f"{argument}={pattern!r} is no regular expression: {problem}"
            ) from problem
        if not own:
            raise OptionError(
                f"{argument}={pattern!r} matches no fixed effect; there are {', '.join(fixed)}"
            )
        found.update(dict.fromkeys(own))
    return list(found)
