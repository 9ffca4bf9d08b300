"""Expected information on the covariance of a model, exact, from `VarianceDerivatives`."""

from __future__ import annotations

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.inference.effects.variance_derivatives import VarianceDerivatives


def expected_information(
    found: VarianceDerivatives, n: int, p: int, *, REML: bool = True
) -> FloatArray:
    """Twice the expected information, relative to sigma.

    Parameters
    ----------
    found : VarianceDerivatives
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
    IE = np.empty((len(found.tr_dV) + 1, len(found.tr_dV) + 1))
    IE[0, 0] = n
    IE[0, 1:] = IE[1:, 0] = found.tr_dV
    IE[1:, 1:] = found.tr_dV_dV
    if REML:
        half = found.Phi @ found.X_dV_X
        one = np.einsum("rii->r", half)
        IE[0, 0] -= p
        IE[0, 1:] -= one
        IE[1:, 0] -= one
        IE[1:, 1:] += np.einsum("rij,sji->rs", half, half) - 2.0 * found.tr_Phi_Q
    return IE
