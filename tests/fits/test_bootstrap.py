"""`fit.bootstrap`: replicates, intervals, resampling of every kind, failures, interruption."""

from __future__ import annotations

import ast
import pickle
import subprocess
import sys
from dataclasses import replace
from itertools import count

import numpy as np
import pandas as pd
import pytest
from designs import data

import nestedmlm as nm
from nestedmlm import lme4
from nestedmlm.errors import OptionError
from nestedmlm.inference.resampling.bootstrap_intervals import (
    acceleration,
    boot_quantiles,
    interval,
)
from nestedmlm.inference.resampling.resampling import residual, take_groups, top_factor

QUIET = {"progress": False, "seed": 1}


@pytest.fixture(scope="module")
def slopes() -> nm.LmerFit:
    return nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def boot(slopes) -> nm.Bootstrap:
    return slopes.bootstrap(1000, **QUIET)


# --- intervals -------------------------------------------------------------------------------

# R: t <- qgamma(ppoints(199), 3); boot.ci(b, conf, type=c("norm","basic","perc")) with t0 = 2.9;
# boot.ci(b, conf, type="bca", L = (1:12)^1.5 - mean((1:12)^1.5))
BOOT_CI = {
    0.95: {
        "norm": (-0.580189967469, 6.184116794423),
        "basic": (-1.556340725744, 5.205114458021),
        "perc": (0.594885541979, 7.356340725744),
        "bca": (0.802762201358, 8.635812857460),
    },
    0.9: {
        "norm": (-0.0364291791606, 5.6403560061148),
        "basic": (-0.5590151284119, 4.9978052122384),
        "perc": (0.8021947877616, 6.3590151284119),
        "bca": (1.03733565243, 7.35921501255),
    },
    0.99: {
        "norm": (-1.642939582933, 7.246866409887),
        "basic": (-4.318600169004, 5.536244612896),
        "perc": (0.263755387104, 10.118600169004),
        "bca": (0.448204884766, 10.118600169004),
    },
}
ACCELERATION = 0.0155838531918


@pytest.mark.parametrize("kind", ["norm", "basic", "perc", "bca"])
@pytest.mark.parametrize("level", BOOT_CI)
def test_intervals_are_those_of_boot_ci(level, kind):
    from scipy.stats import gamma

    t = gamma.ppf((np.arange(1, 200) - 0.5) / 199, 3)
    found = interval(t, 2.9, kind=kind, level=level, acceleration=ACCELERATION)
    assert found == pytest.approx(BOOT_CI[level][kind], abs=1e-9)


def test_acceleration_of_left_out_groups():
    # leaving a group out moves the estimate against the group's influence
    influence = np.arange(1, 13) ** 1.5 - np.mean(np.arange(1, 13) ** 1.5)
    assert acceleration(5.0 - influence) == pytest.approx(ACCELERATION, abs=1e-12)
    assert acceleration(np.append(5.0 - influence, np.nan)) == pytest.approx(ACCELERATION)
    assert acceleration(np.full(4, 2.0)) == 0.0
    assert np.isnan(acceleration(np.array([1.0, np.nan])))


def test_whole_ranks_are_order_statistics():
    t = np.random.default_rng(1).permutation(np.arange(1.0, 100.0))
    assert boot_quantiles(t, np.array([0.05, 0.95])).tolist() == [5.0, 95.0]


@pytest.mark.parametrize("kind", ["norm", "basic", "perc", "bca"])
def test_undefined_replicates_are_left_out(kind):
    t = np.random.default_rng(1).normal(size=99)
    holes = np.concatenate([t, [np.nan, np.inf]])
    options = {"kind": kind, "level": 0.9, "acceleration": 0.01}
    assert interval(holes, 0.1, **options) == interval(t, 0.1, **options)
    assert np.isnan(interval(np.full(5, np.nan), 0.1, **options)).all()


def test_bca_at_a_boundary_counts_equal_replicates_half():
    t = np.concatenate([np.zeros(60), np.linspace(0.1, 1.0, 39)])
    low, high = interval(t, 0.0, kind="bca", level=0.9)
    assert low == 0.0 and 0.0 < high < 1.0


