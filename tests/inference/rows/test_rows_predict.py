"""Predictions: lme4's cases (reference/lme4.md 2.9 and 3.1), and a dense twin of every number."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from designs import FORMULAS, data, design
from scipy.linalg import block_diag

import nestedmlm as nm
from nestedmlm import lme4
from nestedmlm.errors import (
    ColumnNotFoundError,
    DataError,
    NewLevelsError,
    OptionError,
    WeightsError,
)
from nestedmlm.inference.rows.joint import random_gram, relative_variances, z_rows
from nestedmlm.likelihood.plan import make_plan, theta_of_phi
from nestedmlm.likelihood.pls import dense_z
from nestedmlm.likelihood.solution import results_at
from nestedmlm.statistics.crossproducts import cross_products

# iris (Fisher 1936): sepal length and petal width in mm, 50 rows of each species
SEPAL = """51 49 47 46 50 54 46 50 44 49 54 48 48 43 58 57 54 51 57 51 54 51 46 51 48 50 50 52
52 47 48 54 52 55 49 50 55 49 44 51 50 45 44 50 51 48 51 46 53 50 70 64 69 55 65 57 63
49 66 52 50 59 60 61 56 67 56 58 62 56 59 61 63 61 64 66 68 67 60 57 55 55 58 60 54 60
67 63 56 55 55 61 58 50 56 57 57 62 51 57 63 58 71 63 65 76 49 73 67 72 65 64 68 57 58
64 65 77 77 60 69 56 77 63 67 72 62 61 64 72 74 79 64 63 61 77 63 64 60 69 67 69 58 68
67 67 63 65 62 59"""
PETAL = """2 2 2 2 2 4 3 2 2 1 2 2 1 1 2 4 4 3 3 3 2 4 2 5 2 2 4 2 2 2 2 4 1 2 2 2 2 1 2 2 3 3 2
6 4 3 2 2 2 2 14 15 15 13 15 13 16 10 13 14 10 15 10 14 13 14 15 10 15 11 18 13 15 12 13
14 14 17 15 10 11 10 12 16 15 16 15 13 13 13 12 14 12 10 13 12 13 13 11 13 25 19 21 18
22 21 17 18 18 25 20 19 21 20 24 23 18 22 23 15 23 20 20 18 21 18 18 18 21 16 19 20 22
15 14 23 24 18 18 21 24 23 19 23 25 23 19 20 23 18"""


@pytest.fixture(scope="module")
def sleepstudy() -> pd.DataFrame:
    return nm.load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def slopes(sleepstudy: pd.DataFrame) -> nm.LmerFit:
    return nm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)


@pytest.fixture(scope="module")
def penicillin() -> nm.LmerFit:
    return nm.lmer("diameter ~ (1 | plate) + (1 | sample)", nm.load_dataset("Penicillin"))


@pytest.fixture(scope="module")
def iris() -> nm.LmerFit:
    rows = pd.DataFrame(
        {
            "length": np.array(SEPAL.split(), dtype=float) / 10,
            "width": np.array(PETAL.split(), dtype=float) / 10,
            "species": np.repeat(["setosa", "versicolor", "virginica"], 50),
        }
    )
    return nm.lmer("width ~ length + (1 | species)", rows)


# --- lme4's numbers ----------------------------------------------------------------------------
RE_FORMS = {
    "37-all": (None, 253.663655798, 430.660011325),
    "37-population": ("~ 0", 251.405104848, 345.610678485),
    "37-intercepts": ("~ (1 | Subject)", 253.663655798, 347.869229435),
    "37-intercepts-R-style": ("~ 1 | Subject", 253.663655798, 347.869229435),
    "37-slopes": ("~ (0 + Days | Subject)", 251.405104848, 428.401460375),
    "37-everything-named": ("~ (Days | Subject)", 253.663655798, 430.660011325),
}


@pytest.mark.parametrize("case", RE_FORMS)
def test_partial_re_form(slopes: nm.LmerFit, case: str) -> None:
    re_form, first, last = RE_FORMS[case]
    new = pd.DataFrame({"Subject": ["308", "308"], "Days": [0, 9]})
    assert slopes.predict(new, re_form=re_form).to_numpy() == pytest.approx([first, last], rel=1e-6)


def test_37_penicillin(penicillin: nm.LmerFit) -> None:
    rows = nm.load_dataset("Penicillin")
    expected = [25.9638275299, 22.7662927779, 25.7146689778, 23.6798741356]
    assert penicillin.predict(rows).head(4).to_numpy() == pytest.approx(expected, rel=1e-6)
    assert penicillin.predict(rows, re_form=False)[0] == pytest.approx(22.9722222)
    by_sample = penicillin.predict(rows, re_form="~ (1 | sample)").head(3)
    assert by_sample.to_numpy() == pytest.approx([25.1592806, 21.9617459, 24.9101221], rel=1e-6)


def test_40_standard_errors_of_iris(iris: nm.LmerFit) -> None:
    # the values in lme4's tests, for petal width; recomputed with dense matrices in R
    found = iris.predict(se_fit=True).std_error.head(2).to_numpy()
    assert found == pytest.approx([0.0271816400, 0.0272298862], rel=1e-5)
    population = iris.predict(se_fit=True, re_form="~ 0").std_error
    assert population[0] == pytest.approx(0.451147865, rel=1e-4)
    alone = iris.predict(se_fit=True, random_only=True)
    assert alone.std_error[0] == pytest.approx(0.4515697, rel=1e-4)
    assert alone.estimate[0] == pytest.approx(iris.ranef().estimate[0])


def test_38_new_levels(slopes: nm.LmerFit) -> None:
    new = pd.DataFrame({"Subject": ["999", None, "308"], "Days": [1.0, 1.0, 1.0]})
    with pytest.raises(NewLevelsError, match=r"Subject has groups .*999, NA"):
        slopes.predict(new)
    zero = slopes.predict(new, new_levels="population")
    assert zero[:2].to_numpy() == pytest.approx(slopes.predict(new, re_form=False)[:2])
    assert zero[2] == pytest.approx(slopes.predict(new.tail(1)).iloc[0])


def test_38_labels_may_be_numbers_or_text(sleepstudy: pd.DataFrame) -> None:
    numbers = sleepstudy.assign(Subject=sleepstudy.Subject.astype(str).astype(int))
    fit = nm.lmer("Reaction ~ Days + (1 | Subject)", numbers)
    few = numbers.iloc[[3, 40, 70]]
    as_category = few.assign(Subject=pd.Categorical(few.Subject))
    assert fit.predict(few).equals(fit.predict(as_category))
    assert fit.predict(few).to_numpy() == pytest.approx(fit.fittedvalues.iloc[[3, 40, 70]])


def test_25_missing_groups_and_predictors() -> None:
    cake = nm.load_dataset("cake")
    fit = nm.lmer("angle ~ temp + (1 | recipe) + (1 | recipe:replicate)", cake)
    new = cake.head(20).astype({"temp": float})
    new.loc[new.index[3], "temp"] = np.nan
    assert fit.predict(new).isna().tolist() == [i == 3 for i in range(20)]
    assert len(fit.predict(new, na_action="omit")) == 19
    with pytest.raises(DataError, match=f"missing values in the rows {new.index[3]}"):
        fit.predict(new, na_action="raise")
    gone = cake.head(5).assign(replicate=None)
    with pytest.raises(NewLevelsError, match="NA"):
        fit.predict(gone)
    found = fit.predict(gone, new_levels="population")
    assert found.equals(fit.predict(cake.head(5), re_form="~ (1 | recipe)"))


def test_26_missing_rows_of_the_fit_do_not_leak(sleepstudy: pd.DataFrame) -> None:
    holes = sleepstudy.copy()
    holes.loc[[1, 50], "Reaction"] = np.nan
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", holes, na_action="exclude")
    assert fit.predict(sleepstudy).notna().all()
    assert fit.predict(se_fit=True).isna().any(axis=1).sum() == 2
    assert len(fit.predict()) == 180


def test_34_terms_on_one_factor(shared_data) -> None:
    rows = pd.read_csv(shared_data / "Orthodont.csv")
    fit = nm.lmer("distance ~ age + (age | Subject) + (0 + Sex | Subject)", rows)
    assert fit.predict(rows).to_numpy() == pytest.approx(fit.fittedvalues.to_numpy(), rel=1e-13)
    slopes = fit.predict(rows, re_form="~ (0 + age | Subject)", random_only=True)
    by_hand = fit.solution.b[0][fit.design.factors[0].codes, 1] * rows.age
    assert slopes.to_numpy() == pytest.approx(by_hand.to_numpy())
    with pytest.raises(OptionError, match="re_form has Sex in"):  # contrasts, not indicators
        fit.predict(rows, re_form="~ (Sex | Subject)")


def test_39_left_out_variables_may_be_absent() -> None:
    rows = data().assign(f=lambda d: pd.Categorical(np.where(d.x > 3, "u", "v")))
    fit = nm.lmer("y ~ f + (1 | f1) + (poly(z, 2) | c1)", rows)
    some = rows.head(6)
    found = fit.predict(some.drop(columns=["z", "c1"]), re_form="~ (1 | f1)", se_fit=True)
    assert found.equals(fit.predict(some, re_form="~ (1 | f1)", se_fit=True))
    assert fit.predict(some[["f"]], re_form="~ 0").notna().all()
    assert (
        fit.predict(some[["z", "c1"]], re_form="~ (poly(z, 2) | c1)", random_only=True)
        .notna()
        .all()
    )
    with pytest.raises(
        ColumnNotFoundError
    ):  # a new response needs the variance of what is left out
        fit.predict(some[["f"]], re_form="~ 0", interval="prediction")


# --- offsets -----------------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["55-formula", "column", "array", "both"])
def test_offsets_from_either_place(how: str) -> None:
    rows = data()
    extra = {
        "column": {"offset": "off"},
        "array": {"offset": 3.0 * rows.x},
        "both": {"offset": "off"},
    }
    formula = "y ~ x + (1 | f1)" + (" + offset(3 * x)" if how in ("55-formula", "both") else "")
    fit = nm.lmer(formula, rows, **extra.get(how, {}))
    given = {"offset": (3.0 * rows.x).to_numpy()} if how == "array" else {}
    assert fit.predict(rows, **given).to_numpy() == pytest.approx(fit.fittedvalues.to_numpy())
    moved = fit.predict(rows, offset=np.zeros(len(rows)))
    lost = fit.fittedvalues - moved
    at = {"55-formula": 0.0 * rows.x, "array": 3.0 * rows.x}.get(how, rows.off)
    assert lost.to_numpy() == pytest.approx(at.to_numpy(), abs=1e-9)
    alone = fit.predict(rows.drop(columns="off"), random_only=True)  # needs no offset
    assert alone.abs().max() < fit.fittedvalues.abs().max()


def test_an_array_offset_is_asked_for() -> None:
    rows = data()
    fit = nm.lmer("y ~ x + (1 | f1)", rows, offset=rows.off.to_numpy())
    with pytest.raises(DataError, match="give offset="):
        fit.predict(rows)
    assert fit.predict(rows, offset="off").to_numpy() == pytest.approx(fit.fittedvalues.to_numpy())
    with pytest.raises(DataError, match="offset has 3 values"):
        fit.predict(rows, offset=[1.0, 2.0, 3.0])
    with pytest.raises(OptionError, match="offset= belongs to new data"):
        fit.predict(offset="off")


# --- standard errors against dense matrices ----------------------------------------------------
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", FORMULAS)
def test_joint_covariance_is_that_of_the_dense_twin(kind: str, weighted: bool) -> None:
    of = design(kind, weighted=weighted, offset=weighted)
    rng = np.random.default_rng(3)
    stats = cross_products(of)
    plan = make_plan(of, stats)
    theta = theta_of_phi(0.7 * rng.normal(size=plan.n_theta), plan, stats)
    solution = results_at(of, theta, stats=stats)
    m = 25  # rows that join levels at random: many never met in the data
    pick = rng.integers(0, of.n, m)
    level = [f.codes[rng.integers(0, of.n, m)] for f in of.factors]
    terms = [(t.X[pick], level[t.factor]) for t in of.terms]
    P, C, project = dense_covariance(of, solution.T)
    z = np.hstack(
        [spread_out(X, codes, b.shape[0]) for (X, codes), b in zip(terms, solution.b, strict=True)]
    )
    d = of.X[pick] - z @ project
    expected = np.einsum("ij,jk,ik->i", z, P, z) + np.einsum("ij,jk,ik->i", d, C, d)
    assert relative_variances(solution, of.X[pick], terms) == pytest.approx(expected, rel=1e-9)
    gram = random_gram(solution, z_rows(solution, terms))
    assert gram == pytest.approx(z @ P @ z.T, rel=1e-9, abs=1e-11 * np.abs(P).max())


def dense_covariance(of, T) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``G - G Z'V^-1 Z G``, ``(X'V^-1 X)^-1`` and ``G Z'V^-1 X``, n x n and q x q."""
    Z = np.hstack(dense_z(of))
    sizes = [len(of.factors[t.factor].levels) for t in of.terms]
    L = block_diag(*[np.kron(np.eye(J), t) for J, t in zip(sizes, T, strict=True)])
    G = L @ L.T
    w = np.ones(of.n) if of.weights is None else of.weights
    Vi = np.linalg.inv(np.diag(1.0 / w) + Z @ G @ Z.T)
    C = np.linalg.inv(of.X.T @ Vi @ of.X) if of.p else np.zeros((0, 0))
    return G - G @ Z.T @ Vi @ Z @ G, C, G @ Z.T @ Vi @ of.X


