"""Fits pooled over imputed data sets beside mice's and mitml's pooling of lme4's fits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from reference import FOLDER, numbers

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


@pytest.fixture(scope="module")
def ratings() -> list[pd.DataFrame]:
    """The example of mitml's help pages, imputed by pan (data of mitml, made by simulation)."""
    wide = pd.read_csv(FOLDER / "imputation" / "studentratings.csv")
    both = ["ID", "ReadAchiev"]
    return [
        wide[[*both, f"ReadDis{k}", f"SES{k}"]].set_axis([*both, "ReadDis", "SES"], axis=1)
        for k in range(1, 6)
    ]


@pytest.mark.parametrize(
    ("formula", "kept", "ddf"),
    [
        ("SES ~ 1 + (1 | ID)", "ratings, SES", "none"),
        ("ReadAchiev ~ ReadDis + (1 | ID)", "ratings, reading", "none"),
        ("ReadAchiev ~ ReadDis + (1 | ID)", "ratings, reading, mice, 748 df", "residual"),
    ],
)
def test_estimates_of_the_help_pages_example(ratings, formula, kept, ddf):
    pooled = nm.lmer(formula, ratings)
    rows = pooled.tidy(ddf=ddf)
    for name, numbers_of_r in KEPT[kept].items():
        np.testing.assert_allclose(rows[name], numbers_of_r, rtol=CLOSE, atol=1e-12)
    if ddf == "none":
        variances = pooled.varcorr().to_frame()["vcov"]
        between, within, _ = KEPT[f"{kept}, variances"]
        np.testing.assert_allclose(variances, [between, within], rtol=2 * CLOSE)


@pytest.mark.parametrize("method", ["D1", "D2", "D3"])
def test_comparisons_of_the_help_pages_example(ratings, method):
    large, small = (
        nm.lmer(f"ReadAchiev ~ {x} + (1 | ID)", ratings, REML=False) for x in ("ReadDis + SES", "1")
    )
    kept = KEPT[f"ratings, {method}"]
    row = large.compare(small, method=method).to_frame().iloc[0]
    if method == "D1":  # its degrees of freedom of complete data are Satterthwaite's
        assert row["riv"] == pytest.approx(kept["riv"], rel=2 * CLOSE)
        row = large.contest(["ReadDis = 0", "SES = 0"], ddf="residual").to_frame().iloc[0]
        kept = {name: value for name, value in kept.items() if name != "riv"}
    for own, theirs in (("statistic", "F"), ("num_df", "num_df"), ("den_df", "den_df"),
                        ("riv", "riv")):  # fmt: skip
        if theirs in kept:
            assert row[own] == pytest.approx(kept[theirs], rel=2 * CLOSE)
