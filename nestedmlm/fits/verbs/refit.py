"""Further fits of the same model: other responses, ML for REML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.design.frame.frames import check_row_labels
from nestedmlm.errors import DataError, OptionError
from nestedmlm.optimum import batch
from nestedmlm.optimum.batch import Batch
from nestedmlm.statistics.responses import responses

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def refit(fit: LmerFit, y: Any) -> LmerFit:
    """Fit the same design to another response.

    Parameters
    ----------
    y : array-like, shape (n,) or (rows of the data,)
        One value for each row used, or for each row of the original data; a Series must have
        the row labels of the data.

    Returns
    -------
    LmerFit
        By the same optimizer, from this fit's theta: a fit that stopped with lme4 gives what lme4's
        ``refit`` gives.

    Raises
    ------
    DataError
        For a wrong shape, other row labels, missing or infinite values.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> again = fit.refit(fit.simulate(1, seed=1)["sim_1"])
    >>> again.converged
    True
    """
    values = _used_rows(y, fit.design)
    if values.ndim != 1:
        raise DataError(
            f"refit needs {fit.nobs} values, one response; refit_many takes one per column"
        )
    design = fit.design.with_response(values)
    if fit.solution.stats.sparse is not None:
        return fit.refitted(design)
    columns = responses(design, fit.solution.stats, values[:, None])
    return fit.refitted(design, control=fit.certificate.control, stats=columns.statistics(0))


def refit_many(fit: LmerFit, Y: Any, *, workers: int = 1) -> Batch:
    """Fit the same design to many responses at once, each to its own certified optimum.

    They share one pass over the rows and one compiled loop, so that thousands of responses
    take a fraction of the time of as many calls of `refit`.

    Parameters
    ----------
    Y : array-like, shape (n, m) or (rows of the data, m)
        One response per column; a DataFrame must have the row labels of the data.
    workers : int
        Threads; the result does not depend on their number.

    Returns
    -------
    Batch
        Arrays with one row per response: ``theta, criterion, sigma, beta, converged,
        singular, evaluations``.

    Raises
    ------
    DataError
        For a wrong shape, missing values, or a response that the fixed effects reproduce.
    OptionError
        For a penalised fit.

    Examples
    --------
    >>> import nestedmlm as nm, numpy as np
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> y = fit.design.y
    >>> batch = fit.refit_many(np.column_stack([y, 2 * y, y[::-1]]))
    >>> batch.sigma.round(4)
    array([49.5101, 99.0202, 49.5101])
    """
    if fit.penalty is not None:
        raise OptionError("refit_many knows no penalties; call refit for each response")
    return batch.refit_many(
        fit.design,
        _used_rows(Y, fit.design),
        REML=fit.REML,
        start=fit.theta,
        stats=fit.solution.stats,
        workers=workers,
    )


def refit_ml(fit: LmerFit) -> LmerFit:
    """The maximum-likelihood fit of the same model (itself, if it is one).

    Returns
    -------
    LmerFit
        At its optimum, also for a fit that stopped with lme4: lme4's ``refitML`` has another, more
        patient optimizer.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> fit.refit_ml().REML
    False
    """
    if not fit.REML:
        return fit
    return fit.refitted(fit.design, REML=False, stats=fit.solution.stats)


def _used_rows(y: Any, design: Design) -> FloatArray:
    """Rows of a response (or of several, in columns) that the design uses."""
    if isinstance(y, pd.Series | pd.DataFrame):
        every = len(y) == design.kept.size
        check_row_labels(y, design.full_index if every else design.index, "the new response")
    try:
        values = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError("the new response must be numbers, one for each row") from None
    if values.shape[:1] == design.kept.shape:
        values = values[design.kept]
    if values.shape[:1] != (design.n,):
        raise DataError(
            f"refit needs {design.n} values (one for each row used) or {design.kept.size} "
            f"(one for each row of the data), got shape {values.shape}"
        )
    if not np.all(np.isfinite(values)):
        raise DataError("the new response holds missing or infinite values; remove them first")
    return values
