"""Small simulated designs of every kind, shared by the tests of the numerics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from nestedmlm.design.build import build_design
from nestedmlm.design.design import Design
from nestedmlm.design.matrices.grouping import GroupingFactor

FORMULAS = {
    "one factor": "y ~ x + z + (1 | f1)",
    "slope": "y ~ x + z + (x | f1)",
    "several terms on one factor": "y ~ x + (x | f1) + (0 + z | f1)",
    "nested chain of two": "y ~ x + (x | f2) + (x + z | f1)",
    "nested chain of three": "y ~ x + z + (1 | f3) + (z | f1) + (x | f2)",
    "crossed": "y ~ x + z + (x | f1) + (z | c1)",
    "three crossed": "y ~ z + (1 | f1) + (x | c1) + (1 | c2)",
    "nested within crossed": "y ~ x + (x | f1) + (1 | f2) + (x | c1) + (1 | c2)",
    "chain of three within crossed": "y ~ z + (x | f2) + (1 | c1) + (1 | f1) + (z | f3) + (z | c2)",
    "same partition twice": "y ~ x + (1 | f1) + (1 | f1copy)",
    "single-observation groups": "y ~ x + (1 | few)",
    "no fixed effects": "y ~ 0 + (1 | f1)",
    "crossed without fixed effects": "y ~ 0 + (1 | f1) + (x | c1)",
    "diag": "y ~ x + diag(x + z | f1) + diag(x | f2, hom = TRUE)",
    "compound symmetry": "y ~ x + cs(x + z | f1) + cs(0 + a | f2, hom = TRUE)",
    "autoregressive": "y ~ x + ar1(0 + a | f1) + ar1(0 + a | f2, hom = FALSE)",
}


def data(n: int = 150, seed: int = 1) -> pd.DataFrame:
    """Rows with nested factors f1 < f2 < f3, crossed c1 and c2, and a factor of singletons."""
    rng = np.random.default_rng(seed)
    f1 = rng.integers(0, 30, n)
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=n) + 3.0,
            "z": rng.normal(size=n),
            "a": pd.Categorical(rng.choice(list("pqr"), n)),
            "f1": f1,
            "f1copy": f1 + 100,
            "f2": f1 // 5,
            "f3": f1 // 10,
            "c1": rng.integers(0, 7, n),
            "c2": rng.integers(0, 4, n),
            "few": np.minimum(np.arange(n), n - 10),
            "w": rng.uniform(0.5, 2.0, n),
            "off": rng.normal(size=n),
        }
    )
    effects = rng.normal(size=30)[frame.f1] + rng.normal(size=7)[frame.c1]
    frame["y"] = 5.0 + frame.x + effects + rng.normal(size=n) * 2.0
    return frame


def design(kind: str, *, weighted: bool = False, offset: bool = False) -> Design:
    """The design of one of `FORMULAS`."""
    return build_design(
        FORMULAS[kind],
        data(),
        weights="w" if weighted else None,
        offset="off" if offset else None,
    )


def simulated_responses(d: Design, m: int, seed: int = 3) -> np.ndarray:
    """Responses of which some leave a variance at zero."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(d.n, m))
    groups = rng.normal(size=(len(d.factors[0].levels), m))
    return d.y[:, None] + noise + rng.uniform(0, 2, m) * groups[d.factors[0].codes]


# formula, and the columns of the basis of each factor that has one
BASES = {
    "alone": ("y ~ x + z + (1 | f1)", {"f1": 30}),
    "slopes alone": ("y ~ x + z + (x | f1)", {"f1": 34}),
    "few functions": ("y ~ x + (1 | f1)", {"f1": 6}),
    "in a chain": ("y ~ x + (1 | f1) + (x | f2)", {"f1": 30}),
    "above a chain of two": ("y ~ z + (x | f1) + (1 | f2) + (z | c1)", {"c1": 9}),
    "beside crossed": ("y ~ z + (x | f1) + (1 | c1) + (x | c2)", {"c1": 5}),
    "several": ("y ~ x + (1 | f1) + (1 | c1) + (z | c2)", {"c1": 4, "c2": 3}),
    "two alone": ("y ~ x + (1 | c1) + (0 + z | f1)", {"c1": 7, "f1": 12}),
    "by weights of one": ("y ~ 0 + cs(x + z | f1)", {"f1": 8}),
}


def basis_design(kind: str, *, weighted: bool = False) -> Design:
    """A design whose bases have three rows more than there are levels with rows."""
    formula, sizes = BASES[kind]
    d = build_design(formula, data(), weights="w" if weighted else None, offset="off")
    rng = np.random.default_rng(3)

    def with_basis(factor: GroupingFactor) -> GroupingFactor:
        if factor.name not in sizes:
            return factor
        levels = np.append(factor.levels, ["new 1", "new 2", "new 3"]).astype(object)
        basis = rng.normal(size=(len(levels), sizes[factor.name])) * 3.0
        return replace(factor, levels=levels, basis=basis)

    return replace(d, factors=tuple(with_basis(f) for f in d.factors))


def central_difference(
    f: Callable[[np.ndarray], float], at: np.ndarray, step: float = 1e-5
) -> np.ndarray:
    """Central differences of fourth order, so that rounding and truncation both stay small."""
    out = np.empty(len(at))
    for i in range(len(at)):
        e = np.zeros(len(at))
        e[i] = step
        near = f(at + e) - f(at - e)
        far = f(at + 2 * e) - f(at - 2 * e)
        out[i] = (8 * near - far) / (12 * step)
    return out


def ratings(n: int, viewers: int, films: int, seed: int = 1) -> pd.DataFrame:
    """Ratings of films `i` by viewers `u`, in groups `s`, at places `v`; slopes of films differ."""
    rng = np.random.default_rng(seed)
    d = pd.DataFrame({"u": rng.integers(0, viewers, n), "i": rng.integers(0, films, n)})
    d = d.assign(v=rng.integers(0, 30, n), s=d.u // 10, x=rng.normal(size=n))
    d["w"] = rng.uniform(0.5, 2.0, n)
    of_films = rng.normal(size=(films, 2))[d.i] * 0.5
    d["y"] = 0.2 * d.x + rng.normal(size=viewers)[d.u] + rng.normal(size=n)
    d["y"] += of_films[:, 0] + of_films[:, 1] * d.x
    return d
