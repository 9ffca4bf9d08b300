"""Power by simulation, and the extended data it asks about."""

from __future__ import annotations

from itertools import count, pairwise

import numpy as np
import pandas as pd
import pytest
from designs import data
from scipy.stats import norm

import nestedmlm as nm
from nestedmlm.errors import ColumnNotFoundError, DataError, NewLevelsError, OptionError
from nestedmlm.inference.resampling.resampling import nested_in

QUIET = {"progress": False, "seed": 1}


@pytest.fixture(scope="module")
def slopes() -> nm.LmerFit:
    return nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def nested() -> nm.LmerFit:
    return nm.lmer("y ~ x + a + (x | f2) + (1 | f1)", data(), weights="w")


@pytest.fixture(scope="module")
def study() -> nm.Scenario:
    plan = pd.DataFrame({"x": np.tile(np.arange(8.0), 40), "g": np.repeat(np.arange(40), 8)})
    params = {"beta": {"x": 0.0}, "theta": [0.8], "sigma": 1.0}
    return nm.scenario("y ~ x + (1 | g)", plan, **params)


# --- power -----------------------------------------------------------------------------------


def near(share: float, trials: int) -> float:
    return 4.5 * np.sqrt(share * (1 - share) / trials)


def test_power_is_that_of_the_normal_distribution(study):
    # balanced, slope within groups: its standard error does not depend on the variance between
    se = 1.0 / np.sqrt(40 * np.sum((np.arange(8) - 3.5) ** 2))
    effect = 2.2 * se
    expected = norm.sf(norm.ppf(0.975) - 2.2) + norm.cdf(-norm.ppf(0.975) - 2.2)
    for test in ("z", "lrt", "satterthwaite"):
        found = nm.power(study, "x", 1000, test=test, effect_size=effect, **QUIET)
        assert found.estimate == pytest.approx(expected, abs=near(expected, 1000) + 0.01)
        assert found.effect_size == effect


def test_without_an_effect_tests_keep_their_level(study):
    for test in ("lrt", "z", "satterthwaite", "kenward-roger"):
        found = nm.power(study, "x", 600, test=test, alpha=0.1, **QUIET)
        assert found.estimate == pytest.approx(0.1, abs=near(0.1, 600) + 0.01)


def test_without_a_variance_tests_keep_their_level(study):
    none = study.with_params(theta=[0.0])
    naive = nm.power(none, "(1 | g)", 800, test="lrt", **QUIET)
    exact = nm.power(none, "(1 | g)", 800, test="rlrt", **QUIET)
    assert exact.estimate == pytest.approx(0.05, abs=near(0.05, 800))
    assert naive.successes < exact.successes


def test_p_values_are_those_of_the_tests_themselves(slopes):
    y = slopes.simulate(3, seed=1)
    alone = slopes.model.with_formula("Reaction ~ 1 + (Days | Subject)").fit(REML=False)
    p = nm.power(slopes, "Days", 3, test="lrt", **QUIET).pvalues
    for number, column in enumerate(y, start=1):
        fit = slopes.refit(y[column])
        table = nm.anova(alone.refit(y[column]), fit.refit_ml()).table
        assert p[number] == pytest.approx(table["Pr(>Chisq)"].iloc[1], rel=1e-4, abs=1e-12)


@pytest.mark.parametrize("method", ["satterthwaite", "kenward-roger"])
def test_small_sample_p_values_are_those_of_the_fit(slopes, method):
    scene = nm.Scenario(model=slopes.model, design=slopes.design, beta=np.array([250.0, 2.0]),
                        theta=slopes.theta, sigma=slopes.sigma)  # fmt: skip
    p = nm.power(scene, "Days", 2, test=method, **QUIET).pvalues
    y = scene.simulate(2, seed=1)
    for number, column in enumerate(y, start=1):
        table = slopes.refit(y[column]).contest(np.array([[0.0, 1.0]]), ddf=method)
        frame = getattr(table, "table", table)
        assert p[number] == pytest.approx(float(frame["Pr(>F)"].iloc[0]), rel=1e-4)


def test_random_effects_p_values_are_those_of_anova():
    fit = nm.lmer("y ~ x + (1 | f1) + (1 | c2)", data())
    without = nm.lmer("y ~ x + (1 | f1)", data())
    y = fit.simulate(4, seed=1)
    boundary = nm.power(fit, "(1|c2)", 4, **QUIET).pvalues
    naive = nm.power(fit, "1 | c2", 4, test="lrt", **QUIET).pvalues
    for number, column in enumerate(y, start=1):
        pair = (without.refit(y[column]), fit.refit(y[column]))
        row = nm.anova(*pair, refit=False, test="boundary").table.iloc[1]
        assert boundary[number] == pytest.approx(row["Pr(boundary)"], rel=1e-3, abs=1e-9)
        assert naive[number] == pytest.approx(row["Pr(>Chisq)"], rel=1e-3, abs=1e-9)


