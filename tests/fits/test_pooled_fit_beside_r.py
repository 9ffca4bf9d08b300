"""Fits pooled over imputed data sets beside mice's and mitml's pooling of lme4's fits."""

from __future__ import annotations

import numpy as np
import pytest
from reference import numbers

import nestedmlm as nm

KEPT = numbers("imputation/imputation")
CLOSE = 3e-6  # of R's optimum; variances between data sets are differences of near numbers


@pytest.fixture(scope="module")
def fits() -> dict[str, nm.PooledFit]:
    data = nm.load_dataset("sleepstudy")
    kind = data["Subject"].astype(int) % 3
    data = data.assign(g=kind.map({0: "a", 1: "b", 2: "c"}))
    row = np.arange(1, len(data) + 1)
    gaps = (row - 1) % 7 == 0
    imputed = [
        data.assign(Reaction=data["Reaction"] + np.where(gaps, 25 * np.sin(k * row), 0.0))
        for k in range(1, 6)
    ]

    def fit(formula: str, REML: bool = True) -> nm.PooledFit:
        return nm.lmer(formula, imputed, REML=REML)

    return {
        "large": fit("Reaction ~ Days + g + (Days | Subject)"),
        "small": fit("Reaction ~ Days + (Days | Subject)"),
        "small, ML": fit("Reaction ~ Days + (Days | Subject)", REML=False),
        "intercepts, ML": fit("Reaction ~ Days + (1 | Subject)", REML=False),
    }


@pytest.mark.parametrize(
    ("kept", "ddf"),
    [
        ("mitml estimates", "none"),
        ("mitml estimates, 176 df", "residual"),
        ("mice pool.scalar, 176 df", "residual"),
    ],
)
def test_rubins_rules_and_barnard_rubins_degrees_of_freedom(fits, kept, ddf):
    rows = fits["large"].tidy(ddf=ddf)
    for name, numbers_of_r in KEPT[kept].items():
        np.testing.assert_allclose(rows[name], numbers_of_r, rtol=CLOSE, atol=1e-12)


@pytest.mark.parametrize(("kept", "ddf"), [("mitml D1", "none"), ("mitml D1, 176 df", "residual")])
def test_d1_of_a_term(fits, kept, ddf):
    row = fits["large"].anova(ddf=ddf).to_frame().loc["g"]
    for own, theirs in (("statistic", "F"), ("num_df", "num_df"), ("den_df", "den_df"),
                        ("p_value", "p_value")):  # fmt: skip
        assert row[own] == pytest.approx(KEPT[kept][theirs], rel=CLOSE)


@pytest.mark.parametrize(
    ("kept", "large", "small", "method"),
    [
        ("mitml D2", "large", "small", "D2"),
        ("mitml D3", "large", "small", "D3"),
        ("mitml D3, random", "small, ML", "intercepts, ML", "D3"),
    ],
)
def test_comparisons(fits, kept, large, small, method):
    row = fits[large].compare(fits[small], method=method).to_frame().iloc[0]
    for own, theirs in (("statistic", "F"), ("num_df", "num_df"), ("den_df", "den_df"),
                        ("p_value", "p_value"), ("riv", "riv")):  # fmt: skip
        assert row[own] == pytest.approx(KEPT[kept][theirs], rel=CLOSE)
