"""Formula functions read what R reads, or refuse: nothing is taken in silence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from nestedmlm.design.build import build_design
from nestedmlm.design.design import Design
from nestedmlm.errors import DataWarning, NestedMLMError

N = 36
D = pd.DataFrame(
    {
        "y": np.sin(np.arange(N)),
        "x": np.arange(N) % 7 + 0.5,
        "z": np.cos(np.arange(N)) + 2,
        "a": np.array(["p", "q", "r"])[np.arange(N) % 3],
        "t": np.array(["10", "9", "30"])[np.arange(N) % 3],
        "w": np.array(["a", "B", "c"])[np.arange(N) % 3],
        "k": np.array([10, 20, 30])[np.arange(N) % 3],
        "g": np.arange(N) // 4,
    }
)
D["u"] = D.a.astype("category")


def design(term: str) -> Design:
    return build_design(f"y ~ {term} + (1 | g)", D)


REFUSED = """
    I(x, z)
    abs(x, z)
    log(x, 2, 3)
    round(x, 1, 2)
    sqrt(x, zzz = 2)
    bs(z, df = -5)
    bs(z, df = 4.5)
    ns(z, df = 0)
    bs(z, knots = 100)
    bs(z, degree = 0)
    bs(z, Boundary.knots = 3)
    bs(z, df = "a")
    bs(z, intercept = 3)
    poly(x, 2, 3)
    poly(x, degree = 2.5)
    poly(x, 7)
    scale(x, c(1, 2))
    scale(x, z)
    center(x, 3)
    S(a, 3)
    T(a, "zzz")
    T(a, 'p', 3)
    C(a, contr.treatment(3, base = "p"))
    C(a, contr.treatment(3, base = 7))
    C(a, contr.treatment(5))
    C(a, contr.sum(3, 2))
    C(a, contr.sum, 3, 4)
    C(a, contr.poly(3, scores = c(1, 2)))
    C(a, 3)
    factor(a, labels = c("A", "B"))
    factor(a, levels = c("p", "p", "q"))
    factor(a, 1, 2, 3, 4)
    as.factor(a, 3)
    factor(a, ordered = 3)
    relevel(a)
    relevel(a, "p", 3)
    ifelse(x > 2, 1)
    ifelse(x > 2, 1, 2, 3)
    I(a == c('p', 'q', 'r', 's', 't'))
    I(x * c(1, 2, 3, 4, 5))
    I(u < 'q')
    as.numeric(w)
    is.na(x, z)
    interaction(a, lex.order = TRUE)
    dummy(a, 'zzz')
    dummy(a, c('p', 'p'))
    pmin(x, na.rm = TRUE)
    cbind()
    I(a + 1)
    I(x == cbind(x, z))
    as.character(a, 2)
"""


@pytest.mark.parametrize("term", REFUSED.strip().split("\n    "))
def test_refused(term: str) -> None:
    with pytest.raises(NestedMLMError):
        design(term)


def column(term: str) -> list[float]:
    return design(term).X[:6, 1].tolist()


def test_as_r_reads_them() -> None:
    merged = design('factor(a, labels = c("A", "A", "C"))')
    assert merged.x_names[1:] == ('factor(a, labels = c("A", "A", "C"))C',)
    assert merged.X[:3, 1].tolist() == [0, 0, 1]
    assert design('factor(a, labels = "L")').x_names[1].endswith("L2")
    by_place = design('factor(a, c("r", "q", "p"), c("R", "Q", "P"))')
    assert [name[-1] for name in by_place.x_names[1:]] == ["Q", "P"]
    assert column('I(a == c("p", "q"))') == [1, 1, 0, 0, 0, 0]
    assert column("I(x * c(1, 2))") == [0.5, 3, 2.5, 7, 4.5, 11]
    assert column("I(t == 10)") == [1, 0, 0, 1, 0, 0]
    assert column("I(k == '20')") == [0, 1, 0, 0, 1, 0]
    assert column("I(w < 'B')") == [1, 0, 0, 1, 0, 0]
    assert column("as.numeric(t)") == [10, 9, 30, 10, 9, 30]
    assert column("as.numeric(u)") == column("as.integer(factor(a))") == [1, 2, 3, 1, 2, 3]
    assert column('I(a %in% c("p", "r"))') == [1, 0, 1, 1, 0, 1]
    assert column("I(k %in% c(10, 30))") == [1, 0, 1, 1, 0, 1]
    assert column("log(base = 2, x)") == pytest.approx(np.log2(D.x[:6]).tolist())
    assert column("pmax(x, 3, z)") == np.maximum(np.maximum(D.x, 3), D.z)[:6].tolist()
    assert column("relevel(ref = 'q', x = a)") == [1, 0, 0, 1, 0, 0]


@pytest.mark.parametrize(
    "call", ["contr.treatment(3)", "contr.treatment", "contr.treatment(n = 3)"]
)
def test_the_first_level_is_the_reference(call: str) -> None:
    np.testing.assert_array_equal(design(f"C(a, {call})").X[:3, 1:], [[0, 0], [1, 0], [0, 1]])


@pytest.mark.parametrize("name", ["a", "k"])
def test_base_is_a_number_of_a_level(name: str) -> None:
    X = design(f"C({name}, contr.treatment(3, base = 2))").X
    np.testing.assert_array_equal(X[:3, 1:], [[1, 0], [0, 0], [0, 1]])


def test_a_df_that_is_too_small_warns_as_r() -> None:
    for term, columns in (("bs(z, df = 2)", 3), ("ns(z, df = 1, intercept = TRUE)", 2)):
        with pytest.warns(DataWarning, match="df was too small"):
            assert design(f"0 + {term}").p == columns


def test_knots_that_coincide() -> None:
    ties = D.assign(z=np.r_[np.zeros(30), np.arange(6)])
    assert np.isfinite(build_design("y ~ ns(z, 4) + (1 | g)", ties).X).all()