def spread_out(X: np.ndarray, codes: np.ndarray, levels: int) -> np.ndarray:
    out = np.zeros((len(X), levels * X.shape[1]))
    for row, (values, code) in enumerate(zip(X, codes, strict=True)):
        out[row, code * X.shape[1] : (code + 1) * X.shape[1]] = values
    return out


# --- intervals ---------------------------------------------------------------------------------
def test_confidence_interval_is_normal(slopes: nm.LmerFit, sleepstudy: pd.DataFrame) -> None:
    found = slopes.predict(sleepstudy.head(5), interval="confidence", level=0.9)
    assert list(found) == ["estimate", "std_error", "conf_low", "conf_high"]
    half = 1.6448536269514722 * found.std_error.to_numpy()
    assert (found.conf_high - found.estimate).to_numpy() == pytest.approx(half)
    assert (found.estimate - found.conf_low).to_numpy() == pytest.approx(half)


def test_population_interval_is_that_of_the_fixed_effects(slopes: nm.LmerFit) -> None:
    new = pd.DataFrame({"Days": [0.0, 4.5]})
    x = np.column_stack([np.ones(2), new.Days])
    expected = np.sqrt(np.einsum("ij,jk,ik->i", x, slopes.cov_params().to_numpy(), x))
    assert slopes.predict(new, re_form="~ 0", se_fit=True).std_error.to_numpy() == pytest.approx(
        expected
    )


