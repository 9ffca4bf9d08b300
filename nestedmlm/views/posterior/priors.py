"""The table of priors."""

from __future__ import annotations

from dataclasses import dataclass

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

    def view(self) -> View:
        """Build the document."""
        frame = PriorSet.to_frame(self)
        columns = {name: (name, cells.text) for name in frame}
        return View((cells.frame_table("priors", frame, columns),))

    def to_text(self) -> str:
        """Write as plain text: one line for each prior, however wide."""
        return PriorSet.__repr__(self)
