"""A structure is what it answers: twins of the built-in ones answer every verb as these do.

Twins are a built-in row under a second name, and a structure that a user registers with the same
correlations. The fits are the same model, so all numbers and all prints are the same but for the
name.
"""

from __future__ import annotations

import ast
import copy
import dataclasses
import pickle
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.covariance import STRUCTURES, Parameter, add_structure, temporary_structures
from nestedmlm.lme4 import getME

PACKAGE = Path(nm.__file__).parent
NUMBER = re.compile(r"-?\d+\.?\d*")


def autoregressive(xp, par, k):
    powers = [1.0 + 0.0 * par[0]]
    for _ in range(k - 1):
        powers.append(powers[-1] * par[0])
    lag = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
    return nm.covariance.cholesky(xp, xp.stack(powers)[lag], k)


def exchangeable(xp, par, k):
    return nm.covariance.cholesky(xp, np.eye(k) + par[0] * (1.0 - np.eye(k)), k)


def rho(k):
    return [Parameter("rho", -1.0 / (k - 1.0), 1.0, 0.0)]


@pytest.fixture(scope="module", autouse=True)
def twins() -> Iterator[None]:
    with temporary_structures():
        nm.covariance.register("myar", autoregressive, [Parameter("rho", -1, 1, 0.0)], hom=True)
        nm.covariance.register("mycs", exchangeable, rho)
        for structure in tuple(STRUCTURES.values()):
            if structure.name in ("us", "diag", "cs", "ar1"):
                add_structure(dataclasses.replace(structure, name=f"{structure.name}Row"))
        yield


# own term -> its twins
PAIRS = {
    "ar1(0 + t | g)": ("myar", "ar1Row"),
    "ar1(0 + t | g, hom = FALSE)": ("myar", "ar1Row"),
    "cs(0 + t | g)": ("mycs", "csRow"),
    "cs(0 + t | g, hom = TRUE)": ("mycs", "csRow"),
    "diag(0 + t | g)": ("diagRow",),
    "diag(x | g, hom = TRUE)": ("diagRow",),
    "us(x | g)": ("usRow",),
}
TWINS = [(term, twin) for term, names in PAIRS.items() for twin in names]


@cache
def rows() -> pd.DataFrame:
    """30 groups with correlated effects of three times, four rows of each."""
    rng = np.random.default_rng(3)
    groups, k, each = 30, 3, 4
    g = np.repeat(np.arange(groups), k * each)
    t = np.tile(np.repeat(np.arange(k), each), groups)
    lag = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
    b = rng.normal(size=(groups, k)) @ np.linalg.cholesky(0.6**lag).T
    frame = pd.DataFrame({"g": g, "t": pd.Categorical(t), "x": rng.normal(size=len(g))})
    frame["y"] = 1.0 + frame["x"] * (1.0 + 0.5 * b[g, 0]) + b[g, t] + rng.normal(size=len(g))
    frame["noise"] = rng.normal(size=len(g))
    return frame


@cache
def fit_of(term: str, response: str = "y") -> nm.LmerFit:
    return nm.lmer(f"{response} ~ x + {term}", rows())


def twin_of(term: str, twin: str, response: str = "y") -> nm.LmerFit:
    rest = term.partition("(")[2]
    return fit_of(f"{twin}({rest}", response)


def names_of(model: Any) -> list[str]:
    return sorted(model.named_vars)


