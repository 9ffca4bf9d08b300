"""Formulas and tables made at random (seeded): a fit, or an error of ours, and nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.errors import NestedMLMError, NestedMLMWarning

N = 48
NAMES = ("x", "x", "z", "z", "k", "f", "t", "b", "o", "m", "my col", "and", "nope")
CONSTANTS = (
    *"1 2 0 -1 0.5 1e999 TRUE NULL 3L ² 1e-320 c() [1,2,3]".split(),
    *('"u"', '"v"', "c(1, 2)", 'c("u", "v")'),
)
FUNCTIONS = tuple(
    "I log exp sqrt round factor ordered as.factor as.numeric as.integer as.character is.na ifelse "
    "scale center poly bs ns dummy C T S relevel interaction cbind c pmin pmax offset np.log1p "
    "np.add np.where np.save scipy.special.expit half nothing us cs".split()
)
TEMPLATES = (
    *"{} {} I({}+{}) I({}^2) I({}>0) I({}=={}) {}:{} {}*{} {}/{} log({}) scale({})".split(),
    *"factor({}) ordered({}) poly({},2) bs({},df=4) ns({},3) C({},contr.sum) is.na({})".split(),
    *"interaction({},{}) offset({}) dummy({}) as.numeric({}) as.character({}) cbind({},{})".split(),
    *"ifelse({}>0,{},1) I({}%in%c(1,2)) relevel(factor({}),'u') np.exp({}) T({})".split(),
    *"pmin({},{}) half({})".split(),
    *"poly({},{},degree=2) np.where({}>0,1,{}) I({}&{}) I(!{}) -{} ({}+{})^2 S({})".split(),
)
OPTIONS = tuple("df knots degree levels labels base center raw intercept hom zzz".split())
OPERATORS = tuple("+ - * / : ^ %in% %% %/% == != < >= & | || ~ =".split())


def half(v: Any) -> Any:
    return v / 2


class Grammar:
    """Random expressions."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def pick(self, items: tuple[str, ...]) -> str:
        return items[int(self.rng.integers(len(items)))]

    def name(self) -> str:
        name = self.pick(NAMES)
        return name if name.isalpha() and name != "and" else f"`{name}`"

    def expression(self, depth: int) -> str:
        kind = self.rng.random() if depth else self.rng.random() * 0.45
        if kind < 0.35:
            return self.name()
        if kind < 0.45:
            return self.pick(CONSTANTS)
        if kind < 0.7:
            arguments = [self.expression(depth - 1) for _ in range(self.rng.integers(0, 4))]
            if self.rng.random() < 0.3:
                arguments.append(f"{self.pick(OPTIONS)} = {self.pick(CONSTANTS)}")
            return f"{self.pick(FUNCTIONS)}({', '.join(arguments)})"
        if kind < 0.75:
            return f"({self.expression(depth - 1)})"
        if kind < 0.8:
            return f"{self.pick(('-', '+', '!'))}{self.expression(depth - 1)}"
        operator = self.pick(OPERATORS)
        return f"{self.expression(depth - 1)} {operator} {self.expression(depth - 1)}"

    def term(self) -> str:
        if self.rng.random() < 0.3:
            return self.expression(3)
        template = self.pick(TEMPLATES)
        return template.format(*(self.name() for _ in range(template.count("{}"))))

    def bar(self) -> str:
        left = self.pick(("1", "x", "0 + x", "f", "1 + z", self.term()))
        right = self.pick(("g", "h", "g/h", "g:h", "f", "k", self.term()))
        bar = self.pick(("|", "|", "|", "||"))
        return f"{self.pick(('', '', '', 'cs', 'ar1', 'diag'))}({left} {bar} {right})"

    def formula(self) -> str:
        terms = [self.term() for _ in range(self.rng.integers(0, 3))] + [self.bar()]
        terms += [self.bar()] if self.rng.random() < 0.3 else []
        response = self.pick(("y", "y", "y", "y", "log(y)", self.expression(1)))
        text = f"{response} ~ {' + '.join(terms)}"
        if self.rng.random() < 0.1:  # one character lost, doubled or foreign
            place = int(self.rng.integers(len(text)))
            text = (
                text[:place]
                + self.pick(("", text[place] * 2, "(", ")", "`", "|"))
                + text[place + 1 :]
            )
        return text


