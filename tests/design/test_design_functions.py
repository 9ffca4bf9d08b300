"""Which functions a formula reaches, and what they get."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import nestedmlm as nm
from nestedmlm.__main__ import main
from nestedmlm.errors import FormulaError, NestedMLMError

N = 40
D = pd.DataFrame(
    {
        "y": np.sin(np.arange(N)),
        "x": np.arange(N) * 7 % 120,
        "z": np.cos(np.arange(N)) + 2,
        "g": np.arange(N) // 5,
    }
)

OUT_OF_REACH = """
    pd.io.common.os.system('touch {path}')
    pd.read_pickle('{path}')
    pd.eval('x')
    pd.cut(x, 3)
    numpy.save('{path}', x)
    np.save('{path}', x)
    np.seterr(all='raise')
    np.f2py.subprocess.getoutput('touch {path}')
    np.random.seed(1)
    np.random.normal(x)
    np.add.reduce(x)
    np.add.at(x, 1, 2)
    np.linalg.inv(x)
    np.frompyfunc(x, 1, 1)
    np.vectorize(x)
    np.ctypeslib.load_library('{path}', '.')
    scipy.io.savemat('{path}', x)
    scipy.special.os.system('touch {path}')
    scipy.special.seterr(all='raise')
    special.errstate(x)
    os.system('touch {path}')
    system('touch {path}')
    shutil.rmtree('{path}')
    remove_tree('{path}')
    pathlib.Path('{path}')
    Path('{path}')
    module.system('touch {path}')
    eval('1')
    exec('1')
    open('{path}', 'w')
    getattr(x, 'tofile')
    __import__('os')
    __builtins__.eval('1')
    _hidden(x)
    x.tofile('{path}')
    array.tofile('{path}')
    array.__class__(x)
    half.__globals__
    half.__call__(x)
    functools.reduce(x, z)
    builtins.print(x)
    len(x)
    float(x)
    print(x)
    np.log1p(x, x)
    np.log1p(x, out=z)
    np.add(x, z, z)
    np.multiply(x, z, where=x)
    expit(x, z)