def test_bca_with_all_replicates_on_one_side_is_undefined():
    assert np.isnan(interval(np.arange(1.0, 20.0), 0.0, kind="bca", level=0.9)).all()


@pytest.mark.parametrize("kind", ["perc", "basic", "norm", "bca"])
def test_table_of_intervals(boot, kind):
    table = boot.conf_int(kind, 0.9)
    assert table.columns.tolist() == ["conf_low", "conf_high"]
    assert table.index.tolist() == boot.t0.index.tolist()
    assert (table["conf_low"] < boot.t0).all() and (table["conf_high"] > boot.t0).all()


def test_bad_intervals_are_refused(boot):
    with pytest.raises(OptionError, match="kind must be one of perc, basic, norm, bca"):
        boot.conf_int("student")
    with pytest.raises(OptionError, match="level"):
        boot.conf_int(level=95)
    with pytest.raises(OptionError, match="elsewhere"):
        boot.conf_int("bca", by="elsewhere")


# --- the parametric bootstrap ----------------------------------------------------------------


def test_standard_errors_are_those_of_bootmer(boot):
    # R: bootMer(lmer(Reaction ~ Days + (Days | Subject)), f, nsim = 1000, seed = 1)
    theirs = [6.791852, 1.541501, 6.026918, 1.272507, 0.352853, 1.445843]
    ours = boot.to_frame()["std_error"].to_numpy()
    assert ours == pytest.approx(theirs, rel=4.5 * np.sqrt(2.0 / (2 * 1000)))


def test_names_and_order_of_the_usual_statistics(boot, slopes):
    assert boot.t0.index.tolist() == [
        "(Intercept)", "Days", "sd_(Intercept)|Subject", "sd_Days|Subject",
        "cor_Days.(Intercept)|Subject", "sigma",
    ]  # fmt: skip
    sd = slopes.varcorr().to_frame()["estimate"].to_numpy()
    assert boot.t0.to_numpy() == pytest.approx([*slopes.params, *sd])


def test_replicates_are_refits_of_simulated_responses(slopes):
    few = slopes.bootstrap(3, **QUIET)
    simulated = slopes.simulate(3, seed=1)
    for number, column in enumerate(simulated, start=1):
        refit = slopes.refit(simulated[column])
        expected = [*refit.params, *refit.varcorr().to_frame()["estimate"]]
        assert few.t.loc[number].to_numpy() == pytest.approx(expected, rel=1e-5)


def test_a_function_of_ones_own_sees_the_same_refits(slopes):
    few = slopes.bootstrap(4, lambda fit: fit.fixef, **QUIET)
    usual = slopes.bootstrap(4, **QUIET)
    assert few.t.columns.tolist() == ["(Intercept)", "Days"]
    assert few.t.to_numpy() == pytest.approx(usual.t[["(Intercept)", "Days"]].to_numpy(), rel=1e-6)


@pytest.mark.parametrize(
    ("fun", "names"),
    [
        (lambda fit: fit.sigma, ["lambda"]),
        (lambda fit: [fit.sigma, fit.llf], ["lambda1", "lambda2"]),
        (lambda fit: {"s": fit.sigma}, ["s"]),
        (lambda fit: fit.params, ["(Intercept)", "Days"]),
    ],
)
def test_what_a_function_may_return(slopes, fun, names):
    assert slopes.bootstrap(2, fun, **QUIET).t.columns.tolist() == names


@pytest.mark.parametrize("fun", [lambda fit: "text", lambda fit: fit.ranef(), 3])
def test_what_a_function_may_not_return(slopes, fun):
    with pytest.raises(OptionError, match="fun must"):
        slopes.bootstrap(2, fun, **QUIET)


def test_the_seed_is_kept(slopes):
    unseeded = slopes.bootstrap(3, progress=False)
    again = slopes.bootstrap(3, seed=unseeded.seed, progress=False)
    pd.testing.assert_frame_equal(unseeded.t, again.t)
    pd.testing.assert_frame_equal(slopes.bootstrap(9, **QUIET).t.head(3),
                                  slopes.bootstrap(3, **QUIET).t)  # fmt: skip