def column(rng: np.random.Generator) -> Any:
    """A column of one of many types, some of them no good."""
    whole, real = rng.integers(-3, 4, N), rng.normal(size=N)
    text = rng.choice(["u", "v", "w"], N)
    missing = rng.random(N) < 0.1
    kinds = [
        lambda: real,
        lambda: real.astype(np.float32),
        lambda: np.where(missing, np.nan, real),
        lambda: np.where(missing, np.inf, real),
        lambda: whole.astype(rng.choice(["int8", "int64", "float64"])),
        lambda: pd.array(np.where(missing, None, whole), dtype="Int64"),
        lambda: np.abs(whole).astype("uint8"),
        lambda: pd.Series([2**70 + int(v) for v in whole], dtype=object).mask(missing, None),
        lambda: text,
        lambda: pd.Categorical(text, ordered=bool(rng.integers(2))),
        lambda: pd.Categorical(whole),
        lambda: pd.Series(np.where(missing, None, text), dtype=object),
        lambda: pd.Series(text, dtype="string"),
        lambda: real > 0,
        lambda: pd.array(np.where(missing, None, real > 0), dtype="boolean"),
        lambda: pd.Series([*([1, "a", 2.5, None] * N)][:N], dtype=object),
        lambda: pd.date_range("2020", periods=N),
        lambda: pd.Series([[1, 2]] * N),
        lambda: pd.Series([{"a": 1}] * N),
        lambda: real + 1j,
        lambda: np.full(N, 3.0),
        lambda: np.full(N, np.nan),
        lambda: pd.Series([b"a", b"b"] * (N // 2)),
        lambda: pd.Series([(1, 2), (3, 4)] * (N // 2)),
        lambda: pd.Series(list(range(N)), dtype="Sparse[int64]"),
        lambda: pd.arrays.IntervalArray.from_breaks(np.arange(N + 1)),
        lambda: pd.period_range("2020", periods=N, freq="D"),
    ]  # fmt: skip
    return kinds[int(rng.integers(len(kinds)))]()


def table(rng: np.random.Generator) -> Any:
    g = np.arange(N) // 6
    columns: dict[str, Any] = {"y": rng.normal(size=N) + g, "g": g, "h": np.arange(N) % 4}
    for name in NAMES[:-1]:
        plain = rng.random() < 0.5
        columns[name] = rng.normal(size=N) if plain else column(rng)
    if rng.random() < 0.1:
        columns[str(rng.choice(["y", "g"]))] = column(rng)
    if rng.random() < 0.2:
        return {name: values for name, values in columns.items()}
    data = pd.DataFrame(columns)
    kind = rng.random()
    if kind < 0.1:
        return data.set_index(pd.Index(rng.integers(0, 5, N)))
    return data.iloc[: int(rng.integers(0, N))] if kind < 0.2 else data


def untyped(seed: int, count: int) -> Iterator[str]:
    """Yield what ended otherwise than in a fit or an error of ours."""
    rng = np.random.default_rng(seed)
    grammar = Grammar(rng)
    for _ in range(count):
        formula, data = grammar.formula(), table(rng)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", NestedMLMWarning)
            try:
                nm.lmer(formula, data)
            except NestedMLMError:
                pass
            except Exception as error:
                yield f"{formula}: {type(error).__name__}: {error}"


def test_nothing_but_fits_and_errors_of_ours() -> None:
    assert list(untyped(1, 300)) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_nothing_but_fits_and_errors_of_ours_in_many(seed: int) -> None:
    assert list(untyped(100 + seed, 500)) == []
