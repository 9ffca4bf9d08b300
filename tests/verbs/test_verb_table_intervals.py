"""Every verb about intervals in every situation: each cell has a twin that gives the same numbers.

A situation is a pair of fits that say the same in two ways; see test_verb_table_rows.py.
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
from nestedmlm.errors import OptionError

FORMULA = "y ~ x + (x | f1) + (1 | c1)"
Fits = tuple[nm.LmerFit, nm.LmerFit]


@cache
def rows() -> pd.DataFrame:
    made = data()
    slopes = np.random.default_rng(2).normal(size=30)[made.f1]  # slopes that do vary
    made = made.assign(x=made.x - 3.0, y=made.y + 1.5 * slopes * (made.x - 3.0), four=4.0)
    return made.assign(x2=2.0 * made.x + 1.0, y_off=made.y + made.off)


@cache
def fits(situation: str) -> Fits:
    return SITUATIONS[situation]()


def pickled() -> Fits:
    fit = nm.lmer("y ~ x + offset(off) + (x | f1) + (1 | c1)", rows(), weights="w")
    return pickle.loads(pickle.dumps(fit)), fit


def weighted() -> Fits:  # sigma doubles: compared after dividing, see `SCALE`
    return nm.lmer(FORMULA, rows(), weights="four"), nm.lmer(FORMULA, rows())


def offset_column() -> Fits:
    return nm.lmer(FORMULA.replace("y", "y_off"), rows(), offset="off"), nm.lmer(FORMULA, rows())


def offset_formula() -> Fits:
    return (
        nm.lmer("y_off ~ x + offset(off) + (x | f1) + (1 | c1)", rows()),
        nm.lmer(FORMULA, rows()),
    )


def singular() -> Fits:
    even = rows().assign(c2=np.arange(150) % 5)
    fit = nm.lmer("y ~ x + (x | f1) + (1 | c1) + (1 | c2)", even)
    assert fit.is_singular() and fit.theta[-1] == 0.0
    return fit, nm.lmer(FORMULA, even)


def rank_deficient() -> Fits:
    fit = nm.lmer("y ~ x + x2 + (x | f1) + (1 | c1)", rows())
    assert fit.design.dropped == ("x2",)
    return fit, nm.lmer(FORMULA, rows())


def permuted() -> Fits:
    return nm.lmer(FORMULA, rows().sample(frac=1.0, random_state=1)), nm.lmer(FORMULA, rows())


def structured() -> Fits:
    return nm.lmer("y ~ x + cs(x | f1) + (1 | c1)", rows()), nm.lmer(FORMULA, rows())


SITUATIONS: dict[str, Callable[[], Fits]] = {
    f.__name__: f
    for f in (
        pickled, weighted, offset_column, offset_formula, singular, rank_deficient, permuted,
        structured,
    )
}  # fmt: skip

Verb = Callable[[nm.LmerFit], pd.DataFrame]
VERBS: dict[str, Verb] = {
    "conf_int-profile": lambda fit: fit.conf_int(),
    "conf_int-profile-0.8": lambda fit: fit.conf_int(level=0.8),
    "conf_int-wald": lambda fit: fit.conf_int(method="wald"),
    "profile": lambda fit: fit.profile().conf_int(0.99),
    "variance_parameters": lambda fit: fit.variance_parameters()[["estimate", "se"]],
}
RENAMED = {"rho|f1": "cor_x.(Intercept)|f1"}


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("verb", VERBS)
def test_cell(verb: str, situation: str) -> None:
    fit, twin = fits(situation)
    found, expected = VERBS[verb](fit).rename(index=RENAMED), VERBS[verb](twin)
    if situation == "weighted":
        found.loc["sigma"] /= 2.0
    assert expected.notna().to_numpy().all()
    ours = found.loc[expected.index].to_numpy(dtype=float)
    assert np.allclose(ours, expected.to_numpy(dtype=float), rtol=2e-5, atol=2e-5)
    extra = found.index.difference(expected.index)
    if situation == "singular":
        assert list(extra) == ["sd_(Intercept)|c2"]
        low = found.loc[extra[0]].iloc[0]
        assert np.isnan(low) if "wald" in verb else low == 0.0
    else:
        assert len(extra) == 0


@pytest.mark.parametrize("situation", SITUATIONS)
def test_bootstrap_cell(situation: str) -> None:
    fit, _ = fits(situation)
    found = fit.conf_int(method="boot", nsim=20, seed=1, progress=False)
    assert len(found) == fit.npar and not found.isna().any().any()
    assert np.all(found["lower"] <= found["upper"])


def test_a_penalised_fit_has_no_profile() -> None:
    fit = nm.lmer(FORMULA, rows(), penalty="wishart")
    for verb in ("conf_int-profile", "profile"):
        with pytest.raises(OptionError, match="penalised"):
            VERBS[verb](fit)
    assert VERBS["conf_int-wald"](fit).notna().to_numpy().all()
