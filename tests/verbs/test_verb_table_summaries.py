"""Every summary verb in every situation: it works, or refuses with a typed error that says so."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.errors import NestedMLMError

SLOPES = "Reaction ~ Days + cond + (Days | Subject)"


def sleep() -> pd.DataFrame:
    d = nm.load_dataset("sleepstudy").copy()
    n = np.arange(len(d))
    d["cond"] = pd.Categorical(np.array(["a", "b", "c"])[n % 3])
    d["w"] = 1.0 + (n % 4) / 2.0
    d["off"] = (n % 7) / 3.0
    d["twice"] = 2.0 * d["Days"]
    d["noise"] = ((n * 37) % 11) / 11.0
    d["even"] = pd.Categorical(np.where(n % 2, "odd", "even"))
    return d


def missing() -> nm.LmerFit:
    d = sleep()
    d.loc[[0, 50], "Reaction"] = np.nan
    d.loc[7, "cond"] = None
    return nm.lmer(SLOPES, d, na_action="exclude")


SITUATIONS: dict[str, Callable[[], nm.LmerFit]] = {
    "plain": lambda: nm.lmer(SLOPES, sleep()),
    "pickled": lambda: pickle.loads(pickle.dumps(nm.lmer(SLOPES, sleep()))),
    "weights": lambda: nm.lmer(SLOPES, sleep(), weights="w"),
    "weights array": lambda: nm.lmer(SLOPES, sleep(), weights=sleep()["w"].to_numpy()),
    "offset": lambda: nm.lmer("Reaction ~ Days + cond + offset(off) + (Days | Subject)", sleep()),
    "offset column": lambda: nm.lmer(SLOPES, sleep(), offset="off"),
    "offset array": lambda: nm.lmer(SLOPES, sleep(), offset=sleep()["off"].to_numpy()),
    "singular": lambda: nm.lmer("Reaction ~ Days + cond + (noise | Subject)", sleep()),
    "zero variance": lambda: nm.lmer("noise ~ Days + cond + (1 | Subject)", sleep()),
    "rank deficient": lambda: nm.lmer("Reaction ~ Days + twice + cond + (1 | Subject)", sleep()),
    "ML": lambda: nm.lmer(SLOPES, sleep(), REML=False),
    "no intercept": lambda: nm.lmer("Reaction ~ 0 + cond + Days + (Days | Subject)", sleep()),
    "no fixed effects": lambda: nm.lmer("Reaction ~ 0 + (1 | Subject)", sleep()),
    "contrasts": lambda: nm.lmer(SLOPES, sleep(), contrasts={"cond": "sum"}),
    "missing rows": missing,
    "crossed": lambda: nm.lmer("Reaction ~ Days + cond + (1 | Subject) + (1 | even)", sleep()),
    "split": lambda: nm.lmer("Reaction ~ Days + cond + (Days || Subject)", sleep()),
    "structured": lambda: nm.lmer("Reaction ~ Days + cond + cs(Days | Subject)", sleep()),
    "penalised": lambda: nm.lmer(SLOPES, sleep(), penalty="wishart"),
    "mapping": lambda: nm.lmer(SLOPES, {name: c.to_numpy() for name, c in sleep().items()}),
}

VERBS: dict[str, Callable[[nm.LmerFit], Any]] = {
    "tidy": lambda f: f.tidy(),
    "tidy everything": lambda f: f.tidy(
        ("fixed", "ran_pars", "ran_vals", "ran_coefs"), conf_int=True
    ),
    "tidy kenward-roger": lambda f: f.tidy("fixed", ddf="kenward-roger"),
    "tidy none": lambda f: f.tidy("fixed", ddf="none", conf_int=True),
    "tidy vcov": lambda f: f.tidy("ran_pars", scales="vcov"),
    "tidy profile": lambda f: f.tidy("ran_pars", conf_int=True, conf_method="profile"),
    "tidy boot": lambda f: f.tidy(conf_int=True, conf_method="boot", nsim=5, seed=1),
    "glance": lambda f: f.glance(),
    "augment": lambda f: f.augment(),
    "icc": lambda f: f.icc(),
    "icc by group": lambda f: f.icc(by_group=True),
    "icc interval": lambda f: f.icc(ci=0.9, nsim=5, seed=1),
    "r2": lambda f: f.r2(),
    "r2 by group": lambda f: f.r2(by_group=True),
    "variance_partition": lambda f: f.variance_partition().to_frame(),
    "elimination": lambda f: f.elimination().to_frame(),
    "emmeans": lambda f: nm.emmeans(f, "cond").to_frame(),
    "emmeans 1": lambda f: nm.emmeans(f, "1").to_frame(),
    "emmeans print": lambda f: str(nm.emmeans(f, "cond", by="Days")),
    "pairs": lambda f: nm.emmeans(f, "cond").pairs().to_frame(),
    "emtrends": lambda f: nm.emtrends(f, "cond", var="Days").to_frame(),
}

# what is refused, and how it is said
REFUSED = {
    ("tidy kenward-roger", "ML"): "REML fits",
    ("tidy kenward-roger", "no fixed effects"): "no fixed effects",
    ("tidy kenward-roger", "penalised"): "without a penalty",
    ("tidy profile", "penalised"): "penal",
    ("emmeans", "no fixed effects"): "no fixed effects",
    ("emmeans 1", "no fixed effects"): "no fixed effects",
    ("emmeans print", "no fixed effects"): "no fixed effects",
    ("pairs", "no fixed effects"): "no fixed effects",
    ("emtrends", "no fixed effects"): "no fixed effects",
}

# where NaN is the answer: nothing else is there to say
UNKNOWN = {
    ("tidy", "singular"), ("tidy everything", "singular"), ("tidy vcov", "singular"),
    ("tidy", "zero variance"), ("tidy everything", "zero variance"),
    ("tidy vcov", "zero variance"), ("r2 by group", "zero variance"),
    ("emtrends", "rank deficient"),  # the slopes of Days and of twice cannot be told apart
}  # fmt: skip


@cache
def fitted(situation: str) -> nm.LmerFit:
    return SITUATIONS[situation]()


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("verb", VERBS)
def test_works_or_says_why_not(verb, situation):
    fit = fitted(situation)
    refused = REFUSED.get((verb, situation))
    if refused is not None:
        with pytest.raises(NestedMLMError, match=refused):
            VERBS[verb](fit)
        return
    found = VERBS[verb](fit)
    if isinstance(found, str):
        assert "Degrees-of-freedom method" in found
        return
    assert len(found) or (verb, situation) == ("tidy none", "no fixed effects")
    if "tidy" in verb or verb == "augment" or (verb, situation) in UNKNOWN:
        return  # columns that do not apply to a row are NaN
    numbers = found.drop(columns=["groups", "correlation"], errors="ignore") \
        if isinstance(found, pd.DataFrame) else found  # fmt: skip
    numbers = numbers.select_dtypes("number") if isinstance(numbers, pd.DataFrame) else numbers
    assert not numbers.isna().to_numpy().any(), (verb, situation, found)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_estimates_of_tidy_are_the_fits(situation):
    fit = fitted(situation)
    found = fit.tidy(("fixed", "ran_pars"))
    np.testing.assert_allclose(found.loc[found["effect"] == "fixed", "estimate"], fit.params)
    last = found.iloc[-1]
    assert (last["term"], last["estimate"]) == ("sd__Observation", pytest.approx(fit.sigma))
    assert np.isfinite(found["estimate"].iloc[: fit.design.p]).all()


@pytest.mark.parametrize("situation", SITUATIONS)
def test_augment_is_aligned(situation):
    fit = fitted(situation)
    found = fit.augment()
    assert found.index.equals(fit.fittedvalues.index)
    gap = found["Reaction" if "Reaction" in found else "noise"] - found["fitted"] - found["resid"]
    np.testing.assert_allclose(gap.dropna(), 0.0, atol=1e-9)


def test_offsets_count_in_the_means():
    by_column = nm.emmeans(fitted("offset column"), "cond").to_frame()
    by_formula = nm.emmeans(fitted("offset"), "cond").to_frame()
    by_array = nm.emmeans(fitted("offset array"), "cond").to_frame()
    for other in (by_column, by_array):
        pd.testing.assert_frame_equal(other, by_formula, rtol=1e-6)


def test_dropped_columns_leave_the_means_alone():
    full = nm.lmer("Reaction ~ Days + cond + (1 | Subject)", sleep())
    found = nm.emmeans(fitted("rank deficient"), "cond").to_frame()
    # twice is at its mean, as Days is: the reference grid is consistent with the dropped column
    pd.testing.assert_frame_equal(found, nm.emmeans(full, "cond").to_frame(), rtol=1e-6)
    # away from there the two predictors cannot be told apart
    assert nm.emmeans(fitted("rank deficient"), "cond", at={"Days": 0.0}).to_frame()[
        "estimate"
    ].isna().all()  # fmt: skip
