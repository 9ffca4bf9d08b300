"""Backward elimination by predictions of new groups: of `step` with ``criterion="elpd"``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm.fits.reduced_fit import NONE, fit_reduced, without
from nestedmlm.fits.verbs.influence import LeftOut
from nestedmlm.fits.verbs.loo import group_loo, groups_of
from nestedmlm.fits.verbs.ranova import reduced_formulas
from nestedmlm.inference.effects.hypotheses import droppable
from nestedmlm.inference.means.generalized_linear import GeneralizedLinearFit
from nestedmlm.inference.means.linear import LinearFit, uncontained_terms, without_term
from nestedmlm.views.effect_tests import ELPD_COLUMNS, StepResult
from nestedmlm.views.loo import sum_error

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit

_SAME = 0.005  # of elpd: a loss that prints as 0.00, as of a variance that is zero


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """A model, and the log predictive density of each group by the fit to the others."""

    fit: Any
    elpd: pd.Series


def step_by_elpd(
    fit: LmerFit,
    *,
    group: str | None,
    reduce_random: bool,
    reduce_fixed: bool,
    keep: Sequence[str],
) -> StepResult:
    """Leave out what new groups are predicted no worse without, the most harmful first.

    Parameters
    ----------
    fit : LmerFit
    group : str, optional
        Which groups; by default of the factor that contains all others.
    reduce_random, reduce_fixed : bool
    keep : sequence of str
        Terms of the fixed effects that stay.
    """
    what = groups_of(fit, group)
    start = _scored(fit, what)
    first = pd.DataFrame([_row(start.elpd)], index=[NONE], columns=list(ELPD_COLUMNS))
    random, middle = _eliminate(start, what, _smaller_random if reduce_random else None, ())
    smaller = partial(_smaller_fixed, fit) if reduce_fixed else None
    fixed, final = _eliminate(middle, what, smaller, keep)
    heading = (
        "Backward reduced fixed-effect table:",
        f"Criterion: elpd of new groups, {len(what.sets)} {what.by}",
        "",
    )
    random = pd.concat([first.assign(Eliminated=np.nan), random])[["Eliminated", *ELPD_COLUMNS]]
    return StepResult(random=random, fixed=fixed, final=final.fit, heading=heading)


def _eliminate(
    here: Scored, what: LeftOut, smaller_of: Any, keep: Sequence[str]
) -> tuple[pd.DataFrame, Scored]:
    """Go to the best smaller model while it predicts no worse."""
    rows: list[pd.Series] = []
    kept: list[pd.Series] = []
    while smaller_of is not None:
        found = {k: _scored(v, what) for k, v in smaller_of(here.fit, keep).items()}
        if not found:
            break
        gain = {label: float((other.elpd - here.elpd).sum()) for label, other in found.items()}
        label = max(gain, key=lambda name: gain[name])
        own = [_row(o.elpd, here.elpd, name, 0.0) for name, o in found.items()]
        if gain[label] < -_SAME:
            kept = own
            break
        rows.append(_row(found[label].elpd, here.elpd, label, len(rows) + 1.0))
        here = found[label]
    columns = ["Eliminated", *ELPD_COLUMNS]
    return pd.DataFrame([*rows, *kept], columns=columns, dtype=float), here


def _row(
    elpd: pd.Series, beside: pd.Series | None = None, name: str = NONE, order: float = np.nan
) -> pd.Series:
    """Elpd of a model, and its difference to the larger one with its standard error."""
    values = [order, float(elpd.sum()), np.nan, np.nan]
    if beside is not None:
        away = elpd - beside
        values[2:] = [float(away.sum()), float(sum_error(away.to_frame()).iloc[0])]
    return pd.Series(values, index=["Eliminated", *ELPD_COLUMNS], name=name)


def _scored(fit: Any, what: LeftOut) -> Scored:
    return Scored(fit=fit, elpd=group_loo(fit, what, progress=False).to_frame()["elpd"])


def _smaller_random(fit: Any, _: Sequence[str]) -> Mapping[str, Any]:
    if isinstance(fit, LinearFit | GeneralizedLinearFit):
        return {}
    formulas = reduced_formulas(fit, reduce_terms=True)
    return {label: fit_reduced(fit, text, REML=fit.REML) for label, text in formulas.items()}


def _smaller_fixed(fit: LmerFit, here: Any, keep: Sequence[str]) -> Mapping[str, Any]:
    """Models of `fit`'s data without one term of `here`."""
    if isinstance(here, LinearFit):
        return {t: without_term(here, t) for t in uncontained_terms(here) if t not in keep}
    labels = [label for label in droppable(here.design, None) if label not in keep]
    return {t: fit_reduced(fit, without(here, t), REML=fit.REML) for t in labels}
