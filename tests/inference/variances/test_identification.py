"""Random effects that cannot be told apart are named, and no others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.inference.variances.identification import confoundings
from nestedmlm.likelihood.solution import results_at
from tests.designs import FORMULAS, data


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(33)
    n = 40
    out = pd.DataFrame({"id": np.repeat(np.arange(n), 12)})
    out["cond"] = np.tile(np.repeat(["a", "b"], 6), n)
    out["x"] = rng.normal(size=len(out))
    out = out.assign(twice=2.0 * out.x, line=3.0 * out.x + 1.0, five=5.0, again=out.id + 1000)
    u = rng.normal(size=(n, 3))
    shift = np.where(out.cond == "a", u[out.id, 0], u[out.id, 1])
    return out.assign(y=shift + 0.5 * u[out.id, 2] * out.x + rng.normal(size=len(out)))


CONFOUNDED = {
    "double bar of a factor": ("(cond || id)", "(1 | id) and (0 + cond | id) apart", "(1 | id)"),
    "one term twice": ("(1 | id) + (1 | id)", "(1 | id) and (1 | id) apart", "(1 | id)"),
    "relabelled factor": ("(x | id) + (1 | again)", "(x | id) and (1 | again)", "(1 | again)"),
    "nested in itself": ("(1 | id / again)", "apart", "(1 | again:id)"),
    "proportional slopes": ("(x + twice | id)", "x and twice of", "twice"),
    "a line": ("(x + line | id)", "(Intercept), x and line of", "line"),
    "constant slope": ("(five | id)", "(Intercept) and five of", "five"),
    "slopes in two terms": ("(0 + x | id) + (0 + twice | id)", "apart", "(0 + twice | id)"),
    "compound symmetry": ("(1 | id) + cs(0 + cond | id)", "cs(0 + cond | id) apart", "(1 | id)"),
}


@pytest.mark.parametrize("case", CONFOUNDED)
def test_confounded_effects_are_named_with_what_to_leave_out(case: str, rows: pd.DataFrame) -> None:
    term, what, redundant = CONFOUNDED[case]
    fit = nm.lmer(f"y ~ cond + {term}", rows)
    (one,) = [m for m in fit.messages if "arbitrary" in m]
    assert what in one
    assert f"leave out {redundant}: the model is the same" in one
    assert str(fit.summary()).replace("\n", " ").count("arbitrary") == 1
    found = fit.diagnose()
    assert "arbitrary" in str(found)
    path = fit.simplify()
    assert path.final.criterion == pytest.approx(fit.criterion, abs=1e-6)
    assert not path.diagnoses[-1].confounded
    assert path.final.npar < fit.npar


@pytest.mark.parametrize(
    "term",
    ["(cond | id)", "(x || id)", "(1 | id) + (1 | id:cond)", "cs(0 + cond | id)", "(x + cond | id)",
     "(1 | id) + diag(0 + cond | id)", "ar1(0 + cond | id)"],
)  # fmt: skip
def test_effects_that_can_be_told_apart_are_not_named(term: str, rows: pd.DataFrame) -> None:
    fit = nm.lmer(f"y ~ cond + {term}", rows)
    assert not [m for m in fit.messages if "arbitrary" in m]


def test_where_on_the_ridge_the_fit_ends_does_not_matter(rows: pd.DataFrame) -> None:
    """At a correlation of minus one its parameter moves the covariance to second order only."""
    fit = nm.lmer("y ~ cond + (1 | id) + cs(0 + cond | id)", rows)
    variance, (a, b), rho = fit.theta[0] ** 2, fit.theta[1:3], fit.theta[3]
    total = variance + np.array([[a * a, rho * a * b], [rho * a * b, b * b]])

    def left(shared: float) -> np.ndarray:
        return total - shared

    def beyond(shared: float) -> float:  # negative once the rest is no covariance
        return float(np.linalg.det(left(shared)))

    low, high = 0.0, float(np.diag(total).min())
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if beyond(middle) > 0.0 else (low, middle)
    sds = np.sqrt(np.diag(left(low)))
    edge = results_at(fit.design, np.array([np.sqrt(low), *sds, -1.0]))
    assert edge.reml_criterion == pytest.approx(fit.criterion, abs=1e-6)
    (found,) = confoundings(fit.design, edge, REML=True)
    assert found.redundant == "(1 | id)"
    alone = nm.lmer("y ~ cond + cs(0 + cond | id)", rows).design
    assert not confoundings(alone, results_at(alone, np.array([0.6, 0.8, -1.0])), REML=True)


@pytest.mark.parametrize("kind", list(FORMULAS))
def test_only_one_small_design_is_confounded(kind: str) -> None:
    fit = nm.lmer(FORMULAS[kind], data())
    found = confoundings(fit.design, fit.solution, REML=fit.REML)
    assert bool(found) == (kind == "same partition twice")


def test_few_groups_are_no_confounding() -> None:
    # two groups: the average information is singular, the expected one is not
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(3), 20)
    rows = pd.DataFrame({"g": g, "x": rng.normal(size=60), "z": rng.normal(size=60)})
    rows["y"] = rng.normal(size=3)[g] * (1 + rows.x) + rng.normal(size=60)
    assert not [m for m in nm.lmer("y ~ x + z + (x + z | g)", rows).messages if "arbitrary" in m]


def test_an_unidentified_variance_has_an_interval_without_a_warning(rows: pd.DataFrame) -> None:
    table = nm.lmer("y ~ cond + (cond || id)", rows).variance_parameters()
    assert np.all(np.isfinite(table["estimate"]))


@pytest.mark.parametrize("case", ["double bar of a factor", "one term twice", "a line"])
def test_confounded_effects_of_other_models_are_named(case: str, rows: pd.DataFrame) -> None:
    term, what, redundant = CONFOUNDED[case]
    counts = rows.assign(y=np.random.default_rng(1).poisson(np.exp(0.3 * rows.y.clip(-3, 3))))
    generalized = nm.glmer(f"y ~ cond + {term}", counts, family="poisson")
    for fit in (generalized, nm.lmer(f"y ~ cond + {term}", rows, dispersion="~ cond")):
        (one,) = [m for m in fit.messages if "arbitrary" in m]
        assert what in one
        assert f"leave out {redundant}: the model is the same" in one
    assert what in str(generalized.diagnose()).replace("\n", " ")


def test_what_only_the_residual_of_a_linear_model_hides_is_not_named(rows: pd.DataFrame) -> None:
    # one level for each row: an overdispersion by condition, which counts do tell
    rng = np.random.default_rng(2)
    eta = np.where(rows.cond == "a", 0.2, 0.9) * rng.normal(size=len(rows))
    counts = rows.assign(y=rng.poisson(np.exp(1.0 + eta)), row=np.arange(len(rows)))
    fit = nm.glmer("y ~ cond + (1 | id) + diag(0 + cond | row)", counts, family="poisson")
    assert not [m for m in fit.messages if "arbitrary" in m]
    known = rows.assign(row=np.arange(len(rows)))
    given = nm.lmer("y ~ 1 + diag(0 + cond | row)", known, weights=np.full(480, 9.0),
                    fixed={"sigma": 1.0})  # fmt: skip
    assert not [m for m in given.messages if "arbitrary" in m]


def test_as_many_fixed_effects_as_rows_say_nothing():
    few = pd.DataFrame({"k": np.arange(12), "g": np.arange(12) // 2, "h": np.arange(12) // 2 + 10})
    few["y"] = np.random.default_rng(2).poisson(4.0, 12)
    twice = "(1 | g) + (1 | h)"
    whole = nm.build_design(f"y ~ factor(k) + {twice}", few, family=nm.families.poisson())
    less = nm.build_design(f"y ~ 1 + {twice}", few, family=nm.families.poisson())
    fit = nm.glmer(f"y ~ 1 + {twice}", few, family=nm.families.poisson())
    assert confoundings(whole, fit.solution, REML=False) == ()
    assert len(confoundings(less, fit.solution, REML=False)) == 1
    one = nm.glmer("y ~ 1 + (1 | g)", few, family=nm.families.poisson())
    assert confoundings(one.design, one.solution, REML=False) == ()


@pytest.mark.parametrize(
    ("formula", "columns", "df"),
    [
        ("y ~ factor(g) + (1 | g)", "(Intercept) of (1 | g)", 63),
        ("y ~ factor(g) * x + (x | g)", "(Intercept) and x of (x | g)", 54),
        ("y ~ factor(g) + x + (1 | g) + (1 | h)", "(Intercept) of (1 | g)", None),
        ("y ~ x + (1 | g)", None, None),
        ("y ~ factor(h) + (1 | g)", None, None),
        ("y ~ poly(x, 8) + (1 | h)", None, None),
    ],
)
def test_random_effects_that_fixed_effects_reproduce(formula, columns, df):
    """Of 9 groups and 18 coefficients; REML has no such variance, so their df are those of lm."""
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(9), 8)
    rows = pd.DataFrame({"g": g, "h": np.tile(np.arange(8), 9), "x": rng.normal(size=72)})
    rows["y"] = rng.normal(size=72) + rng.normal(size=9)[g]
    fit = nm.lmer(formula, rows)
    said = [m for m in fit.messages if m.startswith("the fixed effects reproduce")]
    assert len(said) == (columns is not None)
    if columns is None:
        return
    assert columns in said[0] and "The fixed effects reproduce" in str(fit.diagnose())
    assert not any("reproduce" in m for m in nm.lmer(formula, rows, REML=False).messages)
    for ddf in ("satterthwaite", "kenward-roger") if df else ():
        found = fit.anova(ddf=ddf).to_frame()["den_df"].to_numpy()
        assert found == pytest.approx(df, rel=1e-6)


def test_nothing_is_known_beside_variances_that_ran_away():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"x": rng.normal(size=31), "g": rng.integers(0, 5, 31)})
    rows["y"] = np.exp(rng.normal(size=31))
    fit = nm.glmer("y ~ x + (x || g)", rows, family="gamma", link="log")
    gone = replace(fit.solution, theta=np.full(2, 1e9))
    assert confoundings(fit.design, gone, REML=False) == ()


@pytest.mark.parametrize(
    ("visits", "term", "residual", "said"),
    [
        (3, "(1 | b)", "toep(t | b)", "leave out (1 | b): the model is the same"),
        (3, "(1 + x | b)", "toep(t | b)", "how it is split is arbitrary"),
        (2, "(1 | b)", "ar1(i | b)", "leave out (1 | b): the model is the same"),
        (2, "(1 | b)", "cs(t | b, hom=False)", "leave out (1 | b): the model is the same"),
        (3, "(1 | b)", "ar1(i | b)", ""),
        (3, "(1 | b)", "cs(t | b, hom=False)", ""),
        (3, "(1 | site)", "toep(t | b)", ""),
    ],
)
@pytest.mark.filterwarnings("ignore:flat:nestedmlm.errors.ConvergenceWarning")
def test_random_effects_that_the_residuals_contain_are_named(
    visits: int, term: str, residual: str, said: str
) -> None:
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"b": np.repeat(np.arange(18), visits), "i": np.tile(range(visits), 18)})
    data = data.assign(t="v" + data.i.astype(str), site=data.b // 3, x=rng.normal(size=len(data)))
    data["y"] = rng.normal(size=18)[data.b] + rng.normal(size=len(data))
    fit = nm.lmer(f"y ~ x + {term}", data, residual=residual)
    found = [m for m in fit.messages if "how it is split" in m]
    assert len(found) == bool(said)
    assert all(said in m and f"{term} and residual='{residual}'" in m for m in found)


def test_what_is_known_is_not_called_confounded_where_sigma_vanishes(rows: pd.DataFrame) -> None:
    fit = nm.lmer("y ~ cond + (x | id)", rows)
    far = results_at(fit.design, 1e6 * fit.theta)
    assert not confoundings(fit.design, far, REML=True)


def test_structured_term_without_variance_is_confounded_all_the_same(rows: pd.DataFrame) -> None:
    fit = nm.lmer("y ~ cond + (1 | id) + cs(0 + cond | id, hom=True)", rows)
    none = results_at(fit.design, np.array([0.5, 0.0, 0.3]))
    assert any(len(c.terms) == 2 for c in confoundings(fit.design, none, REML=True))
