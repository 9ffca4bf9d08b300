"""Cluster-robust covariances and their tests beside clubSandwich's, of lme4's fits.

The fit to ten schools of egsingle is the example of clubSandwich's help page.
"""

from __future__ import annotations

import numpy as np
import pytest
from reference import numbers

import nestedmlm as nm

KEPT = numbers("robust/robust")
MODELS = {
    "sleep": ("sleepstudy", "Reaction ~ Days + (Days | Subject)", True),
    "egsingle": (
        "egsingle",
        "math ~ year * size + female + black + hispanic + (1 | schoolid) + (1 | childid)",
        True,
    ),
    "orthodont": ("Orthodont", "distance ~ age * Sex + (1 | Subject)", False),
}
# of R's optimum: the schools' variance is known to 1e-6 only, and sizes of 700 stand beside dummies
CLOSE = {"sleep": 2e-8, "egsingle": 1e-6, "orthodont": 2e-8}


@pytest.fixture(scope="module")
def fits(shared_data) -> dict[str, nm.LmerFit]:
    def fit(name: str) -> nm.LmerFit:
        data, formula, REML = MODELS[name]
        table = nm.load_dataset(data)
        if name == "egsingle":
            table = table[table.schoolid.isin(table.schoolid.cat.categories[:10])]
        return nm.lmer(formula, table, REML=REML)

    return {name: fit(name) for name in MODELS}


@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR2", "CR3"])
@pytest.mark.parametrize("name", MODELS)
def test_covariances_are_clubsandwichs(fits, name, kind):
    kept = np.array(KEPT[name][kind]["vcov"])
    sd = np.sqrt(np.diag(kept))
    found = fits[name].cov_params(vcov=kind).to_numpy()
    np.testing.assert_allclose(
        found / np.outer(sd, sd), kept / np.outer(sd, sd), rtol=0, atol=CLOSE[name]
    )


@pytest.mark.parametrize("name", MODELS)
def test_satterthwaite_and_hotelling_tests_are_clubsandwichs(fits, name):
    fit, kept = fits[name], KEPT[name]["tests"]
    rows = fit.tidy("fixed", vcov="CR2")
    assert list(rows["term"]) == kept["keys"]
    for own, theirs in (("std_error", "std_error"), ("df", "df"), ("p_value", "p_value")):
        np.testing.assert_allclose(rows[own], kept[theirs], rtol=20 * CLOSE[name])
    names = [kept["keys"][j - 1] for j in kept["joint"]]
    joint = fit.contest([f"{name} = 0" for name in names], vcov="CR2").to_frame().iloc[0]
    for own, theirs in (("statistic", "F"), ("num_df", "num_df"), ("den_df", "den_df")):
        assert joint[own] == pytest.approx(kept[theirs], rel=20 * CLOSE[name])
    assert joint["p_value"] == pytest.approx(kept["p_joint"], rel=20 * CLOSE[name])