def test_a_factor_is_tested_as_a_whole(nested):
    found = nm.power(nested, "a", 20, **QUIET)
    assert found.effect_size is None and found.effect == "a"
    assert found.pvalues.between(0, 1).all()
    with pytest.raises(OptionError, match="single fixed effect, and a has 2 coefficients"):
        nm.power(nested, "a", 20, effect_size=1.0, **QUIET)


def test_results_do_not_depend_on_workers(study):
    one, two = (nm.power(study, "x", 120, workers=w, **QUIET).pvalues for w in (1, 2))
    pd.testing.assert_series_equal(one, two)


def test_method_and_function_agree(slopes):
    pd.testing.assert_series_equal(
        slopes.power("Days", 5, **QUIET).pvalues, nm.power(slopes, "Days", 5, **QUIET).pvalues
    )


def test_intervals_and_printing(slopes):
    found = nm.Power(
        effect="x", test="likelihood ratio", pvalues=pd.Series([0.001] * 97 + [0.5] * 2 + [np.nan]),
        alpha=0.05, nsim=200, nobs=30, groups=pd.Series({"g": 3}), effect_size=-0.1,
        failures=pd.Series({100: "no p-value"}), seed=1, partial=True,
    )  # fmt: skip
    # R: binom.test(97, 100)$conf.int; prop.test(97, 100, correct = FALSE)$conf.int
    assert found.conf_int() == pytest.approx((0.914824, 0.993770), abs=1e-6)
    assert found.conf_int(method="wilson") == pytest.approx((0.91548064, 0.98974548), abs=1e-6)
    assert str(found) == (
        "Power for x (95% confidence interval):\n"
        "    97.00% (91.48, 99.38)\n\n"
        "Test: likelihood ratio\nEffect size: -0.1\n100 simulations, 1 failures\n"
        "alpha = 0.05, rows: 30, groups: g, 3\ninterrupted: 200 simulations were asked for"
    )
    with pytest.raises(OptionError, match="clopper-pearson, wilson"):
        found.conf_int(method="wald")


def test_curve():
    fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    curve = nm.power_curve(fit, "Days", along="Subject", breaks=[4, 8, 16], nsim=150,
                           effect_size=2.0, **QUIET)  # fmt: skip
    frame = curve.to_frame()
    assert frame["nobs"].tolist() == [40, 80, 160]
    assert frame.index.tolist() == [4, 8, 16] and frame.index.name == "Subject"
    assert all(a < b for a, b in pairwise(frame["power"]))
    assert str(curve).startswith("Power for Days by number of Subject")
    again = nm.power_curve(fit, "Days", along="Subject", breaks=[4, 8, 16], nsim=150,
                           effect_size=2.0, **QUIET)  # fmt: skip
    pd.testing.assert_frame_equal(frame, again.to_frame())


def test_an_interrupted_run_keeps_what_is_done(study, monkeypatch):
    from nestedmlm.fits.simulation import powertests

    calls, original = count(), powertests.refit_many

    def interrupted(*args, **options):
        if next(calls) == 4:  # two models for each chunk
            raise KeyboardInterrupt
        return original(*args, **options)

    monkeypatch.setattr(powertests, "refit_many", interrupted)
    found = nm.power(study, "x", 1500, test="lrt", **QUIET)
    assert found.partial and found.trials == 1000 and found.nsim == 1500
    assert "interrupted: 1500 simulations were asked for" in str(found)
    curve = nm.power_curve(study, "x", along="g", breaks=[40], nsim=20, **QUIET)
    assert list(curve.results) == [40]


@pytest.mark.parametrize(
    ("effect", "options", "text"),
    [
        ("nothing", {}, r"no effect 'nothing'; it has \(Intercept\), Days, \(Days \| Subject\)"),
        ("Days", {"test": "boundary"}, "not for fixed effects"),
        ("(Days | Subject)", {"test": "z"}, "not for random effects"),
        ("(Days | Subject)", {"test": "rlrt"}, "one variance"),
        ("(Days | Subject)", {"test": "boundary"}, "only random effect"),
        ("Days", {"alpha": 5}, "alpha"),
        ("Days", {"nsim": 0}, "nsim"),
        ("Days", {"workers": 0}, "workers"),
    ],
)
def test_bad_arguments_are_refused(slopes, effect, options, text):
    with pytest.raises(OptionError, match=text):
        nm.power(slopes, effect, **{"nsim": 3, **QUIET, **options})


def test_only_fits_and_scenarios_have_power():
    with pytest.raises(OptionError, match="a fit of lmer or a Scenario"):
        nm.power("y ~ x", "x", **QUIET)


