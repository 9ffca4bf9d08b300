"""Calls that a small fit makes beside its descent: counts do not depend on the machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

import nestedmlm as nm
from nestedmlm.inference.variances.identification import confoundings
from nestedmlm.likelihood.solution import results_at
from nestedmlm.optimum.solve import solve
from nestedmlm.statistics.crossproducts import cross_products

# calls of Python and C: model (read and code the data), sums, results, identification. Half of
# what they were before they were counted; a margin of about a third for other releases of pandas
MODELS = {
    "Reaction ~ Days + (Days | Subject)": ("sleepstudy", (800, 390, 560, 60)),
    "strength ~ 1 + (1 | batch / cask)": ("Pastes", (1_000, 430, 680, 60)),
}


def calls(made: Callable[[], Any]) -> int:
    """Calls that the second of two runs makes."""
    made()
    count, before = [0], sys.getprofile()

    def seen(_frame: Any, event: str, _argument: Any) -> None:
        count[0] += event in ("call", "c_call")

    sys.setprofile(seen)
    try:
        made()
    finally:
        sys.setprofile(before)
    return count[0]


@pytest.mark.parametrize("formula", MODELS)
def test_small_fits_take_few_calls(formula: str) -> None:
    name, most = MODELS[formula]
    data = nm.load_dataset(name)
    fit = nm.lmer(formula, data)
    s, stats = fit.solution, fit.solution.stats
    information = solve(fit.design, REML=True).information
    found = (
        calls(lambda: nm.Model(formula, data)),
        calls(lambda: cross_products(fit.design)),
        calls(lambda: results_at(fit.design, s.theta, stats=stats)),
        calls(lambda: confoundings(fit.design, s, REML=True, information=information)),
    )
    assert all(n <= limit for n, limit in zip(found, most, strict=True)), (found, most)
