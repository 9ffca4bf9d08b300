"""Every picture against a stored one, without its text: fonts differ between machines.

``NESTEDMLM_WRITE_IMAGES=1 pytest tests/plots/test_plots_images.py`` writes those that are missing
or differ; look at them before you keep them.
"""

from __future__ import annotations

import inspect
import os
import pkgutil
import re
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from fake_posterior import fake_bayesfit

import nestedmlm as nm
from nestedmlm.plots.accessor import FitPlots

pytest.importorskip("matplotlib", reason="pictures need matplotlib")
IMAGES = Path(__file__).parent / "images"
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "plots.rst"
MADE_WITH = {"matplotlib": "3.11", "arviz": "1.3"}  # others draw some artists a pixel away
TOLERANCE = 1.0  # root mean square difference in colour, of 255; a line that is missing makes 1.2
MOST_BYTES = 40_000  # of an image
SIZE, WIDE, SQUARE = (3.2, 2.4), (5.2, 2.4), (4.8, 4.0)

# pictures of results that a fit does not make by itself
NOT_OF_A_FIT = {
    "allocation": "planned before there is a fit",
    "assurance": "of a planned study and the posterior of its pilot",
    "bootstrap_densities": "how many replicates, and of what, is asked of `bootstrap`",
    "marginal_means": "of which means is asked of `nestedmlm.emmeans`",
    "power_curve": "of which sizes is asked of `power_curve`",
    "prior_influence": "of a comparison: `nm.compare(fit, posterior).why()`",
    "loo": "the groups, and what a model is compared with, are asked of `loo` and `nm.compare`",
    "fragility": "the hypothesis and the groups are asked of `fragility`",
}


@pytest.fixture(scope="module")
def fits():
    data = nm.load_dataset
    sleep = nm.lmer("Reaction ~ Days + (Days | Subject)", data("sleepstudy"))
    pastes = nm.lmer("strength ~ 1 + (1 | batch/cask)", data("Pastes"))
    names = ["sd_(Intercept)|cask:batch", "sigma"]
    return {
        "sleep": sleep,
        "posterior": fake_bayesfit(sleep),
        "pastes": pastes,
        "curved": nm.lmer(
            "Reaction ~ s(Days, k=8) + (1 | Subject)",
            data("sleepstudy").assign(Reaction=lambda d: d.Reaction + 5 * (d.Days - 4.5) ** 2),
        ),
        "profile": pastes.profile(names, progress=False),
        "boot": pastes.bootstrap(60, seed=1, progress=False),
        "cake": nm.lmer("angle ~ recipe * temp + (1 | recipe:replicate)", data("cake")),
        "ticks": nm.glmer(
            "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX)",
            data("grouseticks"),
            family="poisson",
        ),
        "allocation": nm.allocation(
            "y ~ arm + (1 | school/room)",
            "arm",
            budget=20_000,
            costs={"school": 500, "room": 60, "pupil": 5},
            varies={"arm": "room"},
            beta={"arm": 0.25},
            icc={"school": 0.1, "room:school": 0.1},
            sizes={"room": [2, 4, 8], "pupil": [2, 4, 8, 16]},
        ),
        "autoregressive": nm.lmer(
            "Reaction ~ Days + (1 | Subject)", data("sleepstudy"), residual="ar1(Days | Subject)"
        ),
    }


DRAWN = {
    "acf": lambda f: f["autoregressive"].plot.acf(figsize=SIZE),
    "allocation": lambda f: f["allocation"].plot(figsize=WIDE),
    "assurance": lambda f: (
        f["sleep"]
        .extend(along="Subject", n=8)
        .assurance(f["posterior"], "Days", draws=100)
        .plot(figsize=SIZE)
    ),
    "bootstrap_densities": lambda f: nm.plots.bootstrap_densities(f["boot"], figsize=WIDE),
    "caterpillar": lambda f: f["sleep"].plot.caterpillar(term="Days", figsize=SIZE),
    "comparison": lambda f: f["sleep"].plot.comparison(f["posterior"], figsize=WIDE),
    "cooks_distance": lambda f: f["sleep"].plot.cooks_distance(figsize=SIZE),
    "curves": lambda f: f["curved"].plot.curves(figsize=SIZE),
    "check": lambda f: f["sleep"].plot.check(figsize=(9, 6)),
    "diagnostics": lambda f: f["sleep"].plot.diagnostics(figsize=SQUARE),
    "effect": lambda f: f["cake"].plot.effect("temp", by="recipe", figsize=SIZE),
    "forest": lambda f: f["cake"].plot.forest(f["sleep"], random=True, figsize=SQUARE),
    "fragility": lambda f: nm.plots.fragility(
        f["pastes"].fragility("(Intercept) = 59", by="batch"), figsize=SIZE
    ),
    "leverage": lambda f: f["sleep"].plot.leverage(figsize=SIZE),
    "likelihood_surface": lambda f: f["pastes"].plot.likelihood_surface(size=21, figsize=SIZE),
    "loo": lambda f: nm.plots.loo(
        nm.compare(f["sleep"], f["sleep"].update(". ~ Days + (1 | Subject)")), figsize=SIZE
    ),
    "marginal_means": lambda f: nm.plots.marginal_means(
        nm.emmeans(f["cake"], "recipe", by="temp", at={"temp": [180, 220]}).cld(), figsize=SIZE
    ),
    "posterior": lambda f: f["posterior"].plot.posterior(["Days", "sigma"], figsize=WIDE),
    "power_curve": lambda f: (
        f["sleep"]
        .extend(along="Subject", n=18)
        .power_curve("Days", along="Subject", breaks=[6, 12], nsim=9, seed=1, progress=False)
        .plot(figsize=SIZE)
    ),
    "ppc": lambda f: f["posterior"].plot.ppc(draws=20, figsize=SIZE),
    "prior_influence": lambda f: nm.plots.prior_influence(
        nm.compare(f["sleep"], f["posterior"]).why(draws=1000, seed=1, tips=False), figsize=WIDE
    ),
    "prior_posterior": lambda f: f["posterior"].plot.prior_posterior(figsize=SQUARE),
    "priors": lambda f: f["sleep"].plot.priors(figsize=SQUARE),
    "profile_pairs": lambda f: nm.plots.profile_pairs(f["profile"], figsize=SIZE),
    "profile_zeta": lambda f: nm.plots.profile_zeta(f["profile"], figsize=WIDE),
    "qq_random_effects": lambda f: f["sleep"].plot.qq_random_effects(figsize=WIDE),
    "qq_residuals": lambda f: f["sleep"].plot.qq_residuals(figsize=SIZE),
    "residuals": lambda f: f["sleep"].plot.residuals(figsize=SIZE),
    "scale_location": lambda f: f["sleep"].plot.scale_location(figsize=SIZE),
    "shrinkage": lambda f: f["sleep"].plot.shrinkage(figsize=SIZE),
    "simulated_residuals": lambda f: f["ticks"].plot.simulated_residuals(nsim=99, figsize=WIDE),
    "singularity": lambda f: f["sleep"].plot.singularity(figsize=SIZE),
    "spaghetti": lambda f: f["sleep"].plot.spaghetti(points=True, figsize=SIZE),
    "trellis": lambda f: f["sleep"].plot.trellis(levels=["308", "309", "370"], figsize=WIDE),
    "variance_partition": lambda f: f["pastes"].plot.variance_partition(figsize=SIZE),
}


