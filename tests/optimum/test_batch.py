"""Many responses at once against one fit each."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import nestedmlm as nm
from nestedmlm.errors import DataError, OptionError
from nestedmlm.fits.verbs.refit_many import benjamini_hochberg
from nestedmlm.likelihood.elimination.speed import Speed, held
from nestedmlm.likelihood.plan import make_plan
from nestedmlm.likelihood.solution import results_at
from nestedmlm.optimum import fused
from nestedmlm.optimum.batch import refit_many
from nestedmlm.optimum.optimize import optimize
from nestedmlm.statistics.crossproducts import cross_products
from nestedmlm.statistics.responses import in_chunks, responses
from tests.designs import FORMULAS, design, simulated_responses


@pytest.mark.parametrize("kind", list(FORMULAS))
def test_statistics_are_those_of_the_response(kind: str) -> None:
    d = design(kind, weighted=True, offset=True)
    Y = simulated_responses(d, 3)
    all_of_them = responses(d, cross_products(d), Y)
    for j in range(3):
        given, expected = all_of_them.statistics(j), cross_products(d.with_response(Y[:, j]))
        parts = [(given.F, expected.F), (given.beta0, expected.beta0)]
        parts += [(a.panels, b.panels) for a, b in zip(given.blocks, expected.blocks, strict=True)]
        if given.crossed is not None:
            parts.append((given.crossed.R, expected.crossed.R))
        for a, b in parts:
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("REML", [True, False], ids=["REML", "ML"])
@pytest.mark.parametrize(
    "kind",
    [
        "slope", "several terms on one factor", "nested chain of two", "nested chain of three",
        "diag", "no fixed effects", "crossed", "autoregressive",
    ],
)  # fmt: skip
def test_same_optima_as_one_by_one(kind: str, REML: bool) -> None:
    d = design(kind, weighted=True, offset=True)
    Y = simulated_responses(d, 6)
    batch = refit_many(d, Y, REML=REML)
    assert batch.converged.all()
    for j in range(6):
        own = d.with_response(Y[:, j])
        stats = cross_products(own)
        optimum = optimize(make_plan(own, stats), stats, REML=REML)
        single = results_at(own, optimum.theta, REML=REML, stats=stats)
        criterion = single.reml_criterion if REML else single.deviance
        assert batch.criterion[j] == pytest.approx(criterion, abs=1e-7)
        assert batch.sigma[j] == pytest.approx(single.sigma, rel=1e-6)
        np.testing.assert_allclose(batch.beta[j], single.beta, rtol=1e-5, atol=1e-6)
        again = results_at(own, batch.theta[j], REML=REML, stats=stats)
        assert (again.reml_criterion if REML else again.deviance) == pytest.approx(
            criterion, abs=1e-7
        )


def test_neither_workers_nor_chunks_nor_the_start_change_the_result() -> None:
    d = design("slope")
    Y = simulated_responses(d, 60)
    one = refit_many(d, Y)
    threads, few = refit_many(d, Y, workers=3), refit_many(d, Y[:, :7])
    for name in ("theta", "criterion", "sigma", "beta", "singular"):
        np.testing.assert_array_equal(getattr(one, name), getattr(threads, name))
        np.testing.assert_allclose(getattr(one, name)[:7], getattr(few, name), atol=1e-7)
    moved = refit_many(d, Y, start=np.array([2.0, -0.5, 0.7]))
    np.testing.assert_allclose(moved.criterion, one.criterion, atol=1e-7)


def test_singular_ones_are_told_apart() -> None:
    d = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff2")).design
    Y = np.column_stack([d.y, d.y + 5.0 * d.factors[0].codes])
    batch = refit_many(d, Y)
    assert batch.singular.tolist() == [True, False]
    assert batch.theta[0, 0] == 0.0
    assert batch.converged.all()


def test_progress_adds_up() -> None:
    d = design("slope")
    told: list[int] = []
    refit_many(d, simulated_responses(d, 300), progress=told.append)
    assert sum(told) == 300 and len(told) > 1


def test_chunks_cover_all_columns() -> None:
    d = design("crossed")
    Y = simulated_responses(d, 5)
    stats = cross_products(d)
    two = 2 * 8 * max(stats.q, len(Y))
    sizes = [chunk.m for chunk in in_chunks(d, stats, Y, at_once=two)]
    assert sizes == [2, 2, 1]


@pytest.mark.parametrize(
    ("Y", "error", "text"),
    [
        (np.ones((3, 2)), DataError, "one row for each"),
        (np.full((150, 2), np.nan), DataError, "missing or infinite"),
        (np.ones((150, 2)), DataError, "reproduce 2 of the 2"),
    ],
    ids=["rows", "missing", "constant"],
)
def test_what_cannot_be_fitted(Y: np.ndarray, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        refit_many(design("slope"), Y)


def test_workers_must_be_positive() -> None:
    d = design("slope")
    with pytest.raises(OptionError, match="at least 1"):
        refit_many(d, simulated_responses(d, 2), workers=0)


def test_refit_and_refit_many_of_a_fit_agree() -> None:
    sleepstudy = nm.load_dataset("sleepstudy")
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
    Y = simulated_responses(fit.design, 4)
    batch = fit.refit_many(Y)
    for j in range(4):
        single = fit.refit(Y[:, j])
        assert batch.criterion[j] == pytest.approx(single.criterion, abs=1e-8)
        np.testing.assert_allclose(batch.beta[j], single.fixef, rtol=1e-6)
        np.testing.assert_allclose(single.design.y, Y[:, j])
    with pytest.raises(DataError, match="refit needs 180 values, one response"):
        fit.refit(Y)
    penalised = nm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy, penalty="wishart")
    with pytest.raises(OptionError, match="penalties"):
        penalised.refit_many(Y)


@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger", "residual", "none"])
def test_tests_of_many_responses_are_those_of_single_fits(ddf: str) -> None:
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    Y = pd.DataFrame(
        simulated_responses(fit.design, 3), index=fit.design.index, columns=list("abc")
    )
    found = fit.refit_many(Y, ddf=ddf)
    table = found.tidy()
    assert table["response"].unique().tolist() == ["a", "b", "c"]
    for name in "abc":
        single = fit.refit(Y[name]).tidy("fixed", ddf=ddf)
        own = table[table["response"] == name]
        for column in ("std_error", "statistic", *(("df", "p_value") if ddf != "none" else ())):
            np.testing.assert_allclose(own[column], single[column], rtol=2e-5)
    raw = fit.refit_many(Y, ddf="none")
    np.testing.assert_allclose(raw.p_value, 2 * stats.norm.sf(np.abs(raw.statistic)))


def test_adjusted_p_values_are_benjamini_and_hochbergs() -> None:
    p = np.array([0.01, 0.04, np.nan, 0.03, 0.5])
    expected = [0.04, 0.16 / 3, np.nan, 0.16 / 3, 0.5]
    np.testing.assert_allclose(benjamini_hochberg(p[:, None])[:, 0], expected)
    known = p[np.isfinite(p)]
    np.testing.assert_allclose(
        benjamini_hochberg(known[:, None])[:, 0], stats.false_discovery_control(known)
    )


def test_many_responses_descend_in_one_function_to_the_same_optima(monkeypatch) -> None:
    d = design("nested chain of two")
    Y = simulated_responses(d, 4)
    single = refit_many(d, Y)
    monkeypatch.setattr(fused, "compiled_descent", cache(lambda: fused.descend))  # as it stands
    with held(choice=Speed.DESCENT):
        together = refit_many(d, Y)
    np.testing.assert_allclose(single.criterion, together.criterion, atol=1e-8)
    np.testing.assert_allclose(single.sigma, together.sigma, rtol=1e-6)
    assert together.converged.all()
