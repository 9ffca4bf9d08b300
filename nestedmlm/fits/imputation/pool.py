"""`pool`: fits to multiply imputed data sets as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

from nestedmlm.arguments import checked
from nestedmlm.errors import OptionError
from nestedmlm.fits.bayes_fit import BayesFit
from nestedmlm.fits.glmer_fit import GlmerFit
from nestedmlm.fits.imputation.pooled_fit import PooledFit, pooled_fit
from nestedmlm.fits.imputation.stack import stacked_posterior
from nestedmlm.fits.lmer_fit import LmerFit


@overload
def pool(fits: Sequence[LmerFit]) -> PooledFit: ...
@overload
def pool(fits: Sequence[GlmerFit]) -> PooledFit: ...
@overload
def pool(fits: Sequence[BayesFit]) -> BayesFit: ...
@checked
def pool(fits: Sequence[Any]) -> PooledFit | BayesFit:
    """Pool the fits of one model to multiply imputed data sets.

    Parameters
    ----------
    fits : sequence of LmerFit, of GlmerFit, or of BayesFit
        One for each data set.

    Returns
    -------
    PooledFit or BayesFit
        By Rubin's rules; draws of posteriors are stacked, chain by chain, each data set with the
        same number.

    Raises
    ------
    OptionError
        For fits of different models, of rows of different number, or of several kinds.

    Notes
    -----
    R: ``mice::pool``, ``mitml::testEstimates``; ``brms::brm_multiple`` stacks. ``nm.lmer(formula,
    [first, second, ...])`` and ``nm.glmer`` of a list fit and pool.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> data = nm.load_dataset("sleepstudy")
    >>> imputed = [data.assign(Days=data.Days + shift * (data.Days == 9)) for shift in (-1, 0, 1)]
    >>> fits = [nm.lmer("Reaction ~ Days + (1 | Subject)", table) for table in imputed]
    >>> nm.pool(fits).params.round(2).to_dict()
    {'(Intercept)': 251.62, 'Days': 10.43}
    """
    given = list(fits)
    if given and any(all(isinstance(fit, kind) for fit in given) for kind in (LmerFit, GlmerFit)):
        return pooled_fit(given)
    if given and all(isinstance(fit, BayesFit) for fit in given):
        return stacked_posterior(given)
    kinds = ", ".join(dict.fromkeys(type(fit).__name__ for fit in given)) or "nothing"
    raise OptionError(f"pool takes LmerFits, GlmerFits or BayesFits, all of one kind, not {kinds}")