def test_population_errors_beside_crossed_factors(penicillin: nm.LmerFit) -> None:
    new = pd.DataFrame({"plate": ["a"], "sample": ["A"]})
    found = penicillin.predict(new, re_form=False, se_fit=True).std_error
    assert found.to_numpy() == pytest.approx(penicillin.bse.to_numpy())


def test_new_groups_count_the_variance_between_groups(slopes: nm.LmerFit) -> None:
    new = pd.DataFrame({"Days": [0.0, 4.5], "Subject": "x"})
    z = np.column_stack([np.ones(2), new.Days])
    between = np.einsum("ij,jk,ik->i", z, slopes.varcorr().blocks[0].cov, z)
    fixed = slopes.predict(new, re_form=False, se_fit=True).std_error ** 2
    known = slopes.predict(new, new_levels="population", interval="confidence")
    assert known.std_error.to_numpy() ** 2 == pytest.approx(fixed.to_numpy() + between)
    response = slopes.predict(new, new_levels="population", interval="prediction")
    half = (response.conf_high - response.conf_low) / 2 / 1.959963984540054
    assert half.to_numpy() ** 2 == pytest.approx(fixed + between + slopes.sigma**2)
    # leaving the effects out, and asking for a new response, is the same question
    left_out = slopes.predict(new, re_form=False, interval="prediction")
    assert left_out[["conf_low", "conf_high"]].to_numpy() == pytest.approx(
        response[["conf_low", "conf_high"]].to_numpy()
    )
    assert left_out.std_error.to_numpy() ** 2 == pytest.approx(fixed.to_numpy())


