"""Where lme4's optimizer stops: R's places (`reference/stops/`), and what is said of them.

A place that R itself loses when the last bits of its criterion change (`steady` is false) is held
to be near; all others are held to the evaluation and to every printed digit.
"""

from __future__ import annotations

import inspect
import logging
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
from reference import FOLDER, numbers

import nestedmlm as nm
from benchmarks.agreement.record import read_json
from nestedmlm import lme4
from nestedmlm.covariance import Parameter, cholesky, register, temporary_structures
from nestedmlm.datasets import DATA_VARIABLE, find_local
from nestedmlm.errors import ConvergenceWarning, DataError, OptionError
from nestedmlm.likelihood.elimination import speed
from nestedmlm.likelihood.solution import results_at
from nestedmlm.optimum import control as control_module
from nestedmlm.optimum import nloptwrap, solve

CASES = {c["id"]: c for c in read_json((FOLDER / "stops" / "cases.json").read_text("utf-8"))}
KEPT = {r["id"]: r for r in numbers("stops/stops")}
STEADY = [name for name, kept in KEPT.items() if kept["steady"]]
LOST = [name for name, kept in KEPT.items() if not kept["steady"]]

# the last step is decided by bits that are rounding in R: a criterion in 80 bits takes ours, too
ONE_FEWER = {"sleep_norm_ML", "cake_repl"}
# an SD of 1e-5 sigma, of which five digits are printed
TINY_SD = {"few_levels"}
# a slope in units of 1e-6: the criterion at lme4's start has no digits left
LOST_AT_THE_START = {"bigscale"}

SLEEP = "Reaction ~ Days + (Days | Subject)"


def words(lines) -> list[list[str]]:
    return [line.split() for line in lines if line.strip()]


@pytest.fixture(scope="module")
def stopped(request):
    """Fit a case by name, once."""
    known: dict[str, nm.LmerFit] = {}

    def fit(name: str) -> nm.LmerFit:
        if name not in known:
            known[name] = fit_case(CASES[name], request)
        return known[name]

    return fit


def fit_case(case: dict, request, lmer=lme4.lmer) -> nm.LmerFit:
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if find_local(case["data"]) is None:
            patch.setenv(DATA_VARIABLE, str(request.getfixturevalue("shared_data")))
        rows = nm.load_dataset(case["data"])
        if "subset" in case:
            rows = rows.query(case["subset"])
        options = {k: case[k] for k in ("REML", "weights", "contrasts", "start") if k in case}
        return lmer(case["formula"], rows, **options)


@pytest.fixture(scope="module")
def sleepstudy() -> pd.DataFrame:
    return nm.load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def sleep(sleepstudy) -> nm.LmerFit:
    return lme4.lmer(SLEEP, sleepstudy)


# The place ----------------------------------------------------------------------------------------


def test_most_places_are_steady():
    assert len(STEADY) >= 50
    assert {"class_M14", "class_M15", "class_M17", "class_M18", "crossed", "w_REML"} <= {*STEADY}


@pytest.mark.parametrize("name", STEADY)
def test_lme4_is_followed_to_the_evaluation(stopped, name):
    fit, kept = stopped(name), KEPT[name]
    theta = np.array(kept["theta"])
    assert np.all(np.abs(fit.theta - theta) <= 1e-6 * np.maximum(1.0, np.abs(theta)))
    assert (fit.theta == 0.0).tolist() == (theta == 0.0).tolist()  # an edge is taken or not
    assert fit.certificate.evaluations == kept["feval"] - (name in ONE_FEWER)


@pytest.mark.parametrize("name", [name for name in STEADY if "VarCorr" in KEPT[name]])
def test_what_is_printed_is_lme4s(stopped, name):
    fit, kept = stopped(name), KEPT[name]
    if name not in TINY_SD:
        assert words(str(fit.varcorr()).splitlines()) == words(kept["VarCorr"])
    fixef = [float(x) for x in kept["fixef"]]
    np.testing.assert_allclose(fit.fixef.to_numpy(), fixef, rtol=5.1e-7)  # seven digits
    assert lme4.isSingular(fit) is kept["singular"]


