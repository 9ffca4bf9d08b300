"""Every test of effects in every situation: finite numbers, or a typed error that says why not.

Situations of issue 5, point 9: after pickling, with weights, with an offset, at a singular fit,
with rank-deficient X; and by maximum likelihood, without fixed effects, with structured terms.
"""

from __future__ import annotations

import pickle
from functools import cache

import numpy as np
import pytest
from designs import data

import nestedmlm as nm
from nestedmlm.errors import NestedMLMError

PLAIN = "y ~ x + a + (x | f2)"


@cache
def situation(name: str) -> nm.LmerFit:
    frame = data(150)
    frame["x2"] = 2.0 * frame["x"]
    frame["flat"] = 5.0 + frame["x"] + np.random.default_rng(3).normal(size=150)
    fits = {
        "plain": lambda: nm.lmer(PLAIN, frame),
        "pickled": lambda: pickle.loads(pickle.dumps(nm.lmer(PLAIN, frame))),
        "weights": lambda: nm.lmer(PLAIN, frame, weights="w"),
        "offset": lambda: nm.lmer(PLAIN + " + offset(z)", frame, offset="off"),
        "singular": lambda: nm.lmer("flat ~ x + a + (x | f2)", frame),
        "rank deficient": lambda: nm.lmer("y ~ x + x2 + a + (x | f2)", frame),
        "ML": lambda: nm.lmer(PLAIN, frame, REML=False),
        "no fixed effects": lambda: nm.lmer("y ~ 0 + (1 | f1)", frame),
        "penalty": lambda: nm.lmer(PLAIN, frame, penalty="wishart"),
        "diag": lambda: nm.lmer("y ~ x + a + diag(x | f2)", frame),
        "cs": lambda: nm.lmer("y ~ x + a + cs(0 + a | f1)", frame),
        "ar1": lambda: nm.lmer("y ~ x + a + ar1(0 + a | f1)", frame),
        "crossed": lambda: nm.lmer("y ~ x * a + (1 | f1) + (x | c1)", frame),
        "sum contrasts": lambda: nm.lmer(PLAIN, frame, contrasts={"a": "sum"}),
        "missing rows": lambda: nm.lmer(
            PLAIN, frame.assign(x=frame["x"].mask(frame.index < 5)), na_action="exclude"
        ),
    }
    return fits[name]()


SITUATIONS = (
    "plain", "pickled", "weights", "offset", "singular", "rank deficient", "ML",
    "no fixed effects", "penalty", "diag", "cs", "ar1", "crossed", "sum contrasts", "missing rows",
)  # fmt: skip

KR = "kenward-roger"
VERBS = {
    "summary": lambda f: f.summary().tables.get("coefficients"),
    "summary KR": lambda f: f.summary(KR).tables.get("coefficients"),
    "summary residual": lambda f: f.summary("residual").tables.get("coefficients"),
    "summary none": lambda f: f.summary("none").tables.get("coefficients"),
    "anova I": lambda f: f.anova(type="I").table,
    "anova II": lambda f: f.anova(type="II").table,
    "anova III": lambda f: f.anova(type="III").table,
    "anova KR": lambda f: f.anova(ddf=KR).table,
    "anova none": lambda f: f.anova(ddf="none").table,
    "contest": lambda f: f.contest(["x = 1", "x = 1"]).table,
    "contest rows": lambda f: f.contest("x = 1", joint=False, ddf="none").table,
    "ranova": lambda f: f.ranova().table.iloc[1:],
    "ranova whole": lambda f: f.ranova(reduce_terms=False).table.iloc[1:],
    "drop1": lambda f: f.drop1().table,
    "drop1 Chisq": lambda f: f.drop1(test="Chisq").table.iloc[1:],
    "step": lambda f: f.step().random.iloc[1:],
}
REFUSED = {
    **{("ML", verb): "for REML fits" for verb in ("summary KR", "anova KR")},
    **{("penalty", verb): "without a penalty" for verb in ("summary KR", "anova KR")},
    **{("no fixed effects", verb): "no coefficient" for verb in ("contest", "contest rows")},
    ("no fixed effects", "anova KR"): "no fixed effects",
}
MAY_BE_EMPTY = {("no fixed effects", verb) for verb in VERBS}
# x and x2 are one column: leaving out either changes nothing, which leaves nothing to test
MAY_BE_MISSING = {
    ("rank deficient", verb)
    for verb in ("anova I", "anova II", "anova III", "anova KR", "drop1", "drop1 Chisq")
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", SITUATIONS)
def test_cell(name, verb):
    fit = situation(name)
    reason = REFUSED.get((name, verb))
    if reason is not None:
        with pytest.raises(NestedMLMError, match=reason):
            VERBS[verb](fit)
        return
    table = VERBS[verb](fit)
    if table is None or table.empty:
        assert (name, verb) in MAY_BE_EMPTY
        return
    values = table.to_numpy(dtype=float)
    missing = np.isnan(values).any(axis=1)
    assert not missing.all()
    assert not missing.any() or (name, verb) in MAY_BE_MISSING
    p = [c for c in table.columns if c.startswith("Pr(")]
    if p:
        known = table[p[0]].dropna()
        assert ((known >= 0) & (known <= 1)).all()


def test_pickling_changes_nothing():
    plain, pickled = situation("plain"), situation("pickled")
    for verb in VERBS:
        one, other = VERBS[verb](plain), VERBS[verb](pickled)
        assert np.array_equal(one.to_numpy(), other.to_numpy(), equal_nan=True), verb