Verbs = Mapping[str, Callable[[nm.LmerFit], Any]]
VERBS: Verbs = {
    "converged": lambda f: (f.converged, f.certificate.holds),
    "criterion": lambda f: (f.criterion, f.sigma, f.npar, f.aic),
    "theta": lambda f: dict(zip(f.theta_names, f.theta, strict=True)),
    "summary": lambda f: str(f.summary()),
    "summary KR": lambda f: str(f.summary("kenward-roger")),
    "varcorr": lambda f: (str(f.varcorr()), f.varcorr().to_frame()),
    "singular": lambda f: (f.is_singular(), f.is_singular(rule="lme4")),
    "variance_parameters": lambda f: f.variance_parameters(),
    "tidy": lambda f: f.tidy(["fixed", "ran_pars", "ran_vals", "ran_coefs"], conf_int=True),
    "tidy vcov": lambda f: f.tidy("ran_pars", conf_int=True, scales="vcov"),
    "conf_int wald": lambda f: f.conf_int(method="wald"),
    "anova": lambda f: f.anova().table,
    "ranova": lambda f: f.ranova().table,
    "drop1": lambda f: f.drop1().table,
    "boundary": lambda f: nm.anova(fit_of("(1 | g)"), f, test="boundary").table,
    "diagnose": lambda f: str(f.diagnose()),
    "repca": lambda f: f.repca().to_frame(),
    "emmeans": lambda f: str(nm.emmeans(f, "x", at={"x": [0.0, 1.0]})),
    "icc": lambda f: f.icc(),
    "r2": lambda f: tuple(f.r2()),
    "variance_partition": lambda f: str(f.variance_partition()),
    "elimination": lambda f: str(f.elimination()),
    "simulate": lambda f: f.simulate(2, seed=1),
    "predict": lambda f: f.predict(rows().iloc[:5].assign(g=-1), new_levels="population"),
    "ranef": lambda f: f.ranef(),
    "getme": lambda f: (getME(f, "lower"), getME(f, "Lambda").toarray()[:6, :6]),
    "refit": lambda f: f.refit(rows()["noise"]).theta,
    "update": lambda f: f.update(". ~ . - x").criterion,
    "penalty": lambda f: nm.lmer(f.formula, rows(), penalty="wishart").criterion,
    "priors": lambda f: repr(f.model.priors),
    "to_pymc": lambda f: names_of(f.to_pymc()),
    "to_pymc marginal": lambda f: names_of(f.to_pymc(marginal=True)),
    "pickle": lambda f: str(pickle.loads(pickle.dumps(f)).summary()),
    "deepcopy": lambda f: str(copy.deepcopy(f).refit_ml().summary()),
}
SLOW: Verbs = {
    "influence": lambda f: f.influence("g").cooks_distance(),
    "conf_int profile": lambda f: f.conf_int(),
    "tidy profile": lambda f: f.tidy("ran_pars", conf_int=True, conf_method="profile"),
    "tidy boot": lambda f: f.tidy(
        "ran_pars", conf_int=True, conf_method="boot", nsim=4, seed=1, progress=False
    ),
    "bootstrap": lambda f: f.bootstrap(4, seed=1, progress=False).conf_int(),
    "simplify": lambda f: str(f.simplify()),
    "sample": lambda f: draws(f).parameters(),
    "compare": lambda f: str(nm.compare(f, draws(f))),
    "forest": lambda f: len(nm.plots.forest(f, draws(f), random=True).figure.axes),
}
# a singular fit has other things to say
ON_BOUNDARY = ("converged", "theta", "summary", "varcorr", "singular", "variance_parameters",
               "tidy", "ranova", "diagnose", "getme", "priors", "to_pymc marginal")  # fmt: skip


@cache
def draws(fit: nm.LmerFit) -> Any:
    return fit.sample(sampler="psis", draws=200, seed=1, progress=False)


def answer(verb: Callable[[nm.LmerFit], Any], fit: nm.LmerFit) -> Any:
    """What a verb says, a refusal in words."""
    try:
        return verb(fit)
    except nm.errors.NestedMLMError as error:
        return f"{type(error).__name__}: {error}"


