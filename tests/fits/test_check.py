"""Checks in words: each finds what was put into the data, and nothing where there is nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import nestedmlm as nm
from nestedmlm.inference.rows import assumption_checks as checks


def data(seed: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    d = pd.DataFrame({"g": np.repeat(np.arange(20), 15), "x": rng.normal(size=300)})
    d["w"] = rng.normal(size=300)
    d["y"] = 1 + d.x + rng.normal(size=20)[d.g] + rng.normal(size=300)
    return d


def verdicts(d: pd.DataFrame, formula: str = "y ~ x + w + (1 | g)") -> dict[str, str]:
    return {f.check: f.verdict for f in nm.lmer(formula, d).check(nsim=100).findings}


def test_nothing_stands_out_where_nothing_is() -> None:
    found = nm.lmer("y ~ x + w + (1 | g)", data()).check()
    assert {f.verdict for f in found.findings} == {"fine"} and len(found.findings) == 9
    assert all(f.advice == "" for f in found.findings)
    assert "Nothing stands out" in str(found)


def test_skewed_residuals() -> None:
    d = data()
    d["y"] += np.random.default_rng(1).gamma(0.5, 3.0, 300)
    assert verdicts(d)["normal residuals"] == "act"


def test_unequal_spread() -> None:
    d = data()
    d["y"] += np.random.default_rng(1).normal(size=300) * np.exp(d.x)
    found = verdicts(d)
    assert found["equal spread"] in ("look", "act")


def test_an_outlier_is_named_by_row_and_group() -> None:
    d = data().set_index(pd.Index([f"r{i}" for i in range(300)]))
    d.loc["r47", "y"] += 9.0
    found = nm.lmer("y ~ x + w + (1 | g)", d).check()
    sentence = next(f for f in found.findings if f.check == "outliers")
    assert sentence.verdict == "act" and "row r47 (g 3) +" in sentence.found
    frame = found.to_frame().query("check == 'outliers' and term == 'r47'")
    assert frame.group.item() == "g 3" and frame.value.item() > 6


def test_a_bend_is_found_along_its_predictor() -> None:
    d = data()
    d["y"] += 0.8 * d.x**2
    found = nm.lmer("y ~ x + w + (1 | g)", d).check(nsim=100)
    rows = found.to_frame().query("check == 'linearity'").set_index("term")
    assert rows.verdict.to_dict() == {"x": "act", "w": "fine"}
    assert rows.value["x"] > 1


def test_collinear_predictors() -> None:
    d = data()
    d["w"] = d.x + 0.2 * np.random.default_rng(2).normal(size=300)
    assert verdicts(d)["collinearity"] == "act"


def test_variance_inflation_is_that_of_least_squares() -> None:
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(80, 3)) @ np.array([[1, 0.6, 0.2], [0, 1, 0.4], [0, 0, 1]])
    X = np.column_stack([np.ones(80), Z])
    vcov = np.linalg.inv(X.T @ X)
    found = checks.inflation(vcov, [0, 1, 2, 3])
    for j in range(3):
        others = np.delete(X, j + 1, axis=1)
        rest = Z[:, j] - others @ np.linalg.lstsq(others, Z[:, j], rcond=None)[0]
        r2 = 1 - rest @ rest / np.sum((Z[:, j] - Z[:, j].mean()) ** 2)
        assert found[j + 1] == pytest.approx(1 / (1 - r2))
    # a term of two columns does not depend on how it is coded
    mixed = X @ np.array([[1, 0, 0, 0], [0, 1, 3, 0], [0, -1, 2, 0], [0, 0, 0, 1]]).T
    both = checks.inflation(vcov, [0, 1, 1, 2])
    again = checks.inflation(np.linalg.inv(mixed.T @ mixed), [0, 1, 1, 2])
    assert both[1] == pytest.approx(again[1])
    assert both[1] ** 2 == pytest.approx(both[2])  # GVIF of two terms alone is the same


def test_a_group_with_its_own_slope_moves_the_fit() -> None:
    d = data()
    own = d.g == 7
    d.loc[own, "x"] *= 8
    d.loc[own, "y"] -= 3 * d.x[own]
    found = nm.lmer("y ~ x + w + (1 | g)", d).check(nsim=50)
    sentence = next(f for f in found.findings if f.check == "influence")
    assert sentence.verdict == "act" and sentence.found.startswith("g 7 ")


def test_a_group_that_is_apart() -> None:
    d = data()
    d.loc[d.g == 7, "y"] -= 20
    assert verdicts(d)["normal random effects"] == "act"


def test_responses_that_the_model_does_not_draw() -> None:
    d = data()
    d["y"] = np.random.default_rng(3).poisson(np.exp(0.3 * d.x)).astype(float)
    found = nm.lmer("y ~ x + w + (1 | g)", d).check(nsim=300)
    assert {f.check: f.verdict for f in found.findings}["simulated responses"] == "look"


def test_singular_fits_are_sent_to_diagnose() -> None:
    found = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff2")).check()
    sentence = found.findings[-1]
    assert sentence.verdict == "look" and "diagnose" in sentence.advice


def test_small_numbers() -> None:
    assert checks.shape_of(np.ones(10)) is None
    assert checks.spread_along(np.ones(50), np.arange(50.0)) is None
    n, limit = 300, checks.outlier_limit(300)
    assert (1 - 2 * stats.norm.sf(limit)) ** n == pytest.approx(0.95)
    z = np.random.default_rng(5).normal(size=200)
    fitted = np.arange(200.0)
    A = np.column_stack([np.ones(200), fitted])
    rest = z**2 - A @ np.linalg.lstsq(A, z**2, rcond=None)[0]
    r2 = 1 - rest @ rest / np.sum((z**2 - (z**2).mean()) ** 2)
    found = checks.spread_along(fitted, z)
    assert found is not None
    assert found.p_value == pytest.approx(stats.chi2.sf(200 * r2, 1))


def test_posteriors() -> None:
    fit = nm.lmer("y ~ x + w + (1 | g)", data())
    found = fit.sample(sampler="psis", draws=100, seed=1).check(nsim=50)
    names = [f.check for f in found.findings]
    assert "simulated responses" in names and "influence" not in names
