"""The data that a fit of either engine was made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nestedmlm.errors import OptionError
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.fits.imputation.pooled_fit import PooledFit

if TYPE_CHECKING:
    from nestedmlm.fits.bayes_fit import BayesFit
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.fits.model import Model


def data_of(fit: LmerFit | BayesFit | PooledFit) -> Any:
    """The caller's table.

    Raises
    ------
    OptionError
        For a posterior that was loaded from a file, which does not hold the data.
    """
    return _model_of(fit).data


def predictors_of(fit: LmerFit | BayesFit | PooledFit) -> Any:
    """What is known of the predictors: the caller's table, or what sums over it tell.

    Raises
    ------
    OptionError
        As `data_of`.
    RowsNotHereError
        If sums do not tell enough.
    """
    return _model_of(fit).source.predictors


def _model_of(fit: LmerFit | BayesFit | PooledFit) -> Model:
    if not isinstance(fit, BayesEstimates):
        return fit.model
    if fit.source is None:
        raise OptionError(
            "a posterior that was loaded from a file does not hold its data: sample it anew, or "
            "pickle it"
        )
    model: Model = fit.source
    return model
