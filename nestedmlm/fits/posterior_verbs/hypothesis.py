"""Posterior probabilities of hypotheses."""

from __future__ import annotations

from collections.abc import Sequence

from nestedmlm.arguments import checked
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.fits.posterior_verbs.known_priors import known_priors
from nestedmlm.posterior.hypothesis_probabilities import hypothesis_table
from nestedmlm.posterior.point_hypothesis import point_densities
from nestedmlm.posterior.summaries import LEVEL
from nestedmlm.views.posterior.hypothesis import HypothesisResult


@checked
def hypothesis(
    fit: BayesEstimates, hypotheses: str | Sequence[str], *, level: float = LEVEL
) -> HypothesisResult:
    """Posterior probability of statements about parameters; a view.

    Parameters
    ----------
    hypotheses : str or sequence of str
        ``"ses > 0"``, ``"10 < ses < 15"``, ``"1|schoolid_sigma > 1|classid_sigma"``,
        ``"1|schoolid[12] > 0 and ses > 10"``: names of the posterior or of its tables
        (``"sd_ses|schoolid > 1"``); backticks end all doubt. ``"ses = 0"``: odds are the Bayes
        factor of the point against the rest (Savage-Dickey), the probability what they make of one
        half.
    level : float
        Probability inside the intervals.

    Returns
    -------
    HypothesisResult

    Raises
    ------
    FormulaError
        If a hypothesis cannot be understood.
    OptionError
        For a point, if the priors are improper, functions, or not known.

    Warns
    -----
    SamplingWarning
        If the odds of a point rest on fewer than 30 effective draws near it.

    Notes
    -----
    The Bayes factor of a point is the density of the posterior over that of the prior (Dickey &
    Lientz 1970, Ann. Math. Stat. 41: 214-226). For linear functions of fixed effects with normal
    priors both densities are exact but for an average over the covariances; others, and the
    posterior's of generalized models, are kernel estimates, which need draws near the point. The
    factor depends on the priors: give those that are meant.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
    >>> posterior.hypothesis("sigma > 30").table["probability"].item() > 0.9
    True
    """
    texts = [hypotheses] if isinstance(hypotheses, str) else list(hypotheses)
    table = hypothesis_table(
        texts,
        fit.data,
        design=fit.design,
        level=level,
        densities=lambda own: point_densities(own, fit.data, fit.design, known_priors(fit)),
    )
    return HypothesisResult(table=table, level=level, draws=fit.n_chains * fit.n_draws)
