"""Every picture, etable and the hooks in every situation that a fit can be in."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm

pytest.importorskip("matplotlib", reason="pictures need matplotlib")
plots = nm.plots


def data() -> pd.DataFrame:
    rng = np.random.default_rng(8)
    frame = pd.DataFrame(
        {
            "f": np.repeat(np.arange(24), 6),
            "x": rng.normal(size=144),
            "a": pd.Categorical(rng.choice(list("pqr"), 144)),
            "w": rng.uniform(0.5, 2.0, 144),
            "off": rng.normal(size=144),
        }
    )
    frame["h"] = frame.f // 4
    frame["x2"] = 2.0 * frame.x
    u = rng.normal(size=(24, 2))
    frame["y"] = 3 + frame.x + u[frame.f, 0] + u[frame.f, 1] * frame.x + rng.normal(size=144)
    return frame


FULL = "y ~ x + a + (x | f) + (1 | h)"
SITUATIONS = {
    "plain": lambda d: nm.lmer(FULL, d),
    "pickled": lambda d: pickle.loads(pickle.dumps(nm.lmer(FULL, d))),
    "ML": lambda d: nm.lmer(FULL, d, REML=False),
    "weights": lambda d: nm.lmer(FULL, d, weights="w"),
    "offset": lambda d: nm.lmer(FULL, d, offset="off"),
    "array offset": lambda d: nm.lmer(FULL, d, offset=d["off"].to_numpy()),
    "singular": lambda d: nm.lmer("y ~ x + a + (x | f) + (a | h)", d),
    "rank deficient": lambda d: nm.lmer("y ~ x + x2 + a + (x | f) + (1 | h)", d),
    "missing": lambda d: nm.lmer(FULL, d.assign(y=d.y.where(d.index != 5)), na_action="exclude"),
    "double bar": lambda d: nm.lmer("y ~ x + a + (x || f) + (1 | h)", d),
    "structured": lambda d: nm.lmer("y ~ x + a + diag(x | f, hom = TRUE) + (1 | h)", d),
    "no intercept": lambda d: nm.lmer("y ~ 0 + a + x + (0 + x | f) + (1 | h)", d),
    "polars": lambda d: nm.lmer(FULL, _polars(d)),
}


DRAWN = ("plain", "singular", "missing")  # the others only put artists on the axes


def _polars(frame):
    pl = pytest.importorskip("polars", reason="polars is not installed")
    return pl.from_pandas(frame.assign(a=frame["a"].astype(str).astype(object)))


PICTURES = {
    "caterpillar": lambda fit: fit.plot.caterpillar(),
    "cooks_distance": lambda fit: fit.plot.cooks_distance(),
    "diagnostics": lambda fit: fit.plot(),
    "effect": lambda fit: fit.plot.effect("x", by="a"),
    "forest": lambda fit: fit.plot.forest(random=True),
    "leverage": lambda fit: fit.plot.leverage(),
    "likelihood_surface": lambda fit: fit.plot.likelihood_surface(size=7),
    "priors": lambda fit: fit.plot.priors(),
    "qq_random_effects": lambda fit: fit.plot.qq_random_effects(),
    "shrinkage": lambda fit: fit.plot.shrinkage(),
    "singularity": lambda fit: fit.plot.singularity(),
    "spaghetti": lambda fit: fit.plot.spaghetti(),
    "trellis": lambda fit: fit.plot.trellis(levels=[0, 1, 2]),
    "variance_partition": lambda fit: fit.plot.variance_partition(),
}
ELSEWHERE = {
    "bootstrap_densities": "of a bootstrap, whose situations are in test_verb_table_simulation",
    "comparison": "of a posterior too",
    "posterior": "of a posterior",
    "profile_pairs": "of a profile, whose situations are in the table of intervals",
    "profile_zeta": "the same",
    "qq_residuals": "one of the diagnostics",
    "residuals": "one of the diagnostics",
    "scale_location": "one of the diagnostics",
}
VERBS = PICTURES | {
    "effect of a factor": lambda fit: fit.plot.effect("a", by="x"),
    "etable": lambda fit: nm.etable(fit, spread="ci"),
    "coefficient hook": lambda fit: fit.__maketables_coef_table__,
}


def test_every_picture_is_drawn_here_or_elsewhere():
    assert sorted([*PICTURES, *ELSEWHERE]) == sorted(plots.__all__)


@pytest.fixture(scope="module")
def fits():
    made: dict[str, object] = {}

    def fit(name):
        if name not in made:
            made[name] = SITUATIONS[name](data())
        return made[name]

    return fit


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("verb", VERBS)
def test_verb(verb, situation, fits):
    found = VERBS[verb](fits(situation))
    if hasattr(found, "figure") or isinstance(found, np.ndarray):
        cells = np.atleast_1d(np.asarray(found, dtype=object))
        assert all(ax.has_data() for ax in cells)
        if situation in DRAWN:
            cells[0].figure.draw_without_rendering()
    else:
        assert len(str(found)) > 50


def test_a_model_without_fixed_effects():
    fit = nm.lmer("y ~ 0 + (1 | f)", data())
    for verb in ("diagnostics", "caterpillar", "shrinkage", "singularity", "leverage", "etable"):
        VERBS[verb](fit)
    with pytest.raises(nm.NestedMLMError, match="nothing to draw"):
        plots.forest(fit)
    with pytest.raises(nm.NestedMLMError, match="no predictor"):
        plots.spaghetti(fit)
    with pytest.raises(nm.NestedMLMError, match="two standard deviations"):
        plots.likelihood_surface(fit)
