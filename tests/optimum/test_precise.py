"""Fits of responses with next to no residuals: from the rows, beside 60 digits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.covariance import relative_factors
from nestedmlm.errors import ConvergenceWarning
from nestedmlm.optimum import precise
from tests.mp_reference import exact_criterion


def data(noise: float, *, crossed: bool, n: int = 48, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g, h, x = np.arange(n) % 6, np.arange(n) // 6 % 4, rng.normal(size=n)
    u, c = rng.normal(size=(6, 2)), rng.normal(size=4) * crossed
    y = 1.0 + x + u[g, 0] + u[g, 1] * x + c[h] + noise * rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "g": g, "h": h})


def exact(fit: nm.LmerFit, theta: np.ndarray) -> float:
    T = relative_factors(theta, fit.solution.plan.shapes)
    return exact_criterion(fit.design, T, REML=fit.REML)


def beside(fit: nm.LmerFit) -> Iterator[float]:
    """The exact criterion a thousandth of each parameter away."""
    for i in range(len(fit.theta)):
        step = np.where(np.arange(len(fit.theta)) == i, 1e-3 * fit.theta, 0.0)
        yield from (exact(fit, fit.theta + step), exact(fit, fit.theta - step))


@pytest.mark.parametrize(
    ("noise", "crossed", "REML"),
    [(1e-4, False, False), (1e-5, True, True), (1e-7, False, True),
     pytest.param(1e-7, True, False, marks=pytest.mark.slow)],
)  # fmt: skip
def test_a_certified_optimum_is_one_to_many_digits(noise: float, crossed: bool, REML: bool) -> None:
    formula = "y ~ x + (x | g)" + " + (1 | h)" * crossed
    fit = nm.lmer(formula, data(noise, crossed=crossed), REML=REML)
    assert fit.converged and fit.certificate.route == "orthogonal"
    assert fit.certificate.message == "local optimum certified"
    here = exact(fit, fit.theta)
    assert fit.criterion == pytest.approx(here, abs=2e-6)
    assert min(beside(fit)) > here - 1e-9
    assert fit.sigma == pytest.approx(noise, rel=0.5)
    assert np.std(fit.resid) == pytest.approx(fit.sigma, rel=0.5)


def test_groups_that_stand_apart_give_what_a_regression_of_each_gives() -> None:
    """Without noise to speak of: the modes' spread, degrees of freedom, standard errors."""
    d = data(1e-7, crossed=False)
    fit = nm.lmer("y ~ x + (x | g)", d)
    own = np.array([np.polyfit(part.x, part.y, 1)[::-1] for _, part in d.groupby("g")])
    sd = fit.varcorr().to_frame().query("group == 'g' and var2.isna()").estimate
    np.testing.assert_allclose(sd, own.std(axis=0, ddof=1), rtol=1e-6)
    np.testing.assert_allclose(fit.params, own.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(fit.bse, own.std(axis=0, ddof=1) / np.sqrt(6), rtol=1e-6)
    for ddf in ("satterthwaite", "kenward-roger"):
        np.testing.assert_allclose(fit.tidy(ddf=ddf)["df"][:2], 5.0, rtol=1e-5)
    sd = fit.ranef().set_index(["term", "level"])["std_error"]
    for g, part in d.groupby("g"):  # of the group's own regression
        X = np.column_stack([np.ones(len(part)), part.x])
        expected = fit.sigma * np.sqrt(np.diag(np.linalg.inv(X.T @ X)))
        np.testing.assert_allclose(sd.xs(g, level="level"), expected, rtol=1e-4)
    again = fit.refit(d.y)
    assert again.converged and again.criterion == pytest.approx(fit.criterion, abs=1e-6)
    many = fit.refit_many(np.column_stack([d.y, d.y + 1.0]))
    np.testing.assert_allclose(many.criterion, fit.criterion, atol=1e-5)
    np.testing.assert_allclose(many.df, 5.0, rtol=1e-4)


@pytest.mark.filterwarnings("ignore::nestedmlm.errors.ConvergenceWarning")
@pytest.mark.parametrize("noise", [3e-5, 3e-6])
def test_more_rows_than_that_say_what_is_not_known(
    noise: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precise, "row_blocks", lambda *_: None)
    fit = nm.lmer("y ~ x + (x | g)", data(noise, crossed=False))
    said = fit.certificate.message
    assert said in fit.messages or not fit.converged
    lost = float(said.split(" to about ")[1].split()[0])
    assert abs(fit.criterion - exact(fit, fit.theta)) < lost < 1e-4 * (noise / 3e-5) ** -2


def test_sums_alone_say_it_too() -> None:
    s = nm.summarise("y ~ x + (x | g)", data(1e-6, crossed=False))
    with pytest.warns(ConvergenceWarning, match="is known to about .* deviance units"):
        assert not s.fit().converged


@pytest.mark.parametrize("formula", ["y ~ x + (1 | g)", "y ~ 1 + (1 | g) + (1 | h)"])
def test_a_response_that_the_effects_reproduce_is_named(formula: str) -> None:
    d = data(1.0, crossed=False)
    d = d.assign(y=np.sin(d.g) + np.cos(d.h) * ("h" in formula))
    with pytest.warns(ConvergenceWarning, match="the likelihood has no maximum") as said:
        fit = nm.lmer(formula, d)
    assert not fit.converged and len(said) == 1


def test_left_out_groups_have_a_density_whatever_their_effects_sizes() -> None:
    fit = nm.lmer("y ~ x + (x | g)", data(1e-8, crossed=False))
    assert np.isfinite(fit.loo("group").elpd)


@pytest.mark.filterwarnings("ignore::nestedmlm.errors.ConvergenceWarning")
@pytest.mark.parametrize("seed", [7, 8])
def test_no_certificate_stands_above_a_submodel(seed: int) -> None:
    """Correlations of one, standard deviations of ten million: directions of 17 orders' sizes."""
    r = np.random.default_rng(seed)
    g, t, h = r.integers(0, 5, 40), r.integers(0, 3, 40), r.integers(0, 3, 40)
    d = pd.DataFrame({"t": pd.Categorical(t), "g": g, "h": h})
    d["y"] = r.normal(size=5)[g] + 1e-7 * r.normal(size=40)
    fit = nm.lmer("y ~ 1 + cs(0 + t | g, hom=TRUE) + (1 | h)", d, REML=False)
    below = [
        nm.lmer(f"y ~ 1 + {term} + (1 | h)", d, REML=False)
        for term in ("(1 | g)", "diag(0 + t | g, hom=TRUE)")
    ]
    least = min(f.criterion for f in below)
    assert fit.criterion < least + (1e-3 if fit.converged else 30.0)
