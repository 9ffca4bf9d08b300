"""Pareto-smoothed importance sampling of a marginal posterior.

The marginal posterior has a handful of dimensions besides the fixed effects, and given those the
fixed effects are normal. A multivariate t covers the standard deviations (on the asinh scale), the
correlations and sigma; importance weights make the draws exact, and the Pareto k of the weights
says whether they can be trusted (Vehtari, Simpson, Gelman, Yao & Gabry 2024, JMLR 25(72)).

Folded scales make the density the same for every choice of signs, so only the part with all of
them positive is sampled: a proposal around one of the mirrored modes cannot cover the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, pi

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.density.marginal_density import MarginalDensity
from nestedmlm.bayes.sampling.asinh_scale import (
    AsinhDensity,
    asinh_density,
    asinh_peak,
    linear_shares,
)
from nestedmlm.bayes.sampling.conditional_coefficients import (
    ConditionalCoefficients,
    conditional_coefficients,
)
from nestedmlm.bayes.sampling.log_density import LogDensity
from nestedmlm.bayes.sampling.mode import Peak
from nestedmlm.bayes.sampling.pareto import smooth_weights
from nestedmlm.bayes.sampling.split_student import (
    SplitStudent,
    split_student,
    student,
    student_density,
)
from nestedmlm.errors import SamplingError

MAX_KHAT = 0.7  # Pareto k up to which weights can be trusted (Vehtari et al. 2024)
LEAST_ESS = 400  # with fewer the tails are too short: calibration tests showed it
_GOOD_SHARE = 0.25  # of the draws asked for, in effective draws: with fewer, another round is made
_PILOT = 1000  # proposals around the mode, from which mean and covariance are learned
_ROUNDS = 3  # times the proposal may be improved


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weighted:
    """Draws by importance sampling.

    Attributes
    ----------
    points : (n, ndim) array
        Resampled by the smoothed weights.
    logp : (n,) array
        Log-density at the points.
    variance : (n,) array
        What each draw adds to the variance of a mean: that of ``mean(h)`` is
        ``mean(variance (h - mean(h))^2)``.
    khat : float
        Shape of the weights' tail.
    ess : float
        Effective number of the draws, of the coordinate (standard deviations on the asinh scale)
        that is known least.
    log_evidence : float
        Logarithm of the density's integral: of the marginal likelihood where priors are proper.
    evidence_error : float
        Its Monte-Carlo standard error.
    """

    points: FloatArray
    logp: FloatArray
    variance: FloatArray
    khat: float
    ess: float
    log_evidence: float
    evidence_error: float


def psis_sample(
    density: LogDensity, peak: Peak, *, draws: int = 4000, seed: int | None = None
) -> Weighted:
    """Draw from a density by importance sampling around its mode.

    Parameters
    ----------
    density : LogDensity
    peak : Peak
        From `nestedmlm.bayes.sampling.mode.find_peak`.
    draws : int
        Number of draws; as many proposals are made, but never fewer than 2000, and up to four
        times as many where fewer than 400 of them, or a quarter of the draws, would count.
    seed : int, optional

    Raises
    ------
    SamplingError
        If k-hat exceeds 0.7.

    Notes
    -----
    The pilot is a split t about the mode (`nestedmlm.bayes.sampling.split_student`), as posteriors
    of variances are skew; mean and covariance of its weighted draws make the proposal of the rest.
    The draws of all rounds are weighed as those of one mixture.
    """
    rng = np.random.default_rng(seed)
    target = make_target(density, peak)
    found = _first(target, rng)
    n = max(draws - found.total, _PILOT)
    for _ in range(_ROUNDS):
        found = _propose(target, found, _moments(found, target), n, rng)
        if found.khat <= MAX_KHAT and found.ess >= max(LEAST_ESS, _GOOD_SHARE * draws):
            break
        n = found.total
    if found.khat > MAX_KHAT:
        raise SamplingError(_advice(f"its Pareto k is {found.khat:.2f}, above {MAX_KHAT}"))
    chosen = systematic(found.weights, draws, rng)
    own = found.points[chosen]
    return Weighted(
        points=target.points(own),
        logp=found.logp[chosen] - target.log_jacobian(own),
        variance=_variances(found.weights, draws)[chosen],
        khat=found.khat,
        ess=min(found.ess, float(draws)),
        log_evidence=found.log_mean,
        evidence_error=found.error,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Target:
    """The target of importance sampling: a density on other scales, taken apart.

    Attributes
    ----------
    density : LogDensity
    scaled : LogDensity or AsinhDensity
        The same with its standard deviations on the asinh scale.
    coefficients : ConditionalCoefficients or None
        The fixed effects, which are drawn given the rest.
    rest : (r,) array of int
        The other coordinates.
    peak : Peak
        Of the rest.
    logp : float
        The density there, from which log-densities are counted.
    """

    density: LogDensity
    scaled: LogDensity | AsinhDensity
    coefficients: ConditionalCoefficients | None
    rest: np.ndarray
    peak: Peak
    logp: float

    def points(self, u: FloatArray) -> FloatArray:
        """Points of the density at some coordinates, in rows."""
        return self.scaled.points(u) if isinstance(self.scaled, AsinhDensity) else u

    def log_jacobian(self, u: FloatArray) -> FloatArray:
        """Of the scales, at some coordinates, in rows."""
        if isinstance(self.scaled, AsinhDensity):
            return self.scaled.log_jacobian(u)
        return np.zeros(len(u))


def make_target(density: LogDensity, peak: Peak) -> Target:
    """Take a density apart for importance sampling around its mode.

    Parameters
    ----------
    density : LogDensity
    peak : Peak
        Of the density.

    Returns
    -------
    Target
    """
    scaled = asinh_density(density, peak, shares=linear_shares(density, peak))
    top = asinh_peak(scaled, peak)
    closed = isinstance(density, MarginalDensity)
    coefficients = conditional_coefficients(density, peak) if closed else None
    rest = np.arange(density.ndim)
    if coefficients is not None:
        rest = np.setdiff1d(rest, coefficients.at)
    # of the rest alone: the marginal of the normal approximation
    root = np.linalg.cholesky(top.root[rest] @ top.root[rest].T)
    return Target(
        density=density,
        scaled=scaled,
        coefficients=coefficients,
        rest=rest,
        peak=Peak(x=top.x[rest], logp=top.logp, root=root),
        logp=top.logp,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Proposed:
    """Proposals of all rounds that lie inside the domain, weighed as draws of one mixture.

    The mixture is that of the rounds' proposals, each by its number of draws (Owen & Zhou 2000,
    JASA 95: 135-143; Cornuet, Marin, Mira & Robert 2012, Scandinavian J. of Statistics 39:
    798-812): no round is thrown away, and none can spoil the others.

    Attributes
    ----------
    rounds : tuple of (int, SplitStudent)
        How many were proposed, and from what.
    points : (m, ndim) array
    logp : (m,) array
    given : (m,) array
        Log-density of the coefficients' proposals given the rest.
    weights : (m,) array
        Smoothed, sum 1.
    khat : float
        Shape of their tail.
    log_mean, error : float
        The mean weight, and its relative standard error.
    """

    rounds: tuple[tuple[int, SplitStudent], ...]
    points: FloatArray
    logp: FloatArray
    given: FloatArray
    weights: FloatArray
    khat: float
    log_mean: float
    error: float

    @property
    def total(self) -> int:
        """How many were proposed, inside and outside the domain."""
        return sum(n for n, _ in self.rounds)

    @property
    def ess(self) -> float:
        """Effective number of the coordinate that is known least."""
        away = self.points - self.weights @ self.points
        spread = self.weights @ away**2
        return float(np.min(spread / np.maximum(self.weights**2 @ away**2, 1e-300)))


def _first(target: Target, rng: np.random.Generator) -> _Proposed:
    """The pilot: proposals round the mode, as wide on each side as the density."""

    def logp(own: FloatArray) -> FloatArray:
        u = np.zeros((len(own), target.density.ndim))
        u[:, target.rest] = own
        value, given = _complete(target, u, None)
        return value - given

    around = split_student(logp, target.peak.x, target.peak.root)
    return _propose(target, None, around, _PILOT, rng)


def _propose(
    target: Target, before: _Proposed | None, around: SplitStudent, n: int, rng: np.random.Generator
) -> _Proposed:
    """Propose once more, and weigh all there are."""
    u = np.zeros((n, target.density.ndim))
    u[:, target.rest] = around.draw(n, rng)
    u = u[np.all(u[:, list(target.density.folded)] >= 0.0, axis=1)]
    logp, given = _complete(target, u, rng)
    possible = np.isfinite(logp)
    u, logp, given = u[possible], logp[possible], given[possible]
    rounds: tuple[tuple[int, SplitStudent], ...] = ((n, around),)
    if before is not None:
        u = np.concatenate([before.points, u])
        logp = np.concatenate([before.logp, logp])
        given = np.concatenate([before.given, given])
        rounds = (*before.rounds, *rounds)
    total = sum(size for size, _ in rounds)
    if len(u) < total // 20:
        raise SamplingError(_advice("nearly all proposals lie outside its domain"))
    own = u[:, target.rest]
    shares = [log(size / total) + proposal.log_density(own) for size, proposal in rounds]
    ratios = logp - given - np.logaddexp.reduce(shares, axis=0)
    smoothed, khat = smooth_weights(ratios)
    w = np.exp(smoothed)
    mass = float(w.sum())
    # every choice of signs has as much as the one that is sampled
    signs = len(target.density.folded) * log(2.0)
    return _Proposed(
        rounds=rounds,
        points=u,
        logp=logp,
        given=given,
        weights=w / mass,
        khat=khat,
        log_mean=float(ratios.max()) + log(mass / total) + signs,
        error=float(np.sqrt(max(np.sum(w**2) - mass**2 / total, 0.0))) / mass,
    )


def _complete(
    target: Target, u: FloatArray, rng: np.random.Generator | None
) -> tuple[FloatArray, FloatArray]:
    """Draw the coefficients given the rest, in place; without a generator at their mean.

    Returns the log-density of the points and that of the coefficients' draws.
    """
    coefficients = target.coefficients
    if coefficients is None:
        return target.scaled.logp_points(u), np.zeros(len(u))
    size = len(u), len(coefficients.at)
    if rng is None:
        scores = np.zeros(size)
    elif coefficients.exact:
        scores = rng.standard_normal(size)
    else:
        scores = student(*size, rng)
    if coefficients.exact:
        given = -0.5 * np.sum(scores**2, axis=1) - 0.5 * size[1] * log(2.0 * pi)
    else:
        given = student_density(scores)
    drawn = coefficients.draw(target.points(u), scores)
    u[:, coefficients.at] = drawn.values
    return drawn.logp + target.log_jacobian(u), given + drawn.log_height


def _moments(found: _Proposed, target: Target) -> SplitStudent:
    """Weighted mean and covariance of the rest, with a little of the peak's."""
    own = found.points[:, target.rest]
    centre = found.weights @ own
    away = own - centre
    cov = (away.T * found.weights) @ away
    root = np.linalg.cholesky(cov + 0.05 * target.peak.root @ target.peak.root.T)
    one = np.ones(len(centre))
    return SplitStudent(centre=centre, root=root, up=one, down=one)