# --- each is where users look for it -----------------------------------------------------------
def drawing_functions():
    """Public functions of the modules of `plots` that make a figure or draw into given axes."""
    for found in pkgutil.iter_modules(nm.plots.__path__, "nestedmlm.plots."):
        for name, thing in vars(import_module(found.name)).items():
            own = inspect.isfunction(thing) and thing.__module__ == found.name
            if own and not name.startswith("_") and takes_figure(thing):
                yield name


def takes_figure(function):
    """Whether its arguments are those of a picture; helpers draw into the axes they come first."""
    found = inspect.signature(function).parameters
    return "figsize" in found or ("ax" in found and found["ax"].kind is found["ax"].KEYWORD_ONLY)


def of_the_reference():
    text = REFERENCE.read_text(encoding="utf-8")
    return re.findall(r"^   (\w+)$", text, re.MULTILINE)


def of_a_fit():
    return {name for name in vars(FitPlots) if not name.startswith("_")}


EVERYWHERE = {
    "the functions of its modules": set(drawing_functions()) - {"axes", "panels"},  # of the backend
    "docs/reference/plots.rst": set(of_the_reference()),
    "DRAWN": set(DRAWN),
    "FitPlots": of_a_fit() | set(NOT_OF_A_FIT),
    "tests/plots/images": {path.stem for path in IMAGES.iterdir()},
}


@pytest.mark.parametrize("place", EVERYWHERE)
def test_pictures_are_those_of(place):
    assert set(nm.plots.__all__) == EVERYWHERE[place]


def test_exceptions_are_needed():
    assert not of_a_fit() & set(NOT_OF_A_FIT)


@pytest.mark.parametrize("name", nm.plots.__all__)
def test_picture_takes_axes_and_size(name):
    found = inspect.signature(getattr(nm.plots, name)).parameters
    for argument in ("ax", "figsize"):
        assert found[argument].kind is inspect.Parameter.KEYWORD_ONLY
        assert found[argument].default is None


# --- each looks as it did ----------------------------------------------------------------------
def without_text(figure):
    """Take away what is set in letters."""
    from matplotlib.testing.decorators import remove_ticks_and_titles
    from matplotlib.text import Text

    remove_ticks_and_titles(figure)
    for ax in figure.axes:
        if ax.get_legend() is not None:
            ax.get_legend().remove()
        ax.set(xlabel="", ylabel="")
    for text in figure.findobj(Text):
        text.set_visible(False)


@pytest.mark.parametrize("name", DRAWN)
def test_picture(name, fits, tmp_path):
    from matplotlib.testing.compare import compare_images

    stored, made = IMAGES / f"{name}.png", tmp_path / f"{name}.png"
    drawn = DRAWN[name](fits)
    figure = np.atleast_1d(np.asarray(drawn, dtype=object)).ravel()[0].figure
    without_text(figure)
    for library in ("matplotlib", "arviz") if name == "posterior" else ("matplotlib",):
        if not version(library).startswith(f"{MADE_WITH[library]}."):
            pytest.skip(f"stored pictures are of {library} {MADE_WITH[library]}")
    figure.savefig(made, dpi=60)
    differs = not stored.exists() or compare_images(str(stored), str(made), tol=TOLERANCE)
    if differs and os.environ.get("NESTEDMLM_WRITE_IMAGES"):
        stored.write_bytes(made.read_bytes())
        pytest.skip(f"wrote {stored.name}")
    assert not differs
    assert stored.stat().st_size <= MOST_BYTES
