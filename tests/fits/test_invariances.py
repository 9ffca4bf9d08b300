"""Invariances of small designs: order of rows, names of groups, units of the response."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nestedmlm as nm
from nestedmlm.fits.lmer_fit import LmerFit

FORMULAS = (
    "y ~ x + (1 | g)",
    "y ~ x + (x || g)",
    "y ~ x * f + (x | g)",
    "y ~ f + (1 | g/h)",
    "y ~ x + (1 | g) + (1 | c)",
    "y ~ poly(x, 2) + offset(o) + (1 | g)",
    "y ~ scale(x) + cs(f | g, hom = TRUE)",
)


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    log = logging.getLogger("nestedmlm")
    before = log.level
    log.setLevel(logging.ERROR)
    yield
    log.setLevel(before)


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, pd.DataFrame, np.random.Generator]:
    """A formula, a small table with effects of groups, and a source of random numbers."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    groups, size = draw(st.integers(5, 9)), draw(st.integers(6, 9))
    n = groups * size
    g = np.repeat(np.arange(groups), size)
    data = pd.DataFrame(
        {
            "g": g,
            "h": np.arange(n) % 3,
            "c": np.arange(n) % 5,
            "f": rng.choice(["u", "v"], n),
            "x": rng.normal(draw(st.sampled_from([0.0, 5.0])), 1.0, n),
            "o": rng.normal(size=n),
        }
    )
    slope = rng.normal(size=groups)[g] * draw(st.sampled_from([0.3, 1.0]))
    data["y"] = data.x + rng.normal(size=groups)[g] + slope * data.x + rng.normal(size=n)
    return draw(st.sampled_from(FORMULAS)), data, rng


def fit(formula: str, data: pd.DataFrame, REML: bool = True) -> LmerFit:
    return nm.lmer(formula, data, REML=REML)


few = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


def same(first: LmerFit, second: LmerFit, factor: float = 1.0) -> None:
    assert second.design.n == first.design.n
    scale = max(first.sigma, float(np.abs(first.fixef).max()))
    change = 2.0 * (first.design.n - (first.design.p if first.REML else 0)) * np.log(factor)
    assert second.criterion == pytest.approx(first.criterion + change, abs=1e-5)
    assert second.sigma == pytest.approx(first.sigma * factor, rel=1e-4)
    np.testing.assert_allclose(
        second.fixef.to_numpy(), first.fixef.to_numpy() * factor, atol=1e-4 * scale * factor
    )


@few
@given(cases(), st.booleans())
def test_order_of_rows(case: tuple[str, pd.DataFrame, np.random.Generator], REML: bool) -> None:
    formula, data, rng = case
    shuffled = data.iloc[rng.permutation(len(data))]
    first, second = fit(formula, data, REML), fit(formula, shuffled, REML)
    same(first, second)
    fitted = second.fittedvalues.reindex(data.index)
    np.testing.assert_allclose(fitted, first.fittedvalues, atol=1e-3 * first.sigma)


@few
@given(cases(), st.sampled_from(["text", "large", "category", "float"]))
def test_names_of_groups(case: tuple[str, pd.DataFrame, np.random.Generator], kind: str) -> None:
    formula, data, rng = case
    names = rng.permutation(data.g.nunique())[data.g]
    other = {
        "text": pd.Series(names).map("group {}".format),
        "large": pd.Series(names + 2**60),
        "category": pd.Series(pd.Categorical(names)),
        "float": pd.Series(names / 4),
    }[kind]
    same(fit(formula, data), fit(formula, data.assign(g=other)))


@few
@given(cases(), st.sampled_from([1e-6, 1e-2, 7.0, 1e5]), st.booleans())
def test_units_of_the_response(
    case: tuple[str, pd.DataFrame, np.random.Generator], factor: float, REML: bool
) -> None:
    formula, data, _ = case
    other = data.assign(y=data.y * factor, o=data.o * factor)
    same(fit(formula, data, REML), fit(formula, other, REML), factor)