# --- extended data ---------------------------------------------------------------------------


def sizes(scene: nm.Scenario) -> dict[str, int]:
    return {f.name: len(f.levels) for f in scene.design.factors}


def codes(scene: nm.Scenario, name: str) -> np.ndarray:
    return next(f.codes for f in scene.design.factors if f.name == name)


def test_copied_groups_have_subgroups_of_their_own(nested):
    twice = nested.extend(along="f2", n=12)
    assert sizes(twice) == {"f1": 60, "f2": 12}
    assert twice.design.n == 2 * nested.nobs
    assert nested_in(codes(twice, "f1"), codes(twice, "f2"))
    half = nested.extend(along="f2", n=3)
    assert sizes(half)["f2"] == 3 and half.design.n < nested.nobs


def test_groups_within_groups(nested):
    rows = data()
    more = nested.extend(along="f1 within f2", n=7)
    assert sizes(more) == {"f1": 7 * 6, "f2": 6}
    assert nested_in(codes(more, "f1"), codes(more, "f2"))
    assert (rows.groupby("f2").f1.nunique() == 5).all()


def test_rows_within_groups(nested):
    table = nested.extend(within="f1", n=9).model.data
    assert (table.groupby("f1").size() == 9).all()
    both = nested.extend(within="f1 + a", n=2).model.data
    assert (both.groupby(["f1", "a"], observed=True).size() == 2).all()


def test_a_numeric_predictor_is_continued(slopes):
    longer = slopes.extend(along="Days", n=14)
    assert sorted(longer.model.data["Days"].unique()) == list(range(14))
    assert longer.design.n == 18 * 14
    assert sizes(longer) == {"Subject": 18}
    assert slopes.extend(along="Days", n=3).model.data["Days"].max() == 2


def test_crossed_groups_are_shared():
    fit = nm.lmer("y ~ x + (1 | f1) + (1 | c1)", data())
    assert sizes(fit.extend(along="f1", n=45)) == {"f1": 45, "c1": 7}


@pytest.mark.parametrize("kind", ["strings", "categories", "numbers"])
def test_labels_of_every_kind(kind):
    rows = data()
    labels = {"numbers": rows.f1, "strings": "s" + rows.f1.astype(str)}
    labels["categories"] = labels["strings"].astype("category")
    fit = nm.lmer("y ~ x + (1 | g)", rows.assign(g=labels[kind]))
    more = fit.extend(along="g", n=65)
    assert sizes(more) == {"g": 65}
    old = set(map(str, fit.design.factors[0].levels))
    assert old < set(map(str, more.design.factors[0].levels))


def test_learned_columns_stay_what_they_were():
    rows = data()
    fit = nm.lmer("y ~ scale(x) + (scale(x) | f1) + (1 | f2)", rows)
    more = fit.extend(along="f1", n=60)
    new = fit.design.new(more.model.data, new_levels="population")
    assert np.array_equal(more.design.X, new.X)
    assert np.array_equal(more.design.terms[0].X, new.terms[0][0])
    assert more.design.x_names == fit.design.x_names


def test_parameters_stay_with_their_terms_when_the_order_changes():
    rows = data()
    fit = nm.lmer("y ~ x + (x | f1) + (1 | c1)", rows)  # f1: 30 levels, c1: 7
    more = fit.extend(along="c1", n=70)  # lme4 would now put c1 first
    assert [more.design.factors[t.factor].name for t in more.design.terms] == ["f1", "c1"]
    y = more.simulate(200, seed=1)
    refits = [
        nm.lmer("y ~ x + (x | f1) + (1 | c1)", more.model.data.assign(y=y[c]))
        for c in y.iloc[:, :3]
    ]
    sd = np.mean(
        [[r.varcorr().to_frame().query("group == 'c1'")["estimate"].item()] for r in refits]
    )
    assert sd == pytest.approx(fit.sigma * fit.theta[-1], rel=0.35)


def test_combined_factors_extend():
    fit = nm.lmer("strength ~ 1 + (1 | batch/cask)", nm.load_dataset("Pastes"))
    more = fit.extend(along="batch", n=20)
    assert sizes(more) == {"cask:batch": 60, "batch": 20}


def test_a_scenario_prints_what_it_supposes(slopes):
    changed = slopes.extend(along="Subject", n=20).with_params(
        sd={"Subject": {"(Intercept)": 25, "Days": 6}, "Residual": 10}, correlation={"Subject": 0.3}
    )
    assert str(changed).splitlines()[-1] == (
        "sd_(Intercept)|Subject = 25, sd_Days|Subject = 6, cor_Days.(Intercept)|Subject = 0.3, "
        "sigma = 10"
    )


