"""Smooth curves of a fit with their bands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from nestedmlm.arguments import checked
from nestedmlm.errors import OptionError
from nestedmlm.plots import style
from nestedmlm.plots.backend import panels

if TYPE_CHECKING:
    from nestedmlm.design.design import Design
    from nestedmlm.views.smooths import Smooths


class Curved(Protocol):
    """A fit with smooth terms."""

    @property
    def design(self) -> Design:
        """Matrices and terms."""

    def smooths(
        self, *, points: int = ..., level: float = ..., simultaneous: bool = ...
    ) -> Smooths:
        """Smooth terms, as `LmerFit.smooths`."""


@checked
def curves(
    fit: Curved,
    *,
    level: float = 0.95,
    simultaneous: bool = False,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Curves of the smooth terms with bands, a panel for each.

    A curve sums to zero over the data, unless numbers multiply it.

    Parameters
    ----------
    fit : LmerFit
    level : float
        Of the bands (see `LmerFit.smooths`).
    simultaneous : bool
        Bands of all points at once; by default pointwise ones.
    ax : axes or array of axes, optional
        As many as there are curves.
    figsize : tuple, optional
        Inches of a new figure.

    Returns
    -------
    array of matplotlib axes

    Raises
    ------
    OptionError
        If the model has no curves, and for a posterior.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ s(Days, k=5) + (1 | Subject)", nm.load_dataset("sleepstudy"))
    >>> ax = nm.plots.curves(fit)[0]
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Days', 's(Days)')
    """
    if not hasattr(fit, "smooths"):
        raise OptionError(
            "curves with their bands belong to the fit by likelihood: give an LmerFit"
        )
    if not hasattr(fit, "smooths"):
        raise OptionError(f"curves are drawn of a fit by lmer, not of {type(fit).__name__}")
    found = fit.smooths(level=level, simultaneous=simultaneous).curves
    names = list(dict.fromkeys(found["term"]))
    places = panels(len(names), ax, figsize=figsize)
    variables = {t.name: t.smooth.x for t in fit.design.terms if t.smooth is not None}
    for place, name in zip(places, names, strict=True):
        own = found[found["term"] == name]
        style.zero_line(place, at=0.0)
        place.fill_between(
            own["x"], own["conf_low"], own["conf_high"],
            color=style.BLUE, alpha=style.BAND, linewidth=0.0,
        )  # fmt: skip
        place.plot(own["x"], own["estimate"], color=style.BLUE)
        place.set_xlabel(variables[name])
        place.set_ylabel(name)
    return places
