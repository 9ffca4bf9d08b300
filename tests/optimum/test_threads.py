"""Fits in threads have the numbers of fits one after the other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm

FORMULAS = (
    "y ~ x + (x | g)",
    "y ~ x + (1 | g) + (1 | c)",
    "y ~ x + (x | g) + (x | c)",
    "y ~ x + cs(x | g)",
    "y ~ x + ar1(0 + t | g)",
)


def rows(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g, c, t = rng.integers(0, 8, 80), rng.integers(0, 6, 80), rng.integers(0, 3, 80)
    x = rng.normal(size=80)
    y = rng.normal(size=8)[g] + rng.normal(size=6)[c] * x + rng.normal(size=80)
    return pd.DataFrame({"g": g, "c": c, "t": [f"t{i}" for i in t], "x": x, "y": y})


@pytest.mark.parametrize("formula", FORMULAS)
def test_fits_in_threads_are_those_alone(formula: str) -> None:
    def fit(seed: int) -> np.ndarray:
        found = nm.lmer(formula, rows(seed))
        return np.array([found.criterion, found.sigma, *found.params, float(found.converged)])

    alone = [fit(seed) for seed in range(16)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(fit, range(16)))
    np.testing.assert_array_equal(alone, together)


MODELS = {
    "counts": ("c ~ x + (x | g)", {"family": "poisson"}),
    "crossed counts": ("c ~ x + (1 | g) + (1 | c2)", {"family": "poisson"}),
    "residuals": ("y ~ x + (1 | g)", {"residual": "cs(1 | b)"}),
    "dispersion": ("y ~ x + (1 | g)", {"dispersion": "~ t"}),
}


@pytest.mark.parametrize("model", list(MODELS))
def test_other_fits_in_threads_are_those_alone(model: str) -> None:
    formula, options = MODELS[model]
    fitted = nm.glmer if "family" in options else nm.lmer

    def fit(seed: int) -> np.ndarray:
        d = rows(seed)
        d["c"], d["c2"] = np.random.default_rng(seed).poisson(np.exp(0.3 * d.y)), d.c
        d["b"] = d.g * 10 + np.arange(80) % 4  # blocks within g
        found = fitted(formula, d, **options)
        return np.array([found.criterion, *found.params, float(found.converged)])

    alone = [fit(seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(fit, range(8)))
    np.testing.assert_array_equal(alone, together)