def test_scenarios_extend_again_and_change(nested):
    scene = nested.extend(along="f2", n=8).extend(within="f1", n=4)
    changed = scene.with_params(beta={"x": 9.0}, sigma=0.1)
    assert changed.beta[1] == 9.0 and changed.sigma == 0.1
    assert changed.beta[0] == scene.beta[0]
    assert changed.power("x", nsim=10, **QUIET).estimate == 1.0
    assert changed.power_curve("x", along="f2", breaks=[4], nsim=5, **QUIET).results[4].trials == 5


def test_rows_left_out_of_the_fit_are_not_copied():
    holes = data().assign(y=lambda d: d.y.mask(d.index < 5))
    fit = nm.lmer("y ~ x + (1 | f1)", holes)
    assert fit.extend(along="f1", n=30).design.n == 145


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"n": 5}, OptionError, "either along="),
        ({"n": 5, "along": "Subject", "within": "Subject"}, OptionError, "either along="),
        ({"n": 0, "along": "Subject"}, OptionError, "n must be a positive integer"),
        ({"n": 5, "along": "School"}, ColumnNotFoundError, "no column 'School'"),
        ({"n": 5, "along": "Days within School"}, ColumnNotFoundError, "no column 'School'"),
        ({"n": 5, "within": "School"}, ColumnNotFoundError, "no column 'School'"),
        ({"n": 1, "along": "Days"}, DataError, "number of levels of each grouping factor"),
    ],
)
def test_bad_extensions_are_refused(slopes, options, error, text):
    with pytest.raises(error, match=text):
        slopes.extend(**options)


def test_too_few_levels_for_the_fixed_effects_are_refused():
    fit = nm.lmer(
        "y ~ last + (1 | f2)", data().assign(last=lambda d: (d.f2 == d.f2.iloc[-1]) * 1.0)
    )
    with pytest.raises(DataError, match="do not identify all fixed effects"):
        fit.extend(along="f2", n=2)


@pytest.mark.parametrize("change", [{"along": "Subject", "n": 30}, {"within": "Subject", "n": 5}])
def test_columns_of_earlier_rows_do_not_extend(change):
    data = nm.load_dataset("sleepstudy")
    fit = nm.lmer("Reaction ~ Days + lag(Reaction, Subject, Days) + (1 | Subject)", data)
    with pytest.raises(DataError, match=r"without a value of .*make it a column"):
        fit.extend(**change)


def test_group_means_of_copied_groups_are_those_of_the_groups():
    rows = data()
    fit = nm.lmer("y ~ within(x, f1) + between(x, f1) + (1 | f1)", rows)
    more = fit.extend(along="f1", n=60).design  # 30 groups, each copied: nothing to warn of
    n = len(rows)
    np.testing.assert_allclose(more.X[n:], more.X[:n], atol=1e-12)


def test_arrays_of_weights_are_refused():
    rows = data()
    fit = nm.lmer("y ~ x + (1 | f1)", rows, weights=rows.w.to_numpy())
    with pytest.raises(DataError, match="make it a column"):
        fit.extend(along="f1", n=40)


def test_new_levels_of_a_fixed_factor_are_refused():
    fit = nm.lmer("y ~ x + a + (1 | f1) + (1 | a)", data())
    with pytest.raises(NewLevelsError):
        fit.extend(along="a", n=5)


def test_other_tables_extend():
    pl = pytest.importorskip("polars")
    fit = nm.lmer("y ~ x + (1 | f1)", pl.from_pandas(data()))
    assert sizes(fit.extend(along="f1", n=40)) == {"f1": 40}
    fit = nm.lmer("y ~ x + (1 | f1)", {k: v.to_numpy() for k, v in data().items()})
    assert sizes(fit.extend(along="f1", n=40)) == {"f1": 40}


def test_the_old_name_of_the_distribution_says_the_new_one():
    study = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff")).extend(
        along="Batch", n=4
    )
    with pytest.raises(nm.errors.RenamedError, match=r"Scenario\.law is gone: write scenario\.dis"):
        study.law  # noqa: B018
    assert study.distribution.mean.shape == (20,)


def test_the_default_test_keeps_its_level_in_few_groups():
    rows = pd.DataFrame(
        [(g, i, g % 2) for g in range(8) for i in range(5)], columns=["g", "i", "t"]
    )
    none = nm.scenario("y ~ t + (1 | g)", rows, beta=[0.0, 0.0], theta=[0.5], sigma=1.0)
    usual = nm.power(none, "t", 500, **QUIET)
    assert usual.test == "F, Satterthwaite"
    assert usual.estimate == pytest.approx(0.05, abs=near(0.05, 500))
    assert nm.power(none, "t", 500, test="lrt", **QUIET).estimate > 0.08