def test_results_do_not_depend_on_threads(slopes):
    one = slopes.bootstrap(120, **QUIET).t
    pd.testing.assert_frame_equal(one, slopes.bootstrap(120, workers=2, **QUIET).t)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"fun": lambda fit: fit.params}, {"type": "cases"}])
def test_results_do_not_depend_on_processes(slopes, options):
    one = slopes.bootstrap(5, **options, **QUIET).t
    pd.testing.assert_frame_equal(one, slopes.bootstrap(5, workers=2, **options, **QUIET).t)


SCRIPT = """
import nestedmlm as nm
print("here")
def ratio(fit):
    return fit.fixef["Days"] / fit.sigma
fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
print(fit.bootstrap(4, ratio, workers=2, seed=1, progress=False).t.to_numpy().ravel().tolist())
"""


@pytest.mark.slow
def test_scripts_need_no_guard(tmp_path):
    """Worker processes do not run the script again, and know its functions."""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run([sys.executable, path], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    first, values = done.stdout.splitlines()
    assert (first, len(set(ast.literal_eval(values)))) == ("here", 4)


def test_conditional_bootstrap_varies_less(slopes, boot):
    within = slopes.bootstrap(200, use_u=True, **QUIET)
    spread = within.to_frame()["std_error"] / boot.to_frame()["std_error"]
    assert (spread[["(Intercept)", "Days"]] < 0.6).all()


def test_singular_refits_are_counted():
    fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff2"))
    boot = fit.bootstrap(200, **QUIET)
    flat = int((boot.t["sd_(Intercept)|Batch"] == 0).sum())
    assert boot.messages == {"boundary (singular) fit": flat} and 60 < flat < 180
    assert f"{flat} message(s): boundary (singular) fit" in str(boot)
    assert boot.conf_int().loc["sd_(Intercept)|Batch", "conf_low"] == 0.0


def test_failures_are_rows_of_nan(slopes):
    calls = count()

    def fragile(fit):
        if next(calls) in (2, 4):
            raise ZeroDivisionError("no luck")
        return fit.sigma

    boot = slopes.bootstrap(5, fragile, **QUIET)
    assert boot.t["fragile"].isna().tolist() == [False, True, False, True, False]
    assert boot.failures.to_dict() == dict.fromkeys((2, 4), "ZeroDivisionError: no luck")
    assert "2 failure(s): ZeroDivisionError: no luck" in str(boot)
    assert boot.to_frame()["replicates"].tolist() == [3]
    assert np.isfinite(boot.conf_int("basic")).all(axis=None)


def test_another_number_of_statistics_is_a_failure(slopes):
    calls = count()
    boot = slopes.bootstrap(2, lambda fit: np.ones(1 + (next(calls) == 2)), **QUIET)
    assert boot.failures.to_dict() == {2: "fun returned another number of values"}


def test_an_interrupted_run_keeps_what_is_done(slopes, caplog):
    calls = count()

    def interrupted(fit):
        if next(calls) == 4:
            raise KeyboardInterrupt
        return fit.sigma

    boot = slopes.bootstrap(50, interrupted, **QUIET)
    assert caplog.messages == ["interrupted: 3 of 50 bootstrap replicates are done"]
    assert boot.partial and boot.nsim == 50 and len(boot.t) == 3
    assert "interrupted: 3 of 50 replicates" in str(boot)
    expected = slopes.bootstrap(3, lambda fit: fit.sigma, **QUIET)
    assert boot.t.to_numpy() == pytest.approx(expected.t.to_numpy())


def test_an_interruption_before_anything_is_done_is_one(slopes):
    calls = count()

    def interrupted(fit):
        if next(calls) == 1:
            raise KeyboardInterrupt
        return fit.sigma

    with pytest.raises(KeyboardInterrupt):
        slopes.bootstrap(50, interrupted, **QUIET)


def test_progress_goes_to_standard_error_and_can_be_silent(slopes, capsys, monkeypatch):
    monkeypatch.setattr("nestedmlm.progress._FIRST_SECONDS", 0.0)
    slopes.bootstrap(3, seed=1)
    assert "3/3" in capsys.readouterr().err
    slopes.bootstrap(3, **QUIET)
    assert capsys.readouterr() == ("", "")


def test_pickled_bootstraps_have_intervals(slopes):
    boot = slopes.bootstrap(30, **QUIET)
    again = pickle.loads(pickle.dumps(boot))
    pd.testing.assert_frame_equal(again.conf_int("bca"), boot.conf_int("bca"))


def test_a_penalty_stays():
    fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff2"), penalty="wishart")
    boot = fit.bootstrap(20, **QUIET)
    assert (boot.t["sd_(Intercept)|Batch"] > 0).all()


def test_r_spelling(slopes):
    theirs = lme4.bootMer(slopes, lambda fit: fit.params, nsim=3, seed=1)
    pd.testing.assert_frame_equal(theirs.t, slopes.bootstrap(3, lambda f: f.params, **QUIET).t)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"type": "wild"}, "type must be one of parametric, semiparametric, residual, cases"),
        ({"type": "semiparametric"}, "use_u=True"),
        ({"type": "cases", "use_u": True}, "takes no use_u"),
        ({"type": "residual", "re_form": None}, "takes no use_u"),
        ({"type": "cases", "by": "elsewhere"}, "no grouping factor; they are Subject"),
        ({"workers": 0}, "workers must be a positive integer"),
        ({"nsim": 0}, "nsim must be"),
    ],
)
def test_bad_arguments_are_refused(slopes, options, text):
    with pytest.raises(OptionError, match=text):
        slopes.bootstrap(**{"nsim": 5, **QUIET, **options})


