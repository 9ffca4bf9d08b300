"""Diagnosis of a posterior: whether its draws can be trusted."""

from __future__ import annotations

from nestedmlm.arguments import checked
from nestedmlm.design.restarting_ids import restarting_ids
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.fits.posterior_verbs.parameters import parameters
from nestedmlm.posterior.diagnosis import (
    UPPER,
    boundary_sentences,
    boundary_table,
    sampling_problems,
)
from nestedmlm.views.posterior.diagnosis import BayesDiagnosis


@checked
def diagnose(fit: BayesEstimates) -> BayesDiagnosis:
    """Whether the draws can be trusted, and which standard deviations may be zero; a view.

    Returns
    -------
    BayesDiagnosis

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
    >>> posterior.diagnose().to_frame().shape
    (1, 9)
    """
    boundary = boundary_table(fit.data, fit.design)
    return BayesDiagnosis(
        problems=problems(fit),
        table=boundary,
        boundary=boundary_sentences(boundary, linear=fit.design.family is None),
        level=UPPER,
        restarting=tuple(ids.message(fit.design.formula) for ids in restarting_ids(fit.design)),
    )


def problems(fit: BayesEstimates) -> tuple[str, ...]:
    """Problems of the sampling, and what to do about them; empty if there are none."""
    return sampling_problems(
        parameters(fit),
        chains=fit.n_chains,
        draws=fit.n_draws,
        divergences=fit.divergences,
        independent=fit.run.khat is not None,
        form=fit.run.form,
        family=fit.design.family,
    )
