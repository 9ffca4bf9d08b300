"""Satterthwaite's method for many responses at once, against that of single fits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.design.moments import term_matrix
from nestedmlm.inference.effects.ddf import df_method, joint_test
from nestedmlm.inference.effects.many_satterthwaite import many_satterthwaite, serves
from nestedmlm.inference.fitted import Fitted
from nestedmlm.likelihood.solution import results_at
from nestedmlm.optimum.batch import refit_many
from nestedmlm.statistics.crossproducts import cross_products

TERMS = [
    "(x | g)", "(x || g)", "(1 | g / h)", "(x | g) + (1 | h)", "(1 | g) + (1 | item)",
    "(0 + x | g) + (1 | item)",
]  # fmt: skip


def rows(seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g = np.append(np.arange(9), rng.integers(0, 9, 101))
    data = {"g": g, "h": 3 * g + rng.integers(0, 3, 110), "item": rng.integers(0, 7, 110)}
    data |= {"x": rng.normal(size=110), "f": rng.choice(list("ab"), 110), "y": rng.normal(size=110)}
    return pd.DataFrame(data | {"w": rng.uniform(0.5, 2.0, 110)})


def many_responses(design) -> np.ndarray:
    """Some with random effects of every term, and some without any, which end on the boundary."""
    rng = np.random.default_rng(5)
    Y = rng.normal(size=(design.n, 6))
    for term in design.terms:
        codes = design.factors[term.factor].codes
        effects = rng.normal(size=(codes.max() + 1, len(term.columns), 3))
        Y[:, :3] += np.einsum("ik,iks->is", term_matrix(term), effects[codes])
    return Y


@pytest.mark.parametrize(("terms", "REML"), list(zip(TERMS, [True, False] * 3, strict=True)))
def test_degrees_of_freedom_are_those_of_single_fits(terms: str, REML: bool) -> None:
    design = nm.Model(f"y ~ x * f + {terms}", rows(), weights="w" if REML else None).design
    stats, L, Y = cross_products(design), np.eye(4)[1:3], many_responses(design)
    fits = refit_many(design, Y, REML=REML)
    assert fits.singular.any() and not fits.singular.all()
    assert serves(design, stats, fits.theta[0], REML=REML)
    many = many_satterthwaite(design, stats, Y, fits.theta, REML=REML)
    df, p = many.row_df(L), many.p_values(L)
    for j, y in enumerate(Y.T):
        own = design.with_response(np.ascontiguousarray(y))
        at = results_at(own, fits.theta[j], REML=REML)
        method = df_method(Fitted(design=own, solution=at, REML=REML), "satterthwaite")
        np.testing.assert_allclose(df[j], method.rows(L), rtol=2e-6)
        assert p[j] == pytest.approx(joint_test(method, L).p_value, rel=1e-6)
        np.testing.assert_allclose(many.cov[j], at.vcov, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(many.beta[j], at.beta, rtol=1e-9, atol=1e-12)


def test_random_effects_that_cannot_be_told_apart_are_left_to_single_fits() -> None:
    data = rows().assign(again=lambda d: d["g"])
    for formula in ("y ~ x + (1 | g) + (1 | again)", "y ~ C(g) + (1 | g) + (1 | h)"):
        design = nm.Model(formula, data).design
        assert not serves(design, cross_products(design), np.array([0.5, 0.5]), REML=True)


def test_public_refits_have_them() -> None:
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    Y = fit.simulate(3, seed=1).to_numpy()
    found = fit.refit_many(Y)
    expected = [fit.refit(y).tidy()["df"].dropna().to_numpy() for y in Y.T]
    np.testing.assert_allclose(found.df, expected, rtol=1e-6)
