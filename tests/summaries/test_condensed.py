"""Responses drawn from sums have the distribution of responses drawn row by row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats as distributions
from situations import rows

import nestedmlm as nm
from nestedmlm.errors import RowsNotHereError
from nestedmlm.fits import model_source
from nestedmlm.inference.resampling.response_distribution import response_distribution
from nestedmlm.likelihood.solution import results_at
from nestedmlm.optimum.batch import refit_many
from nestedmlm.statistics.cells.condensed import condensed
from nestedmlm.statistics.responses import responses

CASES = {
    "crossed": ("y ~ x + a + (x | f1) + (1 | c1)", {}),
    "slopes alone, some of them zero": ("y ~ x + a + (0 + s | f1) + (1 | c1)", {}),
    "three columns of weighted rows": ("y ~ x * a + (x || f1)", {"weights": "w", "offset": "off"}),
    "rank deficient": ("y ~ x + x2 + z + (1 | f1)", {}),
    "no fixed effects": ("y ~ 0 + (1 | f1)", {}),
    "weights and an offset": ("y ~ x + (1 | c1)", {"weights": "w", "offset": "off"}),
    "rows that repeat": ("y ~ b + (b | f1)", {}),
}
FEW = ("weights and an offset",)  # whose refits are quick
QUIET = {"progress": False, "seed": 1}


def table() -> pd.DataFrame:
    return rows().assign(s=lambda d: np.where(d.f1 < 4, 0.0, d.x), b=lambda d: 1.0 * (d.x > 0))


def both(case: str) -> tuple[nm.LmerFit, nm.LmerFit]:
    formula, options = CASES[case]
    return nm.summarise(formula, table(), **options).fit(), nm.lmer(formula, table(), **options)


def dense(design: nm.Design) -> np.ndarray:
    """Columns of all random effects and of the fixed effects, and the response, weighted."""
    y = design.y if design.offset is None else design.y - design.offset
    parts = [
        (np.eye(len(f.levels))[f.codes][:, :, None] * term.X[:, None, :]).reshape(len(y), -1)
        for term in design.terms
        for f in (design.factors[term.factor],)
    ]
    root = 1.0 if design.weights is None else np.sqrt(design.weights)[:, None]
    return np.column_stack([*parts, design.X, y]) * root


@pytest.mark.parametrize("case", CASES)
def test_condensed_rows_have_the_sums_of_all_rows(case: str) -> None:
    """All first and second moments of what is drawn are these sums, times variances."""
    summed, full = both(case)
    small = condensed(summed.design)
    mine, all_rows = dense(small), dense(full.design)
    np.testing.assert_allclose(mine.T @ mine, all_rows.T @ all_rows, rtol=1e-10, atol=1e-9)
    assert len(mine) < len(all_rows)
    # the last row stands for all that groups by cell and fixed effects leave
    assert not mine[-1, :-1].any()
    codes = np.array([f.codes for f in full.design.factors])
    _, cell = np.unique(codes, axis=1, return_inverse=True)
    of_cell = np.eye(cell.max() + 1)[cell.ravel()][:, :, None]
    everything = [(of_cell * t.X[:, None, :]).reshape(150, -1) for t in full.design.terms]
    rank = np.linalg.matrix_rank(np.column_stack([*everything, full.design.X]), tol=1e-8)
    assert small.rows.left == 150 - rank
    assert small.rows.spread.sum() == rank + 1


@pytest.mark.parametrize("case", CASES)
def test_responses_of_condensed_rows(case: str) -> None:
    """Their statistics are those of the rows; many at once and one by one are the same fit."""
    summed, full = both(case)
    small, stats = condensed(summed.design), summed.solution.stats
    again = responses(small, stats, small.y[:, None]).statistics(0)
    np.testing.assert_allclose(again.F, stats.F, rtol=1e-9, atol=1e-9)
    own = small.with_response(small.y)
    assert results_at(own, full.theta).deviance == pytest.approx(full.deviance, abs=1e-8)
    y = 3.0 + np.sin(np.arange(small.rows.n))
    one = summed.refitted(small.with_response(y).with_rows(None))
    many = refit_many(small, y[:, None], REML=summed.REML)
    assert one.criterion == pytest.approx(many.criterion[0], abs=1e-7)
    assert one.r2().notna().all()
    with pytest.raises(RowsNotHereError, match="drawn from sums"):
        one.sample(sampler="psis", draws=10)


def draws_of(fit: nm.LmerFit, nsim: int, **options: object) -> pd.DataFrame:
    return fit.bootstrap(nsim, **options, **QUIET).t


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("weights and an offset", {}),
        ("weights and an offset", {"use_u": True}),
        pytest.param("crossed", {}, marks=pytest.mark.slow),
        pytest.param("slopes alone, some of them zero", {"use_u": True}, marks=pytest.mark.slow),
    ],
)
def test_bootstraps_have_one_distribution(case: str, options: dict[str, object]) -> None:
    summed, full = both(case)
    nsim = 150 if case in FEW else 500
    mine, theirs = draws_of(summed, nsim, **options), draws_of(full, nsim, **options)
    for name in mine:
        test = distributions.ks_2samp(mine[name].dropna(), theirs[name].dropna())
        assert test.pvalue > 1e-3, name


def test_sums_of_squares_are_chi_squared() -> None:
    """What the last row stands for."""
    summed, _ = both("rank deficient")
    small, s = condensed(summed.design), summed.solution
    drawn = response_distribution(small, beta=s.beta, T=s.T, sigma=s.sigma)
    last = np.array([drawn.draw(np.random.default_rng(i))[-1] for i in range(500)])
    test = distributions.kstest((last / s.sigma) ** 2, distributions.chi2(small.rows.left).cdf)
    assert test.pvalue > 1e-3


def test_power_and_tests_of_a_summary() -> None:
    formula = "y ~ x + a + (1 | f1) + (1 | c1)"
    s = nm.summarise(formula, table())
    fit, full = s.fit(), nm.lmer(formula, table())
    mine, theirs = (nm.power(f, "x", 100, effect_size=0.4, test="z", **QUIET) for f in (fit, full))
    assert distributions.ks_2samp(mine.pvalues, theirs.pvalues).pvalue > 1e-3
    assert (mine.nobs, mine.trials) == (150, 100)
    for test in ("boundary", "lrt"):
        assert fit.power("(1 | c1)", 5, test=test, **QUIET).estimate == 1.0
    smaller = s.fit("y ~ x + (1 | f1) + (1 | c1)", REML=False)
    table_of = nm.anova(smaller, fit, test="bootstrap", nsim=20, **QUIET)
    assert 0 < table_of.table["Pr(bootstrap)"].iloc[1] <= 1
    one = nm.summarise("y ~ x + (1 | f1)", table()).fit()
    same = nm.lmer("y ~ x + (1 | f1)", table())
    assert nm.rlrt(one, nsim=100, seed=1).pvalue == nm.rlrt(same, nsim=100, seed=1).pvalue


def test_large_tables_are_bootstrapped_without_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_source, "MANY_ROWS", 1)
    data = pd.concat([table()] * 4, ignore_index=True)
    fit = nm.lmer("y ~ x + (x | f1)", data)
    fit.bootstrap(5, **QUIET)
    fit.power("x", 5, **QUIET)
    assert not fit.design.rows._built
    asked = fit.bootstrap(2, lambda refit: refit.residuals().std(), **QUIET)
    assert not len(asked.failures)  # of rows a function of one's own may ask
