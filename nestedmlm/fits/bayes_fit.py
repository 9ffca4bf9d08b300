"""`BayesFit`: draws from a mixed model's posterior, with the verbs of `LmerFit`.

A frozen record; every number is computed in `nestedmlm.posterior`, and each verb is a function in
`nestedmlm.fits.posterior_verbs`.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from nestedmlm.arguments import checked
from nestedmlm.deprecations import renamed
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.fits.old_names import OLD_NAMES, POSTERIOR_ELSEWHERE
from nestedmlm.fits.posterior_verbs.pymc_model import pymc_model
from nestedmlm.late import late_imports, late_property

if TYPE_CHECKING:
    from nestedmlm.fits.from_draws import fit_of_foreign_draws
    from nestedmlm.fits.means.emmeans import emmeans, emtrends
    from nestedmlm.fits.posterior_verbs.check import check
    from nestedmlm.fits.posterior_verbs.contest import contest
    from nestedmlm.fits.posterior_verbs.diagnose import diagnose
    from nestedmlm.fits.posterior_verbs.extend import extend
    from nestedmlm.fits.posterior_verbs.hypothesis import hypothesis
    from nestedmlm.fits.posterior_verbs.icc import icc
    from nestedmlm.fits.posterior_verbs.log_evidence import log_evidence
    from nestedmlm.fits.posterior_verbs.loo import kfold, loo
    from nestedmlm.fits.posterior_verbs.other_models import update, with_data
    from nestedmlm.fits.posterior_verbs.parameters import parameters
    from nestedmlm.fits.posterior_verbs.predict import predict
    from nestedmlm.fits.posterior_verbs.r2 import r2
    from nestedmlm.fits.posterior_verbs.ranef import coef, ranef
    from nestedmlm.fits.posterior_verbs.report import report
    from nestedmlm.fits.posterior_verbs.save import save
    from nestedmlm.fits.posterior_verbs.sensitivity import sensitivity
    from nestedmlm.fits.posterior_verbs.simulate import simulate, with_posterior_predictive
    from nestedmlm.fits.posterior_verbs.summary import summary
    from nestedmlm.fits.posterior_verbs.varcorr import varcorr
    from nestedmlm.fits.posterior_verbs.with_prior import with_log_likelihood, with_prior
    from nestedmlm.plots.accessor import FitPlots
else:  # each loads when it is first asked for
    property = late_property
    # fmt: off
    globals().update(late_imports("nestedmlm.fits.posterior_verbs", {
        "contest": "contest", "diagnose": "diagnose",
        "hypothesis": "hypothesis", "icc": "icc", "log_evidence": "log_evidence",
        "loo": "kfold loo", "parameters": "parameters",
        "predict": "predict", "r2": "r2", "ranef": "coef ranef",
        "save": "save", "sensitivity": "sensitivity",
        "simulate": "simulate with_posterior_predictive", "summary": "summary",
        "varcorr": "varcorr", "with_prior": "with_log_likelihood with_prior",
    }))
    unchecked = {"check": "check", "extend": "extend", "other_models": "update with_data",
                 "report": "report"}
    globals().update(late_imports("nestedmlm.fits.posterior_verbs", unchecked, wrap=checked))
    globals().update(late_imports("nestedmlm", {
        "fits.from_draws": "fit_of_foreign_draws", "fits.means.emmeans": "emmeans emtrends",
        "plots.accessor": "FitPlots",
    }))
# fmt: on

if TYPE_CHECKING:  # after the verbs, which lead back here
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.fits.model import Model

__all__ = ["BayesFit"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BayesFit(BayesEstimates):
    """Draws from the posterior of a linear mixed model.

    Attributes
    ----------
    data : DataTree
        Groups ``posterior``, ``observed_data``, ``constant_data``, ``log_likelihood`` (given the
        random effects; left out where it would take more than half a gigabyte), and
        ``sample_stats`` from samplers that have them. ArviZ's functions take it as it is.
    design : Design
        Matrices, grouping factors and the learned schema.
    priors : PriorSet or None
        A table of the priors; None for a PyMC model of the user's.
    run : Run
        How the draws were made.
    given_model : pymc.Model or None
        The model that was sampled, if it had been built.
    data_name, weights_name, offset_name : str or None
        Names for printing.
    weights_column : str or None
        Column of the data that holds the prior weights; None where there are none or they were
        given as an array.
    messages : tuple of str
        What was wrong with the sampling, and about the design.
    source : Model or None
        The formula with its data; None for a fit that was loaded from a file.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
    >>> posterior.n_chains, posterior.n_draws, posterior.nobs
    (4, 250, 30)
    >>> posterior.parameters().index.tolist()
    ['(Intercept)', 'sd_(Intercept)|Batch', 'sigma']
    """

    # --- the model -----------------------------------------------------------------------------
    model = cached_property(pymc_model)

    @classmethod
    @checked
    def from_pymc(cls, data: Any, fit: LmerFit | Model, *, model: Any = None,
                  seed: int | None = None) -> Self:  # fmt: skip
        """Make a fit of draws from a PyMC model that `to_pymc` made and the user edited.

        Parameters
        ----------
        data : DataTree
            What ``pymc.sample`` returned (or nutpie, …); variables besides the parameters stay
            in it.
        fit : LmerFit or Model
            What ``to_pymc`` was called on.
        model : pymc.Model, optional
            The edited model, kept as `model`.
        seed : int, optional
            For the random effects, which are drawn if the draws lack them (marginal form).

        Raises
        ------
        OptionError
            If the draws lack a parameter of the formula.

        Notes
        -----
        The verbs read the draws as this formula's: ``y = X beta + Z b`` plus normal noise. If the
        edited likelihood is another one, `predict` and `simulate` with ``type="prediction"`` and
        the random effects of a marginal form do not hold. No log-likelihood is added: `loo`
        needs the model's own (``pymc.compute_log_likelihood``) where the likelihood was edited.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> draws = fit.sample(sampler="psis", draws=250, seed=1).data  # or pymc.sample(model=…)
        >>> again = nm.BayesFit.from_pymc(draws, fit)
        >>> again.n_chains, again.n_draws
        (4, 250)
        """
        return fit_of_foreign_draws(cls, fit, data, model=model, seed=seed)

    # --- estimates -----------------------------------------------------------------------------
    parameters = parameters
    varcorr = varcorr
    ranef = ranef
    coef = coef
    icc = icc
    r2 = r2

    # --- means ---------------------------------------------------------------------------------
    emmeans = emmeans
    emtrends = emtrends

    # --- criticism -----------------------------------------------------------------------------
    check = check
    diagnose = diagnose
    hypothesis = hypothesis
    contest = contest
    loo = loo
    kfold = kfold
    log_evidence = log_evidence
    sensitivity = sensitivity

    # --- rows ----------------------------------------------------------------------------------
    predict = predict
    simulate = simulate
    with_posterior_predictive = with_posterior_predictive
    with_prior = with_prior
    with_log_likelihood = with_log_likelihood

    # --- other models and data -----------------------------------------------------------------
    update = update
    with_data = with_data
    extend = extend

    # --- files ---------------------------------------------------------------------------------
    save = save

    def __getstate__(self) -> dict[str, Any]:
        # PyMC's models do not pickle: one made of the priors is built anew where it is asked for
        kept = {name: value for name, value in self.__dict__.items() if name != "model"}
        return kept | {"given_model": None}

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # what is frozen is shared, and so is the model
        return replace(self, data=deepcopy(self.data, memo))

    # --- pictures ------------------------------------------------------------------------------
    @property
    def plot(self) -> FitPlots:
        """Pictures: ``fit.plot.posterior()``; `fit.plot()` alone draws the diagnostics.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> posterior = model.sample(sampler="psis", draws=100, seed=1)
        >>> posterior.plot.posterior(["sigma"]).get_title()
        'sigma'
        """
        return FitPlots(self)

    if not TYPE_CHECKING:
        __getattr__ = renamed(OLD_NAMES, POSTERIOR_ELSEWHERE)

    # --- views ---------------------------------------------------------------------------------
    summary = summary
    report = report

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()
