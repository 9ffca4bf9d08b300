"""`Design.new`: what was learned at the fit, applied to other data."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest

from nestedmlm.design.build import build_design
from nestedmlm.design.design import Design
from nestedmlm.errors import (
    ColumnNotFoundError,
    DataError,
    DataWarning,
    NewLevelsError,
    OptionError,
)

N = 48
D = pd.DataFrame(
    {
        "y": np.sin(np.arange(N)),
        "x": np.cos(np.arange(N)) * 3,
        "z": np.arange(N) % 7 + 1.0,
        "f": np.array(["u", "v", "w"])[np.arange(N) % 3],
        "boo": np.arange(N) % 2 == 0,
        "g": np.arange(N) // 8,
        "h": np.array(["A", "B", "C", "D"])[np.arange(N) % 4],
    }
)
FORMULAS = [
    "y ~ x + (x | g)",
    "log(y + 2) ~ poly(x, 3)*f + scale(z) + (scale(x) | g/h)",
    "y ~ ns(x, df=4):f + bs(z, df=5) + (ns(x, df=2) || h) + (1 | g:h)",
    "y ~ center(x) + C(f, Sum)*boo + offset(log(z)) + (f | g) + (0 + dummy(f, 'v') | h)",
    "y ~ C(f, levels=LEVELS) + I(x > CUT) + (1 | np.floor(z)) + (1 | I(x > CUT):g)",
    "y ~ . - g - h + (boo*x | h)",
    "y ~ 0 + f:boo + x + I(2*x) + cs(0 + f | g) + poly(x, z, degree=2)",
]
ENV = {"LEVELS": ["w", "v", "u"], "CUT": 0.5, "np": np, "unused": object()}


def design(formula: str, **options: object) -> Design:
    return build_design(formula, D, env=ENV, check=False, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("formula", FORMULAS)
def test_training_data_give_the_fit_exactly(formula: str) -> None:
    fit = design(formula)
    new = fit.new(D.drop(columns=["y"]) if not formula.startswith("log") else D)
    np.testing.assert_array_equal(new.X, fit.X)
    assert (new.offset is None) == (fit.offset is None)
    if fit.offset is not None:
        np.testing.assert_array_equal(new.offset, fit.offset)
    assert len(new.terms) == len(fit.terms)
    for term, (X, codes) in zip(fit.terms, new.terms, strict=True):
        np.testing.assert_array_equal(X, term.X)
        np.testing.assert_array_equal(codes, fit.factors[term.factor].codes)


@pytest.mark.parametrize("formula", FORMULAS)
def test_each_row_alone_gives_its_own_columns(formula: str) -> None:
    fit = design(formula)
    for row in (0, 5, 47):
        new = fit.new(D.iloc[[row]])
        np.testing.assert_allclose(new.X[0], fit.X[row], rtol=1e-13, atol=1e-13)
        for term, (X, codes) in zip(fit.terms, new.terms, strict=True):
            np.testing.assert_allclose(X[0], term.X[row], rtol=1e-13, atol=1e-13)
            assert codes[0] == fit.factors[term.factor].codes[row]


@pytest.mark.parametrize("formula", FORMULAS)
def test_pickle_and_deepcopy(formula: str) -> None:
    fit = design(formula)
    for other in (pickle.loads(pickle.dumps(fit)), copy.deepcopy(fit)):
        np.testing.assert_array_equal(other.X, fit.X)
        np.testing.assert_array_equal(other.new(D).X, fit.X)
        assert other.x_names == fit.x_names


def test_schema_holds_no_data() -> None:
    fit = build_design("y ~ poly(x, 2) + scale(z) + f + (x | g)", D, env=ENV)
    big = build_design("y ~ poly(x, 2) + scale(z) + f + (x | g)", pd.concat([D] * 50), env=ENV)
    assert abs(len(pickle.dumps(big.schema)) - len(pickle.dumps(fit.schema))) < 200
    known = {"x": np.zeros(N), "poly": lambda v: v, "CUT": 1, "f": lambda: 0}
    fit = build_design("y ~ poly(x, 2) + I(x > CUT) + (1 | g)", D, env=known)
    assert fit.schema.env.values == {"CUT": 1}  # only what was looked up is kept
    pickle.dumps(fit)


def test_unseen_groups() -> None:
    fit = design("y ~ x + (x | g) + (1 | g:h)")
    new = D.head(4).assign(g=[0, 99, 3, 0])
    with pytest.raises(NewLevelsError, match=r"g:h has groups .*: 99:B;"):
        fit.new(D.head(4).assign(h=["A", "B", "C", "zz"], g=[0, 99, 3, 0]).iloc[1:3])
    with pytest.raises(NewLevelsError, match="99"):
        fit.new(new)
    found = fit.new(new, new_levels="population")
    by_name = dict(zip([t.name for t in fit.terms], found.terms, strict=True))
    assert list(by_name["g"][1]) == [0, -1, 3, 0]
    assert by_name["g:h"][1][1] == -1
    with pytest.raises(OptionError, match="error, population"):
        fit.new(new, new_levels="nope")


def test_missing_groups() -> None:
    fit = design("y ~ x + (1 | h)")
    new = D.head(2).assign(h=["A", None])
    with pytest.raises(NewLevelsError, match="NA"):
        fit.new(new)
    assert list(fit.new(new, new_levels="population").terms[0][1]) == [0, -1]


@pytest.mark.parametrize("new_levels", ["error", "population"])
def test_unseen_fixed_levels_are_always_refused(new_levels: str) -> None:
    for formula in ("y ~ f + (1 | g)", "y ~ x + (f | g)", "y ~ C(f, Sum) + (1 | g)"):
        with pytest.raises(NewLevelsError, match="typo; known: u, v, w"):
            design(formula).new(D.head(2).assign(f=["u", "typo"]), new_levels=new_levels)


def test_missing_predictors_give_missing_rows() -> None:
    fit = design("y ~ poly(x, 2) + f + (1 | g)")
    new = fit.new(D.head(3).assign(x=[1.0, np.nan, 2.0], f=["u", "v", None]))
    assert list(np.isnan(new.X).any(axis=1)) == [False, True, True]


def test_fewer_levels_in_new_data() -> None:
    fit = design("y ~ f + C(f, levels=LEVELS) + (1 | g)")
    new = fit.new(D[D.f == "v"])
    np.testing.assert_array_equal(new.X, fit.X[D.f == "v"])


def test_levels_match_by_value_not_by_type() -> None:
    fit = design("y ~ f + (1 | g)")
    typed = D.astype({"g": float, "f": "category"})
    np.testing.assert_array_equal(fit.new(typed).X, fit.X)
    np.testing.assert_array_equal(fit.new(typed).terms[0][1], fit.factors[0].codes)


def test_kinds_must_agree() -> None:
    with pytest.raises(DataError, match="x was numeric at the fit"):
        design("y ~ x + (1 | g)").new(D.assign(x="a"))
    with pytest.raises(DataError, match="f has levels that were not there"):
        design("y ~ f + (1 | g)").new(D.assign(f=1.0))


def test_missing_column() -> None:
    with pytest.raises(ColumnNotFoundError, match="'x'"):
        design("y ~ x + (1 | g)").new(D.drop(columns="x"))


def test_offset_arguments() -> None:
    by_name = build_design("y ~ x + (1 | g)", D, offset="z")
    np.testing.assert_array_equal(by_name.new(D).offset, D.z)
    by_array = build_design("y ~ x + (1 | g)", D, offset=D.z.to_numpy())
    with pytest.raises(DataError, match="offset array"):
        by_array.new(D)


def test_dropped_columns_stay_dropped() -> None:
    data = D.assign(x2=2 * D.x)
    fit = build_design("y ~ x + x2 + z + (1 | g)", data)
    np.testing.assert_array_equal(fit.new(data).X, fit.X)


def test_new_groups_that_are_refused_are_not_warned_of() -> None:
    data = pd.DataFrame({"y": np.arange(8.0), "x": [1.0, 2, 4, 3] * 2, "g": list("aabbccdd")})
    design = build_design("y ~ between(x, g) + (1 | g)", data)
    new = pd.DataFrame({"x": [1.0, 5.0], "g": ["a", "e"]})
    with pytest.raises(NewLevelsError, match="e"):  # a warning would be an error
        design.new(new)
    with pytest.warns(DataWarning, match=r"\(e\) have the means of the rows given"):
        assert design.new(new, new_levels="population").X[1, 1] == 5.0
