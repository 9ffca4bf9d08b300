"""Every verb of simulation in every situation of `test_verb_table_rows`, beside its twin."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from test_verb_table_rows import SITUATIONS, fits, new_rows, rows

import nestedmlm as nm
from nestedmlm.errors import DataError, ModelComparisonError

QUIET = {"progress": False, "seed": 1}
Verb = Callable[[nm.LmerFit], np.ndarray]


def boot(fit: nm.LmerFit, **options) -> np.ndarray:
    """Replicates without sigma, whose unit is that of the weights."""
    return fit.bootstrap(8, **options, **QUIET).t.drop(columns="sigma").to_numpy()


def used(drawn: pd.DataFrame, fit: nm.LmerFit) -> np.ndarray:
    """Rows of the fit; what na_action="exclude" left out is missing."""
    assert drawn[~fit.design.kept].isna().all(axis=None) or len(drawn) == fit.nobs
    return drawn.dropna().to_numpy()


def without(fit: nm.LmerFit, change: str) -> nm.LmerFit:
    return fit.model.update(f". ~ . {change}").fit(REML=fit.REML)


def last(fit: nm.LmerFit, change: str, **options) -> np.ndarray:
    table = nm.anova(without(fit, change), fit, **options).table
    return table.iloc[1].to_numpy(dtype=float)[[5, 6, 7, 8]]


MOVED: dict[str, Verb] = {  # what an offset is added to
    "simulate": lambda fit: used(fit.simulate(3, seed=1), fit),
    "simulate-conditional": lambda fit: used(fit.simulate(3, seed=1, use_u=True), fit),
    "simulate-partial": lambda fit: used(fit.simulate(3, seed=1, re_form="~ (1 | c1)"), fit),
}
NEW: dict[str, Verb] = {  # needs all of new rows: an offset, weights
    "simulate-new": lambda fit: fit.simulate(3, seed=1, newdata=new_rows()).to_numpy(),
    "extend": lambda fit: fit.extend(along="f1", n=40).simulate(2, seed=1).to_numpy(),
    "extend-power": lambda fit: fit.extend(along="c1", n=4).power("x", nsim=4, effect_size=0.1,
                                                                  **QUIET).pvalues.to_numpy(),
}  # fmt: skip
STILL: dict[str, Verb] = {
    "bootstrap": boot,
    "bootstrap-conditional": lambda fit: boot(fit, use_u=True),
    "bootstrap-semiparametric": lambda fit: boot(fit, use_u=True, type="semiparametric"),
    "bootstrap-residual": lambda fit: boot(fit, type="residual"),
    "bootstrap-cases": lambda fit: boot(fit, type="cases", by="f1"),
    "bootstrap-fun": lambda fit: fit.bootstrap(3, lambda m: m.bse, **QUIET).t.to_numpy(),
    "bootstrap-bca": lambda fit: fit.bootstrap(20, lambda m: m.params, **QUIET)
    .conf_int("bca", by="f1").to_numpy(),
    "power-lrt": lambda fit: fit.power("x", 4, effect_size=0.2, **QUIET).pvalues.to_numpy(),
    "power-z": lambda fit: fit.power("x", 4, effect_size=0.2, test="z", **QUIET)
    .pvalues.to_numpy(),
    "power-satterthwaite": lambda fit: fit.power("x", 3, effect_size=0.2, test="satterthwaite",
                                                 **QUIET).pvalues.to_numpy(),
    "power-random": lambda fit: fit.power("(1 | c1)", 4, **QUIET).pvalues.to_numpy(),
    "anova-boundary": lambda fit: last(fit, "- (1 | c1)", test="boundary"),
    "anova-bootstrap": lambda fit: last(fit, "- (1 | c1)", test="bootstrap", nsim=10, **QUIET),
    "rlrt": lambda fit: nm.rlrt(without(fit, "- (1 | c1)"), fit, nsim=200, seed=1).draws,
}  # fmt: skip
VERBS = MOVED | NEW | STILL

# refits of simulated responses estimate the variance that is zero in the fit: no twin
ALONE = {(verb, "singular") for verb in STILL if verb not in ("bootstrap-cases", "rlrt")} | {
    ("extend-power", "singular"), ("bootstrap-cases", "singular"),
}  # fmt: skip
REFUSED = {(verb, "offset_array") for verb in NEW}
LOOSE = {"bootstrap-bca": 1e-4, "anova-boundary": 1e-4, "anova-bootstrap": 1e-4}


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("verb", VERBS)
def test_cell(verb: str, situation: str) -> None:
    fit, twin = fits(situation)
    if (verb, situation) in REFUSED:
        with pytest.raises(DataError, match="array"):
            VERBS[verb](fit)
        return
    found = VERBS[verb](fit)
    if (verb, situation) in ALONE:
        assert np.isfinite(found[~np.isnan(found)]).all() and not np.isnan(found).all()
        return
    expected = VERBS[verb](twin)
    if situation.startswith("offset") and verb in MOVED:
        expected = expected + rows().off.to_numpy()[:, None]
    if situation.startswith("offset") and verb == "simulate-new":
        expected = expected + new_rows().off.to_numpy()[:, None]
    if situation.startswith("offset") and verb == "extend":
        table = fit.extend(along="f1", n=40).model.data
        expected = expected + table.off.to_numpy()[:, None]
    scale = np.nanmax(np.abs(expected))
    close = LOOSE.get(verb, 1e-5)
    assert found == pytest.approx(expected, rel=close, abs=close * scale, nan_ok=True)


@pytest.mark.parametrize(
    "verb", ["simulate", "bootstrap", "bootstrap-cases", "bootstrap-fun", "power-lrt", "extend"]
)
def test_penalised_fits_are_simulated(verb: str) -> None:
    fit = nm.lmer("y ~ x + (x | f1) + (1 | c1)", rows(), penalty="wishart")
    assert np.isfinite(VERBS[verb](fit)).all()


def test_penalised_fits_have_no_likelihood_ratio() -> None:
    small = nm.lmer("y ~ x + (x | f1)", rows(), penalty="wishart")
    large = nm.lmer("y ~ x + (x | f1) + (1 | c1)", rows(), penalty="wishart")
    for test in ("boundary", "bootstrap"):
        with pytest.raises(ModelComparisonError, match="without a penalty"):
            nm.anova(small, large, test=test, nsim=5, **QUIET)
    with pytest.raises(ModelComparisonError, match="without penalty"):
        nm.rlrt(small, large)


@pytest.mark.parametrize("structure", ["diag(x | f1)", "cs(x + z | f1)", "ar1(0 + a | f1)"])
def test_structured_covariances(structure: str) -> None:
    fit = nm.lmer(f"y ~ x + {structure} + (1 | f2)", rows())
    assert np.isfinite(fit.simulate(2, seed=1).to_numpy()).all()
    found = fit.bootstrap(3, **QUIET)
    assert not found.t.isna().all(axis=0).any() and not len(found.failures)
    assert np.isfinite(boot(fit, type="residual")[:, :2]).all()
    assert nm.power(fit, "x", 3, **QUIET).pvalues.notna().all()


def test_no_fixed_effects() -> None:
    fit = nm.lmer("y ~ 0 + (1 | f1)", rows())
    assert fit.bootstrap(5, **QUIET).t.shape == (5, 2)
    assert fit.simulate(1, seed=1).shape == (150, 1)
    assert nm.rlrt(fit, nsim=50, seed=1).statistic > 0