def systematic(weights: FloatArray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Systematic resampling: each item as often as its weight says, up or down to whole numbers.

    Parameters
    ----------
    weights : (m,) array, sum 1
    n : int
        How many are taken.
    rng : numpy.random.Generator

    Returns
    -------
    (n,) array of int
        In random order (Carpenter, Clifford & Fearnhead 1999, IEE Proc. 146: 2-7).
    """
    order = rng.permutation(len(weights))
    ends = np.cumsum(weights[order])
    places = (rng.random() + np.arange(n)) / n * ends[-1]
    taken = order[np.minimum(np.searchsorted(ends, places, side="right"), len(order) - 1)]
    out: np.ndarray = rng.permutation(taken)
    return out


def _variances(weights: FloatArray, n: int) -> FloatArray:
    """What a draw of each item says of the variance of a mean.

    That of the weighted mean, ``sum w^2 (h - mean)^2``, and of the resampling, ``sum f (1 - f)
    (h - mean)^2 / n^2`` with f the fraction of ``n w``; both as expectations over the draws.
    """
    fraction = n * weights % 1.0
    out = weights.copy()
    added = fraction * (1.0 - fraction) / n**2
    out[weights > 0.0] += added[weights > 0.0] / weights[weights > 0.0]
    return out


def _advice(what: str) -> str:
    return (
        f"importance sampling does not cover this posterior: {what}. Use NUTS instead: "
        "sampler='nutpie'"
    )
