"""Every verb in every situation: the numbers of a fit that says the same, or a typed refusal."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from situations import PLAIN, SITUATIONS, fit_of, lmer, new_rows, rows, twin_of
from verb_row import ASKED, ENGINES, PROFILED, Verb
from verbs import NEW, QUIET, VERBS

import nestedmlm as nm
from nestedmlm import native_frames
from nestedmlm.design.rows import LateRows
from nestedmlm.errors import ModelComparisonError, NestedMLMError
from nestedmlm.native_frames import to_native
from nestedmlm.views.render.view import Viewable

# what is fitted from sums is the same fit, and answers to as many digits
CLOSE = {"from sums": 1e-9}
DRAWN = ("plain", "degenerate slopes", "missing rows")  # the others only put artists on the axes
CELLS = [
    (engine, case, situation)
    for case, verb in VERBS.items()
    for engine in verb.engines
    for situation in verb.only
    if situation in ASKED.get(engine, SITUATIONS)
]


@cache
def engine_fit(engine: str, situation: str) -> Any:
    return ENGINES[engine][1](fit_of(situation))


def answer(verb: Verb, fit: Any) -> Any:
    """What the call gives; views are their tables, and print."""
    found = verb.call(fit)
    if isinstance(found, Viewable):
        assert len(str(found)) > 0
        return found.to_frame()
    return found


TWINS_ANSWERS: dict[tuple[int, int], Any] = {}


def answer_of_twin(verb: Verb, situation: str) -> Any:
    """Many situations have one twin, which is asked once."""
    twin = twin_of(situation)
    key = id(verb), id(twin)
    if key not in TWINS_ANSWERS:
        TWINS_ANSWERS[key] = answer(verb, twin)
    return TWINS_ANSWERS[key]


@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto")  # the draws are few
@pytest.mark.parametrize(
    ("engine", "case", "situation"), CELLS, ids=["-".join(cell) for cell in CELLS]
)
def test_cell(engine: str, case: str, situation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    verb, fit = VERBS[case], engine_fit(engine, situation)
    seen = watch_frames(monkeypatch) if situation == "polars" else None
    if situation in verb.refused:
        name, _, words = verb.refused[situation].rpartition("Error: ")
        with pytest.raises(NestedMLMError, match=words) as caught:
            verb.call(fit)
        assert not name or type(caught.value).__name__ == f"{name}Error"
        return
    found = answer(verb, fit)
    if seen is not None and isinstance(found, pd.DataFrame | pd.Series):
        assert seen or case in PANDAS, "a frame that is not the user's kind of table"
    if isinstance(found, str):
        assert len(found) > 50
    elif verb.question == "pictures":
        axes = np.atleast_1d(np.asarray(found, dtype=object))
        assert all(ax.has_data() for ax in axes.flat)
        if situation in DRAWN:
            axes.flat[0].figure.draw_without_rendering()
    else:
        assert_numbers(verb, situation, fit, found, engine)


# numbers of properties, and of records' fields, which are pandas' whatever the data were
PANDAS = {
    "params", "fixef", "bse", "tvalues", "pvalues", "engine", "nobs", "ngrps", "criterion",
    "reml_criterion", "deviance", "llf", "aic", "bic", "df_resid", "npar", "converged", "REML",
    "sigma", "varcorr sigma", "theta", "getME", "fittedvalues", "resid", "means vcov",
    "is_singular", "Model.data", "Model.weights_column", "pooled params", "pooled fixef",
    "pooled bse", "pooled sigma",
    # of another fit, a mapping, a text
    "refitted", "refit", "polish", "standardized", "refit_ml", "update", "Model.update",
    "Model.reduced", "Model.with_formula", "Model.with_data", "refit_many", "simplify final",
    "capsule", "r_code", "diagnose next", "report text",
    # `.table` and `.tables`, as they are printed
    "summary satterthwaite", "summary residual", "summary none", "summary kenward-roger",
    "anova I", "anova II", "anova III", "anova kenward-roger", "anova none", "contest",
    "contest rows", "fragility", "ranova", "ranova whole", "step", "drop1", "drop1 Chisq",
    "simplify", "pooled summary", "pooled anova", "pooled contest", "maketables", "vcovAdj",
    # asked about new rows that are pandas'
    "predict new", "predict new sample", "predict new lower", "predict new random only",
}  # fmt: skip


def watch_frames(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Frames that users of polars would get, which are held against pandas' and kept so."""
    seen = []

    def kept(frame: Any, *index: str) -> Any:
        found = to_native(frame, *index)
        if not isinstance(frame, dict):  # whose parts come here, too
            assert type(found).__module__.startswith("polars") and len(found) == len(frame)
            same_numbers(frame, found)
        seen.append(found)
        return frame

    monkeypatch.setattr(native_frames, "to_native", kept)
    return seen


