"""Large tables in memory: fitted from sums over their rows, which are built when something asks."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from designs import FORMULAS, data

import nestedmlm as nm
from nestedmlm.design.rows import LateRows, Rows
from nestedmlm.errors import DataError, FormulaError, NestedMLMError, OptionError
from nestedmlm.fits import model_source
from nestedmlm.formula import parse_formula

TABLE = data(400).assign(
    fewer=lambda d: d["a"].cat.add_categories("never"),
    text=lambda d: d["f1"].astype(str),
    both=lambda d: d["x"] + d["z"],
)
NESTED = {
    kind: formula
    for kind, formula in FORMULAS.items()
    if kind != "same partition twice"  # whose two variances may change places
    and not {"c1", "c2", "few"} & set(parse_formula(formula).names)
} | {
    "interaction, text": "y ~ x * fewer + (x | f2/text)",
    "learned": "y ~ poly(x, 2) + scale(z) + (scale(z) || f1) + offset(off)",
    "rank deficient": "y ~ x + z + both + (1 | f1)",
    "response of two values": "I(y > 8) ~ x + (1 | f1)",
}
FORMULA = "y ~ x + a + (x | f2) + (1 | f1)"


@pytest.fixture
def sums(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every table counts as large."""
    monkeypatch.setattr(model_source, "MANY_ROWS", 1)
    yield


def both(formula: str, table: pd.DataFrame, **options: object) -> tuple[nm.LmerFit, nm.LmerFit]:
    summed = nm.lmer(formula, table, **options)
    assert isinstance(summed.design.rows, LateRows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_source, "MANY_ROWS", len(table) + 1)
        rows = nm.lmer(formula, table, **options)
    assert isinstance(rows.design.rows, Rows)
    return summed, rows


def close(one: object, other: object) -> None:
    np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("sums")
@pytest.mark.parametrize("kind", NESTED)
def test_a_fit_from_sums_is_that_from_rows(kind: str) -> None:
    table = TABLE.copy()
    table.loc[[3, 50], "x"] = np.nan
    table.loc[4, "y"] = np.nan
    options = {"weights": "w", "na_action": "exclude"} if "offset" not in NESTED[kind] else {}
    fit, expected = both(NESTED[kind], table, **options)
    assert fit.criterion == pytest.approx(expected.criterion, rel=1e-11)
    assert fit.messages == expected.messages
    if not fit.is_singular():
        close(fit.theta, expected.theta)
    for name in ("fixef", "bse", "sigma", "aic", "ngrps", "nobs"):
        close(getattr(fit, name), getattr(expected, name))
    assert list(fit.fixef.index) == list(expected.fixef.index)
    assert [f.levels.tolist() for f in fit.design.factors] == [
        f.levels.tolist() for f in expected.design.factors
    ]
    assert not fit.design.rows._built  # nothing of this needed the rows
    close(fit.residuals(), expected.residuals())
    assert fit.residuals().index.equals(expected.residuals().index)
    for mine, theirs in zip(
        fit.design.rows.here().matrices, expected.design.rows.matrices, strict=True
    ):
        assert np.array_equal(mine, theirs)
    for name in ("y", "X", "weights", "offset", "kept"):
        assert np.array_equal(getattr(fit.design, name), getattr(expected.design, name)), name
    for mine, theirs in zip(fit.design.factors, expected.design.factors, strict=True):
        assert np.array_equal(mine.codes, theirs.codes)
    assert fit.design.schema.offset_array == expected.design.schema.offset_array


@pytest.mark.usefixtures("sums")
def test_arrays_and_contrasts() -> None:
    options = {
        "weights": TABLE["w"].to_numpy(), "offset": TABLE["off"].to_numpy(),
        "contrasts": {"a": "sum"},
    }  # fmt: skip
    fit, expected = both(FORMULA, TABLE, **options)
    close(fit.fixef, expected.fixef)
    close(fit.hatvalues(), expected.hatvalues())
    with pytest.raises(DataError, match="give offset="):
        fit.predict(TABLE)
    with pytest.raises(OptionError, match="contrasts for 'f1'"):
        nm.lmer(FORMULA, TABLE, contrasts={"f1": "sum"})


@pytest.mark.usefixtures("sums")
def test_designs_that_are_made_of_it() -> None:
    """Other responses, weights, terms and columns: from the rows, or from the same sums."""
    fit, expected = both(FORMULA, TABLE)
    y = np.sin(np.arange(len(TABLE)))
    assert fit.design.with_response(y).sums is None
    close(fit.refit(y).theta, expected.refit(y).theta)
    close(
        fit.refitted(fit.design.with_weights(TABLE["w"])).theta,
        expected.refitted(expected.design.with_weights(TABLE["w"])).theta,
    )
    close(fit.drop1().to_frame()["p_value"], expected.drop1().to_frame()["p_value"])
    fewer = fit.design.with_terms([0]).with_columns([0, 1])
    assert isinstance(fewer.rows, LateRows) and fewer.sums is not None
    assert np.array_equal(fewer.X, expected.design.X[:, :2])
    assert np.array_equal(fewer.terms[0].X, expected.design.terms[0].X)
    close(fit.simulate(seed=1), expected.simulate(seed=1))
    again = pickle.loads(pickle.dumps(fit))
    close(again.residuals(), expected.residuals())
    assert fit.design.with_rows(None).rows is None


@pytest.mark.usefixtures("sums")
@pytest.mark.parametrize(
    ("formula", "why"),
    [
        ("y ~ x + (1 | f1) + (1 | c1)", "factors cross"),
        ("y ~ x + (1 | few)", "few rows in a cell"),
    ],
)
def test_rows_where_sums_do_not_pay(formula: str, why: str) -> None:
    assert isinstance(nm.lmer(formula, TABLE).design.rows, Rows), why


