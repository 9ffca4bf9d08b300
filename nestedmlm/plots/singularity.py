"""Covariances of random-effects terms, and the direction in which one collapsed."""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import checked
from nestedmlm.design.moments import term_sizes
from nestedmlm.errors import OptionError
from nestedmlm.inference.rows.modes import require_effects
from nestedmlm.likelihood.plan import SINGULAR
from nestedmlm.plots import style
from nestedmlm.plots.backend import panels
from nestedmlm.plots.source import mode_arrays, unit_of
from nestedmlm.posterior.draws import covariance_draws
from nestedmlm.views.protocols import EitherFit, Fit

_LEVELS = (0.5, 0.95)  # of the ellipses


@checked
def singularity(
    fit: EitherFit,
    *,
    term: str | None = None,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Ellipses of the random effects' covariances; a line where one has collapsed.

    A term with two columns is drawn as the ellipses that hold 50 % and 95 % of its groups, with
    the conditional modes inside. Where the fit is singular the ellipse is a line: the model says
    that a group's place on one effect fixes its place on the other. Of a term with more columns
    its first two principal directions are drawn; one with a single column is a bar.

    Parameters
    ----------
    fit : LmerFit or BayesFit
        Of a posterior the mean covariance is drawn.
    term : str, optional
        Name of a term as in ``varcorr()``; by default every term has a panel.
    ax : axes or array of axes, optional
    figsize : tuple, optional
        Inches of a new figure.

    Returns
    -------
    matplotlib axes, or an array of them where several terms are drawn

    Raises
    ------
    OptionError
        If there is no such term.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> ax = nm.plots.singularity(fit)
    >>> ax.get_title(loc="left"), ax.get_xlabel()
    ('Subject: full rank', '(Intercept)')
    """
    require_effects(fit.design)
    names = [t.name for t in fit.design.terms]
    if term is not None and term not in names:
        raise OptionError(f"{term!r} is no random-effects term; there are: {', '.join(names)}")
    chosen = [i for i, name in enumerate(names) if term in (None, name)]
    covariances, modes = _covariances(fit), mode_arrays(fit)
    many = panels(len(chosen), ax, figsize=figsize, panel=(4.2, 3.6))
    for cell, i in zip(many, chosen, strict=True):
        _panel(cell, fit, fit.design.terms[i], covariances[i], modes[i])
    return many if len(many) > 1 else many[0]


def _covariances(fit: EitherFit) -> list[FloatArray]:
    if fit.engine != "posterior":
        return [block.cov for block in fit.varcorr().blocks]
    return [draws.mean(axis=0) for draws in covariance_draws(fit.data, fit.design)]


def _panel(ax: Any, fit: Fit, term: Any, cov: FloatArray, b: FloatArray) -> None:
    size = term_sizes(term)
    values = np.linalg.eigvalsh(cov * np.outer(size, size)) / unit_of(fit) ** 2
    rank = int(np.sum(np.sqrt(np.maximum(values, 0.0)) >= SINGULAR))
    k = len(term.columns)
    verdict = "full rank" if rank == k else f"rank {rank} of {k}"
    color = style.BLUE if rank == k else style.ORANGE
    if k == 1:
        _bar(ax, float(cov[0, 0]), b[:, 0], color)
        style.dress(ax, x=term.columns[0])
    else:
        labels, basis = _plane(term.columns, cov)
        _ellipses(ax, basis.T @ cov @ basis, b @ basis, color)
        style.dress(ax, x=labels[0], y=labels[1])
    style.title(ax, f"{term.name}: {verdict}")


def _plane(columns: tuple[str, ...], cov: FloatArray) -> tuple[tuple[str, str], FloatArray]:
    """The two effects of a term, or its first two principal directions."""
    if len(columns) == 2:
        return (columns[0], columns[1]), np.eye(2)
    vectors = np.linalg.eigh(cov)[1][:, ::-1][:, :2]
    return ("first principal direction", "second principal direction"), vectors


def _ellipses(ax: Any, cov: FloatArray, points: FloatArray, color: str) -> None:
    values, vectors = np.linalg.eigh(cov)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    angle = np.linspace(0.0, 2.0 * np.pi, 200)
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    flat = values[0] <= 1e-6 * values[1]
    for level in _LEVELS:
        # radius that holds a share of a bivariate normal distribution
        outline = np.sqrt(-2.0 * np.log(1.0 - level)) * circle @ root.T
        ax.fill(*outline.T, color=color, alpha=0.13, linewidth=0.0)
        ax.plot(*outline.T, color=color, linewidth=1.6)
        top = outline[np.argmax(outline[:, 1])]
        ax.annotate(f"{100 * level:g} %", top, xytext=(8, -6) if flat else (3, 3),
                    textcoords="offset points", fontsize=style.SMALL - 1, color=color)  # fmt: skip
    size = float(np.clip(1500.0 / len(points), 5.0, 20.0))
    ax.scatter(*points.T, s=size, color=style.GREY, alpha=0.8, linewidths=0.0, zorder=3)
    style.zero_line(ax)
    style.zero_line(ax, vertical=True)
    for axis, k in (("x", 0), ("y", 1)):
        reach = max(2.75 * np.sqrt(max(cov[k, k], 0.0)), 1.1 * float(np.abs(points[:, k]).max()))
        if reach > 0:
            getattr(ax, f"set_{axis}lim")(-reach, reach)


def _bar(ax: Any, variance: float, points: FloatArray, color: str) -> None:
    """One effect: intervals that hold 50 % and 95 % of the groups."""
    from scipy.stats import norm

    sd = float(np.sqrt(max(variance, 0.0)))
    for level, width in zip(_LEVELS, (14.0, 7.0), strict=True):
        reach = norm.ppf(0.5 + 0.5 * level) * sd
        ax.plot([-reach, reach], [0.0, 0.0], color=color, linewidth=width, alpha=0.35,
                solid_capstyle="butt")  # fmt: skip
        ax.annotate(f"{100 * level:g} %", (reach, 0.0), xytext=(0, 9), fontsize=style.SMALL - 1,
                    textcoords="offset points", color=color, ha="center")  # fmt: skip
    style.zero_line(ax, vertical=True)
    ax.plot(points, np.full(len(points), -0.35), "|", color=style.GREY, markersize=9, alpha=0.7)
    ax.set_ylim(-1.0, 1.0)
    reach = max(2.4 * sd, 1.1 * float(np.abs(points).max(initial=0.0))) or 1.0
    ax.set_xlim(-reach, reach)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
