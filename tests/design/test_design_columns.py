"""Columns of X against R 4.2.2 (values copied from R, printed with 12 digits)."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from reference import cases

from nestedmlm.design.build import build_design
from nestedmlm.design.design import Design
from nestedmlm.errors import DataError, DataWarning, FormulaError, OptionError

D = pd.DataFrame(
    {
        "y": [3.0, 1.0, 4.0, 1.5, 5.0, 9.0],
        "x": [0.5, 1.2, 2.9, 3.1, 4.4, 6.0],
        "z": [2, 1, 4, 3, 6, 5],
        "f": pd.Categorical(["lo", "hi", "mid"] * 2, ["lo", "mid", "hi", "never"]),
        "s": ["b", "a", "C", "B", "a", "b"],
        "boo": [True, False, True, True, False, False],
        "g": [1, 1, 2, 2, 3, 3],
        "a": pd.Categorical(list("pqpqqp")),
        "b": pd.Categorical(list("uvwwvu")),
    }
)
D["o"] = D.f.cat.as_ordered()
NEW_X = pd.DataFrame({"x": [-1.0, 3.0, 8.0]})


def design(rhs: str, data: object = D, **options: object) -> Design:
    return build_design(f"y ~ {rhs}", data, require_random=False, **options)  # type: ignore[arg-type]


BASES = {
    "poly(x, 2)": [
        [-0.556268485550, 0.486587270173],
        [-0.401544800828, 0.068048597996],
        [-0.0257872807871, -0.4280573674555],
        [0.0184194862765, -0.4379592613544],
        [0.305763472190, -0.253627224559],
        [0.659417608698, 0.565007985200],
    ],
    "ns(x, df = 3)": [
        [0, 0, 0],
        [-0.114446414527, 0.312453520123, -0.186792865291],
        [0.206750347569, 0.536880694975, -0.314218586313],
        [0.300439893065, 0.501371661350, -0.283034826092],
        [0.488498275903, 0.342964316887, 0.086196553960],
        [-0.158267226629, 0.393529320268, 0.764737906362],
    ],
    "ns(x, knots = c(2, 4))": [
        [0, 0, 0],
        [-0.0900996478492, 0.3059353071840, -0.2039568714560],
        [0.232623221355, 0.510577576196, -0.325197550797],
        [0.309278379280, 0.482305284238, -0.293807689492],
        [0.5125852572569, 0.3269715009565, 0.0673523326957],
        [-0.142857142857, 0.428571428571, 0.714285714286],
    ],
    "bs(x, df = 4)": [
        [0, 0, 0, 0],
        [0.53435662809917, 0.08785983471074, 0.00453553719008, 0],
        [0.328158148760, 0.488981157025, 0.182796694215, 0],
        [0.268749311294766, 0.498885215794307, 0.232328435873890, 0.000037037037037],
        [0.0451349862259, 0.2924370982553, 0.5607982858892, 0.1016296296296],
        [0, 0, 0, 1],
    ],
    "bs(x, degree = 2, knots = 3)": [
        [0, 0, 0],
        [0.4459636363636, 0.0356363636364, 0],
        [0.579490909091, 0.418909090909, 0],
        [0.50969696969697, 0.48919191919192, 0.00111111111111],
        [0.155151515152, 0.627070707071, 0.217777777778],
        [0, 0, 1],
    ],
    "scale(x)": [
        [-1.24385414743],
        [-0.897881470662],
        [-0.0576621127948],
        [0.0411872234249],
        [0.683707908853],
        [1.47450259861],
    ],
}
NEW = {
    "poly(x, 2)": [
        [-0.887819238527, 1.804323210106],
        [-0.0036838972553, -0.4342836700313],
        [1.10148527933, 2.50655804837],
    ],
    "ns(x, df = 3)": [
        [0.282344656980, -0.702046174113, 0.419701517133],
        [0.254131483327, 0.519703016150, -0.299712661719],
        [-1.187198631202, 0.519520920827, 1.667677710375],
    ],
    "scale(x)": [[-1.98522416908], [-0.00823744468497], [2.46299596081]],
}


@pytest.mark.parametrize("term", BASES)
def test_basis(term: str) -> None:
    found = design(f"0 + {term}")
    np.testing.assert_allclose(found.X, BASES[term], atol=1e-10)
    width = found.X.shape[1]
    suffixes = [""] if width == 1 else range(1, width + 1)
    assert found.x_names == tuple(f"{term}{s}" for s in suffixes)


@pytest.mark.parametrize("term", NEW)
def test_basis_of_new_data(term: str) -> None:
    np.testing.assert_allclose(design(f"0 + {term}").new(NEW_X).X, NEW[term], atol=1e-10)


def test_bs_beyond_its_boundary_warns() -> None:
    expected = [
        [-3.7297190082645, 0.6783471074380, -0.0446280991736, 0],
        [0.297520661157, 0.495867768595, 0.206611570248, 0],
        [-0.0881542699725, 1.0651974288338, -4.6066727884910, 4.6296296296296],
    ]
    fit = design("0 + bs(x, df=4)")
    with pytest.warns(DataWarning, match="boundary knots"):
        np.testing.assert_allclose(fit.new(NEW_X).X, expected, atol=1e-10)


def test_spline_with_intercept_sums_to_one() -> None:
    X = design("0 + bs(x, df=5, intercept=True)").X
    np.testing.assert_allclose(X.sum(axis=1), 1.0)


def test_multivariate_poly_names() -> None:
    names = design("poly(x, z, degree=2, raw=True)").x_names
    assert [name[-3:] for name in names[1:]] == ["1.0", "2.0", "0.1", "1.1", "0.2"]


FIXED = cases("formulas/fixed")  # names of R's model.matrix()


@pytest.mark.parametrize("rhs", FIXED)
def test_names(rhs: str) -> None:
    found, (_, _, names) = design(rhs), FIXED[rhs]
    assert list(found.schema.fixed.names) == names
    assert list(found.x_names) == [name for name in names if name not in found.dropped]


def test_first_factor_varies_fastest() -> None:
    names = design("0 + f:boo").schema.fixed.names
    expected = ["flo", "fmid", "fhi"]
    assert list(names) == [f"{f}:boo{b}" for b in ("FALSE", "TRUE") for f in expected]


def test_contrast_matrices() -> None:
    four = pd.DataFrame({"y": [1.0, 2, 3, 5], "f": list("abcd")})
    lq, q, c = 0.670820393249937, 0.5, 0.223606797749979
    expected = {
        "Poly": [[-lq, q, -c], [-c, -q, lq], [c, -q, -lq], [lq, q, c]],
        "Helmert": [[-1, -1, -1], [1, -1, -1], [0, 2, -1], [0, 0, 3]],
        "Sum": [[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, -1, -1]],
        "Diff": np.array([[-3, -2, -1], [1, -2, -1], [1, 2, -1], [1, 2, 3]]) / 4,
        "SAS": np.eye(4)[:, :3],
        # R completes a partial matrix: contrasts(f) <- cbind(c(1, 0, 0, -1))
        "[1, 0, 0, -1]": [
            [1, -0.269752143389818, 0.4209914264407280],
            [0, -0.325619641525455, -0.8024785661018206],
            [0, 0.865123928305091, -0.0395042867796359],
            [-1, -0.269752143389818, 0.4209914264407284],
        ],
    }
    for name, matrix in expected.items():
        X = design(f"C(f, {name})", four).X
        np.testing.assert_allclose(X[:, 1:], matrix, atol=1e-12, err_msg=name)


def test_contrasts_argument() -> None:
    X = design("f", contrasts={"f": "sum"}).X
    np.testing.assert_array_equal(X[:3, 1:], [[1, 0], [-1, -1], [0, 1]])
    custom = pd.DataFrame({"m_l": [-1, 1, 0], "h_l": [-1, 0, 1]}, index=["lo", "mid", "hi"])
    assert design("f", contrasts={"f": custom}).x_names == ("(Intercept)", "fm_l", "fh_l")
    shuffled = custom.loc[["hi", "lo", "mid"]]
    np.testing.assert_array_equal(
        design("f", contrasts={"f": shuffled}).X, design("f", contrasts={"f": custom}).X
    )
    assert design("f", contrasts={"f": ("treatment", "hi")}).x_names[1:] == ("flo", "fmid")
    with pytest.raises(OptionError, match="factors of the model are: f"):
        design("f + x", contrasts={"x": "sum"})
    with pytest.raises(OptionError, match="known: diff, helmert, poly"):
        design("f", contrasts={"f": "nope"})
    with pytest.raises(DataError, match="3 rows"):
        design("f", contrasts={"f": np.eye(4)})
    with pytest.raises(DataError, match="linearly dependent"):
        design("f", contrasts={"f": np.ones((3, 1))})


def test_bars_use_default_contrasts() -> None:
    found = build_design("y ~ f + (f | g)", pd.concat([D] * 4), contrasts={"f": "sum"}, check=False)
    assert found.x_names == ("(Intercept)", "f1", "f2")
    assert found.terms[0].columns == ("(Intercept)", "fmid", "fhi")


def test_assign_and_labels() -> None:
    found = design("x + f + offset(z)")
    assert found.x_assign == (0, 1, 2, 2)
    assert found.x_terms == ("x", "f")
    np.testing.assert_array_equal(found.offset, D.z)


def test_offsets_add_up() -> None:
    found = design("offset(z) + offset(log(x)) + offset(2)", offset="x")
    np.testing.assert_allclose(found.offset, D.z + np.log(D.x) + 2 + D.x)
    inside = build_design("y ~ x + (1 + offset(z) | g)", D)  # lme4 counts this as an offset too
    np.testing.assert_array_equal(inside.offset, D.z)
    assert inside.terms[0].columns == ("(Intercept)",)


RESPONSES = {
    "log(y)": np.log(D.y),
    "I(y**2)": D.y**2,
    "y/z": D.y / D.z,
    "boo": D.boo,
    "z": D.z,
    "-y": -D.y,
}


@pytest.mark.parametrize("lhs", RESPONSES)
def test_response(lhs: str) -> None:
    found = build_design(f"{lhs} ~ x", D, require_random=False)
    np.testing.assert_allclose(found.y, np.asarray(RESPONSES[lhs], float))
    assert found.y.dtype == np.float64


def test_rank_deficient_columns_go(caplog: pytest.LogCaptureFixture) -> None:
    data = D.assign(x2=D.x * 2, one=1.0)
    found = design("x + x2 + z", data)
    assert found.x_names == ("(Intercept)", "x", "z")
    assert found.dropped == ("x2",)
    text = "fixed-effect model matrix is rank deficient so dropping 1 column / coefficient: x2"
    assert found.messages == (text,)
    assert text in caplog.text
    both = design("one + x + x2", data)
    assert both.dropped == ("one", "x2")
    assert both.messages[0].endswith("dropping 2 columns / coefficients: one, x2")
    np.testing.assert_array_equal(both.new(data).X, both.X)


def test_pivot_tolerance_is_rs() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=50)
    noise = rng.normal(size=50)
    data = {"y": rng.normal(size=50), "x": x, "near": x + 1e-6 * noise, "same": x + 1e-9 * noise}
    assert design("x + near", data).dropped == ()
    assert design("x + same", data).dropped == ("same",)


def test_more_columns_than_rows() -> None:
    found = design("factor(x) * factor(z)", D.head(3))
    assert found.p == 3


def test_no_fixed_effects() -> None:
    found = build_design("y ~ 0 + (1 | g)", D)
    assert found.X.shape == (6, 0)
    assert found.x_names == ()


@pytest.mark.parametrize(
    "rhs",
    ["poly(x, 6)", "poly(x, 0)", "scale(I(0*x))", "dummy(f, 'no')", "log(f)", "C(f, levels=['q'])",
     "scale(I(1e300*x))", "scale(I((x - min(x)) * 1e308 * 10))", "center(I(1e308 * 10 * x))"],
)  # fmt: skip
def test_impossible_transforms(rhs: str) -> None:
    with pytest.raises(DataError):
        design(rhs)


def test_the_mark_is_in_the_formula_at_hand() -> None:
    for text in ("y ~ pol(x, 2)", "  log(y) ~ z + pol(x, 2)"):
        with pytest.raises(FormulaError, match="unknown function") as caught:
            build_design(text, D, require_random=False)
        assert caught.value.formula == text.strip()
        assert caught.value.position == text.strip().index("pol")


def test_unknown_function_and_argument() -> None:
    with pytest.raises(FormulaError, match=r"unknown function pol\(\); did you mean poly"):
        design("pol(x, 2)")
    with pytest.raises(FormulaError, match="has no argument 'foo'"):
        design("ns(x, foo=2)")
    with pytest.raises(FormulaError, match="needs x"):
        design("scale()")


def test_missing_is_not_false() -> None:
    data = D.assign(x=[np.nan, 1.2, 2.9, 3.1, 4.4, 6.0])
    assert design("I(x > 2)", data).n == 5
    assert design("I(x > 2 | boo)", data).n == 6  # boo is True there: known either way
    assert design("I(x > 2 & boo)", data).n == 5


def test_numpy_and_bare_names_are_one_variable() -> None:
    assert design("log(x) + np.log(x)").x_terms == ("log(x)",)


def test_functions_of_the_caller() -> None:
    env = {"double": lambda v: 2 * v, "K": 3, "m": math}
    np.testing.assert_allclose(design("double(x)", env=env).X[:, 1], 2 * D.x)
    np.testing.assert_allclose(design("I(x*K)", env=env).X[:, 1], 3 * D.x)
    with pytest.raises(DataError, match="one value per row"):
        design("K", env=env)
    with pytest.raises(DataError, match="has 2 values, the data have 6 rows"):
        design("w", env={"w": [1, 2]})


@pytest.mark.parametrize("unit", [1e-200, 1e300])
def test_natural_splines_in_any_unit(unit: float) -> None:
    """Second derivatives over or under the range of numbers: the ends were not straight."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"x": rng.normal(size=40), "y": rng.normal(size=40)})
    rows["g"] = np.arange(40) % 5
    formula = "y ~ ns(x, df = 3) + (1 | g)"
    one, other = (build_design(formula, rows.assign(x=rows.x * u)).X for u in (1.0, unit))
    np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("ref", ["x", "f"])
def test_a_reference_that_is_a_column_is_refused(ref: str) -> None:
    rows = pd.DataFrame({"x": np.arange(12.0), "f": list("uvw") * 4, "g": np.arange(12) % 3})
    with pytest.raises(DataError, match="ref is one level, not a column"):
        build_design(f"x ~ relevel(f, {ref}) + (1 | g)", rows)
