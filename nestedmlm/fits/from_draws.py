"""A `BayesFit` made of draws: what every route to a posterior goes through."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nestedmlm.bayes.model.prior_set import PriorSet
from nestedmlm.callers import PACKAGE
from nestedmlm.errors import OptionError, SamplingWarning
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.fits.estimates import Estimates
from nestedmlm.fits.posterior_verbs.diagnose import problems
from nestedmlm.posterior.datatree import check_parameters, complete, without_auxiliary
from nestedmlm.posterior.random_effects import add_random_effects, lacks_effects
from nestedmlm.posterior.run import Run, read_foreign_run

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.fits.model import Model


def fit_of_draws[F: BayesEstimates](
    kind: type[F],
    source: Model | LmerFit,
    data: Any,
    *,
    priors: PriorSet | None,
    model: Any,
    run: Run,
) -> F:
    """Complete the draws, and warn once about those that should not be trusted.

    Parameters
    ----------
    kind : type
        `BayesFit`: it stands above this function, which makes one.
    source : Model or LmerFit
        Whose posterior it is.
    data : DataTree
        With the group ``posterior``; never changed.
    priors : PriorSet or None
        None: of a model of the user's, whose log-likelihood is its own and is not added.
    model : pymc.Model or None
        What was sampled.
    run : Run

    Warns
    -----
    SamplingWarning
        If there were divergences, R-hat is high, or effective draws are few.
    """
    model_source = source.model if isinstance(source, Estimates) else source
    data = add_random_effects(without_auxiliary(data), source.design, seed=run.seed)
    fit = kind(
        data=complete(data, source.design, log_likelihood=priors is not None),
        design=source.design,
        priors=priors,
        run=run,
        given_model=model,
        data_name=source.data_name,
        weights_name=source.weights_name,
        offset_name=source.offset_name,
        weights_column=model_source.weights_column,
        messages=source.design.messages,
        source=model_source,
    )
    found = problems(fit)
    if not found:
        return fit
    warnings.warn("; ".join(found), SamplingWarning, skip_file_prefixes=PACKAGE)
    return replace(fit, messages=(*fit.messages, *found))


def fit_of_foreign_draws[F: BayesEstimates](
    kind: type[F], source: Model | LmerFit, data: Any, *, model: Any, seed: int | None
) -> F:
    """Make a fit of draws that PyMC or another program made; see `BayesFit.from_pymc`."""
    if not hasattr(source, "design"):
        raise OptionError(f"fit must be a fit or a Model, not {source!r:.60}")
    check_parameters(data, source.design)
    marginal = lacks_effects(data, source.design)
    run = read_foreign_run(data, marginal=marginal, seed=seed)
    return fit_of_draws(kind, source, data, priors=None, model=model, run=run)