# --- without normality -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["residual", "cases"])
def test_other_bootstraps_agree_on_fixed_effects(slopes, kind):
    boot = slopes.bootstrap(400, type=kind, **QUIET)
    se = boot.to_frame()["std_error"][["(Intercept)", "Days"]]
    # resampling J groups divides by J, not J - 1
    expected = slopes.bse * np.sqrt(17 / 18 if kind == "cases" else 1.0)
    assert se.to_numpy() == pytest.approx(expected.to_numpy(), rel=4.5 * np.sqrt(1 / 800))


def test_semiparametric_bootstrap_resamples_raw_residuals(slopes):
    boot = slopes.bootstrap(2, lambda fit: fit.design.y, type="semiparametric", use_u=True,
                            **QUIET)  # fmt: skip
    e = np.sort((slopes.design.y - slopes.solution.fitted).round(8))
    drawn = (boot.t.to_numpy() - slopes.solution.fitted).round(8)
    assert np.isin(drawn, e).all()


def test_resampled_effects_have_the_estimated_covariances():
    fit = nm.lmer("y ~ x + (x | f1) + (0 + z | f1) + (1 | c1)", data(), weights="w")
    drawn = residual(fit.design, fit.solution)
    for b, factor in zip(drawn.b, fit.design.factors, strict=True):
        blocks = [v.cov for v in fit.varcorr().blocks if v.factor == factor.name]
        at = np.cumsum([0, *map(len, blocks)])
        assert b.mean(axis=0) == pytest.approx(np.zeros(b.shape[1]), abs=1e-10)
        found = b.T @ b / len(b)
        for cov, start in zip(blocks, at, strict=False):
            own = slice(start, start + len(cov))
            assert found[own, own] == pytest.approx(cov, rel=1e-8, abs=1e-8)
    e = drawn.rows.residuals
    assert e.mean() == pytest.approx(0.0, abs=1e-12)
    assert np.mean(e**2) == pytest.approx(fit.sigma**2)


