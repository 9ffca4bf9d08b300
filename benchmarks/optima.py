"""Certified fits against their submodels, their twins and other starts: none may be above.

    python -m benchmarks.optima [--designs 200] [--seed 0] [--starts 4] [--kinds ar1 cs us]

Small seeded designs with weak variances, where optimizers stop early. Prints a line for each kind
of model, and each miss; ends with status 1 if a certified fit lies above another one.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

import nestedmlm as nm
from nestedmlm.covariance import STRUCTURES, Parameter, cholesky, register

type Options = Mapping[str, object]

ABOVE = 1e-5  # deviance units by which a certified fit may be above another one


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A model, and models that it contains or equals.

    Attributes
    ----------
    formula : str
    contains : tuple of str
        Formulas whose criterion, with the same options, cannot be lower.
    options : mapping
        Options of the fit: family, residual and others; with a family it is `glmer`'s.
    contains_with : tuple of pairs
        Formulas and options whose criterion cannot be lower.
    """

    formula: str
    contains: tuple[str, ...] = ()
    options: Options = MappingProxyType({})
    contains_with: tuple[tuple[str, Options], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """A fit above another one; `certified` says whether it claimed to be the optimum."""

    label: str
    formula: str
    other: str
    above: float
    certified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of design: how its rows are drawn, and which models are compared on them."""

    rows: Callable[[np.random.Generator], pd.DataFrame]
    comparisons: tuple[Comparison, ...]


def slopes(rng: np.random.Generator) -> pd.DataFrame:
    """Eight groups, a covariate that may be far from zero, slopes that may vary."""
    n, groups = int(rng.integers(40, 100)), int(rng.integers(6, 13))
    g, z, x = rng.integers(0, groups, n), rng.normal(size=n), rng.normal(size=n)
    mean = rng.choice([0.0, 10.0, 100.0])
    sd = rng.choice([0.0, 0.3, 1.0], size=3)
    u = rng.normal(size=(groups, 3)) * sd
    y = 1.0 + u[g, 0] + u[g, 1] * x + u[g, 2] * z + rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x + mean, "z": z, "g": g})


def occasions(rng: np.random.Generator) -> pd.DataFrame:
    """Six to 15 groups at two to four occasions, an intercept and occasions that may vary."""
    groups, k, m = int(rng.integers(6, 16)), int(rng.integers(2, 5)), int(rng.integers(2, 5))
    cells = [(g, t) for g in range(groups) for t in range(k) for _ in range(m)]
    rows = pd.DataFrame(cells, columns=["g", "t"])
    sd = rng.choice([0.0, 0.15, 0.3, 0.6], size=2)
    u, v = rng.normal(size=groups) * sd[0], rng.normal(size=(groups, k)) * sd[1]
    if rng.random() < 0.3:
        v = v - v.mean(axis=1, keepdims=True)  # occasions that go against each other
    rows["y"] = u[rows.g] + v[rows.g, rows.t] + rng.normal(size=len(rows))
    return rows.assign(t=rows.t.map("t{}".format))


def tiny(rng: np.random.Generator) -> pd.DataFrame:
    """Few rows with weights; groups and a factor that varies across them."""
    n, groups = int(rng.integers(18, 45)), int(rng.integers(3, 8))
    g, x = rng.integers(0, groups, n), rng.normal(size=n) + rng.choice([0.0, 5.0])
    a, b = rng.integers(0, 3, n), rng.integers(0, 2, n)
    sd = rng.choice([0.0, 0.3, 1.0], size=2)
    u = rng.normal(size=(groups, 2)) * sd
    y = 1.0 + u[g, 0] + u[g, 1] * b + rng.normal(size=n)
    w = rng.uniform(0.2, 3.0, n) if rng.random() < 0.5 else np.ones(n)
    named = {"a": [f"a{i}" for i in a], "b": [f"b{i}" for i in b]}
    return pd.DataFrame({"y": y, "x": x, "g": g, "w": w, **named})


def counts(rng: np.random.Generator) -> pd.DataFrame:
    """Rows of `slopes`, of which each response of a generalized model is drawn."""
    rows = slopes(rng)
    x, n = rows.x - rows.x.mean(), len(rows)
    eta = np.clip(0.5 * (rows.y - 1.0) + 0.2 * x, -4.0, 4.0)
    return rows.assign(
        x=x, hit=rng.binomial(1, 1.0 / (1.0 + np.exp(-eta))), count=rng.poisson(np.exp(eta)),
        over=rng.negative_binomial(2.0, 1.0 / (1.0 + np.exp(eta) / 2.0), n),
        size=rng.gamma(2.0, np.exp(eta) / 2.0), t=[f"t{i % 3}" for i in range(n)],
    )  # fmt: skip


def series(rng: np.random.Generator) -> pd.DataFrame:
    """Eight to 16 blocks at three to five times; residuals that may decay, and may differ."""
    groups, k = int(rng.integers(8, 17)), int(rng.integers(3, 6))
    rho, u = rng.choice([-0.5, 0.0, 0.3, 0.9]), rng.choice([0.0, 0.5, 2.0])
    lag = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
    e = rng.normal(size=(groups, k)) @ np.linalg.cholesky(rho**lag).T
    e *= np.exp(rng.choice([0.0, 0.5]) * rng.normal(size=k))
    g, t = np.repeat(np.arange(groups), k), np.tile(np.arange(k), groups)
    rows = pd.DataFrame({"g": g, "t": t, "x": rng.normal(size=groups * k)})
    rows = rows.assign(y=u * rng.normal(size=groups)[g] + e.ravel(), f=rows.t.map("t{}".format))
    return rows[rng.random(len(rows)) < 0.9] if rng.random() < 0.5 else rows


def _kinship() -> pd.DataFrame:
    """A relationship of 13 levels, of which designs of `slopes` have some."""
    root = np.random.default_rng(13).normal(size=(13, 20))
    return pd.DataFrame(root @ root.T / 20.0, range(13), range(13))


def _generalized(response: str, family: str, *simpler: str) -> tuple[Comparison, ...]:
    options = {"family": family}
    nested = tuple((f"{response} ~ x + (x | g)", {"family": other}) for other in simpler)
    return (
        Comparison(
            formula=f"{response} ~ x + (x | g)", options=options, contains_with=nested,
            contains=(f"{response} ~ x + (x || g)", f"{response} ~ x + (1 | g)"),
        ),
        Comparison(
            formula=f"{response} ~ 1 + ar1(0 + t | g)", options=options,
            contains=(f"{response} ~ 1 + (1 | g)", f"{response} ~ 1 + diag(0 + t | g, hom = TRUE)"),
        ),
        Comparison(
            formula=f"{response} ~ x + cs(x | g)", options=options,
            contains=(f"{response} ~ x + (x | g)",),
        ),
    )  # fmt: skip


def _of_residuals(formula: str, structure: str, *simpler: str) -> Comparison:
    return Comparison(
        formula=formula, options={"residual": structure}, contains=(),
        contains_with=tuple((formula, {"residual": other} if other else {}) for other in simpler),
    )  # fmt: skip


_AR1, _CS = "ar1(0 + t | g", "cs(0 + t | g"
KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "two columns": Kind(
            rows=slopes,
            comparisons=(
                Comparison(
                    formula="y ~ x + ar1(x | g, hom = FALSE)", contains=("y ~ x + (x | g)",)
                ),
                Comparison(formula="y ~ x + cs(x | g)", contains=("y ~ x + (x | g)",)),
                Comparison(formula="y ~ x + (x | g)", contains=("y ~ x + cs(x | g)",)),
            ),
        ),
        "three columns": Kind(
            rows=slopes,
            comparisons=(
                Comparison(
                    formula="y ~ x + cs(x + z | g)",
                    contains=("y ~ x + diag(x + z | g)", "y ~ x + cs(x + z | g, hom = TRUE)"),
                ),
                Comparison(
                    formula="y ~ x + ar1(x + z | g, hom = FALSE)",
                    contains=("y ~ x + diag(x + z | g)",),
                ),
                Comparison(
                    formula="y ~ x + (x + z | g)",
                    contains=("y ~ x + cs(x + z | g)", "y ~ x + ar1(x + z | g, hom = FALSE)"),
                ),
            ),
        ),
        "ar1": Kind(
            rows=occasions,
            comparisons=(
                Comparison(
                    formula=f"y ~ 1 + {_AR1})",
                    contains=("y ~ 1 + (1 | g)", "y ~ 1 + diag(0 + t | g, hom = TRUE)"),
                ),
                Comparison(
                    formula=f"y ~ 1 + {_AR1}, hom = FALSE)",
                    contains=(f"y ~ 1 + {_AR1})", "y ~ 1 + diag(0 + t | g)"),
                ),
            ),
        ),
        "cs": Kind(
            rows=occasions,
            comparisons=(
                Comparison(
                    formula=f"y ~ 1 + {_CS}, hom = TRUE)",
                    contains=("y ~ 1 + (1 | g)", "y ~ 1 + (1 | g/t)"),
                ),
                Comparison(
                    formula=f"y ~ 1 + {_CS})",
                    contains=(f"y ~ 1 + {_CS}, hom = TRUE)", "y ~ 1 + diag(0 + t | g)"),
                ),
                Comparison(formula="y ~ 1 + (0 + t | g)", contains=(f"y ~ 1 + {_CS})",)),
            ),
        ),
        "clones": Kind(
            rows=occasions,
            comparisons=(
                Comparison(formula="y ~ 1 + ar1twin(0 + t | g)", contains=(f"y ~ 1 + {_AR1})",)),
                Comparison(formula=f"y ~ 1 + {_AR1})", contains=("y ~ 1 + ar1twin(0 + t | g)",)),
                Comparison(formula="y ~ 1 + cstwin(0 + t | g)", contains=(f"y ~ 1 + {_CS})",)),
                Comparison(formula=f"y ~ 1 + {_CS})", contains=("y ~ 1 + cstwin(0 + t | g)",)),
            ),
        ),
        "us": Kind(
            rows=tiny,
            comparisons=(
                Comparison(formula="y ~ a * x + (b | g)"),
                Comparison(formula="y ~ x + (x | g)", contains=("y ~ x + (x || g)",)),
            ),
        ),
        "binomial": Kind(rows=counts, comparisons=_generalized("hit", "binomial")),
        "poisson": Kind(rows=counts, comparisons=_generalized("count", "poisson")),
        "negative binomial": Kind(
            rows=counts, comparisons=_generalized("over", "negativebinomial", "poisson")
        ),
        "gamma": Kind(rows=counts, comparisons=_generalized("size", "gamma")),
        "residuals": Kind(
            rows=series,
            comparisons=(
                _of_residuals("y ~ x + (1 | g)", "ar1(t | g)", "", "car1(t | g)"),
                _of_residuals("y ~ x + (1 | g)", "car1(t | g)", ""),
                _of_residuals("y ~ x", "ar1(t | g, hom=False)", "ar1(t | g)"),
                _of_residuals("y ~ x", "toep(f | g)", "ar1(t | g)", "cs(1 | g)"),
                _of_residuals("y ~ x", "ad1(f | g)", "ar1(t | g)"),
                _of_residuals(
                    "y ~ x",
                    "us(f | g)",
                    "toep(f | g)",
                    "ad1(f | g, hom=False)",
                    "cs(f | g, hom=False)",
                    "ar1(t | g, hom=False)",
                ),
                Comparison(
                    formula="y ~ x + (1 | g)",
                    options={"dispersion": "~ f"},
                    contains_with=(("y ~ x + (1 | g)", {"dispersion": "~ t"}),),
                ),
            ),
        ),
        "relatives": Kind(
            rows=slopes,
            comparisons=(
                Comparison(
                    formula="y ~ x + (x | g)",
                    options={"relationship": {"g": _kinship()}},
                    contains=("y ~ x + (x || g)", "y ~ x + (1 | g)"),
                ),
                Comparison(
                    formula="y ~ x + cs(x | g)",
                    options={"relationship": {"g": _kinship()}},
                    contains=("y ~ x + (x | g)",),
                ),
            ),
        ),
    }
)


def register_twins() -> None:
    """Register `ar1` and `cs` as a user would write them, as ``ar1twin`` and ``cstwin``."""

    def ar1_root(xp, par, k):  # type: ignore[no-untyped-def]
        powers = [1.0 + 0.0 * par[0]]
        for _ in range(k - 1):
            powers.append(powers[-1] * par[0])
        lag = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
        return cholesky(xp, xp.stack(powers)[lag], k)

    def cs_root(xp, par, k):  # type: ignore[no-untyped-def]
        return cholesky(xp, np.eye(k) + par[0] * (1.0 - np.eye(k)), k)

    if "ar1twin" not in STRUCTURES:
        register("ar1twin", ar1_root, [Parameter("rho", -1.0, 1.0, 0.0)], hom=True)
        register("cstwin", cs_root, lambda k: [Parameter("rho", -1.0 / (k - 1.0), 1.0, 0.0)])


def designs(kind: str, count: int, *, seed: int) -> Iterator[tuple[str, pd.DataFrame]]:
    """Labels and rows of `count` designs of a kind."""
    for number in range(count):
        rng = np.random.default_rng([seed, list(KINDS).index(kind), number])
        yield f"{kind} {seed}/{number}", KINDS[kind].rows(rng)


def misses(label: str, rows: pd.DataFrame, compared: Comparison, *, starts: int) -> Iterator[Miss]:
    """Fits of one model that lie above what it contains, or above another start."""
    fit = _fit(compared.formula, rows, **compared.options)
    nested = [(formula, compared.options) for formula in compared.contains]
    others = {
        _written(formula, options): _fit(formula, rows, **options).criterion
        for formula, options in [*nested, *compared.contains_with]
    }
    rng, written = np.random.default_rng(len(rows)), _written(compared.formula, compared.options)
    for _ in range(starts):
        start = _random_theta(fit, rng)
        other = _fit(compared.formula, rows, start=start, **compared.options)
        others[f"start {start.round(3).tolist()}"] = other.criterion
        if other.criterion > fit.criterion + ABOVE:
            yield Miss(
                label=label, formula=f"{written} from {start.round(3).tolist()}",
                other="the default start", above=other.criterion - fit.criterion,
                certified=other.converged,
            )  # fmt: skip
    other, lowest = min(others.items(), key=lambda item: item[1], default=("", np.inf))
    if fit.criterion > lowest + ABOVE:
        yield Miss(
            label=label, formula=written, other=other, above=fit.criterion - lowest,
            certified=fit.converged,
        )  # fmt: skip


def _written(formula: str, options: Options) -> str:
    texts = {name: value for name, value in options.items() if isinstance(value, str)}
    return ", ".join([formula, *(f"{name}={value!r}" for name, value in texts.items())])


def _fit(formula: str, rows: pd.DataFrame, **options: object) -> nm.LmerFit | nm.GlmerFit:
    weights = "w" if "w" in rows else None
    fitted = nm.glmer if "family" in options else nm.lmer
    return fitted(formula, rows, weights=weights, **options)


def _random_theta(fit: nm.LmerFit | nm.GlmerFit, rng: np.random.Generator) -> np.ndarray:
    """A theta within its bounds: ends of the correlations now and then, sizes of all orders."""
    out = []
    for term in fit.design.terms:
        lower, upper = term.structure.bounds(len(term.columns), term.hom)
        both = np.isfinite(lower) & np.isfinite(upper)
        theta = rng.normal(size=len(lower)) * np.exp(rng.normal(size=len(lower)))
        theta = np.where(np.isfinite(lower), np.abs(theta), theta)
        share = rng.choice([0.0, 0.1, 0.5, 0.9, 1.0], size=len(lower))
        theta[both] = (lower + share * np.where(both, upper - lower, 0.0))[both]
        out.append(theta)
    return np.concatenate([*out, np.zeros(0)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--designs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--starts", type=int, default=4)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    options = parser.parse_args()
    logging.getLogger("nestedmlm").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    register_twins()
    false = 0
    for kind in options.kinds:
        began, found = time.perf_counter(), list[Miss]()
        for label, rows in designs(kind, options.designs, seed=options.seed):
            for compared in KINDS[kind].comparisons:
                found += misses(label, rows, compared, starts=options.starts)
        certified = [miss for miss in found if miss.certified]
        false += len(certified)
        print(
            f"{kind}: {options.designs} designs, {len(certified)} certified above another fit, "
            f"{len(found) - len(certified)} uncertified, {time.perf_counter() - began:.0f} s"
        )
        for miss in sorted(found, key=lambda m: -m.above):
            print(
                f"  {miss.above:.3g} {'certified' if miss.certified else 'not certified'}: "
                f"{miss.label}: {miss.formula} above {miss.other}"
            )
    sys.exit(bool(false))


if __name__ == "__main__":
    main()