def test_prediction_intervals_of_the_fit_use_its_weights(sleepstudy: pd.DataFrame) -> None:
    w = np.where(sleepstudy.Days > 4, 4.0, 1.0)
    fit = nm.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy, weights=w)
    found = fit.predict(interval="prediction")
    half = (found.conf_high - found.conf_low) / 2 / 1.959963984540054
    assert half.to_numpy() ** 2 == pytest.approx(found.std_error.to_numpy() ** 2 + fit.sigma**2 / w)
    with pytest.raises(DataError, match="give weights="):
        fit.predict(sleepstudy, interval="prediction")
    assert fit.predict(sleepstudy, interval="confidence").notna().all(axis=None)
    new = fit.predict(sleepstudy, interval="prediction", weights=w)
    assert new.to_numpy() == pytest.approx(found.to_numpy())
    column = nm.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy.assign(w=w), weights="w")
    new = column.predict(sleepstudy.assign(w=w), interval="prediction")
    assert new.to_numpy() == pytest.approx(found.to_numpy())
    with pytest.raises(WeightsError, match="must not be negative"):
        fit.predict(sleepstudy, interval="prediction", weights=-w)


def test_part_of_a_correlated_term_has_no_prediction_interval(slopes: nm.LmerFit) -> None:
    with pytest.raises(OptionError, match="part of"):
        slopes.predict(re_form="~ (1 | Subject)", interval="prediction")
    assert slopes.predict(re_form="~ (1 | Subject)", interval="confidence").notna().all(axis=None)


