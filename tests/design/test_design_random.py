"""Random-effects terms: lme4's order, names, levels and codes (checked against lme4 1.1-31)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from reference import cases

from nestedmlm.design.build import build_design
from nestedmlm.design.design import Design
from nestedmlm.design.frame.collation import sort_levels
from nestedmlm.design.matrices.zmatrix import z_matrix
from nestedmlm.errors import DataError, FormulaError

N = 60
ROWS = np.arange(N)
D = pd.DataFrame(
    {
        "y": np.sin(ROWS),
        "x": np.cos(ROWS),
        "z": ROWS % 7 + 1.5,
        "f": pd.Categorical(np.array(["lo", "mid", "hi"])[ROWS % 3], ["lo", "mid", "hi"]),
        "a5": ROWS % 5,
        "b5": ROWS // 12,
        "c12": ROWS % 12,
        "d12": ROWS // 5,
        "school": ROWS // 15,
        "room": ROWS // 5 % 3,
    }
)


def design(rhs: str, **options: object) -> Design:
    return build_design(f"y ~ {rhs}", D, check=False, **options)  # type: ignore[arg-type]


RANDOM = cases("formulas/random")  # lme4's names, in its order


@pytest.mark.parametrize("rhs", RANDOM)
def test_order_and_names(rhs: str) -> None:
    _, names, _ = RANDOM[rhs]
    found = design(rhs)
    assert [term.name for term in found.terms] == names
    unique = list(dict.fromkeys(name.split(".")[0] for name in names))
    assert [factor.name for factor in found.factors] == unique
    assert [found.factors[t.factor].name for t in found.terms] == [
        name.split(".")[0] for name in names
    ]


@pytest.mark.parametrize("rhs", RANDOM)
def test_columns(rhs: str) -> None:
    _, _, columns = RANDOM[rhs]
    assert "; ".join(columns).split(" / ") == ["; ".join(t.columns) for t in design(rhs).terms]


def test_reversed_order_of_split_terms() -> None:
    found = design("x + (x||school/room)")
    assert [(t.text, t.columns) for t in found.terms] == [
        ("0 + x | room:school", ("x",)),
        ("1 | room:school", ("(Intercept)",)),
        ("0 + x | school", ("x",)),
        ("1 | school", ("(Intercept)",)),
    ]


def test_three_levels_of_nesting() -> None:
    names = [factor.name for factor in design("(1|school/room/f)").factors]
    assert names == ["f:room:school", "room:school", "school"]


def test_structures() -> None:
    found = design("cs(0+f|a5) + ar1(0+f|b5) + diag(x|c12, hom=True)")
    assert [(t.structure.name, t.hom) for t in found.terms] == [
        ("diag", True),
        ("ar1", True),
        ("cs", False),
    ]


def test_diagonal_double_bar() -> None:
    (term,) = design("(x*f||a5)", double_bar="diag").terms
    assert (term.structure.name, term.hom) == ("diag", False)
    assert term.columns == ("(Intercept)", "x", "fmid", "fhi", "x:fmid", "x:fhi")


def test_nested_levels_are_the_observed_ones() -> None:
    inner, outer = design("(1|school/room)").factors
    assert list(outer.levels) == [0, 1, 2, 3]
    assert all(type(level) is int for level in outer.levels)
    assert list(inner.levels[:4]) == ["0:0", "0:1", "0:2", "0:3"]  # room-major
    assert inner.variables == ("room", "school")
    assert inner.codes.dtype == np.int32
    expected = [f"{r}:{s}" for r, s in zip(D.room, D.school, strict=True)]
    assert list(inner.levels[inner.codes]) == expected
    partial = D[~((D.school == 2) & (D.room == 1))]
    assert build_design("y ~ (1|school/room)", partial).factors[0].levels.size == 11


def test_nesting_spelled_three_ways_is_one_design() -> None:
    spelled = design("x + (x|school/room)")
    written = design("x + (x|room:school) + (x|school)")
    unique = build_design("y ~ x + (x|id) + (x|school)", D.assign(id=D.room * 10 + D.school))
    for other in (written, unique):
        assert (z_matrix(spelled) != z_matrix(other)).nnz == 0


def test_group_expressions() -> None:
    found = design("(1|I(x > 0)) + (1|np.floor(z)) + (1|factor(a5)) + (1|interaction(f, a5))")
    levels = {f.name: list(f.levels) for f in found.factors}
    assert levels["I(x > 0)"] == [False, True]
    assert levels["floor(z)"] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    assert levels["factor(a5)"] == [0, 1, 2, 3, 4]
    assert len(levels["interaction(f, a5)"]) == 15


LEVELS = {
    "ints": ([10, 2, 33, 2], [2, 10, 33]),
    "floats": ([10.0, 0.25, 1e5, 2], [0.25, 2.0, 10.0, 1e5]),
    "strings": (["10", "2", "B", "a", "A", "b"], ["10", "2", "a", "A", "b", "B"]),
    "bools": ([True, False, True], [False, True]),
    "int8": (np.array([-128, 127, 0], dtype=np.int8), [-128, 0, 127]),
    "uint64": (np.array([2**64 - 1, 2**64 - 2], dtype=np.uint64), [2**64 - 2, 2**64 - 1]),
    "huge": ([10**12, 5, -3], [-3, 5, 10**12]),
    "category": (pd.Categorical(["u", "v", "u"], ["w", "v", "u"]), ["v", "u"]),
    "objects": (np.array([10, 2, 33], dtype=object), [2, 10, 33]),
    "mixed": (np.array([10, "b", "a", 2], dtype=object), [2, 10, "a", "b"]),
    "dates": (pd.to_datetime(["2024-02-01", "2024-01-01"]), None),
    "nullable": (pd.array([3, 1, 2], dtype="Int64"), [1, 2, 3]),
}


@pytest.mark.parametrize("kind", LEVELS)
def test_levels(kind: str) -> None:
    values, expected = LEVELS[kind]
    data = pd.DataFrame({"g": values, "y": np.arange(len(values)) ** 2.0})
    (factor,) = build_design("y ~ (1|g)", data, check=False).factors
    wanted = sorted(values) if expected is None else expected
    assert list(factor.levels) == list(wanted)
    assert [type(a) for a in factor.levels] == [type(a) for a in wanted]
    assert list(factor.levels[factor.codes]) == list(pd.Series(values))


def test_labels_of_combinations() -> None:
    data = D.assign(u=D.a5 / 4, v=D.x > 0)
    factor = build_design("y ~ (1|u:v)", data).factors[0]
    assert list(factor.levels[:3]) == ["0:FALSE", "0:TRUE", "0.25:FALSE"]


def test_collation_is_icu_root() -> None:
    # R with ICU: sort() of these, locale root
    expected = [
        *["_a", "-a", ",", ";", "!", "?", "[", "]", "{", "}", "@", "*", "&", "#", "%", "`", "^"],
        *["=", ">", "|", "~x", "$x", "1", "10", "2", "a", "a b", "a_b", "a-b", "a:b", "a.b"],
        *["a'b", 'a"b', "a(b", "a/b", "a+b", "a<b", "A1", "a10", "a2", "ab", "b", "B", "C", "e"],
        *["E", "é", "f", "zz", "zZ", "Zz"],
    ]
    shuffled = sorted(expected)
    assert [shuffled[i] for i in sort_levels(shuffled)] == expected


def test_equal_matrices_are_shared() -> None:
    found = design("x + (x|a5) + (x|b5)")
    assert np.shares_memory(found.X, found.terms[0].X)
    assert found.terms[0].X is found.terms[1].X


def test_arrays_are_read_only() -> None:
    found = build_design("y ~ x + f + (x|a5)", D, weights="z", offset="x")
    arrays = [found.y, found.X, found.weights, found.offset, found.kept, found.terms[0].X]
    arrays += [found.factors[0].codes, found.factors[0].levels]
    for array in arrays:
        assert array is not None
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_no_random_effects() -> None:
    with pytest.raises(FormulaError, match="no random-effects terms"):
        build_design("y ~ x", D)
    with pytest.raises(FormulaError, match="no columns"):
        build_design("y ~ x + (0|a5)", D)
    assert build_design("y ~ x", D, require_random=False).terms == ()
    assert len(build_design("y ~ x + (0|a5) + (1|b5)", D).terms) == 1


def test_matrix_cannot_group() -> None:
    with pytest.raises(DataError, match="is a matrix"):
        design("(1|poly(x, 2))")
