"""`Model` and what it keeps: edits of the caller's data after it was made do not reach it."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import nestedmlm as nm
from nestedmlm import lme4
from nestedmlm.design.frame.snapshots import snapshot
from nestedmlm.errors import (
    ConvergenceWarning,
    DataWarning,
    NestedMLMWarning,
    OptionError,
    SamplingWarning,
)

FORMULA = "Reaction ~ Days + (Days | Subject)"
DAYS = nm.load_dataset("sleepstudy").Days.to_numpy()


def table() -> pd.DataFrame:
    """Sleepstudy with another predictor, and columns for weights and offset."""
    rng = np.random.default_rng(5)
    return nm.load_dataset("sleepstudy").assign(
        caffeine=rng.standard_normal(180), w=rng.uniform(0.5, 2, 180), off=rng.standard_normal(180)
    )


def arrays() -> dict[str, Any]:
    return {name: column.to_numpy(copy=True) for name, column in table().items()}


# --- what users do to their data after a fit ------------------------------------------------------
def replace_column(data: Any) -> None:
    data["Days"] = data["Days"] - 4.5


def add_in_place(data: Any) -> None:
    data["Days"] += 7


def write_cells(data: pd.DataFrame) -> None:
    data.loc[data.Days > 4, ["Days", "caffeine"]] = 0


def write_labels(data: pd.DataFrame) -> None:
    data.loc[data.index[:90], "Subject"] = "308"


def label_rows(data: pd.DataFrame) -> None:
    data.index = data.index[::-1]


def drop_column(data: Any) -> None:
    del data["Days"]


def write_array(data: dict[str, np.ndarray]) -> None:
    data["Days"][:] = 0
    data["caffeine"] *= 3
    data["Subject"][:90] = "308"


def write_polars(data: pl.DataFrame) -> None:
    data[0, "Days"] = 99
    data.replace_column(data.columns.index("caffeine"), pl.Series("caffeine", np.zeros(180)))


EDITS: list[tuple[Callable[[], Any], Callable[[Any], None]]] = [
    (table, replace_column),
    (table, add_in_place),
    (table, write_cells),
    (table, write_labels),
    (table, label_rows),
    (table, drop_column),
    (arrays, replace_column),
    (arrays, add_in_place),
    (arrays, drop_column),
    (arrays, write_array),
    (lambda: pl.from_pandas(table()), write_polars),
    (lambda: pa.Table.from_pandas(table()), lambda data: None),  # nothing can be written
]

READ_AGAIN: dict[str, Callable[[nm.LmerFit], Any]] = {
    "emmeans": lambda fit: nm.emmeans(fit, "Days").to_frame(),
    "type III": lambda fit: fit.anova(type="III").table,
    "drop1": lambda fit: fit.drop1(test="Chisq").table,
    "ranova": lambda fit: fit.ranova().table,
    "step": lambda fit: fit.step().random,
    "augment": lambda fit: fit.augment(),
    "influence": lambda fit: fit.influence("Subject").dfbetas(),
    "extend": lambda fit: fit.extend(along="Subject", n=20).simulate(1, seed=1),
    "update": lambda fit: fit.update(". ~ . + caffeine").fixef,
}


@pytest.mark.parametrize("made, edit", EDITS, ids=lambda f: f.__name__)
def test_edits_after_the_fit_change_no_answer(made, edit):
    data = made()
    fit, again = nm.lmer(FORMULA, data), nm.lmer(FORMULA, made())
    edit(data)
    for verb, ask in READ_AGAIN.items():
        found, wanted = ask(fit), ask(again)
        if isinstance(found, pd.Series):
            pd.testing.assert_series_equal(found, wanted)
        elif isinstance(found, pl.DataFrame):
            assert found.equals(wanted), verb
        else:
            pd.testing.assert_frame_equal(found, wanted, obj=verb)


COPY_ON_WRITE = pytest.mark.skipif(
    pd.__version__ < "3", reason="tables are copied: pandas writes through until version 3"
)


@COPY_ON_WRITE
def test_frames_of_numpy_memory_are_protected_by_pandas():
    values = np.column_stack([table().Reaction, DAYS, np.repeat(np.arange(18.0), 10)])
    data = pd.DataFrame(values, columns=["Reaction", "Days", "Subject"])
    fit = nm.lmer(FORMULA, data)
    before = nm.emmeans(fit, "Days").to_frame()
    values[:, 1] = 0.0
    for array in (data.to_numpy(), data["Days"].to_numpy(), data.Days.values):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0
    pd.testing.assert_frame_equal(nm.emmeans(fit, "Days").to_frame(), before)


@pytest.mark.parametrize(
    "kind", [np.array, pd.Series, list, pl.Series], ids=lambda kind: kind.__name__
)
def test_weights_and_offsets_are_kept(kind):
    data = table()
    weights, offset = kind(data.w.to_numpy(copy=True)), kind(data.off.to_numpy(copy=True))
    fit = nm.lmer(FORMULA, data, weights=weights, offset=offset)
    wanted = nm.lmer(FORMULA, data, weights="w", offset="off").update(". ~ . + caffeine")
    for given in (weights, offset):
        given[0], given[1] = 50.0, 60.0
    assert fit.update(". ~ . + caffeine").criterion == pytest.approx(wanted.criterion, abs=1e-9)


def test_contrasts_and_variables_of_the_caller_are_kept():
    cake = nm.load_dataset("cake")
    coding = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    degrees = cake.temp.to_numpy(copy=True)
    fit = nm.lmer("angle ~ recipe + degrees + (1 | replicate)", cake, contrasts={"recipe": coding})
    coefficients = fit.fixef
    degrees[:] = 0
    coding[:] = 1
    pd.testing.assert_series_equal(fit.update(". ~ .").fixef, coefficients)


@COPY_ON_WRITE
def test_large_tables_cost_nothing_to_keep():
    for rows, shared in ((1_000_000, False), (1_000_001, True)):
        data = pd.DataFrame({"x": np.zeros(rows)})
        assert np.shares_memory(snapshot(data)["x"].to_numpy(), data["x"].to_numpy()) is shared


# --- frozen ---------------------------------------------------------------------------------------
def test_arrays_of_results_are_read_only():
    fit = nm.lmer(FORMULA, table())
    s, d = fit.solution, fit.design
    for array in (
        fit.theta,
        s.beta,
        s.vcov,
        s.fitted,
        *s.T,
        *s.b,
        d.y,
        d.X,
        *(t.X for t in d.terms),
    ):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 99
    coefficients = fit.fixef  # a copy
    coefficients.iloc[0] = 99.0
    assert fit.fixef.iloc[0] == pytest.approx(251.405, abs=1e-3)


def test_a_start_is_not_made_read_only():
    start = np.array([1.0, 0.0, 1.0])
    nm.lmer(FORMULA, table(), start=start)
    start[0] = 2.0


def test_a_model_is_frozen():
    model = nm.Model(FORMULA, table())
    for name in ("formula", "design", "source"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(model, name, None)


def test_a_model_can_be_pickled():
    data = table()
    weights = data.w.to_numpy()
    model = nm.Model("np.log(Reaction) ~ Days + (1 | Subject)", data, weights=weights)
    again = pickle.loads(pickle.dumps(model))
    assert (again.data_name, again.weights_name, again.offset_name) == ("data", "weights", None)
    assert again.formula == model.formula
    assert again.update(". ~ . + caffeine").fit().criterion == pytest.approx(
        model.update(". ~ . + caffeine").fit().criterion, abs=1e-12
    )


# --- other formulas -------------------------------------------------------------------------------
def test_a_reduced_model_keeps_what_applies():
    cake = nm.load_dataset("cake").assign(w=np.linspace(0.5, 1.5, 270))
    options = {"contrasts": {"recipe": "sum"}, "weights": "w"}
    full = nm.Model("angle ~ recipe + temp + (1 | replicate)", cake, **options)
    with pytest.raises(OptionError, match="contrasts for 'recipe'"):
        full.with_formula("angle ~ temp + (1 | replicate)")
    smaller = full.reduced("angle ~ temp + (1 | replicate)")
    wanted = nm.Model("angle ~ temp + (1 | replicate)", cake, weights="w")
    assert smaller.fit().criterion == wanted.fit().criterion
    assert (smaller.data_name, smaller.weights_name) == ("cake", "w")
    assert full.reduced("angle ~ recipe + (1 | replicate)").design.x_names[1] == "recipe1"


def test_a_formula_is_read_with_the_models_double_bar():
    model = nm.Model("angle ~ temp + (temp || replicate)", nm.load_dataset("cake"))
    diag = nm.Model(model.formula, model.data, double_bar="diag")
    assert [term.structure.name for term in diag.design.terms] == ["diag"]
    assert [term.structure.name for term in diag.with_formula(model.formula).design.terms] == [
        "diag"
    ]


# --- the caller -----------------------------------------------------------------------------------
DOORS: dict[str, Callable[[str, Any], nm.LmerFit | nm.Model]] = {
    "lmer": lambda formula, data: nm.lmer(formula, data),
    "Model": lambda formula, data: nm.Model(formula, data),
    "lme4.lmer": lambda formula, data: lme4.lmer(formula, data),
}


@pytest.mark.parametrize("door", DOORS)
def test_every_door_knows_the_callers_variables(door):
    made = DOORS[door]("Reaction ~ DAYS + (1 | Subject)", nm.load_dataset("sleepstudy"))
    assert np.array_equal(made.design.X[:, 1], DAYS)


def test_the_nearest_frame_counts():
    DAYS = 2.0 * nm.load_dataset("sleepstudy").Days.to_numpy()
    mine = nm.load_dataset("sleepstudy")
    for made in (
        nm.Model("Reaction ~ DAYS + (1 | Subject)", mine),
        nm.lmer("Reaction ~ DAYS + (1 | Subject)", mine),
        nm.scenario("~ DAYS + (1 | Subject)", mine, beta=[0, 1], theta=[1], sigma=1),
    ):
        assert np.array_equal(made.design.X[:, 1], DAYS)
    assert nm.Model("Reaction ~ 1 + (1 | Subject)", mine).data_name == "mine"
    params = {"beta": [0, 1], "theta": [0], "sigma": 1e-9}
    drawn = nm.simulate("~ DAYS + (1 | Subject)", mine, params=params, seed=1)
    assert drawn.iloc[:, 0].to_numpy() == pytest.approx(DAYS, abs=1e-6)


def test_variables_can_be_given():
    given = {"DAYS": np.sqrt(DAYS)}
    model = nm.Model("Reaction ~ DAYS + (1 | Subject)", nm.load_dataset("sleepstudy"), env=given)
    assert np.array_equal(model.design.X[:, 1], np.sqrt(DAYS))


def test_a_warning_names_the_users_line():
    data = table()
    control = nm.Control(max_evaluations=2)
    model = nm.Model(FORMULA, data)
    certified = model.fit()
    draws = {"draws": 20, "tune": 20, "chains": 2, "seed": 1, "progress": False}
    spline = nm.Model("Reaction ~ bs(Days, 3) + (1 | Subject)", data).fit()
    beyond = pd.DataFrame({"Days": [11.0], "Subject": ["308"]})
    mixed = (certified, nm.Model("Reaction ~ 1 + (1 | Subject)", data).fit(REML=False))
    doors: list[tuple[type[Warning], Callable[[], Any]]] = [
        (ConvergenceWarning, lambda: nm.lmer(FORMULA, data, control=control)),
        (ConvergenceWarning, lambda: lme4.lmer(FORMULA, data, control=control)),
        (ConvergenceWarning, lambda: model.fit(control=control)),
        (ConvergenceWarning, lambda: [model.fit(REML=False, control=control) for _ in range(1)]),
        (SamplingWarning, lambda: model.sample(**draws)),
        (SamplingWarning, lambda: certified.sample(**draws)),
        (SamplingWarning, lambda: nm.pymc_lmer(FORMULA, data, **draws)),
        (DataWarning, lambda: spline.predict(beyond)),
        (NestedMLMWarning, lambda: nm.anova(*mixed, refit=False)),
    ]
    for kind, door in doors:
        with pytest.warns(kind) as caught:
            door()
        own = [w for w in caught if issubclass(w.category, kind)]
        line = door.__code__.co_firstlineno
        assert [(w.filename, w.lineno) for w in own] == [(__file__, line)] * len(own)
