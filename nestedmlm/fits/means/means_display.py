"""`MeansDisplay`: what all tables made of marginal means can do."""

from __future__ import annotations

from typing import Any, Protocol

import pandas as pd

from nestedmlm.arguments import checked
from nestedmlm.native_frames import native_method
from nestedmlm.plots.means import marginal_means as draw_means
from nestedmlm.views.means import MarginalTable, marginal_view
from nestedmlm.views.render.view import View


class HasTable(Protocol):
    """Holder of the table that it prints."""

    @property
    def table(self) -> MarginalTable:
        """Numbers, labels and notes."""


class MeansDisplay:
    """A table made of marginal means prints, and is drawn, as they are; it has a `table`."""

    __slots__ = ()

    @native_method
    def to_frame(self: HasTable) -> pd.DataFrame:
        """The numbers that are printed, with their labels; without df of a posterior."""
        return self.table.frame.copy()

    @checked
    def plot(self: HasTable, *, ax: Any = None, figsize: tuple[float, float] | None = None) -> Any:
        """Draw the rows with their intervals; see `nestedmlm.plots.marginal_means`.

        Parameters
        ----------
        ax : matplotlib axes, optional
        figsize : tuple, optional
            Inches of a new figure.

        Returns
        -------
        matplotlib axes

        Raises
        ------
        OptionError
            If `ax` is no axes of matplotlib.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("angle ~ recipe + temp + (1 | recipe:replicate)", nm.load_dataset("cake"))
        >>> nm.emmeans(fit, "recipe").pairs().plot().get_xlabel()
        'estimate'
        """
        return draw_means(self, ax=ax, figsize=figsize)

    def view(self: HasTable) -> View:
        """Build the document, in the layout of R's emmeans."""
        return marginal_view(self.table)
