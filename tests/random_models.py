"""Models and tables made at random (seeded), most of them no good: what users can hand to a door.

Every door (linear, generalized, residual structures, relatives, sums of tables) is drawn with
options that fit it and with some that do not.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

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
FAMILIES = (
    ("binomial", ("logit", "probit", "cloglog", "identity")),
    ("poisson", ("log", "sqrt", "identity")),
    ("nbinom", ("log", "identity")),
    ("gamma", ("log", "inverse", "identity")),
    ("inverse_gaussian", ("log", "identity")),
    ("beta", ("logit", "probit")),
    ("gaussian", ("log", "identity")),
    ("t", ()),
    ("nope", ()),
)
RESIDUALS = tuple("ar1 ar1 car1 cs us toep ad1 diag nope".split())
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


def plain(data: Any, rng: np.random.Generator) -> Any:
    """The table with numbers for `x`, `z`, `y` and groups in `g`, `h`, most of them."""
    n = len(data["y"])
    whole = {
        "x": rng.normal(size=n), "z": rng.uniform(0.2, 2.0, n), "g": np.arange(n) // 6,
        "h": np.arange(n) % 4, "y": rng.normal(size=n) + np.arange(n) // 6,
    }  # fmt: skip
    whole = {name: values for name, values in whole.items() if rng.random() < 0.95}
    return data | whole if isinstance(data, dict) else data.assign(**whole)


class Doors:
    """A random call of a random door."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng, self.grammar = rng, Grammar(rng)

    def call(self, data: Any) -> tuple[str, Callable[[], Any]]:
        """What is called, in words, and the call."""
        door = self.grammar.pick(("plain", "glmer", "residual", "dispersion", "related", "sums"))
        mild = self.rng.random() < 0.6
        formula = self._mild() if mild else self.grammar.formula()
        return getattr(self, f"_{door}")(formula, plain(data, self.rng) if mild else data)

    def _mild(self) -> str:
        fixed = self.grammar.pick(
            ("1", "x", "x + z", "0 + x", "poly(x, 2)", "h", "factor(h)", "x*z")
        )
        bars = (
            *"(1|g) (1|g) (x|g) (x||g) (1|g)+(1|h) (1|g/h) (0+x|g) diag(x+z|g) cs(x+z|g)".split(),
            *"ar1(0+factor(h)|g) (0+factor(h)|g) cs(0+factor(h)|g) (1|k) (z|h)".split(),
        )
        return f"y ~ {fixed} + {self.grammar.pick(bars)}"

    def _plain(self, formula: str, data: Any) -> tuple[str, Callable[[], Any]]:
        options = self._numbers(data)
        return f"{formula} {options}", lambda: nm.lmer(formula, data, **options)

    def _numbers(self, data: Any) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if self.rng.random() < 0.3:
            options["weights"] = self._one_of((*NAMES, "g", "y", 3, [1.0] * N, -np.ones(N)))
        if self.rng.random() < 0.2:
            options["offset"] = self._one_of((*NAMES, 1.5, [0.5] * N))
        return options

    def _one_of(self, items: tuple[Any, ...]) -> Any:
        return items[int(self.rng.integers(len(items)))]

    def _glmer(self, formula: str, data: Any) -> tuple[str, Callable[[], Any]]:
        family, links = self._one_of(FAMILIES)
        options = {"family": family, "link": self._one_of((None, None, *links, "nope"))}
        options |= {"nAGQ": self._one_of((1, 1, 1, 0, 5, 9))} | self._numbers(data)
        if self.rng.random() < 0.7:  # a response that most families can have
            left = self._one_of(("count", "share", "hit", "positive", "hit", "cbind(count, other)"))
            formula = f"{left} ~{formula.partition('~')[2]}"
        return f"{formula} {options}", lambda: nm.glmer(formula, responses(data), **options)

    def _residual(self, formula: str, data: Any) -> tuple[str, Callable[[], Any]]:
        time = self.grammar.pick(
            ("o", "t", "f", "k", "x", "1", "time", "time", self.grammar.name())
        )
        block = self.grammar.pick(("g", "g", "h", "g/h", "g:h", "k", self.grammar.name()))
        option = self.grammar.pick(("", "", ", hom=False", ", by=h", ", by=f", ", hom=3", ", z=1"))
        text = f"{self.grammar.pick(RESIDUALS)}({time} | {block}{option})"
        options = {"residual": text} | self._numbers(data)
        return f"{formula} {options}", lambda: nm.lmer(formula, timed(data), **options)

    def _dispersion(self, formula: str, data: Any) -> tuple[str, Callable[[], Any]]:
        terms = " + ".join(self.grammar.term() for _ in range(self.rng.integers(0, 3)))
        options = {"dispersion": f"~ {terms}"} | self._numbers(data)
        if self.rng.random() < 0.2:
            options["residual"] = "ar1(time | g)"
        return f"{formula} {options}", lambda: nm.lmer(formula, timed(data), **options)

    def _related(self, formula: str, data: Any) -> tuple[str, Callable[[], Any]]:
        size = int(self._one_of((8, 8, 8, 4, 9, 0)))
        root = self.rng.normal(size=(size, size + 2))
        matrix = root @ root.T / (size + 2)
        labels: Any = self._one_of(
            (range(size), range(1, size + 1), [0] * size, map(str, range(size)))
        )
        labels = list(labels)
        kind = self._one_of(("table", "table", "table", "array", "zero", "nan", "text", "minus"))
        matrix = {"zero": 0.0, "nan": np.nan, "minus": -1.0}.get(kind, 1.0) * matrix
        made = {"array": matrix, "text": "A"}.get(kind, pd.DataFrame(matrix, labels, labels))
        name = self._one_of(("g", "g", "g", "h", "f", "nope"))
        options = {"relationship": {name: made}} | self._numbers(data)
        return (
            f"{formula} {kind} of {name}, {labels}",
            lambda: nm.lmer(formula, data, **options),
        )

    def _sums(self, formula: str, data: Any) -> tuple[str, Callable[[], Any]]:
        options = self._numbers(data)
        return f"summarise {formula} {options}", lambda: nm.summarise(
            formula, data, **options
        ).fit()


def responses(data: Any) -> Any:
    """The table with counts, shares, hits and positive numbers."""
    n = len(data["y"])
    rng = np.random.default_rng(n)
    added = {
        "count": rng.poisson(2.0, n), "other": rng.poisson(3.0, n), "hit": rng.integers(0, 2, n),
        "share": rng.beta(2.0, 3.0, n), "positive": rng.gamma(2.0, 1.0, n),
    }  # fmt: skip
    return data | added if isinstance(data, dict) else data.assign(**added)


def timed(data: Any) -> Any:
    """The table with whole times that differ within `g`."""
    times = np.arange(len(data["y"])) % 6
    return data | {"time": times} if isinstance(data, dict) else data.assign(time=times)


def untyped(seed: int, count: int, *, doors: bool = False) -> Iterator[str]:
    """Yield what ended otherwise than in a fit or an error of ours."""
    rng = np.random.default_rng(seed)
    made = Doors(rng)
    for _ in range(count):
        data = table(rng)
        said, call = made.call(data) if doors else made._plain(made.grammar.formula(), data)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", NestedMLMWarning)
            try:
                call()
            except NestedMLMError:
                pass
            except Exception as error:
                yield f"{said}: {type(error).__name__}: {error}"
