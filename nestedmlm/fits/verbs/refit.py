"""Further fits of the same model: other responses, ML for REML."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import real_array
from nestedmlm.design.design import Design
from nestedmlm.design.frame.checks import check_weights
from nestedmlm.design.frame.frames import check_row_labels
from nestedmlm.design.frame.response_kinds import check_values, response_kind
from nestedmlm.errors import DataError
from nestedmlm.fits.changed_rows import changed_rows
from nestedmlm.fits.model_source import Source
from nestedmlm.statistics.responses import responses

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def refit(fit: LmerFit, y: Any = None, *, weights: Any = None) -> LmerFit:
    """Fit the same design to another response, or with other weights.

    Parameters
    ----------
    y : array-like, shape (n,) or (rows of the data,), optional
        One value for each row used, or for each row of the original data; a Series must have
        the row labels of the data, a frame one column. Of a binomial model with trials:
        proportions, as `simulate` gives them. By default the fit's own.
    weights : array-like, shape (n,) or (rows of the data,), optional
        Prior weights, all positive (of a binomial model numbers of trials). By default the fit's
        own.

    Returns
    -------
    LmerFit
        By the same optimizer, from this fit's theta: a fit that stopped with lme4 gives what lme4's
        ``refit`` gives.

    Raises
    ------
    DataError
        For a wrong shape, other row labels, missing or infinite values.
    WeightsError
        For weights that are not positive.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> again = fit.refit(fit.simulate(1, seed=1))
    >>> again.converged
    True
    >>> print(round(fit.refit(weights=[4.0] * 30).sigma / fit.sigma, 6))
    2.0
    """
    if y is None and weights is None:
        raise DataError("refit needs a response or weights: what shall differ from this fit?")
    values = fit.design.y if y is None else used_rows(y, fit.design)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise DataError(
            f"refit needs {fit.nobs} values, one response; refit_many takes one per column"
        )
    design = fit.design.with_response(values)
    if weights is not None:
        numbers = used_rows(weights, fit.design, "weights")
        if numbers.ndim != 1:
            raise DataError(f"refit needs {fit.nobs} weights, one for each row")
        check_weights(numbers)
        design = design.with_weights(numbers)
    if fit.core.family is not None:
        check_values(
            values, design.weights, None, kind=response_kind(fit.core.family),
            name="the new response", index=design.index,
        )  # fmt: skip
        return _named(weights is not None, fit.refitted(design))
    if weights is not None:
        return _named(weights is not None, fit.refitted(design, control=fit.certificate.control))
    if fit.solution.stats.sparse is not None or fit.solution.stats.residual is not None:
        return _named(weights is not None, fit.refitted(design))
    columns = responses(design, fit.solution.stats, values[:, None])
    stats = columns.statistics(0)
    return _named(
        weights is not None, fit.refitted(design, control=fit.certificate.control, stats=stats)
    )


def _named(weighted: bool, again: LmerFit) -> LmerFit:
    """The refit with a model of its own response: what is fitted from it later takes that."""
    model = again.model
    if not isinstance(model.source, Source):
        return again
    source = replace(model.source, changed=changed_rows(model, again.design, weighted=weighted))
    return replace(again, model=type(model)._of(model.formula, source, again.design))


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


def used_rows(y: Any, design: Design, what: str = "the new response") -> FloatArray:
    """Rows of a response (or of several, in columns), or of weights, that the design uses."""
    if isinstance(y, pd.Series | pd.DataFrame):
        every = len(y) == design.kept.size
        check_row_labels(y, design.full_index if every else design.index, what)
    try:
        values = real_array(y)
    except (TypeError, ValueError):
        raise DataError(f"{what} must be numbers, one for each row") from None
    if values.shape[:1] == design.kept.shape:
        values = values[design.kept]
    if values.shape[:1] != (design.n,):
        raise DataError(
            f"refit needs {design.n} values (one for each row used) or {design.kept.size} "
            f"(one for each row of the data), got shape {values.shape}"
        )
    if not np.all(np.isfinite(values)):
        raise DataError(f"{what} holds missing or infinite values; remove them first")
    return values
