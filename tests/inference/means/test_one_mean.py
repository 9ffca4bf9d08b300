"""Comparisons in a family of one mean: R's emmeans prints ``(nothing) nonEst``."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm


@pytest.fixture(scope="module")
def fit():
    rng = np.random.default_rng(4)
    arm = np.tile(["ctl"] + ["trt"] * 3, 20)
    rows = pd.DataFrame({"arm": arm, "dose": np.tile(list("0123"), 20)})
    rows["id"] = np.repeat(np.arange(20), 4)
    rows["y"] = rng.normal(size=80) + rng.normal(size=20)[rows["id"]] + (rows["arm"] == "trt")
    return nm.lmer("y ~ arm/dose + (1 | id)", rows)


METHODS = ["pairwise", "revpairwise", "trt.vs.ctrl", "trt.vs.ctrlk", "consec", "poly", "mean.chg"]


@pytest.mark.parametrize("adjust", [None, "none", "holm", "sidak", "mvt", "scheffe"])
@pytest.mark.parametrize("method", METHODS)
def test_the_other_families_are_compared(fit, method, adjust):
    means = nm.emmeans(fit, "dose", by="arm")
    found = means.contrast(method, adjust=adjust).to_frame().set_index("arm")
    alone = found.loc["ctl"]
    assert alone["contrast"] == "(nothing)"
    assert np.isnan(alone[["estimate", "std_error", "df", "p_value"]].astype(float)).all()
    assert "(nothing)" in str(means.contrast(method, adjust=adjust))
    rest = found.loc[["trt"]]
    assert len(rest) == {"pairwise": 3, "revpairwise": 3}.get(method, 2)
    assert np.isfinite(rest[["estimate", "std_error", "p_value"]].to_numpy(dtype=float)).all()


def test_p_values_are_rs(fit):
    # emmeans 1.8.4: pairs(emmeans(m, "dose", by = "arm")), tukey of three estimates
    found = nm.emmeans(fit, "dose", by="arm").pairs().to_frame()
    assert found["p_value"].tolist()[1:] == pytest.approx([0.9636, 0.6779, 0.5165], abs=5e-5)


def test_one_mean_alone(fit):
    found = nm.emmeans(fit, "arm", at={"arm": ["ctl"]}).pairs()
    assert found.labels["contrast"].tolist() == ["(nothing)"]
    assert "nonEst" in str(found)
