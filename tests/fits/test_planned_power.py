"""Power without simulation, allocation of a budget, assurance: against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fake_posterior import fake_bayesfit
from scipy import stats

import nestedmlm as nm
from nestedmlm.covariance import relative_factors
from nestedmlm.errors import GroupingError, OptionError
from nestedmlm.fits.simulation.balanced_designs import balanced_plan
from nestedmlm.fits.simulation.supposed_parameters import theta_of_covariances
from nestedmlm.likelihood.plan import term_shapes
from nestedmlm.posterior.draws import covariance_draws, fixed_draws, sigma_draws

J, M, ICC, EFFECT = 20, 10, 0.1, 0.5


def trial(groups: int = J, rows: int = M, **more) -> nm.Scenario:
    plan = balanced_plan({"school": groups, "pupil": rows}, {"arm": "school"})
    given = {"beta": {"arm": EFFECT}, "icc": {"school": ICC}} | more
    return nm.scenario("y ~ arm + (1 | school)", plan, **given)


@pytest.fixture(scope="module")
def sleep() -> nm.LmerFit:
    return nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))


# --- one contrast -------------------------------------------------------------------------------
def test_cluster_randomised_trial_is_the_published_noncentral_t():
    # Raudenbush (1997), Psychological Methods 2, 173-185, eq. 8-9: t with J - 2 degrees of freedom
    se = np.sqrt(4.0 * (ICC + (1.0 - ICC) / M) / J)
    moved, limit = EFFECT / se, stats.t.ppf(0.975, J - 2)
    expected = stats.nct.sf(limit, J - 2, moved) + stats.nct.cdf(-limit, J - 2, moved)
    for test in ("satterthwaite", "kenward-roger"):
        found = trial().planned_power("arm", test=test)
        assert found.std_error == pytest.approx(se, rel=1e-10)
        assert found.df == pytest.approx(J - 2, rel=1e-8)
        assert found.estimate == pytest.approx(expected, abs=1e-8)


def test_z_has_no_degrees_of_freedom():
    found = trial().planned_power("arm", test="z", alpha=0.01)
    moved, limit = EFFECT / found.std_error, stats.norm.ppf(0.995)
    assert found.df == np.inf
    assert found.estimate == pytest.approx(
        stats.norm.sf(limit - moved) + stats.norm.cdf(-limit - moved)
    )


def test_several_coefficients_are_a_noncentral_f():
    plan = balanced_plan({"school": 12, "pupil": 6}, {"arm": ("pupil", ["a", "b", "c"])})
    study = nm.scenario(
        "y ~ arm + (1 | school)", plan, beta={"armb": 0.4, "armc": 0.6}, sd={"school": 1}, sigma=1.0
    )
    # three means of 24 rows each, compared within schools: F with 2 and 72 - 12 - 2 df
    means = np.array([0.0, 0.4, 0.6])
    moved = 24 * np.sum((means - means.mean()) ** 2)
    limit = stats.f.ppf(0.95, 2, 58)
    for test in ("satterthwaite", "kenward-roger"):
        found = study.planned_power("arm", test=test)
        assert found.noncentrality == pytest.approx(moved, rel=1e-8)
        assert found.df == pytest.approx(58, rel=1e-6)
        assert found.estimate == pytest.approx(stats.ncf.sf(limit, 2, 58, moved), abs=1e-8)
        assert found.effect_size is None


def test_responses_do_not_matter(sleep):
    numbers = nm.planned_power(sleep, "Days", effect_size=4)
    other = sleep.refitted(sleep.design, start=sleep.theta)
    again = nm.planned_power(other.extend(along="Subject", n=18), "Days", effect_size=4)
    assert again.estimate == pytest.approx(numbers.estimate, rel=1e-6)
    assert numbers.df == pytest.approx(17.0, rel=1e-6)
    assert numbers.std_error == pytest.approx(sleep.bse["Days"], rel=1e-8)


def test_simulation_agrees_where_groups_are_few_and_unequal():
    sizes = [3, 4, 20, 5, 12, 2, 30, 6]
    g = np.repeat(np.arange(8), sizes)
    plan = pd.DataFrame({"g": g, "arm": g % 2})
    study = nm.scenario("y ~ arm + (1 | g)", plan, beta={"arm": 1.5}, theta=[0.7], sigma=1.0)
    planned = study.planned_power("arm", test="kenward-roger").estimate
    found = study.power("arm", 400, test="kenward-roger", seed=1, progress=False)
    assert abs(found.estimate - planned) < 3.5 * np.sqrt(planned * (1 - planned) / 400) + 0.01
    assert planned < study.planned_power("arm", test="z").estimate - 0.1


def test_refusals(sleep):
    with pytest.raises(OptionError, match="is a random effect"):
        nm.planned_power(sleep, "(Days | Subject)")
    with pytest.raises(OptionError, match="power without simulation; those that are"):
        nm.planned_power(sleep, "Days", test="lrt")
    with pytest.raises(OptionError, match="REML's tests"):
        nm.planned_power(sleep.refit_ml(), "Days")


# --- what planners say --------------------------------------------------------------------------
def test_standard_deviations_are_theta(sleep):
    table = sleep.varcorr().to_frame().set_index(["var1", "var2"])["estimate"]
    sds = [float(table.iloc[i]) for i in range(4)]
    given = {"Subject": {"(Intercept)": sds[0], "Days": sds[1]}, "Residual": sds[3]}
    study = sleep.extend(along="Subject", n=18)
    again = study.with_params(sd=given, correlation={"Subject": sds[2]})
    assert again.theta == pytest.approx(sleep.theta, rel=1e-6)
    assert again.sigma == pytest.approx(sleep.sigma, rel=1e-6)
    perfect = study.with_params(sd=given, correlation={"Subject": 1.0})
    assert perfect.theta[2] == pytest.approx(0.0, abs=1e-7)


def test_shares_of_variance():
    study = trial()
    assert study.sigma**2 == pytest.approx(1 - ICC)
    assert (study.theta * study.sigma) ** 2 == pytest.approx([ICC])
    scaled = trial(sigma=3.0)
    assert scaled.sigma == 3.0
    assert scaled.theta == pytest.approx(study.theta)
    assert trial(icc=None, sd={"school": 1, "Residual": 3}).theta == pytest.approx([1 / 3])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"icc": {"klass": 0.1}}, "does not know 'klass'"),
        ({"icc": {"school": 1.0}}, "together less than 1"),
        ({"icc": {"school": 0.1}, "sd": {"school": 1}}, "give the covariances once"),
        ({"icc": None}, "give the covariances once"),
        ({"icc": None, "sd": {"school": 1}}, "residual standard deviation once"),
        ({"icc": None, "sd": {"Residual": 1}}, "lacks 'school'"),
        ({"correlation": {"school": 1}}, "goes with sd="),
    ],
)
def test_what_cannot_be_supposed(given, said):
    with pytest.raises(OptionError, match=said):
        trial(**given)


def test_correlations_that_cannot_be(sleep):
    sd = {"Subject": {"(Intercept)": 1, "Days": 1}, "Residual": 1}
    with pytest.raises(OptionError, match="no variables can have"):
        sleep.extend(along="Subject", n=9).with_params(sd=sd, correlation={"Subject": 1.5})


# --- allocation ---------------------------------------------------------------------------------
BUDGET = {"budget": 6000, "costs": {"school": 100, "pupil": 5}, "varies": {"arm": "school"}}
SUPPOSED = {"beta": {"arm": 0.4}, "icc": {"school": ICC}}


def test_best_allocation_is_near_the_published_optimum():
    found = nm.allocation("y ~ arm + (1 | school)", "arm", **BUDGET, **SUPPOSED)
    # Raudenbush (1997): sqrt(cost ratio * (1 - icc) / icc) = 13.4, and power is flat around it
    assert found.table["pupil"].iloc[0] in (10, 12, 15)
    assert (found.table["cost"] <= 6000).all()
    assert found.table["power"].is_monotonic_decreasing
    row = found.table.iloc[0]
    alone = trial(int(row["school"]), int(row["pupil"]), beta={"arm": 0.4})
    assert row["power"] == pytest.approx(alone.planned_power("arm").estimate)
    assert found.best.planned_power("arm").estimate == pytest.approx(row["power"], abs=1e-12)
    assert row["cost"] == row["school"] * (100 + 5 * row["pupil"])


def test_three_levels_cost_what_they_hold():
    found = nm.allocation(
        "y ~ arm + (1 | school/room)", "arm", budget=5000, varies={"arm": "room"},
        costs={"school": 500, "room": 60, "pupil": 5}, beta={"arm": 0.5},
        icc={"school": 0.1, "room:school": 0.1},
        sizes={"school": [3, 4], "room": [2, 3, 4], "pupil": [5]},
    )  # fmt: skip
    for _, row in found.table.iterrows():  # three rooms: the arms' turns differ between schools
        counts = {unit: int(row[unit]) for unit in found.units}
        study = nm.scenario(
            "y ~ arm + (1 | school/room)", balanced_plan(counts, {"arm": "room"}),
            beta={"arm": 0.5}, icc={"school": 0.1, "room:school": 0.1},
        )  # fmt: skip
        assert row["power"] == pytest.approx(study.planned_power("arm").estimate, abs=1e-12)
    table = found.to_frame()
    columns = (table.school, table.room, table.pupil)
    assert table["cost"].tolist() == [
        s * (500 + r * (60 + 5 * p)) for s, r, p in zip(*columns, strict=True)
    ]
    assert set(table["school"]) == {4}  # of those that were asked for, the most affordable
    assert "room" in str(found)


SLOPES = {"sd": {"s": {"(Intercept)": 1.0, "day": 0.3}, "Residual": 1.0}}
DAYS = ("visit", [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("formula", "effect", "varies", "given", "sizes"),
    [
        ("y ~ arm + (1 | s)", "arm", {"arm": "s"}, {"icc": {"s": 0.1}}, {"visit": [3, 8]}),
        ("y ~ day*arm + (day | s)", "day:arm", {"day": DAYS, "arm": "s"}, SLOPES,
         {"visit": [3, 4, 6]}),
        ("y ~ 0 + kind + (1 | s)", "kind", {"kind": ("s", list("abc"))}, {"icc": {"s": 0.3}},
         {"visit": [5]}),
        ("y ~ poly(day, 2) + (1 | s)", "poly(day, 2)", {"day": DAYS}, {"icc": {"s": 0.3}},
         {"visit": [5, 6]}),
        ("y ~ arm + (1 | s) + (1 | item)", "arm", {"arm": "visit", "item": ("visit", [5, 6, 7])},
         {"icc": {"s": 0.3, "item": 0.1}}, {"visit": [4, 5]}),
    ],
)  # fmt: skip
def test_designs_planned_together_are_planned_alone(formula, effect, varies, given, sizes):
    beta = {"arm": 0.4, "day:arm": 0.2, "kindb": 0.5, "poly(day, 2)1": 2.0}
    beta = {name: size for name, size in beta.items() if name.startswith(effect)}
    for test in ("satterthwaite", "kenward-roger"):
        found = nm.allocation(
            formula, effect, budget=500, costs={"s": 10, "visit": 5}, varies=varies, beta=beta,
            sizes=sizes, test=test, **given,
        )  # fmt: skip
        assert len(found.table) == len(sizes["visit"])
        for _, row in found.table.iterrows():
            plan = balanced_plan({"s": int(row.s), "visit": int(row.visit)}, varies)
            alone = nm.scenario(formula, plan, beta=beta, **given).planned_power(effect, test=test)
            assert row["power"] == pytest.approx(alone.estimate, abs=1e-12)
            assert row["df"] == pytest.approx(alone.df, rel=1e-11)
            assert row["nobs"] == len(plan)


def test_designs_with_as_many_effects_as_rows_are_left_out():
    given = {
        "budget": 1000, "costs": {"s": 10, "visit": 5}, "varies": {"day": ("visit", [0, 1, 2, 3])},
        "beta": {"day": 0.2}, "sd": {"s": {"(Intercept)": 1.0, "day": 0.3}, "Residual": 1.0},
    }  # fmt: skip
    found = nm.allocation("y ~ day + (day | s)", "day", **given, sizes={"visit": [2, 4, 6]})
    assert set(found.table["visit"]) == {4, 6} and found.left_out == 1
    with pytest.raises(OptionError, match="no design within this budget") as caught:
        nm.allocation("y ~ day + (day | s)", "day", **given, sizes={"visit": [2]})
    assert isinstance(caught.value.__cause__, GroupingError)


def test_picture_marks_the_best():
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    found = nm.allocation("y ~ arm + (1 | school)", "arm", **BUDGET, **SUPPOSED)
    ax = nm.plots.allocation(found)
    best = found.table.iloc[0]
    assert [tuple(line.get_xydata()[0]) for line in ax.lines][-1] == (best["pupil"], best["power"])


def test_balanced_plan_puts_predictors_where_they_vary():
    plan = balanced_plan({"a": 3, "b": 2, "c": 4}, {"x": "a", "y": "b", "z": ("c", [1, 2, 5, 9])})
    assert len(plan) == 24
    assert plan.groupby("a")["x"].nunique().eq(1).all()
    assert plan.groupby("b")["y"].nunique().eq(1).all()
    assert plan.groupby("a")["y"].nunique().eq(2).all()
    assert plan["z"].tolist() == [1, 2, 5, 9] * 6


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"budget": 100}, "does not pay for 3 of school"),
        ({"varies": {"arm": "class"}}, "no level of costs"),
        ({"costs": {"pupil": 5}}, "two levels or more"),
    ],
)
def test_allocations_that_cannot_be(given, said):
    with pytest.raises(OptionError, match=said):
        nm.allocation("y ~ arm + (1 | school)", "arm", **BUDGET | given, **SUPPOSED)


# --- assurance ----------------------------------------------------------------------------------
def test_assurance_is_the_mean_of_the_powers(sleep):
    posterior = fake_bayesfit(sleep, chains=2, draws=20)
    study = sleep.extend(along="Subject", n=6)
    found = study.assurance(posterior, "Days", draws=7)
    assert len(found.powers) == 7
    assert found.estimate == pytest.approx(found.powers.mean())
    draw = int(found.powers.index[3])
    cov = covariance_draws(posterior.data, posterior.design)[0][draw]
    sds = np.sqrt(np.diag(cov))
    columns = ["(Intercept)", "Days"]
    alone = study.with_params(
        beta=fixed_draws(posterior.data, posterior.design)[draw],
        sd={"Subject": dict(zip(columns, sds, strict=True)),
            "Residual": sigma_draws(posterior.data, posterior.design)[draw]},
        correlation={"Subject": cov[0, 1] / sds.prod()},
    )  # fmt: skip
    assert found.powers.loc[draw] == pytest.approx(alone.planned_power("Days").estimate, rel=1e-6)
    assert found.to_frame().iloc[0, 0] == found.estimate
    held = study.assurance(posterior, "Days", draws=7, effect_size=0.0)
    assert held.powers.to_numpy() == pytest.approx(0.05, abs=1e-8)


def test_assurance_wants_the_same_model(sleep):
    other = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    with pytest.raises(OptionError, match="of another model"):
        sleep.extend(along="Subject", n=6).assurance(fake_bayesfit(other), "Days")


def test_posteriors_plan_at_their_means(sleep):
    posterior = fake_bayesfit(sleep, chains=2, draws=20)
    study = posterior.extend(along="Subject", n=6)
    cov = covariance_draws(posterior.data, posterior.design)[0].mean(axis=0)
    assert study.design.n == 60
    assert study.beta == pytest.approx(posterior.params.to_numpy())
    T = relative_factors(study.theta, term_shapes(study.design))[0]
    assert study.sigma**2 * T @ T.T == pytest.approx(cov)
    found = study.assurance(posterior, "Days", draws=5)
    assert found.supposed == study.planned_power("Days").estimate
    assert found.to_frame()["power_supposed"].iloc[0] == found.supposed
    with pytest.raises(OptionError, match="does not hold its data"):
        replace(posterior, source=None).extend(along="Subject", n=6)


def test_assurance_of_generalized_models():
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    fit = nm.glmer(formula, nm.load_dataset("cbpp"), family="binomial")
    posterior = fake_bayesfit(fit, chains=1, draws=25)
    study = fit.extend(along="herd", n=12)
    found = study.assurance(posterior, "period2", draws=3)
    assert found.test == "z"
    draw = int(found.powers.index[1])
    alone = replace(
        study,
        beta=fixed_draws(posterior.data, posterior.design)[draw],
        theta=np.sqrt(covariance_draws(posterior.data, posterior.design)[0][draw, 0]),
    )
    expected = alone.planned_power("period2").estimate
    assert found.powers.loc[draw] == pytest.approx(expected, abs=0.03)  # 5 predictors, not 50
    with pytest.raises(OptionError, match="test"):
        study.assurance(posterior, "period2", draws=3, test="satterthwaite")


@pytest.mark.slow
def test_as_many_simulated_studies_find_the_effect(sleep):
    posterior = fake_bayesfit(sleep, chains=2, draws=50)
    study = sleep.extend(along="Subject", n=4)
    found = study.assurance(posterior, "Days", draws=100)
    hits = [
        replace(
            study,
            beta=fixed_draws(posterior.data, posterior.design)[draw],
            theta=theta_of_covariances(study.design, [cov[draw] / sigma**2]),
            sigma=float(sigma),
        ).power("Days", 10, seed=int(draw), progress=False).successes
        for cov in covariance_draws(posterior.data, posterior.design)
        for draw, sigma in enumerate(sigma_draws(posterior.data, posterior.design))
    ]  # fmt: skip
    share = sum(hits) / 1000
    assert abs(share - found.estimate) < 4.0 * np.sqrt(share * (1.0 - share) / 1000) + 0.01


@pytest.mark.parametrize("power", [nm.power, nm.planned_power])
def test_power_of_a_posterior_is_its_assurance(power):
    with pytest.raises(OptionError, match=r"many scenarios.*\.assurance\(posterior, effect\)"):
        power(
            fake_bayesfit(
                nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
            ),
            "Days",
        )
