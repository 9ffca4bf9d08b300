"""The posterior of a changed formula, or of other data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nestedmlm.bayes.model.prior_set import given_priors, has_name
from nestedmlm.errors import OptionError
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.posterior.run import MARGINAL_OF_FORM

if TYPE_CHECKING:
    from nestedmlm.fits.bayes_fit import BayesFit
    from nestedmlm.fits.model import Model


def update(fit: BayesEstimates, formula: str, **options: Any) -> BayesFit:
    """Sample the posterior of a changed formula, ``.`` standing for what was there.

    Parameters
    ----------
    formula : str
        For example ``". ~ . + x"``.
    **options
        Those of `Model.sample` that are to be others than this posterior's. Priors that were given
        stay, as far as the new model has their parameters.

    Returns
    -------
    BayesFit

    Raises
    ------
    FormulaError
        For a formula that cannot be read, with its place.
    OptionError
        For a posterior that was loaded from a file, or of a PyMC model of the user's.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> model = nm.Model("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    >>> posterior = model.sample(sampler="psis", draws=250, seed=1)
    >>> posterior.update(". ~ . - (1 | Subject) + (Days | Subject)").parameters().shape[0]
    6
    """
    return _sampled(fit, _source(fit).update(formula), options)


def with_data(fit: BayesEstimates, data: Any, **options: Any) -> BayesFit:
    """Sample the posterior of the same model for other data.

    Parameters
    ----------
    data : table
    **options
        Those of `Model.sample` that are to be others than this posterior's.

    Returns
    -------
    BayesFit

    Raises
    ------
    DataError
        If the table lacks a column, or the model cannot be made of it.
    OptionError
        For a posterior that was loaded from a file, or of a PyMC model of the user's.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = model.sample(sampler="psis", draws=250, seed=1)
    >>> posterior.with_data(nm.load_dataset("Dyestuff2")).nobs
    30
    """
    return _sampled(fit, _source(fit).with_data(data), options)


def _source(fit: BayesEstimates) -> Model:
    if fit.source is None:
        raise OptionError("a posterior that was loaded from a file does not hold its data")
    if fit.priors is None:
        raise OptionError("this posterior is of a PyMC model of yours: edit that one")
    source: Model = fit.source
    return source


def _sampled(fit: BayesEstimates, model: Model, options: dict[str, Any]) -> BayesFit:
    """Sample as the posterior was sampled, with the priors that were given."""
    known = model.priors
    before = given_priors(fit.priors) if fit.priors is not None else {}
    given = {name: prior for name, prior in before.items() if has_name(known, name)}
    own = {
        "priors": given or None,
        "marginal": MARGINAL_OF_FORM[fit.run.form],
        "sampler": fit.run.sampler,
        "draws": fit.n_draws,
        "chains": fit.n_chains,
        "seed": fit.run.seed,
    }
    return model.sample(**(own | options))
