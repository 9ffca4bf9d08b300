"""Leave-one-out and k-fold cross-validation of a posterior."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from nestedmlm._typing import IntArray
from nestedmlm.arguments import check_choice, check_count, checked
from nestedmlm.callers import PACKAGE
from nestedmlm.errors import OptionError, SamplingWarning
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.fits.posterior_verbs.known_priors import known_priors
from nestedmlm.inference.rows.group_prediction import named_unit
from nestedmlm.posterior.cross_validation import k_fold, refit_unreliable
from nestedmlm.posterior.datatree import refuse_stacked
from nestedmlm.posterior.generalized_refits import GeneralizedRefits
from nestedmlm.posterior.left_out_density import choose_factor
from nestedmlm.posterior.loglik import loo_blocks, loo_groups, loo_integrated_rows, loo_rows
from nestedmlm.posterior.reduced_posterior import LinearRefits, Refits

UNITS = ("row", "group")


@checked
def loo(
    fit: BayesEstimates,
    unit: str | None = None,
    *,
    group: str | None = None,
    integrated: bool = False,
    refit: bool = False,
    max_draws: int | None = None,
    seed: int | None = None,
    progress: bool = True,
) -> Any:
    """Leave-one-out cross-validation by Pareto-smoothed importance sampling.

    Parameters
    ----------
    unit : {"row", "group"} or str
        The name of a grouping factor stands for ``"group"`` with that `group`.
        ``row``: each row given its random effects (what ``az.loo(fit.data)`` does).
        The default, but for residuals that correlate, whose rows are given the other rows of their
        block too.
        ``group``: all rows of one group at once, ``p(y_j | y_-j)``, the random effects
        integrated out: the log-density of the group's rows given the other rows at each draw
        of (beta, covariances, sigma) is exact, and these draws are importance-weighted. If no
        other group shares a random effect with group j, that density is the group's own
        marginal likelihood; for classes within schools it conditions on the school's other
        classes. Of a generalized model it is by adaptive quadrature, for one grouping factor
        with up to three random effects.
    group : str, optional
        Which grouping factor; by default the one that contains all others, or the blocks of
        residuals that correlate.
    integrated : bool
        Of rows: integrate the random effects out too. The same quantity, ``p(y_i | y_-i)``, with
        weights that vary far less, where groups are small.
    refit : bool
        Where Pareto k is too large, leave the unit out in earnest: the posterior is sampled again
        without it (with the priors of this one), and predicts it, random effects integrated out;
        those of a generalized model with several grouping factors are drawn without the unit.
    max_draws : int, optional
        Use so many evenly spaced draws (crossed factors: the cost per draw is cubic in the
        number of random effects that hang together).
    seed : int, optional
        Of refits.
    progress : bool
        A bar while posteriors are sampled again.

    Returns
    -------
    arviz ELPDDataLOO
        With pointwise values; Pareto k of what was refitted is 0.

    Raises
    ------
    OptionError
        For an unknown unit or grouping factor; of refits if the priors are not known; of a
        generalized model for groups, and for rows with ``integrated``, where there are several
        grouping factors, more than three random effects of a level, or a family that has a
        posterior only (`kfold` of groups is for these, too).
    DataError
        If a unit's rows are all that tell of a fixed effect.
    NotDefinedError
        Of a posterior stacked by `pool`, whose draws are of several data sets.

    Warns
    -----
    SamplingWarning
        If a Pareto k is too large for the estimate to be trusted.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=1000, seed=1)
    >>> int(posterior.loo().n_data_points)
    30
    >>> exact = posterior.loo("group", refit=True, seed=1, progress=False)
    >>> bool(exact.pareto_k.max() < 0.7)
    True
    """
    refuse_stacked(fit.data, "loo")
    own = fit.design.residual
    blocks = own is not None and own.block is not None
    unit = ("group" if blocks else "row") if unit is None else unit
    unit, group = named_unit(fit.design, unit, group)
    check_choice(unit, "unit", UNITS)
    if unit == "group" and integrated:
        raise OptionError("groups are left out with their random effects integrated out anyway")
    units: IntArray = np.arange(fit.design.n)
    f = 0
    by_block = unit == "group" and own is not None and blocks and group in (None, own.block_name)
    if by_block and own is not None and own.block is not None:
        units = own.block
    elif unit == "group":
        f = choose_factor(fit.design, group)
        units = fit.design.factors[f].codes
    refits = _refits(fit, fit.n_chains * fit.n_draws, seed) if refit else None
    with warnings.catch_warnings(record=True) as caught:  # ArviZ's name a line of ArviZ
        warnings.simplefilter("always")
        if by_block:
            found = loo_blocks(fit.data, fit.design, max_draws=max_draws)
        elif unit == "group":
            found = loo_groups(fit.data, fit.design, f, max_draws=max_draws)
        elif integrated:
            found = loo_integrated_rows(fit.data, fit.design, max_draws=max_draws)
        else:
            found = loo_rows(fit.data, fit.design)
    if refits is not None:
        return refit_unreliable(found, refits, units, progress=progress)
    for one in caught:
        kind = SamplingWarning if one.category is UserWarning else one.category
        warnings.warn(str(one.message), kind, skip_file_prefixes=PACKAGE)
    return found


@checked
def kfold(
    fit: BayesEstimates,
    folds: int | str = 10,
    *,
    group: str | None = None,
    draws: int = 2000,
    seed: int | None = None,
    progress: bool = True,
) -> Any:
    """K-fold cross-validation: the posterior is sampled again without each fold, which it predicts.

    Parameters
    ----------
    folds : int or str
        Rows at random in so many folds, each row predicted by itself; or a grouping factor, each
        of whose groups is a fold, predicted as a whole: ``kfold("schoolid")`` is what
        ``loo("group")`` approximates.
    group : str, optional
        A factor (or the blocks of residuals that correlate) beside a number of folds: keep its
        groups together, and predict each as a whole.
    draws : int
        Of each refit, by importance sampling, or by NUTS where that does not cover the posterior
        and where random effects cannot be integrated out.
    seed : int, optional
        Of the folds and the draws.
    progress : bool

    Returns
    -------
    arviz ELPDDataLOOKFold
        With pointwise values; ``az.compare`` takes it beside others of the same units.

    Raises
    ------
    OptionError
        For an unknown factor, a number of folds that cannot be, and priors that are not known.
    DataError
        If a fixed effect appears in the rows of one fold alone.

    Warns
    -----
    SamplingWarning
        If a predictive density rests on fewer than 50 effective draws.

    Notes
    -----
    Random effects are integrated out: rows of a group of which others stay are predicted given
    these. Priors are those of this posterior, not scaled anew from fewer rows. Of residuals that
    correlate rows are predicted given the rows of their block that stay.

    Generalized models: with one grouping factor and up to three random effects of a level these are
    integrated out by adaptive quadrature, and refits are by importance sampling. Otherwise they are
    sampled with the rest by NUTS, which is compiled once and takes seconds for each fold; those of
    groups that are left out are draws from their distribution.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=2000, seed=1)
    >>> found = posterior.kfold("Batch", seed=1, progress=False)
    >>> found.n_folds, bool(abs(found.elpd - posterior.loo("group").elpd) < 0.5)
    (6, True)
    """
    refits = _refits(fit, check_count(draws, "draws"), seed)
    return k_fold(fit.data, refits, folds, group=group, progress=progress)


def _refits(fit: BayesEstimates, draws: int, seed: int | None) -> Refits:
    own: dict[str, Any] = {
        "design": fit.design, "priors": known_priors(fit), "draws": draws, "seed": seed
    }  # fmt: skip
    if fit.design.family is None:
        return LinearRefits(**own)
    return GeneralizedRefits(**own, laplace=fit.run.form == "laplace")
