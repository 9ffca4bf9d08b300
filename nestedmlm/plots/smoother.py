"""A smoother for scatter plots: means of bins, then a smoothing spline through them."""

from __future__ import annotations

import numpy as np

from nestedmlm._typing import FloatArray

MAX_BINS = 40  # of the rows along x
MIN_ROWS = 8  # in a bin
_POINTS = 200  # along the curve
_SPLINE = 5  # fewest points of a smoothing spline


def smoother(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """Smooth y over x.

    Parameters
    ----------
    x, y : (n,) arrays

    Returns
    -------
    x, y : arrays, or None
        Points of a curve; None where x takes too few values for one.

    Notes
    -----
    Rows are sorted into bins of about equal size, and a cubic smoothing spline goes through the
    means, weighted with the sizes; its smoothness minimises the generalised cross-validation
    score (Wahba 1990; `scipy.interpolate.make_smoothing_spline`). The cost does not grow with n
    beyond the sorting.
    """
    places, means, sizes = bin_means(x, y)
    if len(places) < 2:
        return None
    if len(places) < _SPLINE:
        return places, means
    from scipy.interpolate import make_smoothing_spline

    low, span = places[0], places[-1] - places[0]
    curve = make_smoothing_spline((places - low) / span, means, w=sizes / sizes.mean())
    grid = np.linspace(0.0, 1.0, _POINTS)
    return low + span * grid, np.asarray(curve(grid), dtype=float)


def bin_means(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Means of x and y in bins of about equal numbers of rows, and these numbers.

    Equal values of x are never split.
    """
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    bins = max(1, min(MAX_BINS, len(x) // MIN_ROWS))
    cuts = np.linspace(0, len(x), bins + 1).astype(int)[1:-1]
    starts = np.unique(np.concatenate([[0], np.searchsorted(x, x[cuts])]))
    sizes = np.diff(np.append(starts, len(x))).astype(float)
    means = (np.add.reduceat(values, starts) / sizes for values in (x, y))
    places, heights = means
    return places, heights, sizes
