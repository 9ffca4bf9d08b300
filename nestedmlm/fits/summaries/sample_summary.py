"""Draws from the posterior of a summary's model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nestedmlm.formula import Formula

if TYPE_CHECKING:
    from nestedmlm.fits.bayes_fit import BayesFit
    from nestedmlm.fits.summaries.data_summary import Summary


def sample(summary: Summary, formula: str | Formula | None = None, **options: Any) -> BayesFit:
    """Draw from the posterior of the whole formula, or of one with fewer terms.

    Parameters
    ----------
    formula : str or Formula, optional
        Some of the columns and groups of this summary's.
    **options
        As `LmerFit.sample` takes them.

    Returns
    -------
    BayesFit
        The draws that the rows give at the same seed.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> s = nm.summarise("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> round(s.sample(sampler="psis", draws=250, seed=1).sigma, -1)
    50.0
    """
    return summary.fit(formula).sample(**options)
