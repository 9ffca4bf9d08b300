"""The PyMC model behind a posterior."""

from __future__ import annotations

from typing import Any

from nestedmlm.arguments import checked
from nestedmlm.errors import OptionError
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.posterior.run import MARGINAL_OF_FORM


@checked
def pymc_model(fit: BayesEstimates) -> Any:
    """The PyMC model; built on first use where there is none yet.

    Raises
    ------
    OptionError
        For a fit of a user's own PyMC model that was loaded or unpickled: models are not saved.
    """
    if fit.given_model is not None:
        return fit.given_model
    if fit.priors is None:
        raise OptionError("the PyMC model of this fit was given by the user and is not saved")
    from nestedmlm.bayes.model.pymc_model import build_model  # PyMC

    return build_model(fit.design, fit.priors, marginal=MARGINAL_OF_FORM[fit.run.form])
