"""Split-t proposals of importance sampling.

A multivariate t with a width for each side of each of its axes (Geweke 1989, Econometrica 57:
1317-1339, section 4): the posterior of a standard deviation is skew, and a proposal that is not
leaves one of its tails uncovered. The two sides meet with one height (Fernandez & Steel 1998, JASA
93: 359-371). A share of the proposals comes from one wider (Hesterberg 1995): a posterior may
pile up somewhere else as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import lgamma, log, pi

import numpy as np

from nestedmlm._typing import FloatArray

DEGREES = 7.0  # of freedom: tails heavier than a posterior's
_WIDE_SHARE, _WIDER = 0.3, 2.0  # of proposals that are defensive, and how many times as wide
_STEPS = np.array([1.0, 2.0, 3.0, 4.5])  # along each axis, in its widths, where sides are measured
_DEEPEST = 8.0  # log units below the mode, beyond which a proposal's shape does not matter
_NARROWEST, _WIDEST = 0.3, 4.0  # side, in widths of its axis


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SplitStudent:
    """A split-t proposal: the sides' widths are in units of the axes.

    Attributes
    ----------
    centre : (d,) array
    root : (d, d) array
        The axes in its columns.
    up, down : (d,) array
        Widths of the two sides of each axis.
    """

    centre: FloatArray
    root: FloatArray
    up: FloatArray
    down: FloatArray

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Proposals in rows, (n, d)."""
        z = np.abs(student(n, len(self.centre), rng))
        z *= np.where(rng.random(n) < _WIDE_SHARE, _WIDER, 1.0)[:, None]
        above = rng.random(z.shape) < self.up / (self.up + self.down)
        out: FloatArray = self.centre + (z * np.where(above, self.up, -self.down)) @ self.root.T
        return out

    def log_density(self, u: FloatArray) -> FloatArray:
        """Log-density of points in rows."""
        d = len(self.centre)
        axes = np.linalg.solve(self.root, (u - self.centre).T).T
        z = axes / np.where(axes > 0.0, self.up, self.down)
        near = log(1.0 - _WIDE_SHARE) + student_density(z)
        far = log(_WIDE_SHARE) - d * log(_WIDER) + student_density(z / _WIDER)
        volume = np.linalg.slogdet(self.root)[1] + np.log(0.5 * (self.up + self.down)).sum()
        out: FloatArray = np.logaddexp(near, far) - volume
        return out


def split_student(
    logp: Callable[[FloatArray], FloatArray], centre: FloatArray, root: FloatArray
) -> SplitStudent:
    """Measure the sides of a density about its mode.

    Parameters
    ----------
    logp : callable
        Log-density of points in rows.
    centre : (d,) array
        The mode.
    root : (d, d) array
        Axes that the curvature there gives.

    Returns
    -------
    SplitStudent
        Each side as wide as the widest t whose fall meets the density's somewhere on it.
    """
    d = len(centre)
    moves = np.multiply.outer(_STEPS, root.T).reshape(len(_STEPS) * d, d)  # steps, then axes
    values = logp(np.vstack([centre + moves, centre - moves, centre]))
    falls = (values[-1] - values[:-1]).reshape(2, len(_STEPS), d)
    with np.errstate(all="ignore"):
        widths = _STEPS[:, None] / np.sqrt(DEGREES * np.expm1(2.0 * falls / (DEGREES + d)))
    widths[falls <= 0.0] = _WIDEST  # higher than the mode
    widths[~(falls < _DEEPEST)] = 0.0
    up, down = np.clip(widths.max(axis=1), _NARROWEST, _WIDEST)
    return SplitStudent(centre=centre, root=root, up=up, down=down)


def student(n: int, d: int, rng: np.random.Generator) -> FloatArray:
    """Draws of a multivariate t with scale one, in rows."""
    z = rng.standard_normal((n, d))
    out: FloatArray = z * np.sqrt(DEGREES / rng.chisquare(DEGREES, n))[:, None]
    return out


def student_density(z: FloatArray) -> FloatArray:
    """Log-density of a multivariate t with scale one, of points in rows."""
    d = z.shape[1]
    constant = lgamma(0.5 * (DEGREES + d)) - lgamma(0.5 * DEGREES) - 0.5 * d * log(DEGREES * pi)
    out: FloatArray = constant - 0.5 * (DEGREES + d) * np.log1p(np.sum(z**2, axis=1) / DEGREES)
    return out
