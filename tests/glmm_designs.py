"""Small designs of generalized models, one for each shape, family and link."""

from __future__ import annotations

import numpy as np

from nestedmlm.design.build import build_design
from nestedmlm.errors import OptionError
from nestedmlm.families import FAMILIES, LINKS, resolve_family

FORMS = {
    "intercept": "y ~ x + (1 | g)",
    "slopes": "y ~ x + (x | g)",
    "diagonal": "y ~ x + (x || g)",
    "nested": "y ~ x + (x | h/g)",
    "crossed": "y ~ x + (x | g) + (1 | k)",
    "crossed with nested": "y ~ x + (1 | h/g) + (x | k)",
    "rows": "y ~ x + (1 | g) + (1 | row)",
    "cs": "y ~ x + cs(x | g)",
    "ar1": "y ~ x + ar1(0 + wave | g)",
}
PAIRS = [
    ("binomial", "logit"), ("binomial", "probit"), ("binomial", "cloglog"), ("binomial", "cauchit"),
    ("poisson", "log"), ("poisson", "sqrt"), ("negativebinomial", "log"), ("gamma", "log"),
    ("gamma", "inverse"), ("gaussian", "log"), ("gaussian", "identity"),
    ("inverse_gaussian", "log"), ("beta", "logit"),
]  # fmt: skip


def _takes(name, link):
    try:
        return bool(resolve_family(name, link))
    except OptionError:
        return False


ALL_PAIRS = [  # of t there is a posterior only
    (name, link) for name in FAMILIES if name != "t" for link in LINKS if _takes(name, link)
]
GIVEN = ((), ("weights",), ("offset",), ("weights", "offset"))
DISPERSION = {"beta": 8.0, "negativebinomial": 1.5}


def table(n=96, seed=5):
    rng = np.random.default_rng(seed)
    g = rng.permutation(np.arange(n) % 12)
    return {
        "x": rng.normal(size=n),
        "g": np.array([f"g{i:02d}" for i in g]),
        "h": np.array([f"h{i // 3}" for i in g]),
        "k": np.array([f"k{i}" for i in rng.permutation(np.arange(n) % 5)]),
        "wave": np.array([f"w{i}" for i in rng.permutation(np.arange(n) % 3)]),
        "row": np.array([f"r{i:03d}" for i in range(n)]),
    }


def made(form, name, link, *, given=(), seed=5):
    """Design, family, dispersion and a point (phi, gamma) with responses that go with it."""
    rng = np.random.default_rng(seed)
    data, family = table(seed=seed), resolve_family(name, link)
    n, positive = len(data["x"]), link in ("inverse", "identity", "sqrt", "1/mu^2")
    dispersion = DISPERSION.get(name, 0.3)
    eta = (2.0 if positive else 0.3) + 0.2 * data["x"]
    weights = rng.integers(1, 4, n).astype(float) if "weights" in given else np.ones(n)
    data["y"] = family.random(family.link.mu(eta), weights, dispersion, rng)
    data["w"], data["o"] = weights, 0.1 * rng.normal(size=n)
    options = {name: name[0] for name in given}
    design = build_design(FORMS[form], data, check=False, **options)
    return design, family, dispersion, (2.0 if positive else 0.3)
