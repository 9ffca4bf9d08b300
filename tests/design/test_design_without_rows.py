"""A design made of sums over rows has names, levels and columns; its rows raise a typed error."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.design.build import build_design
from nestedmlm.design.design import Design
from nestedmlm.design.rows import Rows
from nestedmlm.errors import RowsNotHereError
from nestedmlm.lme4 import getME

DATA = nm.load_dataset("sleepstudy").assign(w=lambda d: np.linspace(0.5, 2, 180), off=0.1)
FORMULA = "Reaction ~ Days + (Days | Subject)"
FULL = build_design(FORMULA, DATA, weights="w", offset="off")
NONE = FULL.with_rows(None)


def test_names_levels_and_columns_are_there():
    assert NONE.rows is None
    assert (NONE.n, NONE.p, NONE.x_names) == (180, 2, ("(Intercept)", "Days"))
    assert (NONE.x_assign, NONE.x_terms, NONE.dropped) == (FULL.x_assign, FULL.x_terms, ())
    (factor,), (term,) = NONE.factors, NONE.terms
    assert (factor.name, factor.variables, len(factor.levels)) == ("Subject", ("Subject",), 18)
    assert (term.columns, term.structure.name, term.name) == (
        ("(Intercept)", "Days"),
        "us",
        "Subject",
    )
    assert str(NONE.formula) == FORMULA
    assert np.array_equal(NONE.new(DATA.head(3)).X, FULL.X[:3])  # other rows can be asked about


ROWS: dict[str, Callable[[Design], Any]] = {
    "y": lambda d: d.y,
    "X": lambda d: d.X,
    "weights": lambda d: d.weights,
    "offset": lambda d: d.offset,
    "index": lambda d: d.index,
    "full_index": lambda d: d.full_index,
    "kept": lambda d: d.kept,
    "codes": lambda d: d.factors[0].codes,
    "matrices": lambda d: d.terms[0].X,
}


def test_every_field_of_rows_is_asked_for():
    may_be_none = {"residual", "sigma"}
    assert {*ROWS} | may_be_none == {field.name for field in fields(Rows)}


@pytest.mark.parametrize("name", ROWS)
def test_rows_that_are_not_there(name):
    assert ROWS[name](FULL) is not None
    with pytest.raises(RowsNotHereError, match=r"design\.with_rows\(nm\.build_design"):
        ROWS[name](NONE)
    with pytest.raises(ValueError, match="made of sums"):
        ROWS[name](pickle.loads(pickle.dumps(NONE)))


def test_what_the_user_called_is_named():
    fit = nm.summarise(FORMULA, nm.load_dataset("sleepstudy")).fit()
    with pytest.raises(RowsNotHereError, match=r"^influence\(\): the index: a matter of rows"):
        fit.influence()
    with pytest.raises(RowsNotHereError, match=r"^check\(\): the fitted values: a matter"):
        fit.check()  # through functions of other names


@pytest.mark.parametrize("change", [Design.align, Design.with_response])
def test_what_is_made_of_rows(change):
    with pytest.raises(RowsNotHereError):
        change(NONE, np.zeros(180))


def test_rows_can_be_given():
    assert FULL.rows is not None
    again = NONE.with_rows(build_design(FORMULA, DATA, weights="w", offset="off").rows)
    for name, read in ROWS.items():
        assert np.array_equal(read(again), read(FULL)), name


def test_rows_are_one_record():
    design = build_design("Reaction ~ Days + (Days | Subject) + (1 | w)", DATA, check=False)
    rows = design.rows
    assert rows is not None
    assert all(term.rows is rows for term in design.terms)
    assert all(factor.rows is rows for factor in design.factors)
    changed = replace(design, rows=replace(rows, X=2 * rows.X, codes=rows.codes[::-1]))
    assert np.array_equal(changed.X, 2 * design.X)
    assert np.array_equal(changed.factors[0].codes, design.factors[1].codes)
    assert again_is_one_record(pickle.loads(pickle.dumps(design)))


def again_is_one_record(design: Design) -> bool:
    return all(part.rows is design.rows for part in (*design.terms, *design.factors))


def test_columns_and_terms_can_be_kept():
    design = build_design(
        "Reaction ~ Days + off:Days + (Days | Subject) + (1 | w)", DATA, check=False
    )
    assert [term.name for term in design.terms] == ["w", "Subject"]
    for of in (design, design.with_rows(None)):
        fewer = of.with_columns([1]).with_terms([1])
        assert (fewer.x_names, fewer.x_assign) == (("Days",), (1,))
        (term,), (factor,) = fewer.terms, fewer.factors
        assert (term.name, term.factor, term.number, factor.name) == ("Subject", 0, 0, "Subject")
    fewer = design.with_columns([1]).with_terms([1])
    assert np.array_equal(fewer.X, design.X[:, [1]])
    assert np.array_equal(fewer.terms[0].X, design.terms[1].X)
    assert np.array_equal(fewer.factors[0].codes, design.factors[1].codes)


# --- a fit whose rows are gone --------------------------------------------------------------------
def fits() -> tuple[nm.LmerFit, nm.LmerFit]:
    fit = nm.lmer(FORMULA, DATA)
    return fit, replace(fit, design=fit.design.with_rows(None))


SAME: dict[str, Callable[[nm.LmerFit], Any]] = {
    "fixef": lambda fit: fit.fixef,
    "bse": lambda fit: fit.bse,
    "cov_params": lambda fit: fit.cov_params(),
    "theta": lambda fit: fit.theta,
    "criterion": lambda fit: fit.criterion,
    "aic": lambda fit: (fit.aic, fit.bic, fit.llf, fit.deviance, fit.npar, fit.df_resid),
    "nobs": lambda fit: (fit.nobs, fit.ngrps.to_dict()),
    "varcorr": lambda fit: str(fit.varcorr()),
    "ranef": lambda fit: fit.ranef(),
    "coef": lambda fit: fit.coef()["Subject"],
    "singular": lambda fit: (fit.is_singular(), str(fit.repca())),
    "print": repr,
    "profile": lambda fit: fit.conf_int(parm="sigma", method="profile"),  # refits by ML
    "wald": lambda fit: fit.conf_int(method="wald"),
    "tidy": lambda fit: fit.tidy(),
    "contest": lambda fit: fit.contest([0, 1]).table,
    "Kenward-Roger": lambda fit: fit.contest([0, 1], ddf="kenward-roger").table,
    "getME": lambda fit: getME(fit, "theta"),
}
REFUSED: dict[str, Callable[[nm.LmerFit], Any]] = {
    "fitted": lambda fit: fit.fittedvalues,
    "resid": lambda fit: fit.resid,
    "predict": lambda fit: fit.predict(),
    "augment": lambda fit: fit.augment(),
    "influence": lambda fit: fit.influence(),
    "hat": lambda fit: fit.hatvalues(),
    "icc": lambda fit: fit.icc(),
    "r2": lambda fit: fit.r2(),
    "diagnose": lambda fit: fit.diagnose(),
    "refit": lambda fit: fit.refit(DATA.Reaction),
    "bootstrap": lambda fit: fit.bootstrap(nsim=2, seed=1, progress=False),
    "simulate": lambda fit: fit.simulate(seed=1),
    "sample": lambda fit: fit.sample(sampler="psis", draws=10, seed=1),
    "refitted": lambda fit: fit.refitted(fit.design),
    "trellis": lambda fit: fit.plot.trellis(),
}


@pytest.mark.parametrize("verb", SAME)
def test_verbs_of_the_solution_do_not_need_rows(verb):
    full, none = (SAME[verb](fit) for fit in fits())
    if isinstance(full, pd.DataFrame):
        pd.testing.assert_frame_equal(none, full)
    elif isinstance(full, pd.Series | np.ndarray):
        assert np.array_equal(none, full)
    else:
        assert none == full


@pytest.mark.parametrize("verb", REFUSED)
def test_verbs_of_rows_say_so(verb):
    full, none = fits()
    REFUSED[verb](full)
    with pytest.raises(RowsNotHereError, match="this design has none"):
        REFUSED[verb](none)
