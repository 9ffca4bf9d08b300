"""The PyMC model of a fit, or of a model that has not been fitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nestedmlm.fits.estimates import Estimates
from nestedmlm.fits.generalized.starting_estimates import check_form

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.fits.model import Model


def to_pymc(
    source: Model | LmerFit,
    priors: Mapping[str, Any] | None = None,
    *,
    marginal: bool | str = False,
    noncentered: bool | str = "auto",
) -> Any:
    """Make the PyMC model, a plain ``pymc.Model`` that may be edited.

    Parameters
    ----------
    priors : mapping of str to Prior, number or callable, optional
        By the posterior's names; the rest have the defaults that `Model.priors` shows.
    marginal : bool
        Integrate the random effects out.
    noncentered : bool or "auto"
        Parameterisation of the random effects of the hierarchical form.

    Returns
    -------
    pymc.Model
        Without initial values, which PyMC's ``do``, ``observe`` and ``compute_log_likelihood``
        refuse; ``fit.sample(pymc_model=model)`` starts from the fit.

    Raises
    ------
    OptionError
        For unknown priors, or priors that do not suit their parameter.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> sorted(v.name for v in model.to_pymc(marginal=True).free_RVs)
    ['1|Batch_sigma_raw', 'Intercept', 'sigma']
    """
    from nestedmlm.bayes.model.pymc_model import build_model  # PyMC

    model = source.model if isinstance(source, Estimates) else source
    check_form(marginal, generalized=model.family is not None)
    return build_model(source.design, priors, marginal=marginal, noncentered=noncentered)