@pytest.mark.parametrize("name", [n for n in LOST if n not in LOST_AT_THE_START])
def test_where_lme4_is_lost_it_is_near(stopped, name):
    """Both are a little above the optimum: R's, for the worst of them, by 0.0059."""
    fit, theta = stopped(name), np.array(KEPT[name]["theta"])
    there = results_at(fit.design, theta, REML=fit.REML)
    assert fit.certificate.gap < 2e-4
    theirs = there.reml_criterion if fit.REML else there.deviance
    assert fit.criterion == pytest.approx(theirs, rel=0, abs=0.006)


def test_units_at_which_the_criterion_has_no_digits(request):
    with pytest.raises(DataError, match=r"theta = \[1\. 1\. 1\.\].*rescale the predictors"):
        fit_case(CASES["bigscale"], request)


@pytest.mark.parametrize("name", [name for name, kept in KEPT.items() if "refit" in kept])
def test_refit_stops_where_lme4s_does(stopped, name):
    fit, kept = stopped(name), KEPT[name]["refit"]
    again = fit.refit(fit.design.y[::-1].copy())
    assert again.certificate.control.optimizer == "lme4"
    assert again.theta == pytest.approx(kept["theta"], abs=1e-6)
    assert again.certificate.evaluations == kept["feval"]


# The certificate ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in KEPT if n not in LOST_AT_THE_START])
def test_the_certificate_measures_the_gap(stopped, request, name):
    fit = stopped(name)
    best = fit.polish()
    gap = fit.criterion - best.criterion
    assert best.converged is True
    assert gap == pytest.approx(fit.certificate.gap, rel=0.25, abs=3e-9)
    optimum = fit_case(CASES[name] | {"start": None}, request, lmer=nm.lmer)
    assert best.criterion == pytest.approx(optimum.criterion, rel=0, abs=1e-8)


def test_the_certificate_says_where_it_is(sleep):
    c = sleep.certificate
    assert (c.holds, sleep.converged, c.route, c.control.optimizer) == (
        False, False, "NLopt BOBYQA", "lme4",
    )  # fmt: skip
    assert "above an optimum; fit.polish() goes there" in c.message
    assert c.start == (1.0, 0.0, 1.0)
    assert c.path[-1] == pytest.approx(sleep.criterion, abs=1e-9)
    assert np.all(np.diff(c.path) < 0)
    assert c.gradient > 1e-6


def test_a_place_at_the_optimum_is_certified():
    fit = lme4.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff2"))
    assert fit.theta.tolist() == [0.0]
    assert fit.converged is True
    assert fit.certificate.message == "lme4's optimizer has stopped at the optimum"


def test_a_place_far_above_the_optimum_is_warned_of(sleepstudy):
    units = sleepstudy.assign(Days=sleepstudy.Days * 1e-4)
    with pytest.warns(ConvergenceWarning, match="deviance units above an optimum") as caught:
        fit = lme4.lmer(SLEEP, units)
    assert caught[0].filename == __file__
    assert fit.certificate.gap > 1e-3
    assert fit.polish().criterion == pytest.approx(nm.lmer(SLEEP, units).criterion, rel=0, abs=1e-8)


# Start, bounds, boundary --------------------------------------------------------------------------


def test_intercepts_start_at_their_groups_variances():
    rows = nm.load_dataset("Dyestuff")
    fit = lme4.lmer("Yield ~ 1 + (1 | Batch)", rows)
    means = rows.groupby("Batch", observed=True).Yield.transform("mean")
    within = rows.Yield.var() - means.var()
    assert fit.certificate.start == pytest.approx((np.sqrt(means.var() / within),))


def test_a_bound_from_which_the_criterion_falls_is_left():
    """lme4's ``restart_edge``: a step of 1e-5 inwards, at both ends."""
    lower, upper = np.array([0.0, -np.inf, -1.0]), np.array([np.inf, np.inf, 1.0])
    slopes = np.array([1.0, 5.0, 1.0])

    def falls(*theta):
        return nloptwrap.falls_inwards(lambda t: t @ slopes, np.array(theta), lower, upper)

    assert falls(0.0, 0.0, 1.0) is True  # from the upper end
    assert falls(0.0, 0.0, -1.0) is False
    assert falls(0.5, 0.0, 0.5) is False
    slopes[0] = -1.0
    assert falls(0.0, 0.0, -1.0) is True
    assert falls(1e-9, 0.0, -1.0) is False  # close to a bound is not on it


