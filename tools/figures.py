"""Pictures of the README and of docs/: `python tools/figures.py` writes docs/images/*.png.

They are kept in the repository, so that the README shows them and the documentation needs no
sampling; run this again when the pictures of `nestedmlm.plots` change.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd

import nestedmlm as nm
from nestedmlm.likelihood.solution import results_at

mpl.use("Agg")
import matplotlib.pyplot as plt

FOLDER = Path(__file__).parents[1] / "docs" / "images"
BLUE, ORANGE, GREY, PALE = "#2f7fc1", "#d9730d", "#8c8c8c", "#e8eef4"


def sleepstudy_fit() -> nm.LmerFit:
    sleepstudy = nm.load_dataset("sleepstudy")
    return nm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)


def trellis() -> Any:
    return sleepstudy_fit().plot.trellis(figsize=(6.6, 3.5))


def two_engines() -> Any:
    fit = sleepstudy_fit()
    _, ax = plt.subplots(figsize=(6.6, 3.5), layout="constrained")
    return fit.plot.comparison(fit.sample(seed=1, progress=False), ax=ax)


def singular() -> Any:
    """Slopes that the data cannot tell from intercepts: the ellipse is a line."""
    fit = nm.lmer("angle ~ temp + (temp | replicate)", nm.load_dataset("cake"))
    return fit.plot.singularity(figsize=(4.6, 3.4))


def surface() -> Any:
    return sleepstudy_fit().plot.likelihood_surface(figsize=(5.2, 4.2))


def even_criterion() -> Any:
    """The REML criterion over one standard deviation, continued to negative values."""
    sleepstudy = nm.load_dataset("sleepstudy")
    fit = nm.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy)
    theta = np.linspace(-2.4, 2.4, 241)
    values = [
        results_at(fit.design, np.array([t]), REML=True, stats=fit.solution.stats).reml_criterion
        for t in theta
    ]
    best = float(fit.theta[0])
    _, ax = plt.subplots(figsize=(6.0, 3.2), layout="constrained")
    ax.axvspan(theta[0], 0.0, color=PALE, zorder=0)
    ax.plot(theta, values, color=BLUE, lw=2)
    ax.plot([-best, best], [fit.criterion] * 2, "o", color=ORANGE, ms=8)
    ax.plot(0.0, values[120], "s", color=GREY, ms=8)
    ax.annotate("the same optimum twice", (0.0, fit.criterion), xytext=(0, -6),
                textcoords="offset points", ha="center", va="top", color="#555555")  # fmt: skip
    ax.annotate("gradient 0 at θ = 0,\nbut no optimum", (0.0, values[120]), xytext=(12, -8),
                textcoords="offset points", va="top", color="#555555")  # fmt: skip
    ax.set(xlabel="θ: standard deviation of subjects ÷ residual's", ylabel="REML criterion",
           xlim=(theta[0], theta[-1]), ylim=(fit.criterion - 14.0, None))  # fmt: skip
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def elimination() -> Any:
    """Which entries of the bordered matrix are not zero: nested, and crossed."""
    schools = np.repeat(np.arange(4), 9)
    classes = np.repeat(np.arange(12), 3)
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"school": schools, "klass": classes, "x": rng.normal(size=36)})
    data["y"] = rng.normal(size=36) + rng.normal(size=4)[schools] + rng.normal(size=12)[classes]
    nested = nm.build_design("y ~ x + (1 | klass) + (1 | school)", data)
    plate, sample = np.divmod(np.arange(48), 4)
    data = pd.DataFrame({"plate": plate, "sample": sample, "x": rng.normal(size=48)})
    data["y"] = rng.normal(size=48)
    crossed = nm.build_design("y ~ x + (1 | plate) + (1 | sample)", data)
    _, axs = plt.subplots(1, 2, figsize=(7.4, 3.9), layout="constrained")
    _pattern(axs[0], nested, ("classes", "schools", "x, y"), "nested: classes in schools")
    _pattern(axs[1], crossed, ("plates", "samples", "x, y"), "crossed: plates and samples")
    return axs


def _pattern(ax: Any, design: nm.Design, names: tuple[str, ...], title: str) -> None:
    from nestedmlm.design.matrices.zmatrix import z_matrix

    Z = z_matrix(design).toarray()
    A = np.column_stack([Z, design.X, design.y])
    M = (A.T @ A != 0.0) * 1.0
    L = np.linalg.cholesky(A.T @ A + np.eye(A.shape[1]))
    full = np.abs(L + L.T) > 1e-12
    ax.imshow(np.where(M > 0, 1.0, np.where(full, 0.5, 0.0)), cmap=mpl.colors.ListedColormap(
        ["#ffffff", ORANGE, BLUE]), vmin=0, vmax=1)  # fmt: skip
    sizes = [len(f.levels) for f in design.factors] + [design.p + 1]
    edges = np.cumsum([0, *sizes]) - 0.5
    for edge in edges:
        ax.axhline(edge, color=GREY, lw=0.8)
        ax.axvline(edge, color=GREY, lw=0.8)
    middles = (edges[:-1] + edges[1:]) / 2
    ax.set_xticks(middles, names)
    ax.set_yticks(middles, names, rotation=90, va="center")
    ax.tick_params(length=0)
    ax.set_title(title, loc="left", fontsize=10.5)
    ax.spines[:].set_color(GREY)


# room -> (left edge, width, what it holds); a row of the drawing for each floor, the ground first
FLOORS: tuple[dict[str, tuple[float, float, str]], ...] = (
    {"ground": (0, 7, "errors, callers, progress"), "datasets": (7.2, 2.8, "data that ship")},
    {"covariance": (0, 10, "structures: θ ↔ T")},
    {"formula": (0, 10, "text → terms")},
    {"design": (0, 10, "table → matrices")},
    {"statistics": (0, 10, "rows → sums of products")},
    {"likelihood": (0, 10, "criterion, gradient, solution at θ")},
    {"optimum": (0, 4.9, "θ̂, certificate"), "bayes": (5.1, 4.9, "PyMC model, draws")},
    {"inference": (0, 4.9, "numbers of a solution"), "posterior": (5.1, 4.9, "numbers of draws")},
    {"views": (0, 10, "prints")},
    {"plots": (0, 10, "pictures")},
    {"fits": (0, 10, "Model, LmerFit, BayesFit: verbs; what refits")},
    {"api": (0, 4.9, "lmer, pymc_lmer, anova"), "lme4": (5.1, 2.35, "R's names"),
     "interop": (7.65, 2.35, "adapters")},
)  # fmt: skip
WAYS = (
    (5, 2.45),
    (5, 7.55),
    (6, 2.45),
    (6, 7.55),
    (7, 2.45),
    (7, 7.55),
    (10, 2.45),
)  # floor, place


def house() -> Any:
    """The rooms of the package on their floors."""
    _, ax = plt.subplots(figsize=(6.6, 6.4), layout="constrained")
    for floor, rooms in enumerate(FLOORS):
        for name, (left, width, holds) in rooms.items():
            ax.add_patch(plt.Rectangle((left, floor), width, 0.72, fc=PALE, ec=BLUE, lw=1.1))
            ax.text(left + 0.15, floor + 0.36, name, va="center", weight="bold", fontsize=9)
            x, size = left + width - 0.15, 8 if width > 3 else 6.5
            ax.text(x, floor + 0.36, holds, va="center", ha="right", color="#555555", fontsize=size)
    single = [(floor, 5.0) for floor in range(len(FLOORS) - 1) if floor not in (5, 6, 7, 10)]
    ends = [((x, floor + 0.72), (x, floor + 1.0)) for floor, x in (*single, *WAYS)]
    style = {"arrowstyle": "-|>", "color": ORANGE, "shrinkA": 0, "shrinkB": 0}
    for start, end in (*ends, ((4.9, 7.36), (5.1, 7.36))):
        ax.annotate("", end, xytext=start, arrowprops=style)
    ax.set(xlim=(-0.1, 10.1), ylim=(-0.1, len(FLOORS) - 0.2))
    ax.axis("off")
    return ax


PICTURES: dict[str, Callable[[], Any]] = {
    "trellis": trellis,
    "two_engines": two_engines,
    "singular": singular,
    "surface": surface,
    "even_criterion": even_criterion,
    "elimination": elimination,
    "house": house,
}


def main(names: list[str]) -> None:
    """Draw the pictures that are named, or all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names or list(PICTURES):
        axes = PICTURES[name]()
        figure = np.atleast_1d(np.asarray(axes, dtype=object)).flat[0].figure
        path = FOLDER / f"{name}.png"
        figure.savefig(path, dpi=150, bbox_inches="tight", pad_inches=0.08)
        plt.close(figure)
        print(f"{path} {path.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
