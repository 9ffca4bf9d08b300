"""A few pictures against stored ones, without their text: fonts differ between machines.

``NESTEDMLM_WRITE_IMAGES=1 pytest tests/test_plots_images.py`` writes them anew; look at them.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import nestedmlm as nm

mpl = pytest.importorskip("matplotlib", reason="pictures need matplotlib")
IMAGES = Path(__file__).parent / "images"
MADE_WITH = "3.11"  # matplotlib; others draw some artists a pixel away
TOLERANCE = 3.0  # root mean square of the differences in colour, of 255
SIZE = (3.2, 2.4)


@pytest.fixture(scope="module")
def fits():
    sleep, pastes = nm.load_dataset("sleepstudy"), nm.load_dataset("Pastes")
    return {
        "sleep": nm.lmer("Reaction ~ Days + (Days | Subject)", sleep),
        "pastes": nm.lmer("strength ~ 1 + (1 | batch/cask)", pastes),
    }


PICTURES = {
    "caterpillar": lambda f: nm.plots.caterpillar(f["sleep"], term="Days", figsize=SIZE),
    "residuals": lambda f: nm.plots.residuals(f["sleep"], figsize=SIZE),
    "qq_residuals": lambda f: nm.plots.qq_residuals(f["sleep"], figsize=SIZE),
    "shrinkage": lambda f: nm.plots.shrinkage(f["sleep"], figsize=SIZE),
    "singularity": lambda f: nm.plots.singularity(f["sleep"], figsize=SIZE),
    "likelihood_surface": lambda f: nm.plots.likelihood_surface(f["pastes"], size=21, figsize=SIZE),
    "variance_partition": lambda f: nm.plots.variance_partition(f["pastes"], figsize=SIZE),
    "profile_pairs": lambda f: nm.plots.profile_pairs(
        f["pastes"].profile(["sd_(Intercept)|cask:batch", "sigma"], progress=False), figsize=SIZE
    ),
}


def without_text(figure):
    """Take away what is set in letters."""
    from matplotlib.testing.decorators import remove_ticks_and_titles
    from matplotlib.text import Text

    remove_ticks_and_titles(figure)
    for ax in figure.axes:
        if ax.get_legend() is not None:
            ax.get_legend().remove()
        ax.set(xlabel="", ylabel="")
        for text in ax.findobj(Text):
            text.set_visible(False)


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name, fits, tmp_path):
    from matplotlib.testing.compare import compare_images

    stored, made = IMAGES / f"{name}.png", tmp_path / f"{name}.png"
    drawn = PICTURES[name](fits)
    figure = np.atleast_1d(np.asarray(drawn, dtype=object)).ravel()[0].figure
    without_text(figure)
    if os.environ.get("NESTEDMLM_WRITE_IMAGES"):
        IMAGES.mkdir(exist_ok=True)
        figure.savefig(stored, dpi=60)
        pytest.skip(f"wrote {stored.name}")
    if not mpl.__version__.startswith(f"{MADE_WITH}."):
        pytest.skip(f"stored pictures are matplotlib {MADE_WITH}'s, this is {mpl.__version__}")
    figure.savefig(made, dpi=60)
    assert compare_images(str(stored), str(made), tol=TOLERANCE) is None