@pytest.mark.usefixtures("sums")
@pytest.mark.parametrize(
    "formula",
    [
        "y ~ log(f1) + (1 | f2)",  # log(0)
        "y ~ x + (0 | f1)",
        "y ~ x + nowhere + (1 | f1)",
        "I(0 * y) ~ x + (1 | f1)",
        "y ~ I(2 * y) + (1 | f1)",
        "I(1e-160 * y) ~ x + (1 | f1)",
        "y ~ I(1e200 * x) + (1 | f1)",
        "y ~ I(1e-160 * x) + (1 | f1)",
        "y ~ x + (0 + I(1e-160 * z) | f1)",
    ],
)
def test_errors_are_those_of_the_rows(formula: str) -> None:
    said = []
    for least in (1, len(TABLE) + 1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(model_source, "MANY_ROWS", least)
            with pytest.raises(NestedMLMError) as caught:
                nm.lmer(formula, TABLE)
            said.append((type(caught.value), str(caught.value)))
    assert said[0] == said[1]


@pytest.mark.usefixtures("sums")
def test_data_that_the_caller_edits() -> None:
    """What is done to the table later does not reach the fit; what would, is refused."""
    table, expected = TABLE.copy(), nm.lmer(FORMULA, TABLE).residuals()
    mapping = {name: TABLE[name].to_numpy().copy() for name in ("y", "x", "f1", "f2")}
    mapping["a"] = TABLE["a"].astype(str).to_numpy()
    fits = [nm.lmer(FORMULA, table), nm.lmer(FORMULA, mapping)]
    table["y"] = 0.0
    table.loc[:, "x"] = 1.0
    mapping["y"][:] = 0.0
    for fit in fits:
        close(fit.residuals(), expected)
    y = TABLE["y"].to_numpy().copy()
    shared = pd.DataFrame({"y": pd.Series(y, copy=False)}, copy=False)
    for name in ("x", "a", "f1", "f2"):
        shared[name] = TABLE[name]
    fit = nm.lmer(FORMULA, shared)
    before = fit.fixef
    y[:] = np.arange(len(y))
    assert np.array_equal(fit.fixef, before)
    if not np.array_equal(fit.model.data["y"], TABLE["y"]):  # pandas took the array itself
        with pytest.raises(DataError, match="changed in place after the model was fitted"):
            fit.residuals()


@pytest.mark.usefixtures("sums")
@pytest.mark.parametrize(
    ("small", "large"),
    [
        ("y ~ x + (1 | f1)", "y ~ x + z + (x | f1)"),
        ("y ~ x + (1 | f1)", "y ~ poly(x, 2) + (1 | f1)"),
        ("y ~ x + (1 | f1)", "y ~ x + (1 | f1) + (1 | c1)"),  # the larger one has its rows
    ],
)
def test_models_of_different_sums_are_compared(small: str, large: str) -> None:
    found = nm.anova(nm.lmer(small, TABLE), nm.lmer(large, TABLE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_source, "MANY_ROWS", len(TABLE) + 1)
        expected = nm.anova(nm.lmer(small, TABLE), nm.lmer(large, TABLE))
    close(found.to_frame()["p_value"].iloc[1:], expected.to_frame()["p_value"].iloc[1:])
    assert found.messages == expected.messages


def test_from_how_many_rows() -> None:
    rng = np.random.default_rng(1)
    n = model_source.MANY_ROWS
    table = pd.DataFrame({"x": rng.normal(size=n), "g": np.arange(n) // 50})
    table["y"] = table["x"] + rng.normal(size=n // 50)[table["g"]] + rng.normal(size=n)
    fit = nm.lmer("y ~ x + (x | g)", table)
    assert fit.design.sums is not None and fit.converged
    assert nm.lmer("y ~ x + (x | g)", table.iloc[1:]).design.sums is None
    with pytest.raises(FormulaError, match="no random-effects terms"):
        nm.lmer("y ~ x", table)


PROGRAM = """
import numpy as np, pandas as pd
import nestedmlm as nm
from nestedmlm.likelihood.elimination import speed
from nestedmlm.statistics.crossproducts import cross_products

speed.PATIENCE_SECONDS = 1e9  # the compiler's memory is not asked about

def peak():
    # not ru_maxrss: a process begins with that of the one that started it
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

n = 1_000_000
rng = np.random.default_rng(0)
school = np.repeat(np.arange(n // 2000, dtype=np.int32), 2000)
room = np.repeat(np.arange(n // 100, dtype=np.int32), 100)
data = pd.DataFrame({"school": school, "room": room})
for name in ("ses", "age", "y"):
    data[name] = rng.normal(size=n)
for groups in (500, 10_000):
    effects = 0.4 * rng.normal(size=(groups, 2)).repeat(n // groups, axis=0)
    data["y"] += effects[:, 0] + effects[:, 1] * data["ses"]
del effects
formula = "y ~ ses + age + (ses | school) + (ses | room)"
nm.lmer(formula, data.iloc[:50_000])
before = peak()
design = nm.Model(formula, data).design
assert design.sums is not None
cross_products(design)
print(peak() - before)
nm.lmer(formula, data)
print(peak())
"""


@pytest.mark.slow
def test_a_million_rows_take_little() -> None:
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    ).stdout.split()  # fmt: skip
    more, peak = map(float, said)
    assert more < 40.0
    assert peak < 300.0
