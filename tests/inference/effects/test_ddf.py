"""Degrees of freedom: the reference's numbers, and dense twins for every design.

Ids name the place of a number in reference/lme4.md (2.12) where it has one. Numbers that R was
asked for are constants; the call stands beside them.
"""

from __future__ import annotations

from functools import cache

import dense_tests
import numpy as np
import pandas as pd
import pytest
from designs import FORMULAS, data

import nestedmlm as nm
from nestedmlm.errors import OptionError
from nestedmlm.inference.effects.ddf import coefficient_tests, df_method, joint_test
from nestedmlm.inference.effects.satterthwaite import combined_df, satterthwaite
from nestedmlm.inference.variances.directions import covariance_directions
from nestedmlm.likelihood.plan import flat_factors
from nestedmlm.optimum import precise

SLEEP = "Reaction ~ Days + (Days | Subject)"
QUAD = "Reaction ~ Days + I(Days^2) + (Days | Subject)"
CAKE = "angle ~ recipe * temperature + (1 | recipe:replicate)"


@cache
def fit_of(data_name: str, formula: str, REML: bool = True) -> nm.LmerFit:
    return nm.lmer(formula, nm.load_dataset(data_name), REML=REML)


def ddf_table(fit: nm.LmerFit, ddf: str) -> pd.DataFrame:
    found = coefficient_tests(fit.core, np.eye(fit.design.p), ddf).to_frame()
    return found.set_axis(list(fit.design.x_names))


@pytest.mark.parametrize(
    ("ddf", "df"),
    [
        pytest.param("satterthwaite", (17.0, 17.0), id="2.12 sleep_corr Satterthwaite"),
        pytest.param("kenward-roger", (17.0, 17.0), id="2.12 sleep_corr Kenward-Roger"),
        pytest.param("residual", (178.0, 178.0), id="sleep_corr residual"),
        pytest.param("none", (np.inf, np.inf), id="sleep_corr none"),
    ],
)
def test_sleepstudy(ddf, df):
    # the optimum is balanced: 17 exactly; lmerTest has 16.9997 where lme4 stops
    assert ddf_table(fit_of("sleepstudy", SLEEP), ddf)["df"].to_numpy() == pytest.approx(df)


@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger"])
def test_p_value_of_days(ddf):
    """2.12: p of Days 3.2638e-06."""
    p = ddf_table(fit_of("sleepstudy", SLEEP), ddf).loc["Days", "p_value"]
    assert p == pytest.approx(3.2638e-06, rel=2e-5)


@pytest.mark.parametrize(
    ("ddf", "F", "den_df", "scaling"),
    [
        pytest.param("satterthwaite", 23.75435, 51.56303, 1.0, id="2.12 sleep_quad Satterthwaite"),
        pytest.param("kenward-roger", 23.36452, 39.81704, 0.98359, id="2.12 sleep_quad KR"),
    ],
)
def test_joint_test_of_both_powers(ddf, F, den_df, scaling):
    fit = fit_of("sleepstudy", QUAD)
    found = joint_test(df_method(fit.core, ddf), np.eye(3)[1:])
    assert (found.F, found.den_df) == pytest.approx((F, den_df), rel=2e-6)
    assert found.scaling == pytest.approx(scaling, abs=5e-6)
    if ddf == "satterthwaite":
        assert found.p_value == pytest.approx(4.876e-08, rel=1e-4)


def test_df_of_days_in_sleep_quad():
    """2.12: 114.4312."""
    df = ddf_table(fit_of("sleepstudy", QUAD), "satterthwaite").loc["Days", "df"]
    assert df == pytest.approx(114.4312, rel=2e-6)


@pytest.mark.parametrize(
    ("ddf", "df"),
    [
        pytest.param("satterthwaite", 29.0, id="2.12 Dyestuff2 Satterthwaite, free parameters"),
        pytest.param("kenward-roger", 5.0, id="2.12 Dyestuff2 Kenward-Roger"),
    ],
)
def test_at_the_boundary(ddf, df):
    found = ddf_table(fit_of("Dyestuff2", "Yield ~ 1 + (1 | Batch)"), ddf)
    assert found["df"].iloc[0] == pytest.approx(df, rel=1e-8)


def test_the_boundary_is_named():
    fit = fit_of("Dyestuff2", "Yield ~ 1 + (1 | Batch)")
    assert satterthwaite(fit.core).notes == (
        "free parameters in Satterthwaite's method: sigma and 0 of 1 in theta",
    )
    assert str(fit.summary()).splitlines()[-1].startswith("free parameters in Satterthwaite's")
    assert "free parameters" not in str(fit_of("sleepstudy", SLEEP).summary())


