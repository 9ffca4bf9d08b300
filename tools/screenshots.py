"""Screenshots of every view and picture, on light and on dark pages, to be looked at.

    python tools/screenshots.py [folder]

Needs chromium for the views; writes PNG files into the folder (default: screenshots).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nestedmlm as nm

# what notebooks put around a view, in short: their fonts, colours and table rules
PAGES = {
    "light": "background:#fff;color:#1a1a1a",
    "dark": "background:#111417;color:#e0e0e0",
}
NOTEBOOK = (
    "body{margin:16px;font-family:system-ui,'DejaVu Sans',sans-serif;font-size:14px}"
    "table{font-size:12px;table-layout:fixed;margin-left:auto;margin-right:auto}"
    "tbody tr:nth-child(odd){background:#8881}"
    "h4{margin:1.2em 0 .3em;color:#2f7fc1;font-weight:500}"
)
WIDTH = 900


def models() -> dict[str, Any]:
    """Fits that the views are of."""
    sleep, pastes = nm.load_dataset("sleepstudy"), nm.load_dataset("Pastes")
    try:
        classroom = nm.load_dataset("classroom")
    except nm.NestedMLMError:
        classroom = None
    fits = {
        "sleep": nm.lmer("Reaction ~ Days + (Days | Subject)", sleep),
        "sleep1": nm.lmer("Reaction ~ Days + (1 | Subject)", sleep),
        "pastes": nm.lmer("strength ~ 1 + (1 | batch/cask)", pastes),
        "cake": nm.lmer("angle ~ recipe * temp + (1 | recipe:replicate)", nm.load_dataset("cake")),
    }
    if classroom is not None:
        fits["singular"] = nm.lmer(
            "mathscore ~ ses + (ses | schoolid) + (ses | classid)", classroom
        )
    fits["posterior"] = fits["sleep"].sample(sampler="psis", draws=500, seed=1)
    return fits


def views(fits: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Name and object of everything that has HTML."""
    sleep, posterior = fits["sleep"], fits["posterior"]
    yield "fit", sleep
    yield "summary", sleep.summary()
    yield "summary by ML", sleep.refit_ml().summary()
    yield "varcorr", sleep.varcorr()
    yield "anova of models", nm.anova(fits["sleep1"], sleep)
    yield "anova of terms", fits["cake"].anova()
    yield "step", fits["cake"].step()
    yield "ranova", sleep.ranova()
    yield "emmeans", nm.emmeans(fits["cake"], "recipe")
    yield "variance partition", sleep.variance_partition()
    yield "profile", fits["pastes"].profile(progress=False)
    yield "bootstrap", fits["pastes"].bootstrap(30, seed=1, progress=False)
    yield "influence", fits["sleep1"].influence("Subject")
    yield "repca", sleep.repca()
    singular = fits.get("singular", fits["pastes"])
    yield "diagnose", singular.diagnose()
    yield "simplify", singular.simplify()
    yield "etable", nm.etable(fits["sleep1"], sleep, posterior, names=["M1", "M2", "posterior"])
    yield "posterior", posterior
    yield "posterior varcorr", posterior.varcorr()
    yield "posterior diagnose", posterior.diagnose()
    yield "hypothesis", posterior.hypothesis(["Days > 8", "Days > 10"])
    yield "compare", nm.compare(sleep, posterior)
    yield "priors", posterior.priors


def page(title: str, body: str, theme: str) -> str:
    """A page that holds one view."""
    return (
        f"<!doctype html><meta charset=utf-8><style>{NOTEBOOK}body{{{PAGES[theme]}}}</style>"
        f"<h4>{title}</h4><div class='jp-RenderedHTMLCommon'>{body}</div>"
    )


def shoot(html: str, target: Path, height: int) -> None:
    """Let chromium draw a page."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        sys.exit("screenshots need chromium")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "page.html"
        source.write_text(html, encoding="utf-8")
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                   f"--screenshot={target}", f"--window-size={WIDTH},{height}",
                   source.as_uri()]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)


def pictures(fits: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Name and axes of every picture."""
    plots, sleep, pastes = nm.plots, fits["sleep"], fits["pastes"]
    singular = fits.get("singular", pastes)
    profile = sleep.profile(progress=False)
    yield "diagnostics", plots.diagnostics(sleep)
    yield "caterpillar", plots.caterpillar(sleep)
    yield "shrinkage", plots.shrinkage(sleep)
    yield "spaghetti", plots.spaghetti(sleep)
    yield "trellis", plots.trellis(sleep)
    yield "forest", plots.forest(fits["sleep1"], sleep, fits["posterior"], random=True)
    yield "effect", plots.effect(fits["cake"], "temp", by="recipe")
    yield "variance_partition", plots.variance_partition(fits["sleep1"], sleep)
    yield "singularity", plots.singularity(singular)
    yield "likelihood_surface", plots.likelihood_surface(pastes)
    yield "leverage", plots.leverage(sleep)
    yield "cooks_distance", plots.cooks_distance(sleep.influence("Subject", refit="none"))
    yield "qq_random_effects", plots.qq_random_effects(sleep)
    yield "profile_zeta", plots.profile_zeta(profile)
    yield "profile_pairs", plots.profile_pairs(profile)
    yield "bootstrap", plots.bootstrap_densities(pastes.bootstrap(200, seed=1, progress=False))
    yield "compare", nm.plots.comparison(sleep, fits["posterior"])


def main(folder: Path) -> None:
    """Write one picture for each theme with all views, and each plot in both of matplotlib's."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    fits = models()
    found = [(name, view._repr_html_()) for name, view in views(fits)]
    for theme in PAGES:
        for start in range(0, len(found), 4):
            part = found[start : start + 4]
            body = "".join(f"<h4>{name}</h4>{html}" for name, html in part)
            target = folder / f"views-{theme}-{start // 4 + 1}.png"
            shoot(page("", body, theme), target, height=1500)
    for theme, sheet in (("light", "default"), ("dark", "dark_background")):
        with plt.style.context(sheet):
            for name, drawn in pictures(fits):
                axes = drawn.ravel()[0] if hasattr(drawn, "ravel") else drawn
                axes.figure.savefig(folder / f"{name}-{theme}.png", dpi=80)
                plt.close(axes.figure)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots"))
