"""`ResponseDistribution`: the distribution of y as a frozen record, and draws from it.

Every replicate has a random stream of its own (`streams`), so a draw depends on the seed and on
its own number, never on how many others are drawn or where.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.arguments import check_count, check_seed
from nestedmlm.design.design import Design
from nestedmlm.design.rows import CondensedRows
from nestedmlm.errors import OptionError, ResidualStructureError
from nestedmlm.families import Family
from nestedmlm.inference.rows.new_weights import new_weights
from nestedmlm.inference.rows.re_form import Mask
from nestedmlm.likelihood.solution import fitted_values
from nestedmlm.statistics.pair_sums import ResidualAt

Seed = int | np.random.SeedSequence | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DrawnEffects:
    """Random effects that are drawn anew.

    Attributes
    ----------
    X : (n, k) array
    codes : (n,) array of int
        Level of each row; -1 where the effect is in the fixed part already.
    size : int
        Independent effects of each column: levels, or columns of the basis and new levels.
    T : (k, k) array
        Relative factor: ``Cov(b) = sigma^2 T T'``.
    basis : (J, q) array or None
        Of effects that are not independent.
    """

    X: FloatArray
    codes: npt.NDArray[np.integer[Any]]
    size: int
    T: FloatArray
    basis: FloatArray | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResponseDistribution:
    """Distribution of a response: ``y = mean + sum of Z b + e``, or of a family.

    Attributes
    ----------
    mean : (n,) array
        What does not vary: ``X beta + offset`` and the random effects conditioned on.
    effects : tuple of DrawnEffects
        What is drawn, term by term.
    sigma : float
        Residual standard deviation; 1 in a generalized model.
    spread : (n,) array
        ``1 / sqrt(weights)``.
    roots : tuple of (rows, (blocks, k, k) array)
        Where residuals differ or correlate: Cholesky factors of their relative covariance.
    family : Family or None
        Of a generalized model: mean and effects make the linear predictor.
    dispersion : float or None
        The family's.
    left : int or None
        Of condensed rows: the last row's residual is the root of a chi-squared with these degrees
        of freedom.
    """

    mean: FloatArray
    effects: tuple[DrawnEffects, ...]
    sigma: float
    spread: FloatArray
    roots: tuple[tuple[IntArray, FloatArray], ...] = ()
    family: Family | None = None
    dispersion: float | None = None
    left: int | None = None

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """Draw one response, (n,)."""
        if self.family is not None:
            mu = self.family.link.mu(self.predictor(rng))
            return self.family.random(mu, self.spread**-2.0, self.dispersion, rng)
        noise = rng.standard_normal(len(self.mean))
        if self.left is not None:
            noise[-1] = np.sqrt(rng.chisquare(self.left)) if self.left else 0.0
        for rows, L in self.roots:
            noise[rows] = np.einsum("bij,bj->bi", L, noise[rows])
        return self.mean + self.sigma * self.spread * noise + self._effects(rng)

    def predictor(self, rng: np.random.Generator) -> FloatArray:
        """Draw one linear predictor, (n,)."""
        out: FloatArray = self.mean + self._effects(rng)
        return out

    def _effects(self, rng: np.random.Generator) -> FloatArray:
        """Sum of the drawn effects, (n,)."""
        y = np.zeros(len(self.mean))
        for e in self.effects:
            b = rng.standard_normal((e.size, e.T.shape[0])) @ (self.sigma * e.T.T)
            if e.basis is not None:
                q = e.basis.shape[1]
                b = np.concatenate([e.basis @ b[:q], b[q:]])
            if e.size:
                part = np.einsum("ij,ij->i", e.X, b.take(e.codes, axis=0))
                y += part if e.codes.min(initial=0) >= 0 else np.where(e.codes >= 0, part, 0.0)
        return y


def streams(seed: Seed, count: int) -> list[np.random.SeedSequence]:
    """One independent random stream for each of `count` replicates.

    Raises
    ------
    OptionError
        If `seed` is neither None nor a non-negative integer, or `count` is no positive integer.
    """
    return seed_sequence(seed).spawn(check_count(count, "nsim"))


def seed_sequence(seed: Seed) -> np.random.SeedSequence:
    """Return the root of the streams; its ``entropy`` repeats the draws."""
    if isinstance(seed, np.random.SeedSequence):
        return np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key)
    check_seed(seed)
    return np.random.SeedSequence(None if seed is None else int(seed))


def response_distribution(
    design: Design,
    *,
    beta: FloatArray,
    T: Sequence[FloatArray],
    sigma: float,
    b: Sequence[FloatArray] | None = None,
    keep: Sequence[Mask] | None = None,
    residual: ResidualAt | None = None,
    family: Family | None = None,
    dispersion: float | None = None,
) -> ResponseDistribution:
    """Distribution of the response at given parameters, for the rows of a design.

    Parameters
    ----------
    design : Design
    beta, T, sigma
        Fixed effects, relative factor of each term, residual standard deviation.
    b : sequence of (J, k) arrays, optional
        Conditional modes of each term; needed where `keep` says so.
    keep : sequence of (k,) bool arrays, optional
        Which columns of each term are conditioned on (see
        `nestedmlm.inference.rows.re_form.chosen_columns`); by default none: all random effects
        are drawn.
    residual : ResidualAt, optional
        Where residuals differ or correlate.
    family, dispersion : optional
        Of a generalized model.

    Raises
    ------
    ResidualStructureError
        If the design's residuals have a structure and `residual` does not say which.
    """
    if design.residual is not None and residual is None:
        raise ResidualStructureError(
            "responses with residuals that differ or correlate are drawn by fit.simulate() only"
        )
    kept = whole_terms(design, keep)
    fixed = tuple(
        b[t] if flag and b is not None else np.zeros((len(design.factors[term.factor].levels), k))
        for t, (flag, term) in enumerate(zip(kept, design.terms, strict=True))
        for k in (len(term.columns),)
    )
    return ResponseDistribution(
        mean=fitted_values(design, beta, fixed),
        effects=tuple(
            DrawnEffects(
                X=term.X,
                codes=design.factors[term.factor].codes,
                size=design.factors[term.factor].effects,
                T=t,
                basis=design.factors[term.factor].basis,
            )
            for term, t, flag in zip(design.terms, T, kept, strict=True)
            if not flag
        ),
        sigma=float(sigma),
        spread=_spread(design),
        left=design.rows.left if isinstance(design.rows, CondensedRows) else None,
        roots=() if residual is None else residual.model.roots(residual.free),
        family=family,
        dispersion=dispersion,
    )


def _spread(design: Design) -> FloatArray:
    if isinstance(design.rows, CondensedRows):
        return design.rows.spread
    return np.ones(design.n) if design.weights is None else 1.0 / np.sqrt(design.weights)


def response_distribution_for(
    design: Design,
    data: Any,
    *,
    beta: FloatArray,
    T: Sequence[FloatArray],
    sigma: float,
    b: Sequence[FloatArray],
    keep: Sequence[Mask],
    offset: Any = None,
    weights: Any = None,
    roots: tuple[tuple[IntArray, FloatArray], ...] = (),
    family: Family | None = None,
    dispersion: float | None = None,
) -> tuple[ResponseDistribution, pd.Index]:
    """Distribution of the response for other rows; groups that were not there are drawn.

    Parameters
    ----------
    offset : str or array, optional
        In place of the argument ``offset`` of the fit.
    weights : str or array, optional
        Prior weights of the new rows, which they need if the fit has some.
    roots : tuple of (rows, (blocks, k, k) array)
        Of the new rows, where residuals differ or correlate.
    family, dispersion : optional
        Of a generalized model.

    Returns
    -------
    ResponseDistribution
    pandas.Index
        Labels of the rows.

    Raises
    ------
    DataError, WeightsError
        If an offset or weights are needed and missing, or are none.
    """
    kept = whole_terms(design, keep)
    prior = new_weights(design, data, weights)
    new = design.new(data, new_levels="population", offset=offset)
    mean = new.X @ beta + (0.0 if new.offset is None else new.offset)
    effects = []
    rows = zip(design.terms, new.terms, new.unseen, T, b, kept, strict=True)
    for term, (X, codes), unseen, t, modes, flag in rows:
        factor, new_levels = design.factors[term.factor], int(unseen.max(initial=-1)) + 1
        size, basis = factor.effects, factor.basis
        if flag:
            known = np.einsum("ij,ij->i", X, modes[np.maximum(codes, 0)])
            mean = mean + np.where(codes >= 0, known, 0.0)
            labels, size, basis = unseen, 0, None
        else:
            labels = np.where(codes >= 0, codes, len(factor.levels) + unseen)
        effects.append(DrawnEffects(X=X, codes=labels, size=size + new_levels, T=t, basis=basis))
    spread = np.ones(len(mean)) if prior is None else 1.0 / np.sqrt(prior)
    distribution = ResponseDistribution(
        mean=mean,
        effects=tuple(effects),
        sigma=float(sigma),
        spread=spread,
        roots=roots,
        family=family,
        dispersion=dispersion,
    )
    return distribution, new.index


def whole_terms(design: Design, keep: Sequence[Mask] | None) -> tuple[bool, ...]:
    """Turn masks of columns into masks of terms.

    Raises
    ------
    OptionError
        If part of a term is to be kept and the rest drawn: they are not independent.
    """
    if keep is None:
        return (False,) * len(design.terms)
    for term, mask in zip(design.terms, keep, strict=True):
        if mask.any() and not mask.all():
            raise OptionError(
                f"re_form conditions on part of ({term.text}) only, whose other random effects "
                "are correlated with that part; name all of the term's columns or none"
            )
    return tuple(bool(mask.all()) for mask in keep)


def draw_frame(
    distribution: ResponseDistribution, index: pd.Index, *, nsim: int, seed: Seed = None
) -> pd.DataFrame:
    """Draw `nsim` responses as columns ``sim_1``, ``sim_2``, ... of a table.

    Raises
    ------
    OptionError
        See `streams`.
    """
    ways = streams(seed, nsim)
    values = np.column_stack([distribution.draw(np.random.default_rng(way)) for way in ways])
    return pd.DataFrame(values, index=index, columns=[f"sim_{i + 1}" for i in range(len(ways))])