def pandas_of(frame: Any) -> pd.DataFrame:
    return frame if isinstance(frame, pd.DataFrame) else frame.to_pandas()


def same_numbers(own: Any, ours: Any) -> None:
    """Columns of numbers survive, in their order."""
    table = own.to_frame(own.name or "value") if isinstance(own, pd.Series) else own
    for name in table.select_dtypes("number"):
        column = ours if not hasattr(ours, "columns") else ours[str(name)]
        values = column.cast(float).to_numpy()
        np.testing.assert_array_equal(values, table[name].to_numpy(dtype=float, na_value=np.nan))


def assert_numbers(verb: Verb, situation: str, fit: Any, found: Any, engine: str) -> None:
    if found is None or not len(found):
        assert situation in verb.empty
        return
    assert situation not in verb.empty
    own = SITUATIONS[situation]
    if own.twin is None or engine != "lmer" or situation in verb.alone:
        assert_known(verb, situation, found)
        return
    expected = answer_of_twin(verb, situation)
    assert_known(verb, situation, expected)
    if verb.question == "intervals" and own.extra:
        assert_bound(verb, found.loc[found.index.difference(expected.index)])
    found = aligned(found.rename(index=own.renamed), expected, own.extra)
    if verb.moved is not None and own.moved:
        shift = verb.moved(fit, expected.index)
        expected = expected.add(shift, axis=0)
    for label in verb.sigma:
        found = divided(found, label, own.scale)
    a, b = (numbers(table).to_numpy(dtype=float) for table in (found, expected))
    if situation == "pickled":
        assert np.array_equal(a, b, equal_nan=True)
    scale = np.nanmax(np.abs(b), initial=0.0)
    close = CLOSE.get(situation, verb.close)
    assert a == pytest.approx(b, rel=close, abs=close * scale, nan_ok=True)


def assert_bound(verb: Verb, extra: pd.DataFrame) -> None:
    """The interval of a variance that is zero: from 0, unknown to a quadratic approximation."""
    assert list(extra.index) == ["sd_(Intercept)|c2"]
    low = extra.iloc[0, 0]
    assert np.isnan(low) if verb in (VERBS["conf_int wald"],) else low == 0.0


def numbers(table: Any) -> Any:
    """The numeric columns; labels stay in the index."""
    return table.select_dtypes(["number", "bool"]) if isinstance(table, pd.DataFrame) else table


def aligned(found: Any, expected: Any, extra: str) -> Any:
    """The rows that the twin has too; what else there is, is of the part that it leaves out."""
    left = found.index.difference(expected.index)
    rest = numbers(found.loc[left])
    assert rest.isna().to_numpy().all() or all(extra and extra in str(name) for name in left), left
    return found.loc[expected.index] if found.index.is_unique else found


def divided(found: Any, label: str, scale: float) -> Any:
    found = found.copy()
    if label in found.index:
        found.loc[label] = found.loc[label] / scale
    else:
        found[label] = found[label] / scale
    return found


def assert_known(verb: Verb, situation: str, found: Any) -> None:
    """Numbers, and probabilities between 0 and 1."""
    frame = numbers(pd.DataFrame(found))
    for name in frame:
        if str(name).startswith("Pr(") or name == "p_value":
            p = frame[name].dropna()
            assert ((p >= 0) & (p <= 1)).all()
    if verb.sparse:
        return
    missing = frame.isna().any(axis=1)
    if situation in verb.unknown:
        assert missing.any()
    elif situation == "missing rows" and missing.any():
        assert missing.sum() == 3  # what na_action="exclude" left out
    else:
        assert not missing.any()


# --- the table says what it says ----------------------------------------------------------------
SINGULAR = ("zero variance", "degenerate slopes", "no variance", "symmetric, three", "crossed",
            "two levels")  # fmt: skip


@pytest.mark.parametrize("situation", SITUATIONS)
def test_situations_are_what_they_are_called(situation):
    fit = fit_of(situation)
    assert fit.is_singular() == (situation in SINGULAR)
    assert fit.design.dropped == (("x2",) if situation == "rank deficient" else ())
    assert fit.nobs == (147 if situation == "missing rows" else 150)
    assert fit.REML == (situation not in ("ML", "no fixed effects"))
    if situation in ("zero variance", "no variance"):
        assert fit.theta[-1] == 0.0
    assert (fit.design.rows is None) == (situation == "from sums")
    assert isinstance(fit.design.rows, LateRows) == (situation == "large table")


