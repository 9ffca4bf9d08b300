"""Covariance structures: parameters <-> relative covariance factors.

Three descriptions of one term's covariance meet here:

- ``theta``, what users see: lme4's parameters. ``us``: the lower triangle of T, column by column;
  ``diag``: relative standard deviations; ``cs`` and ``ar1``: relative standard deviations (one if
  homogeneous), then the correlation rho.
- ``phi``, what the optimizer moves: unbounded, smooth through every boundary, in scaled columns.
- ``T``, a (k, k) relative covariance factor with ``Cov(b) = sigma^2 T T'``.

``factor`` is written once for NumPy and PyTensor (its first argument is the array module), so the
optimizer's graph, the Bayesian model and the tests share one expression. A structure is one row
of `STRUCTURES`; users add rows with `nestedmlm.covariance.register`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray

_ZERO = 1e-14  # a row of T this small relative to its largest entry is rounding, not a variance


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a structured correlation.

    Attributes
    ----------
    name : str
        As reported: ``rho`` gives ``rho|Subject``.
    lower, upper : float
        Ends of its values; infinite where there is none.
    start : float or None
        Where the optimizer begins; None: the middle, or 1 from the only end, or 0.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> nm.covariance.Parameter("rho", lower=-1, upper=1).start is None
    True
    """

    name: str
    lower: float = -math.inf
    upper: float = math.inf
    start: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """One covariance structure.

    Attributes
    ----------
    count : callable (k, hom) -> int
        Number of free parameters of a term with k columns.
    start : callable (k, hom) -> array
        Starting value of phi: equal standard deviations, no correlation.
    factor : callable (xp, phi, k, hom) -> (k, k)
        T in scaled columns, with `xp` either NumPy or ``pytensor.tensor``.
    to_theta : callable (phi, W, hom) -> array
        The user's parameters; ``W`` (k, k) turns the user's columns into scaled ones.
    to_phi : callable (theta, W, hom) -> array
        Inverse of `to_theta` (up to sign and rotation).
    factor_of_theta : callable (theta, k, hom) -> (k, k) array
        Lower-triangular T in the user's columns.
    parameters : callable k -> tuple of Parameter
        What follows the standard deviations in theta; empty for ``us`` and ``diag``.
    linear : bool
        Whether `factor` is linear in phi. If not, the signs of heterogeneous standard deviations
        matter.
    root : callable (xp, par, k) -> (k, k), or None
        Lower-triangular root of the correlation matrix at its parameters, for structures that
        users added.
    """

    count: Callable[[int, bool], int]
    start: Callable[[int, bool], FloatArray]
    factor: Callable[[ModuleType, Any, int, bool], Any]
    to_theta: Callable[[FloatArray, FloatArray, bool], FloatArray]
    to_phi: Callable[[FloatArray, FloatArray, bool], FloatArray]
    factor_of_theta: Callable[[FloatArray, int, bool], FloatArray]
    parameters: Callable[[int], tuple[Parameter, ...]]
    linear: bool = False
    root: Callable[[ModuleType, Any, int], Any] | None = None


