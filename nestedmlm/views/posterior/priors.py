"""The table of priors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nestedmlm.bayes.model.prior_set import PriorSet
from nestedmlm.views.posterior import cells
from nestedmlm.views.render.view import View, Viewable


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PriorTable(Viewable, PriorSet):
    """Priors by parameter name, each with the rule that set it; a mapping and a view.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> priors = model.priors
    >>> list(priors)
    ['Intercept', '1|Batch_sigma', 'sigma']
    >>> priors.to_text().splitlines()[0].split()
    ['name', 'term', 'prior', 'rule']
    >>> changed = priors.replace({"sigma": nm.Prior("HalfNormal", sigma=20.0)})
    >>> changed["sigma"].prior
    HalfNormal(sigma=20)
    """

    def replace(self, priors: Mapping[str, Any] | None) -> PriorTable:
        """Return a copy with some priors replaced, checked.

        Parameters
        ----------
        priors : mapping of str to Prior, number or callable, or None
            A number holds a parameter at it. By parameter, under either of its names in the table
            (``Days|Subject_sigma`` or ``sd_Days|Subject``), or by class: ``"slopes"`` (fixed
            effects but for the intercept), ``"sds"`` (standard deviations of random effects),
            ``"correlations"``.

        Returns
        -------
        PriorTable

        Raises
        ------
        OptionError
            For unknown names and for priors that do not suit the parameter.
        """
        return PriorTable(PriorSet.replace(self, priors).rows)

    def view(self) -> View:
        """Build the document."""
        frame = PriorSet.to_frame(self)
        columns = {name: (name, cells.text) for name in frame}
        return View((cells.frame_table("priors", frame, columns),))

    def to_text(self) -> str:
        """Write as plain text: one line for each prior, however wide."""
        return PriorSet.__repr__(self)