def test_it_begins_again_inside(sleepstudy, sleep, monkeypatch):
    monkeypatch.setattr(nloptwrap, "falls_inwards", lambda *_: True)
    again = lme4.lmer(SLEEP, sleepstudy)
    assert again.certificate.evaluations > sleep.certificate.evaluations
    assert again.criterion <= sleep.criterion


def test_the_edge_is_taken_where_it_is_better():
    """lme4's ``check.boundary``: entries within 1e-5 of a bound, one after the other."""
    lower, upper = np.array([0.0, 0.0, -1.0]), np.array([np.inf, np.inf, 1.0])
    theta = np.array([9e-6, 9e-6, 1.0 - 9e-6])
    for slopes, end in (([1, -1, -1], [0.0, 9e-6, 1.0]), ([-1, 1, 1], [9e-6, 0.0, 1.0 - 9e-6])):
        found = nloptwrap.on_the_edge(lambda t, s=slopes: t @ np.array(s), theta, lower, upper)
        assert found.tolist() == end
    far = np.array([1.1e-5, 1.1e-5, 0.0])
    assert nloptwrap.on_the_edge(lambda t: t.sum(), far, lower, upper).tolist() == far.tolist()


def test_a_start_outside_the_bounds_is_refused(sleepstudy):
    with pytest.raises(OptionError, match="start must lie within the bounds"):
        lme4.lmer(SLEEP, sleepstudy, start=[1.0, 0.0, -1.0])
    with pytest.raises(OptionError, match="start must hold the 3"):
        lme4.lmer(SLEEP, sleepstudy, start=[1.0])


def test_singular_by_lme4s_rule_at_lme4s_place(stopped, caplog):
    """M15 of the guide: FALSE, though the optimum is singular; and no message."""
    fit = stopped("class_M15")
    assert 1e-4 < fit.theta[2] < 1e-3
    assert lme4.isSingular(fit) is False
    assert fit.messages == ()
    best = fit.polish()
    assert best.is_singular() is True
    assert any("singular" in message for message in best.messages)


def test_message_of_a_singular_place(caplog):
    with caplog.at_level(logging.WARNING, logger="nestedmlm"):
        fit = lme4.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff2"))
    assert "boundary (singular) fit: see fit.diagnose()" in caplog.messages
    assert lme4.isSingular(fit) is True


def test_a_footer_says_that_it_stopped_where_lme4_does(stopped):
    text = str(stopped("sim_slopes").summary(ddf="none"))
    assert "optimizer: stopped where lme4 stops, 73 evaluations" in text


# What is not lme4's -------------------------------------------------------------------------------


def test_penalties_are_refused(sleepstudy):
    with pytest.raises(OptionError, match="knows no penalties"):
        lme4.lmer(SLEEP, sleepstudy, penalty="wishart")


def test_registered_structures_are_refused(sleepstudy):
    def factor(xp, par, k):
        return cholesky(xp, (1.0 - par[0]) * np.eye(k) + par[0] * np.ones((k, k)), k)

    with temporary_structures():
        register("decay", factor, [Parameter("rho", 0.0, 1.0, 0.1)])
        with pytest.raises(OptionError, match="does not have the covariance structure decay"):
            lme4.lmer("Reaction ~ Days + decay(Days | Subject)", sleepstudy)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "bobyqa"}, "optimizer='bobyqa' is unknown; known: newton, .*lme4"),
        ({"optimizer": "lme4", "tolerance": 1e-6}, "tolerance cannot be chosen"),
        ({"optimizer": "lme4", "snap": 0.0, "max_evaluations": 9}, "max_evaluations, snap cannot"),
    ],
)
def test_control_that_contradicts_itself(options, message):
    with pytest.raises(OptionError, match=message):
        nm.Control(**options)