@lru_cache(maxsize=64)
def lower_indices(k: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a (k, k) lower triangle, column by column (lme4's theta order)."""
    cols, rows = np.triu_indices(k)
    return rows, cols


def echelon(T: FloatArray) -> FloatArray:
    """Return the lower-triangular L with ``L L' = T T'`` and a non-negative diagonal.

    Works on T itself (no product ``T T'``, so no digits are lost) and is unique also for
    singular T: where a diagonal entry is zero, its whole column is zero.
    """
    k = T.shape[0]
    L = np.zeros((k, k))
    pool = np.array(T, dtype=float)  # columns still to be assigned, rotated as we go
    scale = np.abs(T).max(axis=1, initial=0.0)
    for i in range(k):
        norm = float(np.linalg.norm(pool[i]))
        if pool.shape[1] == 0 or norm <= _ZERO * max(scale[i], 1e-300):
            continue
        v = pool[i].copy()
        v[0] += np.copysign(norm, v[0])  # Householder: put row i into the pool's first column
        pool = pool - np.outer(pool @ v, 2.0 * v / (v @ v))
        L[i:, i] = pool[i:, 0] * np.copysign(1.0, pool[i, 0])
        pool = pool[:, 1:]
    return L


@lru_cache(maxsize=64)
def _scatter_us(k: int) -> FloatArray:
    rows, cols = lower_indices(k)
    P = np.zeros((k * k, len(rows)))
    P[rows * k + cols, np.arange(len(rows))] = 1.0
    return P


def _us_factor(xp: ModuleType, phi: Any, k: int, hom: bool) -> Any:
    return xp.dot(_scatter_us(k), phi).reshape((k, k))


def _us_theta(phi: FloatArray, W: FloatArray, hom: bool) -> FloatArray:
    k = W.shape[0]
    L = np.zeros((k, k))
    L[lower_indices(k)] = phi
    out: FloatArray = echelon(W @ L)[lower_indices(k)]
    return out


def _us_phi(theta: FloatArray, W: FloatArray, hom: bool) -> FloatArray:
    k = W.shape[0]
    out: FloatArray = echelon(np.linalg.solve(W, _us_of_theta(theta, k, hom)))[lower_indices(k)]
    return out


def _us_of_theta(theta: FloatArray, k: int, hom: bool) -> FloatArray:
    L = np.zeros((k, k))
    L[lower_indices(k)] = theta
    return L


def signed_sds(xp: ModuleType, phi: Any, k: int, hom: bool) -> Any:
    """The (signed) standard deviations, one per column."""
    return phi[0] * np.ones(k) if hom else phi[:k]


def _diag_factor(xp: ModuleType, phi: Any, k: int, hom: bool) -> Any:
    return signed_sds(xp, phi, k, hom)[:, None] * np.eye(k)


def _cs_factor(xp: ModuleType, phi: Any, k: int, hom: bool) -> Any:
    # Symmetric square root of (1 - rho) I + rho 11': its two eigenvalues sum to k, so an angle
    # parametrises every admissible rho, boundaries included, without a square root.
    if k == 1:
        return signed_sds(xp, phi, k, hom)[:, None]
    angle = phi[1 if hom else k]
    mean = np.full((k, k), 1.0 / k)
    apart, together = np.sqrt(k / (k - 1.0)) * xp.cos(angle), np.sqrt(k) * xp.sin(angle)
    root = apart * (np.eye(k) - mean) + together * mean
    return signed_sds(xp, phi, k, hom)[:, None] * root


def _ar1_factor(xp: ModuleType, phi: Any, k: int, hom: bool) -> Any:
    # Cholesky factor of rho^|i-j| with rho = sin(angle): the innovations' SD is cos(angle)
    if k == 1:
        return signed_sds(xp, phi, k, hom)[:, None]
    angle = phi[1 if hom else k]
    rho, innovation = xp.sin(angle), xp.cos(angle)
    powers = [1.0 + 0.0 * rho]
    for _ in range(k - 1):
        powers.append(powers[-1] * rho)
    lag = np.subtract.outer(np.arange(k), np.arange(k))
    first = (np.arange(k) == 0).astype(float)
    column_sd = first + (1.0 - first) * innovation
    root = xp.stack(powers)[np.maximum(lag, 0)] * (lag >= 0) * column_sd[None, :]
    return signed_sds(xp, phi, k, hom)[:, None] * root


def n_sd(k: int, hom: bool) -> int:
    """Number of standard deviations."""
    return 1 if hom else k


def sd_theta(phi: FloatArray, W: FloatArray, hom: bool) -> FloatArray:
    """Relative standard deviations in the user's columns."""
    n = n_sd(W.shape[0], hom)
    return np.abs(phi[:n]) * np.diag(W)[:n]


def sd_phi(theta: FloatArray, W: FloatArray, hom: bool) -> FloatArray:
    """Inverse of `sd_theta`."""
    n = n_sd(W.shape[0], hom)
    out: FloatArray = theta[:n] / np.diag(W)[:n]
    return out


def _cs_theta(phi: FloatArray, W: FloatArray, hom: bool) -> FloatArray:
    k = W.shape[0]
    if k == 1:
        return sd_theta(phi, W, hom)
    rho = 1.0 - k / (k - 1.0) * np.cos(phi[-1]) ** 2
    return np.append(sd_theta(phi, W, hom), rho)


def _cs_phi(theta: FloatArray, W: FloatArray, hom: bool) -> FloatArray:
    k = W.shape[0]
    if k == 1:
        return sd_phi(theta, W, hom)
    apart = np.sqrt(np.clip((1.0 - theta[-1]) * (k - 1.0) / k, 0.0, 1.0))
    return np.append(sd_phi(theta, W, hom), np.arccos(apart))


def _ar1_theta(phi: FloatArray, W: FloatArray, hom: bool) -> FloatArray:
    if len(W) == 1:
        return sd_theta(phi, W, hom)
    return np.append(sd_theta(phi, W, hom), np.sin(phi[-1]))


def _ar1_phi(theta: FloatArray, W: FloatArray, hom: bool) -> FloatArray:
    if len(W) == 1:
        return sd_phi(theta, W, hom)
    return np.append(sd_phi(theta, W, hom), np.arcsin(np.clip(theta[-1], -1.0, 1.0)))


def via_phi(
    factor: Callable[[ModuleType, Any, int, bool], Any],
    to_phi: Callable[[FloatArray, FloatArray, bool], FloatArray],
) -> Callable[[FloatArray, int, bool], FloatArray]:
    """Make `factor_of_theta` from the other two."""

    def of_theta(theta: FloatArray, k: int, hom: bool) -> FloatArray:
        return echelon(factor(np, to_phi(theta, np.eye(k), hom), k, hom))

    return of_theta


def _rho(lowest: Callable[[int], float]) -> Callable[[int], tuple[Parameter, ...]]:
    """A common correlation; a single column has none."""
    return lambda k: (Parameter("rho", lowest(k), 1.0, 0.0),) if k > 1 else ()


def _cs_start(k: int, hom: bool) -> FloatArray:
    sds = np.ones(n_sd(k, hom))
    return np.append(sds, np.arccos(np.sqrt(1.0 - 1.0 / k))) if k > 1 else sds


TABLE: dict[str, Structure] = {
    "us": Structure(
        count=lambda k, hom: k * (k + 1) // 2,
        start=lambda k, hom: np.eye(k)[lower_indices(k)],
        factor=_us_factor,
        to_theta=_us_theta,
        to_phi=_us_phi,
        factor_of_theta=_us_of_theta,
        parameters=lambda k: (),
        linear=True,
    ),
    "diag": Structure(
        count=n_sd,
        start=lambda k, hom: np.ones(n_sd(k, hom)),
        factor=_diag_factor,
        to_theta=sd_theta,
        to_phi=sd_phi,
        factor_of_theta=via_phi(_diag_factor, sd_phi),
        parameters=lambda k: (),
        linear=True,
    ),
    "cs": Structure(
        count=lambda k, hom: n_sd(k, hom) + (k > 1),
        start=_cs_start,
        factor=_cs_factor,
        to_theta=_cs_theta,
        to_phi=_cs_phi,
        factor_of_theta=via_phi(_cs_factor, _cs_phi),
        parameters=_rho(lambda k: -1.0 / (k - 1.0)),
    ),
    "ar1": Structure(
        count=lambda k, hom: n_sd(k, hom) + (k > 1),
        start=lambda k, hom: np.append(np.ones(n_sd(k, hom)), np.zeros(int(k > 1))),
        factor=_ar1_factor,
        to_theta=_ar1_theta,
        to_phi=_ar1_phi,
        factor_of_theta=via_phi(_ar1_factor, _ar1_phi),
        parameters=_rho(lambda k: -1.0),
    ),
}
STRUCTURES: MappingProxyType[str, Structure] = MappingProxyType(TABLE)  # for everybody to read


@dataclass(frozen=True, slots=True)
class TermShape:
    """What the covariance of one term looks like, without its numbers."""

    structure: str
    hom: bool
    k: int

    @property
    def count(self) -> int:
        """Number of parameters."""
        return STRUCTURES[self.structure].count(self.k, self.hom)


def split_parameters(values: FloatArray, shapes: Sequence[TermShape]) -> tuple[FloatArray, ...]:
    """Cut one vector into the terms' own parameters."""
    ends = np.cumsum([s.count for s in shapes])
    return tuple(np.split(values, ends[:-1]))


def relative_factors(theta: FloatArray, shapes: Sequence[TermShape]) -> tuple[FloatArray, ...]:
    """Lower-triangular T of each term, in the user's columns, from lme4's theta."""
    return tuple(
        STRUCTURES[s.structure].factor_of_theta(part, s.k, s.hom)
        for part, s in zip(split_parameters(theta, shapes), shapes, strict=True)
    )


def theta_names(term: str, columns: Sequence[str], structure: str, hom: bool) -> tuple[str, ...]:
    """lme4's names of one term's parameters (``Subject.Days.(Intercept)``)."""
    k = len(columns)
    if structure == "us":
        rows, cols = lower_indices(k)
        return tuple(
            f"{term}.{columns[i]}" if i == j else f"{term}.{columns[i]}.{columns[j]}"
            for i, j in zip(rows.tolist(), cols.tolist(), strict=True)
        )
    sds = (f"{term}.*",) if hom else tuple(f"{term}.{c}" for c in columns)
    return (*sds, *(f"{term}.{p.name}" for p in STRUCTURES[structure].parameters(k)))
