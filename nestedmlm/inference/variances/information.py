"""Expected information on the covariance of a model, exact, from its moments."""

from __future__ import annotations

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.inference.effects.variance_derivatives import Moments


def expected_information(found: Moments, n: int, p: int, *, REML: bool = True) -> FloatArray:
    """Twice the expected information, relative to sigma.

    Parameters
    ----------
    found : Moments
        For some directions.
    n, p : int
        Rows and fixed effects.
    REML : bool
        ``tr(P V_r P V_s)``; else ``tr(V^{-1} V_r V^{-1} V_s)``.

    Returns
    -------
    (n_d + 1, n_d + 1) array
        Component 0 moves V itself (that is sigma^2), the others are the directions.
    """
    IE = np.empty((len(found.t) + 1, len(found.t) + 1))
    IE[0, 0] = n
    IE[0, 1:] = IE[1:, 0] = found.t
    IE[1:, 1:] = found.N
    if REML:
        half = found.Phi @ found.Pi
        one = np.einsum("rii->r", half)
        IE[0, 0] -= p
        IE[0, 1:] -= one
        IE[1:, 0] -= one
        IE[1:, 1:] += np.einsum("rij,sji->rs", half, half) - 2.0 * found.phi_q
    return IE