def check_same(one: Any, other: Any, own: str, twin: str, rtol: float) -> None:
    """Compare two answers; `twin` in a text stands for `own`."""
    assert type(one) is type(other), (one, other)
    if isinstance(one, str):
        check_words(words(one, own, own), words(other, own, twin), rtol)
    elif isinstance(one, Mapping):
        assert words(" ".join(other), own, twin) == words(" ".join(one), own, own)
        check_same(tuple(one.values()), tuple(other.values()), own, twin, rtol)
    elif isinstance(one, pd.DataFrame | pd.Series):
        for label, same in zip(one.index, other.index, strict=True):
            assert words(str(same), own, twin) == words(str(label), own, own)
        for name, column in pd.DataFrame(one).items():
            check_same(list(column), list(pd.DataFrame(other)[name]), own, twin, rtol)
    elif isinstance(one, tuple | list):
        assert len(one) == len(other)
        for first, second in zip(one, other, strict=True):
            check_same(first, second, own, twin, rtol)
    elif isinstance(one, float | np.floating | np.ndarray):
        np.testing.assert_allclose(other, one, rtol=rtol, atol=rtol, equal_nan=True)
    else:
        assert one == other


def check_words(one: list[str], other: list[str], rtol: float) -> None:
    """Compare texts word for word, numbers up to a unit of their last digit."""
    assert len(one) == len(other), (one, other)
    for first, second in zip(one, other, strict=True):
        if NUMBER.fullmatch(first) and NUMBER.fullmatch(second):
            unit = 10.0 ** -len(first.partition(".")[2])
            assert float(second) == pytest.approx(float(first), rel=rtol, abs=1.01 * unit)
        else:
            assert first == second


def words(text: str, own: str, name: str) -> list[str]:
    """Words of a text: columns are as wide as their longest name, descents as long as they are."""
    text = re.sub(r"\d+ evaluations", "", text.replace(name, own))
    return text.replace("us(", "(").split()


def tolerance(twin: str) -> float:
    """A user's root has other coordinates, so the optimum is the same up to the optimizer's."""
    return 1e-4 if twin.startswith("my") else 1e-12


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(("term", "twin"), TWINS)
def test_twins_answer_alike(term, twin, verb):
    own = term.partition("(")[0]
    ask = VERBS[verb]
    one, other = answer(ask, fit_of(term)), answer(ask, twin_of(term, twin))
    check_same(one, other, own, twin, tolerance(twin))


@pytest.mark.parametrize("verb", SLOW)
@pytest.mark.parametrize(
    ("term", "twin"), [pair for pair in TWINS if "FALSE" not in pair[0] and "hom" not in pair[0]]
)
def test_twins_answer_slow_verbs_alike(term, twin, verb):
    own = term.partition("(")[0]
    ask = SLOW[verb]
    one, other = answer(ask, fit_of(term)), answer(ask, twin_of(term, twin))
    check_same(one, other, own, twin, 20.0 * tolerance(twin))


@pytest.mark.parametrize("verb", ON_BOUNDARY)
@pytest.mark.parametrize(("term", "twin"), TWINS)
def test_twins_answer_alike_on_the_boundary(term, twin, verb):
    own = term.partition("(")[0]
    ask = VERBS[verb]
    one = answer(ask, fit_of(term, "noise"))
    other = answer(ask, twin_of(term, twin, "noise"))
    check_same(one, other, own, twin, max(1e-8, tolerance(twin)))


# --- nobody asks for a name ---------------------------------------------------------------------
# how formulas write them, and what R's nlme calls them
SPELLED = {PACKAGE / "formula" / "structures.py", PACKAGE / "fits" / "verbs" / "nlme_code.py"}


def about_double_bar(node: ast.AST) -> bool:
    """``double_bar == "diag"`` and the list of what it may be: a reading of ``||``."""
    if isinstance(node, ast.Compare):
        return ast.unparse(node.left).endswith("double_bar")
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DOUBLE_BAR"


def names_asked(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    allowed = {
        id(inner) for node in ast.walk(tree) if about_double_bar(node) for inner in ast.walk(node)
    }
    return [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and node.value in {"us", "diag", "cs", "ar1"}
        and id(node) not in allowed
    ]


def test_no_structure_is_asked_for_by_name():
    paths = [p for p in PACKAGE.rglob("*.py") if p.parent.name != "covariance" and p not in SPELLED]
    assert len(paths) > 200
    assert [place for path in paths for place in names_asked(path)] == []
