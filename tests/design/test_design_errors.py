"""What lme4 refuses is refused with its words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.design.build import build_design
from nestedmlm.errors import DataError, FormulaError, GroupingError, ResponseError

N = 36
D = pd.DataFrame(
    {
        "y": np.sin(np.arange(N)),
        "x": np.cos(np.arange(N)),
        "f": np.array(["u", "v"])[np.arange(N) % 2],
        "g": np.arange(N) // 2,
        "one": "k",
        "obs": np.arange(N),
        "single": np.maximum(np.arange(N) - 10, 0),
    }
)


def test_one_level() -> None:
    with pytest.raises(GroupingError, match="grouping factors must have > 1 sampled level"):
        build_design("y ~ x + (1|one)", D)


def test_as_many_levels_as_rows() -> None:
    text = (
        "number of levels of each grouping factor must be < number of observations "
        r"\(problems: obs\)"
    )
    with pytest.raises(GroupingError, match=text):
        build_design("y ~ x + (1|obs)", D)
    assert build_design("y ~ x + (1|single)", D).factors[0].levels.size == 26


def test_more_effects_than_rows() -> None:
    text = (
        r"number of observations \(=36\) <= number of random effects \(=36\) for term \(x \| g\); "
        r"the random-effects parameters and the residual variance \(or scale parameter\) are "
        "probably unidentifiable"
    )
    with pytest.raises(GroupingError, match=text):
        build_design("y ~ x + (x|g)", D)
    assert build_design("y ~ x + (x||g)", D).n == N
    assert build_design("y ~ x + cs(x|g)", D).n == N  # structured: lme4 >= 2 does not check
    assert build_design("y ~ x + (x|g)", D, check=False).n == N


BAD_RESPONSES = {
    "f": ("must be numeric", D.f),
    "category": ("must be numeric", D.f.astype("category")),
    "dates": ("must be numeric", pd.date_range("2020", periods=N)),
    "constant": ("is constant", np.full(N, 2.0)),
    "infinite": ("infinite", np.r_[np.inf, np.zeros(N - 1)]),
}


@pytest.mark.parametrize("kind", BAD_RESPONSES)
def test_response(kind: str) -> None:
    words, values = BAD_RESPONSES[kind]
    with pytest.raises(ResponseError, match=words):
        build_design("bad ~ x + (1|g)", D.assign(bad=values))


def test_matrix_response() -> None:
    for lhs in ("cbind(x, y)", "poly(x, 2)"):
        with pytest.raises(ResponseError, match="is a matrix"):
            build_design(f"{lhs} ~ 1 + (1|g)", D)


def test_infinite_response_from_a_transform() -> None:
    with pytest.raises(ResponseError, match=r"log\(z\)"):
        build_design("log(z) ~ x + (1|g)", D.assign(z=np.arange(N)))


def test_infinite_predictors_are_named() -> None:
    data = D.assign(bad=np.r_[np.inf, np.zeros(N - 1)])
    with pytest.raises(DataError, match="infinite values in bad"):
        build_design("y ~ x + bad + (1|g)", data)
    with pytest.raises(DataError, match="infinite values in bad"):
        build_design("y ~ x + (bad|single)", data)
    with pytest.raises(DataError, match=r"infinite values in log\(z\)"):
        build_design("y ~ log(z) + (1|g)", D.assign(z=np.arange(N)))
    with pytest.raises(DataError, match=r"infinite values in bad, x:bad"):
        build_design("y ~ x * bad + (1|g)", data)
    with pytest.raises(DataError, match="offset"):
        build_design("y ~ x + (1|g)", data, offset="bad")


def test_numbers_longer_and_shorter_than_double_precision() -> None:
    data = D.assign(far=np.full(N, np.longdouble("1e400")), half=D["single"].astype("float16"))
    for formula in ("y ~ far + (1|g)", "y ~ log(far) + (1|g)", "y ~ x + (far|g)"):
        with pytest.raises(DataError, match="infinite values in"):
            build_design(formula, data)
    with pytest.raises(ResponseError, match="infinite values"):
        build_design("far ~ x + (1|g)", data)
    assert build_design("y ~ x + factor(half) + (1|g)", data).p > 2


def test_large_finite_values_are_fine() -> None:
    data = D.assign(big=np.where(np.arange(N) % 2, 1e308, -1e307))
    assert build_design("y ~ big + (1|g)", data).p == 2


def test_factor_with_one_level() -> None:
    with pytest.raises(DataError, match="one has one level only"):
        build_design("y ~ one + (1|g)", D)


def test_arithmetic_on_a_category() -> None:
    with pytest.raises(DataError, match="categorical column"):
        build_design("y ~ I(f + 1) + (1|g)", D)


def test_a_list_of_rows_is_no_table() -> None:
    with pytest.raises(DataError, match=r"pandas\.DataFrame\(rows\) makes a table"):
        build_design("y ~ x + (1 | g)", D.to_dict("records")[0])
    with pytest.raises(DataError, match=r"pandas\.DataFrame\(rows\)"):
        nm.lmer("y ~ x + (1 | g)", D.to_dict("records"))


def test_a_name_with_a_space_wants_backticks() -> None:
    with pytest.raises(FormulaError, match="stands in backticks, `Test score`; else write"):
        build_design("Test score ~ x + (1 | g)", D)
