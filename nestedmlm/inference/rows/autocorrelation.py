"""Autocorrelation of residuals within groups, in the order of time."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError
from nestedmlm.inference.normal_quantile import normal_quantile
from nestedmlm.inference.rows.residuals import NORMALIZED, residuals
from nestedmlm.likelihood.solution import Solution

_TYPES = ("pearson", NORMALIZED)


def autocorrelation(
    solution: Solution, design: Design, *, within: str | None, lags: int | None, level: float
) -> pd.DataFrame:
    """Autocorrelations of Pearson and of normalized residuals, by lag.

    Parameters
    ----------
    solution : Solution
    design : Design
    within : str or None
        A grouping factor, or the blocks of residuals that correlate; by default these, or the
        first grouping factor.
    lags : int or None
        The largest; by default all that ten pairs of rows have.
    level : float
        Of the limits.

    Returns
    -------
    DataFrame
        Index ``lag``, columns ``pairs, pearson, normalized, limit``.

    Raises
    ------
    OptionError
        If there are no such groups, or none has two rows.

    Notes
    -----
    ``sum r_t r_(t+k) / pairs`` over ``sum r_t^2 / n``, where t counts the rows of a group in the
    order of time: nlme's ``ACF.lme``.
    """
    codes = _groups(design, within)
    own = design.residual
    time = np.arange(design.n) if own is None or own.time is None else own.time
    order = np.lexsort((time, codes))
    each = [residuals(solution, design, kind)[order] for kind in _TYPES]
    sizes = np.bincount(codes)
    pairs = np.array([int(np.clip(sizes - k, 0, None).sum()) for k in range(int(sizes.max()))])
    if len(pairs) < 2:
        raise OptionError("no group has two rows: there is nothing to correlate within groups")
    last = max(1, int(np.flatnonzero(pairs >= 10).max(initial=1))) if lags is None else lags
    kept = np.arange(min(last + 1, len(pairs)))
    table = {"pairs": pairs[kept]}
    table |= {
        kind: _correlations(own, codes[order], kept) for kind, own in zip(_TYPES, each, strict=True)
    }
    table["limit"] = normal_quantile(level) / np.sqrt(pairs[kept])
    return pd.DataFrame(table, index=pd.Index(kept, name="lag"))


def _correlations(r: FloatArray, codes: IntArray, lags: IntArray) -> FloatArray:
    """Mean products of rows so many places apart in one group, over the mean square."""
    n, out = len(r), np.empty(len(lags))
    for k in lags:
        same = codes[: n - k] == codes[k:]
        out[k] = np.mean((r[: n - k] * r[k:])[same])
    relative: FloatArray = out / out[0]
    return relative


def _groups(design: Design, within: str | None) -> IntArray:
    known: dict[str, IntArray] = {factor.name: factor.codes for factor in reversed(design.factors)}
    own = design.residual
    if own is not None and own.block is not None:
        known[own.block_name] = own.block
    if not known:
        raise OptionError("a model without groups has no residuals within groups")
    chosen = list(known)[-1] if within is None else within
    if chosen not in known:
        raise OptionError(f"no groups {chosen!r}; the model has: {', '.join(known)}")
    return known[chosen]
