"""Fixed effects given the other parameters, as a marginal likelihood has them: a normal.

Given standard deviations, correlations and sigma the log-likelihood is quadratic in the fixed
effects, ``-1/2 v'S v / sigma^2`` with ``v = c + C beta``, and so is the log-density where their
priors are normal or flat. With few groups they spread as widely as the standard deviation of the
groups is large: a proposal has to draw them given it, or their tails, and its own, are too short.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.bayes.density.marginal_density import MarginalDensity
from nestedmlm.bayes.density.prior_coordinates import REAL
from nestedmlm.bayes.sampling.mode import Peak

_SAME = 1e-6  # relative difference of a prior's curvatures up to which it counts as normal


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CoefficientDraws:
    """Draws of the coefficients given the rest, one for each of m points.

    Attributes
    ----------
    values : (m, p) array
    log_height : (m,) array
        Log-density of the conditional at its mean, without ``-p/2 log(2 pi)``.
    logp : (m,) array
        The whole density where the draws are; minus infinity where it cannot be evaluated.
    """

    values: FloatArray
    log_height: FloatArray
    logp: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConditionalCoefficients:
    """Coefficients given the other coordinates of a density.

    Attributes
    ----------
    at : (p,) array of int
        Their coordinates.
    exact : bool
        Whether all their priors are normal or flat, so that the conditional is a normal.
    linear : (p,) array
    precision : (p, p) array
        Of the priors (normal ones, or what comes nearest): ``linear'b - b'precision b / 2``.
    """

    at: IntArray
    exact: bool
    linear: FloatArray
    precision: FloatArray
    _density: MarginalDensity

    def draw(self, z: FloatArray, scores: FloatArray) -> CoefficientDraws:
        """The coefficients of these standard scores (m, p), given the rest of points (m, d)."""
        den = self._density
        with np.errstate(all="ignore"):
            logdet, S = den.remaining(z)
            there, x = np.array(z), den.coordinates.variables(z)
            sigma = x[:, den.sigma]
            own = den.C[:, np.isin(den.beta, self.at)]
            x[:, self.at] = 0.0
            v = den.c + x[:, den.beta] @ den.C.T
            inverse = 1.0 / sigma**2
            curvature = own.T @ S @ own * inverse[:, None, None] + self.precision
            score = self.linear - (np.einsum("mrs,ms->mr", S, v) @ own) * inverse[:, None]
            good = np.isfinite(curvature).all(axis=(1, 2)) & np.isfinite(score).all(axis=1)
            good[good] = np.linalg.eigvalsh(curvature[good])[:, 0] > 0.0
            curvature[~good], score[~good] = np.eye(len(self.at)), 0.0
            root = np.linalg.cholesky(curvature)
            half = np.linalg.solve(root, score[:, :, None]) + scores[:, :, None]
            values = np.linalg.solve(root.transpose(0, 2, 1), half)[:, :, 0]
            there[:, self.at] = values
            v = v + values @ own.T
            likelihood = den.of_contrasts(logdet, np.einsum("mr,mrs,ms->m", v, S, v), sigma)
            x[:, self.at] = values
            prior, _, _ = den.coordinates.log_prior(there, x)
            logp = np.where(good & np.isfinite(likelihood), prior + likelihood, -np.inf)
        height = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
        return CoefficientDraws(values=values, log_height=height, logp=logp)


def conditional_coefficients(
    density: MarginalDensity, peak: Peak
) -> ConditionalCoefficients | None:
    """Find the coefficients that are coordinates of a density.

    Parameters
    ----------
    density : MarginalDensity
    peak : Peak
        Of the density: priors that are not normal are approximated there.

    Returns
    -------
    ConditionalCoefficients or None
        None where there is none (none in the model, or each with an end).
    """
    each = density.coordinates.each
    free = [i for i in density.beta.tolist() if i >= 0]  # those held are none of the coordinates
    at = np.array([i for i in free if each[i].scale == REAL], dtype=np.int64)
    if not len(at):
        return None
    widths = np.sqrt(np.sum(peak.root[at] ** 2, axis=1))
    near, far = (_curvature(density, peak.x, at, steps * widths) for steps in (1.0, 10.0))
    exact = bool(np.all(np.abs(near - far) <= _SAME * np.maximum(np.abs(near), np.abs(far))))
    precision = _positive(near)
    linear = _slopes(density, peak.x)[at] + precision @ peak.x[at]
    return ConditionalCoefficients(
        at=at, exact=exact, linear=linear, precision=precision, _density=density
    )


def _slopes(density: MarginalDensity, z: FloatArray) -> FloatArray:
    """Gradient of the log-prior at points (…, d)."""
    return density.coordinates.log_prior(z, density.coordinates.variables(z))[1]


def _curvature(
    density: MarginalDensity, x: FloatArray, at: IntArray, steps: FloatArray
) -> FloatArray:
    """Minus the second derivatives of the coefficients' log-prior, by central differences."""
    moves = np.zeros((len(at), len(x)))
    moves[np.arange(len(at)), at] = steps
    up, down = _slopes(density, x + moves)[:, at], _slopes(density, x - moves)[:, at]
    H = (down - up) / (2.0 * steps[:, None])
    out: FloatArray = 0.5 * (H + H.T)
    return out


def _positive(H: FloatArray) -> FloatArray:
    """The nearest curvature that is none in the directions in which a log-prior is convex."""
    if not (H - np.diag(np.diag(H))).any():  # no combination has a prior
        return np.diag(np.maximum(np.diag(H), 0.0))
    values, vectors = np.linalg.eigh(H)
    return (vectors * np.maximum(values, 0.0)) @ vectors.T