# emmeans and lmerTest go through pbkrtest, which takes all weights for 1 (df 352.7 and 19.30 here).
# Multiplying every row by the root of its weight gives the same model without weights:
# m <- lmer(ys ~ 0 + sw + ds + (0 + sw | Subject)); coef(summary(m, ddf = "Kenward-Roger"))
@pytest.mark.parametrize(
    ("random", "expected"),
    [
        pytest.param(
            "(1 | Subject)",
            [[9.5165297650, 22.19593197], [0.7797430445, 161.65127805]],
            id="5.9 weights, 161.7",
        ),
        pytest.param(
            "(Days | Subject)",
            [[6.829687406, 16.91044843], [1.579544671, 16.96955187]],
            id="5.9 weights, slopes",
        ),
    ],
)
def test_kenward_roger_with_weights(random, expected, shared_data):
    frame = pd.read_csv(shared_data / "sleep_ext.csv")
    found = ddf_table(nm.lmer(f"Reaction ~ Days + {random}", frame, weights="w"), "kenward-roger")
    assert found[["std_error", "df"]].to_numpy() == pytest.approx(np.array(expected), rel=1e-6)


# every design, against the formulas written out with n x n matrices -----------------------------


def waning(xp, par, k):
    """A user's structure: correlations that fall with the square root of the distance."""
    distance = np.sqrt(np.abs(np.subtract.outer(np.arange(k), np.arange(k))))
    return nm.covariance.cholesky(xp, xp.exp(-distance / par[0]), k)


nm.covariance.register("waning", waning, [nm.covariance.Parameter("range", lower=0)])
USERS = "a user's structure"
DESIGNS = {**FORMULAS, USERS: "y ~ x + waning(0 + a | f2) + (1 | f1)"}


@cache
def simulated(kind: str, weighted: bool, REML: bool) -> nm.LmerFit:
    frame = data(90)
    if weighted:
        return nm.lmer(DESIGNS[kind], frame, REML=REML, weights="w", offset="off")
    return nm.lmer(DESIGNS[kind], frame, REML=REML)


UNTESTED = ("no fixed effects", "crossed without fixed effects", "same partition twice")
FITTED = [kind for kind in DESIGNS if kind not in UNTESTED]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", FITTED)
def test_kenward_roger_of_every_design(kind, weighted):
    fit = simulated(kind, weighted, True)
    parts = fit.core
    method = df_method(parts, "kenward-roger")
    if method.notes:
        pytest.skip("components that the data do not identify: any generalised inverse will do")
    directions = covariance_directions(parts.phi, fit.solution.plan)
    L = np.eye(fit.design.p)[1:]
    adjusted, df, scaling = dense_tests.kenward_roger(fit, directions, L)
    assert method.cov == pytest.approx(adjusted, rel=1e-5, abs=1e-8)
    found = joint_test(method, L)
    assert (found.den_df, found.scaling) == pytest.approx((df, scaling), rel=1e-5)


@pytest.mark.parametrize(("weighted", "REML"), [(False, True), (True, False)])
@pytest.mark.parametrize("kind", FITTED)
def test_satterthwaite_of_every_design(kind, weighted, REML):
    """Hessian and gradient by central differences of dense matrices."""
    fit = simulated(kind, weighted, REML)
    parts = fit.core
    method = satterthwaite(parts)
    plan, d = fit.solution.plan, fit.design
    free = [k for k in range(plan.n_theta) if _moves(parts.phi, plan, k)]
    at = np.append(parts.phi[free], fit.sigma)

    def point(v):
        phi = parts.phi.copy()
        phi[free] = v[:-1]
        return flat_factors(np, phi, plan), float(v[-1])

    def deviance(v):
        return dense_tests.deviance(d, *point(v), REML=REML)

    H, J = _differences(deviance, at), _gradient(lambda v: dense_tests.covariance(d, *point(v)), at)
    scale = 1.0 / np.sqrt(np.abs(np.diag(H)))
    A = np.linalg.pinv(H * np.outer(scale, scale), rcond=1e-5) * np.outer(scale, scale) * 2.0
    noise = np.einsum("vii,vw,wii->i", J, A, J)
    expected = 2.0 * np.diag(fit.solution.vcov) ** 2 / noise
    found = coefficient_tests(parts, np.eye(d.p), "satterthwaite").df
    assert found == pytest.approx(expected, rel=2e-3)
    assert len(method.gradient) - 1 == len(free)


def _moves(phi, plan, k):
    from nestedmlm.inference.variances.directions import parameter_directions

    return k in parameter_directions(phi, plan)[1]


def _gradient(f, at):
    steps = 1e-5 * np.maximum(np.abs(at), 0.1)
    return np.array(
        [
            (f(at + h * e) - f(at - h * e)) / (2 * h)
            for h, e in zip(steps, np.eye(len(at)), strict=True)
        ]
    )


def _differences(f, at):
    h = 1e-3 * np.maximum(np.abs(at), 0.1)
    n, E = len(at), np.diag(h)
    H = np.empty((n, n))
    for i in range(n):
        for j in range(i + 1):
            a, b = E[i], E[j]
            corners = f(at + a + b) - f(at + a - b) - f(at - a + b) + f(at - a - b)
            H[i, j] = H[j, i] = corners / (4 * h[i] * h[j])
    return H


