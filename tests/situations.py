"""The situations a fit can be in, as models of one table; each is fitted once per session.

Most say in another way what a second model says (`twin`): weights that are all 4 and none, an
offset and a response from which it is subtracted, a variance of zero and no such term, a column
too many and the column left out. Every verb must then give the same numbers.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.fits import model_source
from nestedmlm.statistics.cells import table_design

PLAIN = "y ~ x + a + (x | f1) + (1 | c1)"
FULL = "y ~ x + a + offset(off) + (x | f1) + (1 | c1)"


@cache
def rows() -> pd.DataFrame:
    """Rows with factors f1 (30 levels) and c1 (7), whose effects differ, and c2 with no effect."""
    rng = np.random.default_rng(1)
    n = 150
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "z": rng.normal(size=n),
            "a": pd.Categorical(rng.choice(list("pqr"), n)),
            "f1": rng.integers(0, 30, n),
            "c1": rng.integers(0, 7, n),
            "c2": np.arange(n) % 5,
            "half": pd.Categorical(np.where(np.arange(n) % 2, "odd", "even")),
            "w": rng.uniform(0.5, 2.0, n),
            "four": 4.0,
            "off": rng.normal(size=n),
        }
    )
    own, slopes, crossed = rng.normal(size=30), 1.5 * rng.normal(size=30), rng.normal(size=7)
    effects = own[frame.f1] + slopes[frame.f1] * frame.x + 1.5 * crossed[frame.c1]
    frame["y"] = 5.0 + frame.x + effects + rng.normal(size=n)
    noise = rng.normal(size=n)
    means = pd.Series(noise).groupby(frame.f1).transform("mean")
    frame["flat"] = 5.0 + frame.x + noise - means  # no group differs from another
    frame["line"] = crossed[frame.c1] * (1.0 + 0.5 * frame.z) + noise  # slopes follow intercepts
    return frame.assign(x2=2.0 * frame.x + 1.0, y_off=frame.y + frame.off)


def new_rows() -> pd.DataFrame:
    """Twelve rows, three of them of a group that was not there."""
    new = rows().head(12).copy()
    new.loc[new.index[:3], "c1"] = 99
    return new


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """A model that is fitted, and what else says the same.

    Attributes
    ----------
    fit : callable
    twin : callable or None
        A fit whose numbers are the same; None where there is none.
    moved : str
        The column by which the twin's fitted values are lower, if any.
    scale : float
        What sigma is multiplied by (the unit of the weights).
    extra : str
        The factor that the twin leaves out.
    renamed : mapping
        Parameters that the twin calls otherwise.
    """

    fit: Callable[[], nm.LmerFit]
    twin: Callable[[], nm.LmerFit] | None = None
    moved: str = ""
    scale: float = 1.0
    extra: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict)


def lmer(formula: str = PLAIN, data: Any = None, **options: Any) -> nm.LmerFit:
    return nm.lmer(formula, rows() if data is None else data, **options)


def pickled() -> nm.LmerFit:
    return pickle.loads(pickle.dumps(full()))


@cache
def full() -> nm.LmerFit:
    return lmer(FULL, weights="w", offset="z")


@cache
def plain() -> nm.LmerFit:
    return lmer()


def holes() -> pd.DataFrame:
    frame = rows().copy()
    frame.loc[[4, 40], "y"] = np.nan
    frame.loc[4, "a"] = None
    frame.loc[7, "x"] = np.nan
    return frame


def polars() -> Any:
    pl = pytest.importorskip("polars", reason="polars is not installed")
    return pl.from_pandas(rows().assign(a=rows()["a"].astype(str).astype(object)))


def mapping() -> dict[str, np.ndarray]:
    return {name: column.to_numpy() for name, column in rows().items()}


def from_sums() -> nm.LmerFit:
    """A fit that never had rows."""
    return nm.summarise(PLAIN, rows()).fit()


def of_a_large_table() -> nm.LmerFit:
    """A fit whose rows are built when something asks for them, as of a table of 1e5 rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_source, "MANY_ROWS", 1)
        patch.setattr(table_design, "FEW_ROWS", 0)
        patch.setattr(table_design, "all_nested", lambda *_: True)
        return lmer()


