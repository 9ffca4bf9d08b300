"""The PyMC model of a fit, or of a model that has not been fitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nestedmlm.fits.estimates import Estimates

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
    priors : mapping of str to Prior or callable, optional
        By the posterior's names; the rest have the defaults that `Model.priors` shows.
    marginal : bool
        Integrate the random effects out.
    noncentered : bool or "auto"
        Parameterisation of the random effects of the hierarchical form.

    Returns
    -------
    pymc.Model
        Made of a fit, its variables' initial values are the fit's estimates.

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
    from nestedmlm.bayes.sampling.start import start_values  # PyMC

    design = source.design
    model = build_model(design, priors, marginal=marginal, noncentered=noncentered)
    if isinstance(source, Estimates):
        s = source.solution
        start = start_values(model, design, beta=s.beta, T=s.T, sigma=s.sigma, theta=s.theta)
        for name, value in start.items():
            model.set_initval(model[name], np.asarray(value))
    return model