""".split("\n    ")[1:]


def half(v):
    return v / 2


@pytest.mark.parametrize("call", [line.strip() for line in OUT_OF_REACH])
@pytest.mark.parametrize("place", ["y ~ x + offset({}) + (1 | g)", "y ~ {} + (1 | g)"])
def test_out_of_reach(call, place, tmp_path, monkeypatch) -> None:
    module, remove_tree, system, array, _hidden = os, shutil.rmtree, os.system, D.z.to_numpy(), half
    assert callable(remove_tree) and callable(system) and module and array.size and _hidden
    path = tmp_path / "made_by_a_formula"
    before = D.copy(), np.geterr()
    with pytest.raises(NestedMLMError) as caught:
        nm.lmer(place.format(call.format(path=path)), D)
    assert "\n" in str(caught.value)
    assert not path.exists()
    pd.testing.assert_frame_equal(D, before[0])
    assert np.geterr() == before[1]


def test_the_message_says_how_to_pass_a_function() -> None:
    with pytest.raises(FormulaError, match=r"functions of a list .*env=\{'save': np.save\}"):
        nm.lmer("y ~ np.save('a', x) + (1 | g)", D)


def test_a_module_that_is_passed_is_not_walked_through(tmp_path) -> None:
    for name in ("os", "m"):
        for call in (f"{name}.getpid()", f"{name}.path.exists('a')", f"{name}(x)"):
            with pytest.raises(NestedMLMError):
                nm.lmer(f"y ~ x + offset({call}) + (1 | g)", D, env={name: os})


def test_the_command_line(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    D.to_csv("d.csv", index=False)
    for call in ("pd.io.common.os.system('touch made')", "run_path('d.csv')", "sys.exit(3)"):
        assert main(["fit", f"y ~ x + offset({call}) + (1 | g)", "d.csv"]) == 2
        assert "unknown function" in capsys.readouterr().err
    assert not Path("made").exists()


def criterion(formula: str, data: pd.DataFrame = D, **options: object) -> float:
    return nm.lmer(formula, data, **options).criterion  # type: ignore[arg-type]


def test_what_is_within_reach() -> None:
    twice = np.frompyfunc(lambda v: 2.0 * v, 1, 1)
    for same in ("I(x / 2)", "half(x)", "np.divide(x, 2)", "np.multiply(x, 0.5)"):
        assert criterion(f"y ~ {same} + (1 | g)") == pytest.approx(criterion("y ~ I(x/2) + (1|g)"))
    right = criterion("y ~ p + (1 | g)", D.assign(p=expit(D.z)))
    for same in ("expit(z)", "scipy.special.expit(z)", "special.expit(z)"):
        assert criterion(f"y ~ {same} + (1 | g)") == pytest.approx(right)
    assert callable(twice)
    ranked = D.assign(r=D.z.rank())
    passed = criterion("y ~ rank(z) + (1 | g)", env={"rank": lambda v: pd.Series(v).rank()})
    assert passed == pytest.approx(criterion("y ~ r + (1 | g)", ranked))
    right = criterion("y ~ p + (1 | g)", D.assign(p=np.clip(D.z, 1.5, 2.5) * np.pi))
    assert criterion("y ~ I(np.clip(z, 1.5, 2.5) * np.pi) + (1 | g)") == pytest.approx(right)
    with pytest.raises(NestedMLMError):
        criterion("y ~ half(x) + (1 | g)", env={})


def test_what_a_function_raises_is_named() -> None:
    def broken(v):
        raise RuntimeError("no luck")

    with pytest.raises(FormulaError, match=r"broken\(\) raised RuntimeError: no luck") as caught:
        nm.lmer("y ~ broken(x) + (1 | g)", D)
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize(
    "dtype", ["float", "float32", "UInt8", "uint8", "uint16", "int8", "uint64"]
)
def test_functions_get_numbers_that_do_not_wrap_around(dtype) -> None:
    def centred(v):
        return v - 60

    data = D.astype({"x": dtype}).assign(w=(D.x // 2).astype(dtype))
    wide = D.assign(w=D.x // 2)
    exact = {
        "centred(x)": wide.x - 60,
        "np.negative(x)": -wide.x,
        "np.multiply(x, w)": wide.x * wide.w,
        "np.subtract(w, x)": wide.w - wide.x,
    }
    for term, values in exact.items():
        right = criterion("y ~ e + (1 | g)", wide.assign(e=values))
        assert criterion(f"y ~ {term} + (1 | g)", data, env={"centred": centred}) == pytest.approx(
            right, rel=1e-6
        )


def test_a_function_cannot_write_to_the_data() -> None:
    def spoil(v):
        v -= 10.0
        return v

    arrays = {name: D[name].to_numpy(dtype=float).copy() for name in D}
    fit = nm.lmer("y ~ spoil(z) + z + (1 | g)", arrays)
    assert fit.design.dropped == ("z",)
    np.testing.assert_array_equal(arrays["z"], D.z)


HALVES = [0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 2.675, 1.005, -0.15, 2.5, -2.5, 123456.789]


@pytest.mark.parametrize(
    ("digits", "expected"),
    [  # R 4.2.2: round(c(...), digits)
        (0, [0, 0, 0, 0, 1, 1, 3, 1, 0, 2, -2, 123457]),
        (1, [0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 2.7, 1.0, -0.1, 2.5, -2.5, 123456.8]),
        (2, [0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 2.67, 1.0, -0.15, 2.5, -2.5, 123456.79]),
        (-2, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 123500]),
        (400, HALVES),
    ],
)
def test_halves_are_rounded_as_in_r(digits, expected) -> None:
    data = pd.DataFrame({"x": HALVES, "y": np.arange(12.0), "g": list("aabbcc") * 2})
    X = nm.build_design(f"y ~ 0 + round(x, {digits}) + (1 | g)", data, check=False)
    column = np.zeros(12) if not X.p else X.X[:, 0]  # of zeros alone the column is dropped
    np.testing.assert_array_equal(column, expected)


@pytest.mark.parametrize(
    ("term", "names"),
    [  # R 4.2.2: colnames(model.matrix(~ term))
        ("cut(x, c(-Inf, 50, Inf))", ["cut(x, c(-Inf, 50, Inf))(50, Inf]"]),
        ("cut(x, breaks = 40 * -1:3)", ["cut(x, breaks = 40 * -1:3)(0,40]",
          "cut(x, breaks = 40 * -1:3)(40,80]", "cut(x, breaks = 40 * -1:3)(80,120]"]),
        ("cut(x, seq(-1, 119, 60))", ["cut(x, seq(-1, 119, 60))(59,119]"]),
        ("cut(x, seq(-1, 119, length.out = 3))", ["cut(x, seq(-1, 119, length.out = 3))(59,119]"]),
        ("cut(x, quantile(x, 0:2/2), include.lowest = TRUE)",
         ["cut(x, quantile(x, 0:2/2), include.lowest = TRUE)(52,119]"]),
        ("relevel(f, ref = 2)", ["relevel(f, ref = 2)a"]),
        ("interaction(f, x > 50, sep = '_', drop = TRUE)",
         [f'interaction(f, x > 50, sep = "_", drop = TRUE){level}'
          for level in ("b_FALSE", "a_TRUE", "b_TRUE")]),
    ],
)  # fmt: skip
def test_break_points_and_levels_as_r_writes_them(term, names) -> None:
    data = D.assign(f=np.where(D.x % 2 == 0, "a", "b"))
    design = nm.build_design(f"y ~ {term} + (1 | g)", data, check=False)
    assert list(design.x_names[1:]) == names


def test_na_makes_values_missing() -> None:
    data = D.assign(f=np.where(D.x % 2 == 0, "a", "b"))
    left_out = nm.build_design("y ~ ifelse(x > 100, NA, x) + (1 | g)", data)
    assert left_out.n == (D.x <= 100).sum()
    text = nm.build_design("y ~ ifelse(x > 100, NA, f) + (1 | g)", data)
    assert text.n == left_out.n and text.x_names[1] == "ifelse(x > 100, NA, f)b"


@pytest.mark.parametrize(
    "call", ["cut(x, 0:Inf)", "I(x:2)", "seq(x, 2)", "cut(x, seq(0, 1, -1))", "cut(x, 0:1e9)",
             "cut(x, seq(0, 1, 0.1, length.out = 3))", "relevel(f, ref = 3)"],
)  # fmt: skip
def test_sequences_and_levels_that_there_are_not(call) -> None:
    data = D.assign(f=np.where(D.x % 2 == 0, "a", "b"))
    with pytest.raises(NestedMLMError, match=r"sequence|steps|takes by|no level"):
        nm.build_design(f"y ~ {call} + (1 | g)", data)


@pytest.mark.parametrize(
    ("digits", "wanted"),
    [  # R 4.2.2: signif(c(...), digits)
        (0, [0.2, 0.2, 2, 10, 0.001, -40, 200, 0, 1e5]),
        (2, [0.15, 0.25, 2.5, 12, 0.0012, -45, 160, 0, 120000]),
        (4, [0.15, 0.25, 2.5, 12.5, 0.00125, -45, 155, 0, 123500]),
    ],
)
def test_significant_digits_are_r_s(digits, wanted) -> None:
    x = [0.15, 0.25, 2.5, 12.5, 0.00125, -45, 155, 0, 123456.789]
    data = pd.DataFrame({"y": np.arange(9.0), "x": x, "g": np.arange(9) // 2})
    X = nm.build_design(f"y ~ 0 + signif(x, {digits}) + (1 | g)", data, check=False)
    assert X.X[:, 0].tolist() == wanted


@pytest.mark.parametrize(
    ("term", "rows", "names", "last"),
    [  # R 4.2.2: model.matrix(~ term, data.frame(k = c(1, 2, NA, 3, 2, NA)))
        ("addNA(k)", 6, ["2", "3", "NA"], [0, 0, 1, 0, 0, 1]),
        ("factor(k, exclude = NULL)", 6, ["2", "3", "NA"], [0, 0, 1, 0, 0, 1]),
        ("factor(k, exclude = 2)", 4, ["3", "NA"], [0, 1, 0, 1]),
        ("factor(k, exclude = c(2, NA))", 2, ["3"], [0, 1]),
        ("factor(k, levels = c(3, 1, 2), exclude = 1)", 3, ["2"], [1, 0, 1]),
    ],
)
def test_missing_values_are_a_level_or_levels_are_missing(term, rows, names, last) -> None:
    k = [1, 2, np.nan, 3, 2, np.nan]
    data = pd.DataFrame({"y": np.arange(6.0), "k": k, "g": [0, 1] * 3})
    design = nm.build_design(f"y ~ {term} + (1 | g)", data, check=False)
    assert design.n == rows
    assert [name.removeprefix(term) for name in design.x_names[1:]] == names
    assert design.X[:, -1].tolist() == last


def test_a_level_of_missing_values_is_known_to_new_rows() -> None:
    k = [1.0, 2.0, np.nan] * 4
    data = pd.DataFrame({"y": np.sin(np.arange(12.0)), "k": k, "g": np.arange(12) // 3})
    fit = nm.lmer("y ~ addNA(k) + (1 | g)", data)
    np.testing.assert_allclose(fit.predict(data.tail(4)), fit.predict().tail(4))
    known = nm.lmer("y ~ addNA(k) + (1 | g)", data.dropna())
    with pytest.raises(nm.NestedMLMError, match=r"levels that were not there.*NA"):
        known.predict(data)
    with pytest.raises(nm.DataError, match="NA is the name of a level already"):
        nm.lmer("y ~ addNA(k) + (1 | g)", data.assign(k=["NA", None, "b"] * 4))


def test_first_contrasts_of_several() -> None:
    data = pd.DataFrame({"y": D.y, "o": D.x % 5, "g": D.g})
    all_four = nm.build_design("y ~ C(factor(o), contr.poly) + (1 | g)", data)
    two = nm.build_design("y ~ C(factor(o), contr.poly, 2) + (1 | g)", data)
    assert [name.rpartition(")")[2] for name in two.x_names[1:]] == [".L", ".Q"]
    np.testing.assert_array_equal(two.X, all_four.X[:, :3])
    for wrong in ("0", "5", "TRUE"):
        with pytest.raises(nm.NestedMLMError, match=r"how.many is 1 to 4"):
            nm.build_design(f"y ~ C(factor(o), contr.poly, {wrong}) + (1 | g)", data)


@pytest.mark.parametrize(
    ("term", "wanted"),
    [  # R 4.2.2, of b = c(TRUE, FALSE, TRUE, FALSE), x = 1:4
        ("I(x * !b)", [0, 2, 0, 4]),
        ("I(2^!b)", [1, 2, 1, 2]),
        ("I(x * !b > 2)", [1, 2, 3, 4]),  # x * !(b > 2)
        ("xor(b, x > 2)", [1, 0, 0, 1]),
    ],
)
def test_not_and_either_or(term, wanted) -> None:
    b = [True, False, True, False]
    data = pd.DataFrame({"y": np.arange(4.0), "x": np.arange(1.0, 5.0), "b": b, "g": [0, 0, 1, 1]})
    design = nm.build_design(f"y ~ {term} + (1 | g)", data, check=False)
    assert design.x_names[1].removesuffix("TRUE") == term
    assert design.X[:, 1].tolist() == wanted
