"""The response beside responses that a model draws: predictive checks."""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import check_count, checked
from nestedmlm.bayes.model.names import response_name
from nestedmlm.errors import OptionError
from nestedmlm.plots import style
from nestedmlm.plots.backend import axes
from nestedmlm.plots.priors import priors_of
from nestedmlm.posterior.prior_groups import prior_groups
from nestedmlm.views.protocols import EitherFit, Specified

_GRID = 120  # places at which densities are drawn
_TAIL = 0.005  # of drawn responses on either side, which priors send far away
KINDS = ("posterior", "prior")


@checked
def ppc(
    of: Specified | EitherFit,
    *,
    kind: str | None = None,
    draws: int = 50,
    seed: int | None = 1,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Density of the response over densities of responses that the model draws.

    Parameters
    ----------
    of : Model, LmerFit or BayesFit
    kind : {"posterior", "prior"}, optional
        Responses that a fit (a posterior, or the estimates) draws, or those drawn before the data
        were seen, from the priors. By default "prior" for a model that has not been fitted, else
        "posterior".
    draws : int
        Responses that are drawn.
    seed : int
        Of these draws.
    ax : matplotlib axes, optional
    figsize : tuple, optional
        Inches of a new figure.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    OptionError
        For an unknown kind, for ``"posterior"`` of a model that has not been fitted, and for
        priors that nothing can be drawn from.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> nm.plots.ppc(model).get_title(loc="left")
    'Prior predictive check'
    >>> model.sample(sampler="psis", draws=100, seed=1).plot.ppc().get_title(loc="left")
    'Posterior predictive check'
    """
    fitted = hasattr(of, "engine")
    kind = kind or ("posterior" if fitted else "prior")
    if kind not in KINDS:
        raise OptionError(f"kind={kind!r} is unknown; known: {', '.join(KINDS)}")
    check_count(draws, "draws")
    drawn = _drawn(of, kind, draws, seed, fitted)
    ax = axes(ax, figsize=figsize)
    draw_densities(ax, of.design.y, drawn)
    heading = f"{'Prior' if kind == 'prior' else 'Posterior'} predictive check"
    if fitted and kind == "posterior" and of.engine != "posterior":  # type: ignore[union-attr]
        heading = "Predictive check"
    return style.dress(
        ax, x=f"{response_name(of.design)}, over {draws} draws from the model", heading=heading
    )


def _drawn(of: Any, kind: str, draws: int, seed: int | None, fitted: bool) -> FloatArray:
    """Responses in columns."""
    if kind == "posterior":
        if not fitted:
            raise OptionError("this model has not been fitted: it draws from the priors alone")
        out: FloatArray = of.simulate(draws, seed=seed).to_numpy(dtype=float)
        return out[np.isfinite(out).all(axis=1)]
    tree = prior_groups(of.design, priors_of(of), draws=draws, seed=seed)
    values = tree["prior_predictive"][response_name(of.design)].values
    return np.asarray(values, dtype=float).reshape(draws, -1).T


def draw_densities(ax: Any, y: FloatArray, drawn: FloatArray) -> None:
    """Draw the density of the response over those of drawn ones, which are columns."""
    from scipy.stats import gaussian_kde

    low, high = np.quantile(drawn, (_TAIL, 1.0 - _TAIL))
    if drawn.size <= 1.0 / _TAIL or (drawn.min() > y.min() - np.ptp(y) and
                                     drawn.max() < y.max() + np.ptp(y)):  # fmt: skip
        low, high = drawn.min(), drawn.max()
    grid = np.linspace(min(y.min(), low), max(y.max(), high), _GRID)
    for column in drawn.T:
        if np.ptp(column) > 0.0:
            ax.plot(grid, gaussian_kde(column)(grid), color=style.GREY, alpha=0.35, linewidth=0.7)
    ax.plot(grid, gaussian_kde(y)(grid), color=style.BLUE, linewidth=1.8)
    ax.set_yticks([])