def test_coverage_of_new_groups() -> None:
    """Of new groups' responses about 95 % fall inside; lme4's variance would cover far fewer."""
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(400), 5)
    y = 2.0 * rng.normal(size=400)[g] + rng.normal(size=2000)
    rows = pd.DataFrame({"y": y, "g": g})
    fit = nm.lmer("y ~ 1 + (1 | g)", rows[g < 200])
    new = rows[g >= 200]
    found = fit.predict(new, new_levels="population", interval="prediction")
    inside = ((found.conf_low < new.y) & (new.y < found.conf_high)).mean()
    assert 0.92 < inside < 0.98


def test_sampled_groups_share_their_draw(slopes: nm.LmerFit) -> None:
    new = pd.DataFrame({"Days": [0.0, 0.0, 0.0, 1.0], "Subject": ["a", "a", "b", "a"]})
    found = slopes.predict(new, new_levels="sample", seed=4)
    assert found[0] == found[1] != found[2]
    assert found.equals(slopes.predict(new, new_levels="sample", seed=4))
    assert not found.equals(slopes.predict(new, new_levels="sample", seed=5))
    many = pd.DataFrame({"Days": 1.0, "Subject": [f"s{i}" for i in range(4000)]})
    spread = slopes.predict(many, new_levels="sample", seed=1).var()
    expected = np.ones(2) @ slopes.varcorr().blocks[0].cov @ np.ones(2)
    assert spread == pytest.approx(expected, rel=0.08)