# invariances -------------------------------------------------------------------------------------


@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger"])
def test_units_do_not_matter(ddf):
    sleep = nm.load_dataset("sleepstudy")
    big = nm.lmer(SLEEP, sleep.assign(Days=sleep["Days"] * 1e6))
    assert ddf_table(big, ddf)["df"].to_numpy() == pytest.approx([17.0, 17.0], rel=1e-5)


@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger"])
def test_the_same_model_in_two_structures(ddf):
    """`cs` with two columns is `us`; homogeneous `cs` is nested intercepts."""
    us = fit_of("sleepstudy", SLEEP)
    cs = fit_of("sleepstudy", "Reaction ~ Days + cs(Days | Subject)")
    if ddf == "satterthwaite":  # KR is linear in the parameters of us, not in those of cs
        assert ddf_table(cs, ddf)["df"].to_numpy() == pytest.approx(
            ddf_table(us, ddf)["df"], rel=1e-4
        )
    assert ddf_table(cs, ddf)["std_error"].to_numpy() == pytest.approx(
        ddf_table(us, ddf)["std_error"], rel=1e-2
    )


def test_ml_fits_have_satterthwaite_but_not_kenward_roger():
    fit = fit_of("sleepstudy", SLEEP, False)
    assert ddf_table(fit, "satterthwaite")["df"].to_numpy() == pytest.approx([18.0, 18.0], rel=1e-4)
    with pytest.raises(OptionError, match="REML fits: fit with REML=True"):
        df_method(fit.core, "kenward-roger")


def test_a_penalised_fit_has_satterthwaite_of_the_penalised_criterion():
    sleep = nm.load_dataset("sleepstudy")
    fit = nm.lmer("Reaction ~ Days + (1 | Subject)", sleep, penalty="wishart")
    df = ddf_table(fit, "satterthwaite")["df"]
    assert np.all((df > 15) & (df < 180))
    with pytest.raises(OptionError, match="without a penalty"):
        df_method(fit.core, "kenward-roger")


def test_an_unknown_method():
    with pytest.raises(OptionError, match="satterthwaite, kenward-roger, residual, none"):
        df_method(fit_of("sleepstudy", SLEEP).core, "lme4")


def test_redundant_rows_do_not_count():
    method = df_method(fit_of("sleepstudy", QUAD).core, "kenward-roger")
    L = np.eye(3)[1:]
    once, twice = joint_test(method, L), joint_test(method, np.vstack([L, L.sum(axis=0)]))
    assert (twice.F, twice.num_df, twice.den_df) == pytest.approx((once.F, 2, once.den_df))
    with pytest.raises(OptionError, match="depend on each other"):
        joint_test(method, np.vstack([L, L.sum(axis=0)]), rhs=[0, 0, 1])


def test_kenward_roger_without_fixed_effects_gives_no_advice_that_does_not_help():
    fit = nm.lmer("Reaction ~ 0 + (1 | Subject)", nm.load_dataset("sleepstudy"))
    with pytest.raises(OptionError, match="the model has no fixed effects"):
        fit.anova(ddf="kenward-roger")


@pytest.mark.parametrize(
    "nu, expected",
    [
        ([5.0, 5.0], 5.0),
        ([1.5, 8.0], 2.0),  # a part without a finite mean: lmerTest's get_Fstat_ddf has 2
        ([2.0, 8.0], 2.0),
        ([4.0, 10.0], 2.0 * 3.25 / (3.25 - 2.0)),  # E = 4/2 + 10/8
    ],
)
def test_denominator_of_fai_and_cornelius(nu: list[float], expected: float) -> None:
    assert combined_df(np.array(nu)) == pytest.approx(expected)


def test_weights_of_any_size_give_the_same_tests():
    """Of 1e-300 sigma is 1e-150, whose third power is no number."""
    data, formula = nm.load_dataset("sleepstudy"), "Reaction ~ Days + (Days | Subject)"
    fits = [nm.lmer(formula, data.assign(w=w), weights="w") for w in (1.0, 1e-300)]
    one, tiny = (f.anova().to_frame()[["den_df", "statistic"]].to_numpy() for f in fits)
    assert tiny == pytest.approx(one, rel=1e-6)
    one, tiny = (f.cov_params("CR2").to_numpy() for f in fits)
    assert tiny == pytest.approx(one, rel=1e-9)


def test_negative_variances_of_kenward_and_roger_are_refused(monkeypatch):
    """Of a fit that lost all digits, as those of more rows do."""
    monkeypatch.setattr(precise, "row_blocks", lambda *_: None)
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"x": rng.normal(size=21), "g": rng.integers(0, 4, 21)})
    with pytest.warns(nm.ConvergenceWarning):
        fit = nm.lmer("g ~ x + (1 | g)", rows)
    with pytest.raises(OptionError, match="negative variance"):
        fit.anova(ddf="kenward-roger")