# --- what is special ----------------------------------------------------------------------------
@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_estimates_of_tidy_are_the_fits(situation):
    fit = fit_of(situation)
    found = pandas_of(fit.tidy(("fixed", "ran_pars")))
    np.testing.assert_allclose(found.loc[found["effect"] == "fixed", "estimate"], fit.params)
    last = found.iloc[-1]
    assert (last["term"], last["estimate"]) == ("sigma", pytest.approx(fit.sigma))
    assert np.isfinite(found["estimate"].iloc[: fit.design.p]).all()


@pytest.mark.parametrize("situation", [name for name in SITUATIONS if name != "from sums"])
def test_augment_is_aligned(situation):
    fit = fit_of(situation)
    found = pandas_of(fit.augment())
    assert found.index.equals(fit.fittedvalues.index)
    response = fit.formula.split(" ~ ")[0]
    gap = found[response] - found["fitted"] - found["resid"]
    np.testing.assert_allclose(gap.dropna(), 0.0, atol=1e-9)


@pytest.mark.parametrize("situation", [name for name in PROFILED if name != "penalised"])
def test_bootstrap_intervals_have_every_parameter(situation):
    fit = fit_of(situation)
    found = fit.conf_int(method="boot", nsim=8, **QUIET)
    assert len(found) == fit.npar and not found.isna().any().any()
    assert np.all(found["conf_low"] <= found["conf_high"])


def test_offsets_count_in_the_means():
    column, formula, array = (
        nm.emmeans(fit_of(f"offset {kind}"), "a").to_frame()
        for kind in ("column", "formula", "array")
    )
    for other in (column, array):
        pd.testing.assert_frame_equal(other, formula, rtol=1e-6)
    plain = nm.emmeans(fit_of("plain"), "a").to_frame()
    gap = formula["estimate"] - plain["estimate"]
    np.testing.assert_allclose(gap, rows().off.mean(), rtol=1e-6)


def test_dropped_columns_leave_the_means_alone():
    fit = fit_of("rank deficient")
    found = nm.emmeans(fit, "a").to_frame()
    # x2 is at its mean, as x is: the reference grid is consistent with the dropped column
    pd.testing.assert_frame_equal(found, nm.emmeans(fit_of("plain"), "a").to_frame(), rtol=1e-6)
    # away from there the two predictors cannot be told apart
    assert nm.emmeans(fit, "a", at={"x": 0.0}).to_frame()["estimate"].isna().all()


def test_array_offset_given_again():
    fit, twin = fit_of("offset array"), twin_of("offset array")
    new = new_rows()
    found = fit.predict(new, offset=new.off.to_numpy(), **NEW)
    assert found.to_numpy() == pytest.approx((twin.predict(new, **NEW) + new.off).to_numpy())


def test_penalised_fits_are_left_out_with_their_penalty():
    fit = lmer("y ~ x + (x | c1)", penalty="wishart")
    found = fit.influence("c1").theta_without
    alone = lmer("y ~ x + (x | c1)", rows()[rows().c1 != 2], penalty="wishart")
    assert found.loc[2].to_numpy() == pytest.approx(alone.theta, rel=1e-4, abs=1e-5)


def test_penalised_fits_have_no_likelihood_ratio():
    small, large = (lmer(f, penalty="wishart") for f in (PLAIN.replace(" + (1 | c1)", ""), PLAIN))
    for test in ("boundary", "bootstrap"):
        with pytest.raises(ModelComparisonError, match="without a penalty"):
            nm.anova(small, large, test=test, nsim=5, **QUIET)
    with pytest.raises(ModelComparisonError, match="without penalty"):
        nm.rlrt(small, large)


@pytest.mark.parametrize("situation", ["diagonal", "symmetric, three", "autoregressive"])
def test_structured_covariances_are_bootstrapped(situation):
    found = fit_of(situation).bootstrap(3, **QUIET)
    assert not found.t.isna().all(axis=0).any() and not len(found.failures)


def test_no_fixed_effects_are_simulated():
    fit = fit_of("no fixed effects")
    assert fit.bootstrap(5, **QUIET).t.shape == (5, 2)
    assert fit.simulate(1, seed=1).shape == (150, 1)
    assert nm.rlrt(fit, nsim=50, seed=1).statistic > 0


def test_forest_without_fixed_effects():
    with pytest.raises(NestedMLMError, match="nothing to draw"):
        fit_of("no fixed effects").plot.forest()