# --- refusals ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"re_form": "~ (1 | g)"}, "grouping factor g, which the model does not have"),
        ({"re_form": "~ (x | Subject)"}, "re_form has x in"),
        ({"re_form": "~ Days"}, "random-effects terms only"),
        ({"re_form": "~ Days + (1 | Subject)"}, "random-effects terms only"),
        ({"re_form": True}, "re_form must be None"),
        ({"new_levels": "guess"}, "new_levels='guess' is unknown"),
        ({"new_levels": "guess", "re_form": False}, "new_levels='guess' is unknown"),
        ({"interval": "tolerance"}, "interval='tolerance' is unknown"),
        ({"interval": "confidence", "level": 95}, "level must be between 0 and 1"),
        ({"na_action": "fail"}, "na_action='fail' is unknown"),
        ({"random_only": True, "interval": "prediction"}, "leaves out the fixed effects"),
    ],
)
def test_bad_options(slopes: nm.LmerFit, options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        slopes.predict(nm.load_dataset("sleepstudy"), **options)


def test_r_spelling(slopes: nm.LmerFit, sleepstudy: pd.DataFrame) -> None:
    new = sleepstudy.head(3).assign(Subject="x")
    found = lme4.predict(slopes, new, re_form="NA", se_fit=True)
    ours = slopes.predict(new, re_form=False, se_fit=True)
    assert list(found) == ["fit", "se.fit"]  # R's names
    assert found.set_axis(ours.columns, axis=1).equals(ours)
    assert lme4.predict(slopes, new, allow_new_levels=True).notna().all()


def test_new_groups_are_drawn_with_the_covariance_of_the_fit() -> None:
    # T T', not T'T: the slopes' variance and the correlation tell the two apart
    rng = np.random.default_rng(4)
    T = np.array([[1.0, 0.0], [1.5, 0.4]])
    g, x = np.repeat(np.arange(60), 10), rng.normal(size=600)
    u = rng.normal(size=(60, 2)) @ T.T
    rows = pd.DataFrame({"g": g, "x": x, "y": u[g, 0] + u[g, 1] * x + 0.5 * rng.normal(size=600)})
    fit = nm.lmer("y ~ x + (x | g)", rows)
    new = pd.DataFrame({"g": np.repeat(np.arange(4000) + 1000, 2), "x": np.tile([0.0, 1.0], 4000)})
    drawn = fit.predict(new, new_levels="sample", seed=1, random_only=True).to_numpy()
    intercepts, slopes = drawn[::2], drawn[1::2] - drawn[::2]
    found = np.cov(intercepts, slopes)
    expected = fit.sigma**2 * fit.solution.T[0] @ fit.solution.T[0].T
    assert found == pytest.approx(expected, rel=0.1)


def test_new_data_without_groups_say_how_to_do_without():
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    with pytest.raises(nm.errors.ColumnNotFoundError, match=r"'Subject' is (.*\n){3}re_form=False"):
        fit.predict({"Days": [0, 9]})
    with pytest.raises(nm.errors.ColumnNotFoundError) as caught:
        fit.predict({"Subject": ["308"]})
    assert "re_form" not in str(caught.value)  # a predictor is needed whatever the groups


def test_a_level_without_an_interval_is_refused(slopes: nm.LmerFit) -> None:
    for options in ({}, {"se_fit": True}):
        with pytest.raises(OptionError, match="interval='confidence'"):
            slopes.predict(level=0.9, **options)
    assert len(slopes.predict(level=0.9, interval="confidence")) == slopes.nobs


def test_standard_errors_of_counts_are_those_of_the_dense_joint_covariance() -> None:
    rng = np.random.default_rng(4)
    g, x = np.arange(60) % 6, rng.normal(size=60)
    y = rng.poisson(np.exp(0.4 * x + rng.normal(size=6)[g]))
    rows = pd.DataFrame({"g": g, "x": x, "y": y})
    fit = nm.glmer("y ~ x + (1 | g)", rows, family="poisson")
    XZ = np.column_stack([np.ones(60), x, g[:, None] == np.arange(6)])
    mean = np.exp(fit.predict().to_numpy())
    H = XZ.T @ (XZ * mean[:, None]) + np.diag([0.0, 0.0, *[fit.theta[0] ** -2] * 6])
    expected = np.sqrt(np.einsum("ij,jk,ik->i", XZ, np.linalg.inv(H), XZ))
    found = fit.predict(rows, se_fit=True)["std_error"].to_numpy()
    assert found == pytest.approx(expected, rel=1e-6)
    alone = fit.predict(rows, se_fit=True, re_form=False)["std_error"].to_numpy()
    by_hessian = np.einsum("ij,jk,ik->i", XZ[:, :2], fit.cov_params().to_numpy(), XZ[:, :2])
    assert alone == pytest.approx(np.sqrt(by_hessian), rel=1e-9)
