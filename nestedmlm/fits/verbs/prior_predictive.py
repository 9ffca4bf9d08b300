"""Responses that a model predicts before the data are seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nestedmlm.arguments import check_count
from nestedmlm.bayes.model.priors import resolve_priors
from nestedmlm.fits.estimates import Estimates
from nestedmlm.posterior.prior_groups import prior_groups

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.fits.model import Model


def prior_predictive(
    source: Model | LmerFit,
    *,
    priors: Mapping[str, Any] | None = None,
    draws: int = 500,
    seed: int | None = None,
) -> Any:
    """Draw parameters from the priors, and the responses that they predict, without PyMC.

    Parameters
    ----------
    priors : mapping of str to Prior or number, optional
        By either name of a parameter in `Model.priors`, which shows the defaults of the rest.
    draws : int
    seed : int, optional

    Returns
    -------
    DataTree
        Groups ``prior`` (parameters, random effects), ``prior_predictive``, ``observed_data``,
        ``constant_data``, as ArviZ's functions take them: ``az.plot_ppc_dist(tree,
        group="prior_predictive")``.

    Raises
    ------
    OptionError
        For unknown priors, for improper ones and functions, which nothing can be drawn from here.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> tree = model.prior_predictive(draws=100, seed=1)
    >>> tree["prior_predictive"]["Yield"].shape
    (1, 100, 30)
    """
    model = source.model if isinstance(source, Estimates) else source
    chosen = resolve_priors(model.design, priors)
    return prior_groups(model.design, chosen, draws=check_count(draws, "draws"), seed=seed)