def test_it_takes_what_lmer_takes():
    """But for the method, which is what it is about, and for what lme4 has not."""
    ours, theirs = (dict(inspect.signature(f).parameters) for f in (lme4.lmer, nm.lmer))
    for name in ("method", "fixed", "relationship"):
        theirs.pop(name, None)
    assert list(ours) == list(theirs)
    assert [p.default for p in ours.values()] == [p.default for p in theirs.values()]


def test_every_optimizer_of_control_is_there():
    assert set(control_module.OPTIMIZERS) == set(solve.WARNED_FROM)
    assert set(control_module.OPTIMIZERS) == set(solve.OPTIMIZERS) - {"iterative"}


# One place, whatever ran before -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pastes_nested", "oats", "dayf"])
def test_compiled_sweeps_change_nothing(request, stopped, name):
    """Places that depend on the last bits: the path is always NumPy's."""
    plain = stopped(name)
    with speed.held(choice=speed.Speed.SWEEPS):  # as in a process that has fitted much
        again = fit_case(CASES[name], request)
    assert again.theta.tolist() == plain.theta.tolist()
    assert again.certificate.path == plain.certificate.path


def test_threads_change_nothing(sleepstudy, sleep):
    found: list[nm.LmerFit] = []
    work = [
        threading.Thread(target=lambda: found.append(lme4.lmer(SLEEP, sleepstudy)))
        for _ in range(4)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert [f.theta.tolist() for f in found] == [sleep.theta.tolist()] * 4


# Verbs --------------------------------------------------------------------------------------------


def test_update_stops_with_lme4_again(sleep, sleepstudy):
    updated = sleep.update(". ~ . + I(Days^2)")
    whole = lme4.lmer("Reaction ~ Days + I(Days^2) + (Days | Subject)", sleepstudy)
    assert updated.theta.tolist() == whole.theta.tolist()
    assert updated.certificate.evaluations == KEPT["sleep_quad"]["feval"]


def test_what_needs_other_fits_takes_optima(sleepstudy, sleep):
    best = nm.lmer(SLEEP, sleepstudy)
    assert sleep.refit_ml().converged is True
    assert sleep.refit_ml().criterion == pytest.approx(best.refit_ml().criterion, abs=1e-9)
    batch = sleep.refit_many(sleep.design.y[:, None])
    assert batch.converged.all()
    assert batch.criterion[0] == pytest.approx(best.criterion, abs=1e-9)


@pytest.mark.parametrize("REML", [True, False])
def test_profiles_are_taken_around_the_optimum(sleepstudy, REML):
    stopped = lme4.lmer(SLEEP, sleepstudy, REML=REML)
    best = nm.lmer(SLEEP, sleepstudy, REML=REML)
    ours, theirs = (f.profile(["sigma"], progress=False) for f in (stopped, best))
    assert ours.deviance == pytest.approx(theirs.deviance, rel=0, abs=1e-9)


def test_tests_of_effects_are_those_at_its_theta(sleep, sleepstudy):
    """They move by what theta moves, which is little."""
    at_optimum = nm.lmer(SLEEP, sleepstudy)
    for ddf in ("satterthwaite", "kenward-roger"):
        here, there = (f.anova(ddf=ddf).to_frame() for f in (sleep, at_optimum))
        np.testing.assert_allclose(here, there, rtol=1e-4)
        assert np.any(here.to_numpy() != there.to_numpy())


def test_where_rounding_stops_bobyqa_the_best_point_is_kept(monkeypatch) -> None:
    import nlopt

    shares = 0.9, 1.0, 2.0  # of the start: the best point is not the last

    class Stopped(nlopt.opt):
        def set_min_objective(self, criterion) -> None:
            self.criterion = criterion

        def optimize(self, start):
            for share in shares:
                self.criterion(share * np.asarray(start), np.empty(0))
            raise nlopt.RoundoffLimited

    monkeypatch.setattr(nlopt, "opt", Stopped)
    monkeypatch.setattr(nloptwrap, "falls_inwards", lambda *_: False)
    start = np.array([0.93, 0.02, 0.22])
    rows = nm.load_dataset("sleepstudy")
    with pytest.warns(ConvergenceWarning, match="above an optimum"):
        found = lme4.lmer(SLEEP, rows, start=start)
    np.testing.assert_allclose(found.theta, start, rtol=1e-12)
