"""Every verb about rows in every situation: each cell has a twin that must give the same numbers.

A situation is a pair of fits that say the same in two ways: pickled and not, weights all 4 and
none, an offset and a response from which it is subtracted, a variance of zero and no such term, a
column too many and the column left out. Cells whose answer is a refusal say so in `REFUSED`.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd
import pytest
from designs import data

import nestedmlm as nm
from nestedmlm.errors import DataError

FORMULA = "y ~ x + (x | f1) + (1 | c1)"


@cache
def rows() -> pd.DataFrame:
    return data().assign(four=4.0, x2=lambda d: 2.0 * d.x + 1.0, y_off=lambda d: d.y + d.off)


def new_rows() -> pd.DataFrame:
    new = rows().head(12).copy()
    new.loc[new.index[:3], "c1"] = 99  # a group that was not there
    return new


Fits = tuple[nm.LmerFit, nm.LmerFit]


@cache
def fits(situation: str) -> Fits:
    return SITUATIONS[situation]()


def pickled() -> Fits:
    fit = nm.lmer("y ~ x + offset(off) + (x | f1) + (1 | c1)", rows(), weights="w", offset="z")
    return pickle.loads(pickle.dumps(fit)), fit


def weighted() -> Fits:
    return nm.lmer(FORMULA, rows(), weights="four"), nm.lmer(FORMULA, rows())


def offset_column() -> Fits:
    return nm.lmer(FORMULA.replace("y", "y_off"), rows(), offset="off"), nm.lmer(FORMULA, rows())


def offset_formula() -> Fits:
    formula = "y_off ~ x + offset(off) + (x | f1) + (1 | c1)"
    return nm.lmer(formula, rows()), nm.lmer(FORMULA, rows())


def offset_array() -> Fits:
    fit = nm.lmer(FORMULA.replace("y", "y_off"), rows(), offset=rows().off.to_numpy())
    return fit, nm.lmer(FORMULA, rows())


def singular() -> Fits:
    formula = "y ~ x + (x | f1) + (1 | c1) + (1 | c2)"
    even = rows().assign(c2=np.arange(150) % 5)
    fit = nm.lmer(formula, even)
    assert fit.is_singular() and fit.theta[-1] == 0.0
    return fit, nm.lmer(FORMULA, even)


def rank_deficient() -> Fits:
    fit = nm.lmer("y ~ x + x2 + (x | f1) + (1 | c1)", rows())
    assert fit.design.dropped == ("x2",)
    return fit, nm.lmer(FORMULA, rows())


def missing_rows() -> Fits:
    holes = rows().copy()
    holes.loc[[4, 40], "y"] = np.nan
    padded = nm.lmer(FORMULA, holes, na_action="exclude")
    return padded, nm.lmer(FORMULA, holes.dropna())


def maximum_likelihood() -> Fits:
    fit = nm.lmer(FORMULA, rows(), REML=False)
    return fit, nm.lmer(FORMULA, rows()).refit_ml()


SITUATIONS: dict[str, Callable[[], Fits]] = {
    f.__name__: f
    for f in (
        pickled, weighted, offset_column, offset_formula, offset_array, singular, rank_deficient,
        missing_rows, maximum_likelihood,
    )
}  # fmt: skip

Verb = Callable[[nm.LmerFit], pd.Series | pd.DataFrame]
NEW = {"new_levels": "population"}

MOVED: dict[str, Verb] = {  # what an offset is added to
    "predict": lambda fit: fit.predict(),
    "predict-se": lambda fit: fit.predict(se_fit=True).prediction,
    "predict-partial": lambda fit: fit.predict(re_form="~ (1 | f1)"),
    "predict-population": lambda fit: fit.predict(re_form=False),
    "predict-new": lambda fit: fit.predict(new_rows(), **NEW),
    "predict-new-sample": lambda fit: fit.predict(new_rows(), new_levels="sample", seed=1),
    "predict-new-lower": lambda fit: fit.predict(new_rows(), interval="prediction", **NEW).lower,
}
STILL: dict[str, Verb] = {
    "predict-random-only": lambda fit: fit.predict(random_only=True, se_fit=True),
    "predict-new-random-only": lambda fit: fit.predict(new_rows(), random_only=True, **NEW),
    "predict-se-alone": lambda fit: fit.predict(interval="confidence").se,
    "resid": lambda fit: fit.resid,
    "residuals-working": lambda fit: fit.residuals("working"),
    "residuals-marginal": lambda fit: fit.residuals(which="marginal"),
    "residuals-scaled": lambda fit: fit.residuals("pearson", scaled=True),
    "residuals-standardized": lambda fit: fit.residuals("deviance", standardized=True),
    "residuals-marginal-standardized": lambda fit: fit.residuals(
        which="marginal", standardized=True
    ),
    "hatvalues": lambda fit: fit.hatvalues(),
    "rstudent": lambda fit: fit.rstudent(),
    "rstudent-external": lambda fit: fit.rstudent(external=True),
    "cooks_distance": lambda fit: fit.cooks_distance(),
    "dfbeta": lambda fit: fit.dfbeta(),
    "dfbetas": lambda fit: fit.dfbetas(),
    "influence-cases-held": lambda fit: fit.influence(refit="none").cooks_distance(),
    "influence-held": lambda fit: fit.influence("f1", refit="none").dfbetas(),
    "influence-one-step": lambda fit: fit.influence("c1", refit="one-step").fixef_without,
    "influence-full": lambda fit: fit.influence("c1").to_frame()[["(Intercept)", "x"]],
}
VERBS = MOVED | STILL

REFUSED = {  # new rows cannot have the array the fit was given
    ("predict-new", "offset_array"),
    ("predict-new-sample", "offset_array"),
    ("predict-new-lower", "offset_array"),
}
# both fits optimise; refits without a group do so again, one Newton step squares what is left
LOOSE = {"influence-full": 1e-5, "influence-one-step": 1e-4}


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("verb", VERBS)
def test_cell(verb: str, situation: str) -> None:
    fit, twin = fits(situation)
    if (verb, situation) in REFUSED:
        with pytest.raises(DataError, match="give offset="):
            VERBS[verb](fit)
        return
    found, expected = VERBS[verb](fit), VERBS[verb](twin)
    if verb in MOVED and situation.startswith("offset"):
        expected = expected + rows().off.loc[expected.index]
    assert found.loc[expected.index].notna().to_numpy().all()
    scale = np.abs(expected.to_numpy()).max()
    close = LOOSE.get(verb, 1e-6)
    assert found.loc[expected.index].to_numpy(dtype=float) == pytest.approx(
        expected.to_numpy(dtype=float), rel=close, abs=close * scale
    )
    left = found.index.difference(expected.index)
    assert found.loc[left].isna().to_numpy().all()  # padded where the twin has no row


def test_array_offset_given_again() -> None:
    fit, twin = fits("offset_array")
    new = new_rows()
    found = fit.predict(new, offset=new.off.to_numpy(), **NEW)
    assert found.to_numpy() == pytest.approx((twin.predict(new, **NEW) + new.off).to_numpy())


def test_penalised_fits_are_left_out_with_their_penalty() -> None:
    fit = nm.lmer("y ~ x + (x | f2)", rows(), penalty="wishart")
    found = fit.influence("f2").theta_without
    alone = nm.lmer("y ~ x + (x | f2)", rows()[rows().f2 != 2], penalty="wishart")
    assert found.loc[2].to_numpy() == pytest.approx(alone.theta, rel=1e-4, abs=1e-5)
