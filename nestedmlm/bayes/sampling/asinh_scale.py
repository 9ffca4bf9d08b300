"""The asinh scale of signed standard deviations: ``r = s sinh(u)``.

Linear about zero, so that a posterior crosses the boundary without a funnel; logarithmic far out,
where few groups and a wide prior let the density of a standard deviation fall like a power, which
no proposal with the tails of a t covers on its own scale (with J groups and a flat prior
``r^-(J-1)``; of u it falls exponentially).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.sampling.log_density import LogDensity
from nestedmlm.bayes.sampling.mode import Peak, find_peak

# Share of the posterior's width at its mode up to which a scale is linear. At a share of one a
# posterior that piles up at zero has no curvature there; 0.05 to 0.5 do alike.
LINEAR_SHARE = 0.3
_WHERE_LIGHT = 4.0  # the same where the posterior's upper tail is no heavier than a normal's
_UP = 3.0  # widths above the mode, where that is looked at
_FARTHEST = 300.0  # of u: beyond it sinh overflows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AsinhDensity:
    """A density of other coordinates: u in the place of each signed standard deviation.

    Attributes
    ----------
    density : Density
    at : (f,) array of int
        The coordinates that are signed standard deviations.
    widths : (f,) array
        Where each scale turns from linear to logarithmic (s).
    """

    density: LogDensity
    at: np.ndarray
    widths: FloatArray

    @property
    def ndim(self) -> int:
        """Number of coordinates."""
        return self.density.ndim

    @property
    def together(self) -> bool:
        """Whether points in rows cost less than one after the other."""
        return self.density.together

    @property
    def folded(self) -> tuple[int, ...]:
        """Coordinates whose sign does not matter."""
        return self.density.folded

    @property
    def initial(self) -> FloatArray:
        """A point to start from."""
        return self.coordinates(self.density.initial)

    def coordinates(self, x: FloatArray) -> FloatArray:
        """The coordinates of a point, or of points in rows, of the density."""
        u = np.array(x, dtype=float)
        u[..., self.at] = np.arcsinh(u[..., self.at] / self.widths)
        return u

    def points(self, u: FloatArray) -> FloatArray:
        """The points of the density at some coordinates, in rows or one."""
        x = np.array(u, dtype=float)
        x[..., self.at] = self.widths * np.sinh(x[..., self.at])
        return x

    def logp(self, u: FloatArray) -> float:
        """Log-density of u; minus infinity where it cannot be evaluated."""
        return float(self.logp_points(u[None])[0])

    def logp_points(self, u: FloatArray) -> FloatArray:
        """Log-density at points in rows; minus infinity where it cannot be evaluated."""
        out = np.full(len(u), -np.inf)
        near = np.abs(u[:, self.at]).max(axis=1) <= _FARTHEST
        out[near] = self.density.logp_points(self.points(u[near])) + self.log_jacobian(u[near])
        return out

    def logp_grad(self, u: FloatArray) -> tuple[float, FloatArray]:
        """Log-density of u and its gradient."""
        value, gradient = self.logp_grads(u[None])
        return float(value[0]), gradient[0]

    def logp_grads(self, u: FloatArray) -> tuple[FloatArray, FloatArray]:
        """`logp_grad` at points in rows; minus infinity where it cannot be evaluated."""
        far = np.abs(u[:, self.at]).max(axis=1) > _FARTHEST
        inside = np.where(far[:, None], 0.0, u)
        own = inside[:, self.at]
        with np.errstate(all="ignore"):
            value, gradient = self.density.logp_grads(self.points(inside))
            slopes = np.array(gradient)
            of_scales = self.widths * np.cosh(own)
            slopes[:, self.at] = slopes[:, self.at] * of_scales + np.tanh(own)
            value = value + np.log(of_scales).sum(axis=-1)
        value[far], slopes[far] = -np.inf, 0.0
        return value, slopes

    def log_jacobian(self, u: FloatArray) -> FloatArray:
        """``log |dr/du|`` at a point, or at points in rows."""
        out: FloatArray = np.sum(np.log(self.widths * np.cosh(u[..., self.at])), axis=-1)
        return out


def linear_shares(density: LogDensity, peak: Peak) -> FloatArray:
    """Choose the share of its width up to which each standard deviation's scale is linear.

    A logarithm makes the tail towards zero longer: where the other one is not heavy, the scale
    stays linear beyond the mode.

    Parameters
    ----------
    density : LogDensity
    peak : Peak
        Of the density.

    Returns
    -------
    (f,) array
        For each of the density's `folded` coordinates.
    """
    folded = np.array(density.folded, dtype=int)
    cov = peak.root @ peak.root.T
    widths, signs = np.sqrt(np.diag(cov))[folded], np.where(peak.x[folded] < 0.0, -1.0, 1.0)
    moves = _UP * cov[folded] * (signs / widths)[:, None]
    fall = peak.logp - density.logp_points(peak.x + moves)
    return np.where(fall >= 0.5 * _UP**2, _WHERE_LIGHT, LINEAR_SHARE)


def asinh_density(
    density: LogDensity, peak: Peak, *, away: float = 0.0, shares: FloatArray | None = None
) -> AsinhDensity | LogDensity:
    """Put the signed standard deviations of a density on the asinh scale.

    Parameters
    ----------
    density : Density
    peak : Peak
        Of the density; its widths there decide where a scale is linear.
    away : float
        Those only whose mode is at least so many widths from zero.
    shares : (f,) array, optional
        From `linear_shares`; by default each is `LINEAR_SHARE`.

    Returns
    -------
    AsinhDensity or LogDensity
        The density itself if it has no such standard deviations.
    """
    folded = np.array(density.folded, dtype=int)
    widths = np.sqrt(np.sum(peak.root[folded] ** 2, axis=1))
    far = np.abs(peak.x[folded]) >= away * widths
    if not far.any():
        return density
    own = np.full(len(folded), LINEAR_SHARE) if shares is None else shares
    return AsinhDensity(density=density, at=folded[far], widths=own[far] * widths[far])


def asinh_peak(scaled: AsinhDensity | LogDensity, peak: Peak) -> Peak:
    """The mode on the scales of `asinh_density`, found from that of the density, signs positive."""
    if not isinstance(scaled, AsinhDensity):
        return peak
    start = peak.x.copy()
    start[scaled.at] = np.abs(start[scaled.at])
    return find_peak(scaled, scaled.coordinates(start))