S = Situation
SITUATIONS: dict[str, Situation] = {
    "plain": S(fit=plain),
    "pickled": S(fit=pickled, twin=full),
    "permuted": S(fit=lambda: lmer(data=rows().sample(frac=1.0, random_state=1)), twin=plain),
    "ML": S(fit=lambda: lmer(REML=False), twin=lambda: plain().refit_ml()),
    "equal weights": S(fit=lambda: lmer(weights="four"), twin=plain, scale=2.0),
    "weights array": S(
        fit=lambda: lmer(weights=rows()["w"].to_numpy()), twin=lambda: lmer(weights="w")
    ),
    "offset column": S(
        fit=lambda: lmer(PLAIN.replace("y", "y_off"), offset="off"), twin=plain, moved="off"
    ),
    "offset formula": S(fit=lambda: lmer(FULL.replace("y", "y_off")), twin=plain, moved="off"),
    "offset array": S(
        fit=lambda: lmer(PLAIN.replace("y", "y_off"), offset=rows()["off"].to_numpy()),
        twin=plain, moved="off",
    ),
    "zero variance": S(
        fit=lambda: lmer(PLAIN + " + (1 | c2)"), twin=plain, extra="c2"
    ),
    "rank deficient": S(fit=lambda: lmer(PLAIN.replace("x +", "x + x2 +", 1)), twin=plain),
    "missing rows": S(
        fit=lambda: lmer(data=holes(), na_action="exclude"),
        twin=lambda: lmer(data=holes().dropna()),
    ),
    "compound symmetry": S(
        fit=lambda: lmer(PLAIN.replace("(x |", "cs(x |")), twin=plain,
        renamed={"rho|f1": "cor_x.(Intercept)|f1", "x in cs(x | f1)": "x in (x | f1)",
                 "cs(x | f1)": "(x | f1)"},
    ),
    "mapping": S(fit=lambda: lmer(data=mapping()), twin=plain),
    "polars": S(fit=lambda: lmer(data=polars()), twin=plain),
    "degenerate slopes": S(fit=lambda: lmer("line ~ x + a + (z | c1)")),
    "no variance": S(fit=lambda: lmer("flat ~ x + a + (1 | f1)")),
    "double bar": S(fit=lambda: lmer("y ~ x + a + (x || f1) + (1 | c1)")),
    "diagonal": S(fit=lambda: lmer("y ~ x + a + diag(x | f1, hom = TRUE) + (1 | c1)")),
    "autoregressive": S(fit=lambda: lmer("y ~ x + a + ar1(0 + a | f1)")),
    "symmetric, three": S(fit=lambda: lmer("y ~ x + a + cs(0 + a | f1)")),
    "crossed": S(fit=lambda: lmer("y ~ x * a + (1 | f1) + (x | c1)")),
    "two levels": S(fit=lambda: lmer("y ~ x + a + (1 | f1) + (1 | half)")),
    "contrasts": S(fit=lambda: lmer(contrasts={"a": "sum"})),
    "no intercept": S(fit=lambda: lmer("y ~ 0 + a + x + (0 + x | f1) + (1 | c1)")),
    "no fixed effects": S(fit=lambda: lmer("y ~ 0 + (1 | f1)")),
    "penalised": S(fit=lambda: lmer(penalty="wishart")),
    "from sums": S(fit=from_sums, twin=plain),
    "large table": S(fit=of_a_large_table, twin=plain),
}  # fmt: skip
TWINS = tuple(name for name, own in SITUATIONS.items() if own.twin)


@cache
def fit_of(situation: str) -> nm.LmerFit:
    """The fit, made once."""
    return SITUATIONS[situation].fit()


@cache
def twin_of(situation: str) -> nm.LmerFit:
    """The fit that says the same, made once."""
    make = SITUATIONS[situation].twin
    assert make is not None
    return make()