def test_too_few_levels_cannot_be_resampled():
    fit = nm.lmer("y ~ x + (x | g)", data().assign(g=np.arange(150) % 2))
    with_all = fit.design, replace(fit.solution, T=(np.eye(2),))
    with pytest.raises(OptionError, match="g has 2 levels, too few to resample 2 random effects"):
        residual(*with_all)


def test_a_group_taken_twice_counts_as_two_and_brings_its_own_subgroups():
    fit = nm.lmer("y ~ x + (1 | f2) + (1 | f1) + (1 | c1)", data())
    names = [f.name for f in fit.design.factors]
    top = names.index("f2")
    taken = take_groups(fit.design, top, np.array([3, 3, 0]))
    rows = data()
    once, other = rows[rows.f2 == 3], rows[rows.f2 == 0]
    assert taken.n == 2 * len(once) + len(other)
    levels = {f.name: len(f.levels) for f in taken.factors}
    assert levels["f2"] == 3
    assert levels["f1"] == 2 * once.f1.nunique() + other.f1.nunique()
    assert levels["c1"] == pd.concat([once, other]).c1.nunique()  # crossed: shared
    assert taken.y.tolist() == [*once.y, *once.y, *other.y]


def test_all_groups_in_order_are_the_design_itself():
    fit = nm.lmer("y ~ x + (x | f2) + (1 | f1)", data(), weights="w", offset="off")
    top = top_factor(fit.design)
    same = take_groups(fit.design, top, np.arange(len(fit.design.factors[top].levels)))
    from nestedmlm.likelihood.solution import results_at

    assert results_at(same, fit.theta).reml_criterion == pytest.approx(fit.reml_criterion)


def test_crossed_factors_need_a_name():
    fit = nm.lmer("y ~ x + (1 | f1) + (1 | c1)", data())
    with pytest.raises(OptionError, match="not nested in one of them: say with by="):
        fit.bootstrap(5, type="cases", **QUIET)
    boot = fit.bootstrap(40, type="cases", by="f1", **QUIET)
    assert boot.by == "f1" and np.isfinite(boot.t).all(axis=None)
    assert np.isfinite(boot.conf_int("bca")).all(axis=None)


def test_cases_that_do_not_identify_the_model_fail():
    rows = data().assign(only=lambda d: (d.f2 == 0) * 1.0)
    fit = nm.lmer("y ~ only + (1 | f2)", rows)
    boot = fit.bootstrap(40, type="cases", **QUIET)
    assert set(boot.failures) == {"DataError: the resampled rows do not identify all fixed effects"}
    assert boot.t.isna().any(axis=1).sum() == len(boot.failures) > 5


def test_view(boot):
    text = str(boot)
    assert text.startswith("Parametric bootstrap, 1000 replicates\nFormula: Reaction ~ Days")
    assert "original" in text and "std. error" in text
    assert boot.tables["bootstrap"].columns.tolist() == [
        "estimate", "bias", "std_error", "median", "replicates",
    ]  # fmt: skip
    assert str(boot.summary()) == text


def test_statistics_of_many_refits_are_those_of_each():
    fit = nm.lmer("y ~ x + (x + z | f1) + (1 | c1)", data())
    boot = fit.bootstrap(30, **QUIET)
    one = fit.refit(fit.simulate(1, seed=1)["sim_1"]).bootstrap(1, **QUIET)
    assert boot.t.iloc[0].to_numpy() == pytest.approx(one.t0.to_numpy(), rel=1e-4, nan_ok=True)


def test_a_response_that_cannot_be_fitted_costs_only_itself(slopes):
    from nestedmlm.fits.simulation.refits import notes_of, refit_columns

    design = slopes.design
    y = slopes.simulate(2, seed=1).to_numpy()
    exact = design.X @ np.array([1.0, 2.0])  # nothing is left for the groups
    batch = refit_columns(design, np.column_stack([y[:, 0], exact, y[:, 1]]), REML=True)
    assert np.isfinite(batch.criterion).tolist() == [True, False, True]
    assert notes_of(batch) == ("", "the response could not be fitted", "")
    assert batch.beta[0] == pytest.approx(slopes.refit(y[:, 0]).params.to_numpy())
