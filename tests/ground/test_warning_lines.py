"""Warnings name the user's line, from every door and from verbs that fit again."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import nestedmlm as nm
from nestedmlm.fits import lmer_fit

SLEEP = nm.load_dataset("sleepstudy")
FORMULA = "Reaction ~ Days + (Days | Subject)"
FEW = nm.Control(max_evaluations=2)
FIT = nm.lmer(FORMULA, SLEEP)
SMALL = nm.lmer("Reaction ~ Days + (1 | Subject)", SLEEP)
ML = SMALL.refit_ml()
POSTERIOR = SMALL.sample(sampler="psis", draws=100, seed=1, progress=False)

DOORS = {
    "lmer": lambda: nm.lmer(FORMULA, SLEEP, control=FEW),
    "Model.fit": lambda: nm.Model(FORMULA, SLEEP).fit(control=FEW),
    "anova": lambda: nm.anova(SMALL, ML, refit=False),
    "loo": lambda: POSTERIOR.loo(),
    "sample": lambda: SMALL.sample(draws=20, tune=5, chains=2, seed=1, progress=False),
    "pymc_lmer": lambda: nm.pymc_lmer(
        FORMULA, SLEEP, draws=20, tune=5, chains=2, seed=1, progress=False
    ),
}
VERBS = {
    "refit": lambda: FIT.refit(SLEEP["Reaction"] + 30.0 * np.sin(np.arange(180.0))),
    "refit_ml": lambda: FIT.refit_ml(),
    "update": lambda: FIT.update(". ~ . + I(Days^2)"),
    "ranova": lambda: FIT.ranova(),
    "drop1": lambda: FIT.drop1(test="Chisq"),
    "step": lambda: FIT.step(),
    "conf_int": lambda: FIT.conf_int(progress=False),
    "anova": lambda: nm.anova(FIT, SMALL),
}


def check_lines(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    ours = [w for w in caught if issubclass(w.category, nm.NestedMLMWarning)]
    assert ours
    for one in ours:
        assert (one.filename, one.lineno) == (__file__, call.__code__.co_firstlineno)


@pytest.mark.parametrize("door", DOORS)
def test_doors(door):
    check_lines(DOORS[door])


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_that_fit_again(verb, monkeypatch):
    solve = lmer_fit.solve
    monkeypatch.setattr(
        lmer_fit, "solve", lambda *args, **options: solve(*args, **options | {"control": FEW})
    )
    check_lines(VERBS[verb])
