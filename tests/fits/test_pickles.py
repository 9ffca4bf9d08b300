"""Every result that a verb of either engine gives can be pickled and deep-copied."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from situations import fit_of
from verb_row import ENGINES, EVERYWHERE
from verbs import VERBS

import nestedmlm as nm
from nestedmlm import lme4
from nestedmlm.views.render.view import Viewable

# the caller's function is in the result, and Python pickles no lambda
WITH_A_LAMBDA = ("bootstrap fun", "bootstrap bca")
# dear calls give every engine results of the same classes: the first one's are tried
CELLS = [
    (engine, case)
    for case, verb in VERBS.items()
    for engine in (verb.engines if verb.only == EVERYWHERE else verb.engines[:1])
    if verb.question != "pictures" and case not in WITH_A_LAMBDA
]
SEEN: set[str] = set()  # classes of results that were tried


def results_of(call: Callable[[], Any]) -> list[Any]:
    """All that a row of the table receives of the library, also on the way to what it gives."""
    found: list[Any] = []

    def notice(frame: Any, event: str, arg: Any) -> None:
        caller = frame.f_back.f_globals.get("__name__") if frame.f_back else None
        own = str(frame.f_globals.get("__name__")).startswith("nestedmlm")
        if event == "return" and own and caller == "verbs" and arg is not None:
            found.append(arg)

    sys.setprofile(notice)
    try:
        found.append(call())
    finally:
        sys.setprofile(None)
    return found


def assert_same(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if isinstance(a, Viewable):
        assert str(a) == str(b)
    if isinstance(a, pd.DataFrame | pd.Series | pd.Index):
        assert a.equals(b)
    elif isinstance(a, np.ndarray):
        np.testing.assert_array_equal(a, b)
    elif is_dataclass(a):
        for field in fields(a):
            assert type(getattr(a, field.name, None)) is type(getattr(b, field.name, None))


@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto")  # the draws are few
@pytest.mark.parametrize(("engine", "case"), CELLS, ids=["-".join(cell) for cell in CELLS])
def test_results_of_verbs(engine: str, case: str) -> None:
    verb = VERBS[case]
    situation = next(
        (s for s in ("plain", *verb.only) if s in verb.only and s not in verb.refused), None
    )
    if situation is None:  # asked of fits with a residual structure only
        return
    fit = ENGINES[engine][1](fit_of(situation))
    seen: dict[type, Any] = {}
    for result in results_of(lambda: verb.call(fit)):
        seen.setdefault(type(result), result)
    SEEN.update(kind.__name__ for kind in seen)
    for result in seen.values():
        assert_same(result, pickle.loads(pickle.dumps(result)))
        assert_same(result, copy.deepcopy(result))


SLEEP = nm.load_dataset("sleepstudy")


def others() -> dict[str, Callable[[], Any]]:
    """Results of functions that take more than a fit."""
    fit, posterior = fit_of("plain"), ENGINES["bayes"][1](fit_of("plain"))
    return {
        "Allocation": lambda: nm.allocation(
            "y ~ arm + (1 | school)",
            "arm",
            budget=2000,
            costs={"school": 100, "pupil": 5},
            varies={"arm": "school"},
            beta={"arm": 0.4},
            icc={"school": 0.1},
            sizes={"pupil": [5, 10]},
        ),
        "Assurance": lambda: fit.extend(along="f1", n=40).assurance(posterior, "x"),
        "LmList": lambda: lme4.lmList("Yield ~ 1 | Batch", nm.load_dataset("Dyestuff")),
        "Comparison": lambda: nm.compare(fit, posterior),
        "LooComparison": lambda: nm.compare(fit_of("no variance"), fit_of("no variance")),
        "PriorInfluence": lambda: nm.compare(fit, posterior).why(draws=1000, seed=1, tips=False),
        "PosteriorComparison": lambda: nm.compare(posterior, posterior),
        "PowerCurve": lambda: fit.extend(along="f1", n=40).power_curve(
            "x", along="f1", breaks=[20, 30], nsim=2, seed=1, progress=False
        ),
        "ResidualComparison": lambda: nm.compare_residuals(
            nm.lmer("Reaction ~ Days + (1 | Subject)", SLEEP),
            ["ar1(Days | Subject)"],
        ),
        "Rlrt": lambda: nm.rlrt(fit_of("no variance"), nsim=50, seed=1),
        "PriorTable": lambda: fit.model.priors,
        "Smooths": lambda: nm.lmer("Reaction ~ s(Days, k=5) + (1 | Subject)", SLEEP).smooths(),
        "Scenario": lambda: fit.extend(along="f1", n=40),
    }


@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto")  # the draws are few
@pytest.mark.parametrize("name", sorted(others()))
def test_results_of_functions(name: str) -> None:
    result = others()[name]()
    assert type(result).__name__ == name
    SEEN.add(name)
    assert_same(result, pickle.loads(pickle.dumps(result)))
    assert_same(result, copy.deepcopy(result))


def test_every_view_was_tried() -> None:
    if not {"Profile", "Comparison"} <= SEEN:
        pytest.skip("the tests above did not run")

    def kinds(cls: type) -> set[str]:
        return {cls.__name__}.union(*(kinds(sub) for sub in cls.__subclasses__()))

    # LmList is no result of a fit: tests/fits/test_lme4_additions.py
    assert kinds(Viewable) - {"Viewable", "LmList"} <= SEEN


@pytest.mark.parametrize("engine", ENGINES)
def test_fits(engine: str) -> None:
    fit = ENGINES[engine][1](fit_of("plain"))
    for again in (pickle.loads(pickle.dumps(fit)), copy.deepcopy(fit), copy.copy(fit)):
        assert str(again) == str(fit)
        pd.testing.assert_series_equal(again.params, fit.params)
        pd.testing.assert_series_equal(again.fittedvalues, fit.fittedvalues)


def test_a_posterior_makes_its_pymc_model_again() -> None:
    fit = ENGINES["bayes"][1](fit_of("plain"))
    names = [v.name for v in fit.model.free_RVs]
    again = pickle.loads(pickle.dumps(fit))
    assert [v.name for v in again.model.free_RVs] == names
    assert str(again.priors) == str(fit.priors)
    with pytest.raises(TypeError):
        again.priors.rows["x"] = None


def test_a_model_of_the_users_is_shared_by_copies_but_not_pickled() -> None:
    from dataclasses import replace

    fit = replace(ENGINES["bayes"][1](fit_of("plain")), priors=None, given_model=object())
    assert copy.deepcopy(fit).model is fit.model
    assert copy.deepcopy(fit).data is not fit.data
    with pytest.raises(nm.errors.OptionError, match="given by the user"):
        _ = pickle.loads(pickle.dumps(fit)).model


def test_models_and_tables_of_priors() -> None:
    model = fit_of("plain").model
    for result in (model, model.priors, model.priors["x"].prior, nm.etable(model.fit())):
        assert str(pickle.loads(pickle.dumps(result))) == str(result)
        assert str(copy.deepcopy(result)) == str(result)
