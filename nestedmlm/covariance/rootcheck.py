"""Checks of a root that a user wrote for the correlation matrix of a structure."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from nestedmlm.covariance.parameter import middle, unbounded
from nestedmlm.covariance.structure import COMPLEX_STEP
from nestedmlm.errors import OptionError

if TYPE_CHECKING:
    from nestedmlm.covariance.custom import Custom


@lru_cache(maxsize=256)
def check_root(structure: Custom, k: int) -> None:
    """Refuse a root that is none, or that loses the imaginary parts of its parameters.

    Raises
    ------
    OptionError
    """
    chosen = structure.parameters(k)
    rng = np.random.default_rng(1)

    def value(x: Any) -> Any:
        return np.asarray(structure.correlation_factor(np, x, k))

    centre = np.array([unbounded(p, middle(p)) for p in chosen])
    for step in (0.0, 0.3):
        x = centre + step * rng.normal(size=len(centre))
        if not _is_root(value(x), k):
            par = [round(float(v), 4) for v in structure.bounded(np, x.tolist(), k)]
            raise OptionError(
                f"covariance structure {structure.name!r}: for {k} columns root(numpy, "
                f"{par}, {k}) must be a lower-"
                "triangular matrix with a positive diagonal and rows of length one (a root of a "
                "correlation matrix; nm.covariance.cholesky makes one)"
            )
        for i in range(len(x)):
            e = np.where(np.arange(len(x)) == i, 1.0, 0.0)
            exact = value(x + 1j * COMPLEX_STEP * e).imag / COMPLEX_STEP
            rough = (value(x + 1e-6 * e) - value(x - 1e-6 * e)) / 2e-6
            if not np.allclose(exact, rough, atol=1e-5, rtol=1e-4):
                raise OptionError(
                    f"covariance structure {structure.name!r}: the derivative of root in "
                    f"{chosen[i].name!r} cannot be taken with complex numbers; avoid abs(), "
                    "maximum(), .real and comparisons of parameters"
                )


def _is_root(L: Any, k: int) -> bool:
    if L.shape != (k, k) or not np.all(np.isfinite(L)):
        return False
    if np.any(np.triu(L, 1) != 0.0) or not np.all(np.diag(L) > 0.0):
        return False
    return bool(np.allclose(np.sum(L**2, axis=1), 1.0, atol=1e-8))
