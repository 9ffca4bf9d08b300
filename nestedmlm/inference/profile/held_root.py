"""Coordinates of an unstructured covariance in which a standard deviation or correlation is held.

Logarithms of its standard deviations over the first, and inverse hyperbolic tangents of partial
correlations (Lewandowski, Kurowicka & Joe 2009), whose first is the correlation that is held. The
fit's own parameters are the entries of the Cholesky factor; the map from one to the other and its
derivatives are exact (complex steps, and Murray's (2016) derivative of the factor).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.covariance.structure import COMPLEX_STEP
from nestedmlm.inference.variances.correlation import correlation_matrix

_BEND_STEP = 1e-5  # of differences of exact derivatives, in coordinates


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldRoot:
    """The place of such a matrix among the residuals' parameters.

    Attributes
    ----------
    own : slice
        Its free parameters.
    k : int
        Visits.
    order : (k,) int array
        Visits as the partial correlations take them: those of the held correlation first.
    place : int
        Which standard deviation (after the first) is held, in units of the response; -1: none.
    ratio : int
        The parameter that multiplies all its standard deviations; -1: none.
    unit : float
        What that parameter is the log of, in its own units.
    """

    own: slice
    k: int
    order: IntArray
    place: int
    ratio: int
    unit: float

    def log_scale(self, x: FloatArray) -> float:
        """Log of its standard deviation in the first visit, over sigma."""
        return 0.0 if self.ratio < 0 else float(x[self.ratio]) / self.unit

    def free_at(self, log_sigma: float, x: FloatArray) -> FloatArray:
        """Free parameters at coordinates x."""
        out = x.copy()
        out[self.own] = _entries(np.linalg.cholesky(self._matrices(self._mine(log_sigma, x))))
        return out

    def moves(self, log_sigma: float, x: FloatArray) -> FloatArray:
        """Derivatives of the free parameters in log sigma and in each coordinate."""
        n = len(x)
        out = np.vstack([np.zeros(n), np.eye(n)])
        out[:, self.own] = self._into(n) @ self._slopes(self._mine(log_sigma, x))
        return out

    def bend(self, log_sigma: float, x: FloatArray, of_free: FloatArray) -> FloatArray:
        """Second derivatives of ``of_free' free`` in log sigma and the coordinates."""
        mine = self._mine(log_sigma, x)
        step = _BEND_STEP * np.eye(len(mine))
        change = self._slopes(mine + step) - self._slopes(mine - step)
        own = change @ of_free[self.own] / (2.0 * _BEND_STEP)
        A = self._into(len(x))
        out: FloatArray = A @ (0.5 * (own + own.T)) @ A.T
        return out

    def _mine(self, log_sigma: float, x: FloatArray) -> FloatArray:
        out = x[self.own].copy()
        if self.place >= 0:
            out[self.place] -= log_sigma + self.log_scale(x)
        return out

    def _into(self, n: int) -> FloatArray:
        """Derivatives of `_mine`, which is linear."""
        out = np.zeros((n + 1, self.own.stop - self.own.start))
        out[1:][self.own] = np.eye(out.shape[1])
        if self.place >= 0:
            out[0, self.place] = -1.0
            if self.ratio >= 0:
                out[1 + self.ratio, self.place] = -1.0 / self.unit
        return out

    def _matrices(self, x: Any) -> Any:
        """Covariances over the first variance at coordinates (..., n), also complex ones."""
        k, shape = self.k, x.shape[:-1]
        rows, columns = np.tril_indices(k, -1)
        partials = np.zeros((*shape, k, k), dtype=x.dtype)
        partials[..., rows, columns] = np.tanh(x[..., k - 1 :])
        left = np.cumprod(np.sqrt(1.0 - np.square(partials)), axis=-1)
        L = partials.copy()
        L[..., 1:] *= left[..., :-1]
        diagonal = np.arange(1, k)
        L[..., 0, 0] = 1.0
        L[..., diagonal, diagonal] = left[..., diagonal, diagonal - 1]
        back = np.argsort(self.order)
        corr = (L @ np.swapaxes(L, -1, -2))[..., back[:, None], back]
        sd = np.ones((*shape, k), dtype=x.dtype)
        sd[..., 1:] = np.exp(x[..., : k - 1])
        return sd[..., :, None] * corr * sd[..., None, :]

    def _slopes(self, x: FloatArray) -> FloatArray:
        """Derivatives of the entries in each coordinate, (..., n, entries)."""
        steps = x[..., None, :] + 1j * COMPLEX_STEP * np.eye(x.shape[-1])
        dR = self._matrices(steps).imag / COMPLEX_STEP
        L = np.linalg.cholesky(self._matrices(x))[..., None, :, :]
        inverse = np.linalg.inv(L)
        half = np.tril(inverse @ dR @ np.swapaxes(inverse, -1, -2))
        half[..., np.arange(self.k), np.arange(self.k)] *= 0.5
        return _entries(L @ half)


def _entries(L: FloatArray) -> FloatArray:
    """The lower triangle row by row, without its first entry."""
    rows, columns = np.tril_indices(L.shape[-1])
    out: FloatArray = L[..., rows[1:], columns[1:]]
    return out


def partial_coordinates(cov: FloatArray, order: IntArray) -> FloatArray:
    """Log standard deviations over the first, and the transformed partial correlations."""
    L = np.linalg.cholesky(correlation_matrix(cov)[np.ix_(order, order)])
    rows, columns = np.tril_indices(len(L), -1)
    before = np.cumsum(np.square(L), axis=1) - np.square(L)  # what columns before take
    left = np.sqrt(1.0 - before[rows, columns])
    sd = np.sqrt(np.diag(cov))
    return np.concatenate([np.log(sd[1:] / sd[0]), np.arctanh(L[rows, columns] / left)])
