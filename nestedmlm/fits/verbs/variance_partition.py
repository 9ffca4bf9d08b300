"""Variance components read by level."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestedmlm.inference.variances.variance_partition import partition_variance
from nestedmlm.views.variance_partition import VariancePartition

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def variance_partition(fit: LmerFit) -> VariancePartition:
    """Variance components read by level: shares, ratios, what random slopes make of them.

    Returns
    -------
    VariancePartition
        A view; ``.to_frame("level" | "component" | "slope")`` has the numbers.

    Raises
    ------
    ResidualStructureError
        For a known sigma.

    Notes
    -----
    Of residuals that differ or correlate the variance is the average of the rows', and the
    correlation of two rows of a group counts their residuals' covariance, averaged over all pairs
    of rows of the groups.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("strength ~ 1 + (1 | batch/cask)", nm.load_dataset("Pastes"))
    >>> fit.variance_partition()
    Variance by level
    Formula: strength ~ 1 + (1 | batch/cask)
    <BLANKLINE>
               Groups Variance Std.Dev. Share To residual Correlation
    cask:batch     30    8.434   2.9041 78.3%      12.439       0.937
    batch          10    1.657   1.2874 15.4%       2.444       0.154
    Residual             0.678   0.8234  6.3%
    <BLANKLINE>
    Share: of the variance given the predictors.
    Correlation: of two rows in the same group (and in the groups around it).
    Fixed effects: variance 0, 0.0% of the whole.
    """
    numbers = partition_variance(fit.core)
    return VariancePartition(numbers=numbers, formula=fit.formula)
