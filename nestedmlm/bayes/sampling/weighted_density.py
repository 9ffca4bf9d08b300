"""`WeightedDensity`: a marginal posterior by importance weights of each group's random effects.

Given the parameters the groups of one factor are independent, so the likelihood is a product of one
integral for each. Each is the mean weight of draws of the group's effects u ~ N(0, I) from a
mixture: most from the normal at the mode with the curvature there (the Laplace approximation), in
antithetic pairs, and some from the prior, which bounds the weights. The estimate has no bias, so
draws weighted by it are of the exact posterior (Andrieu & Roberts 2009, Annals of Statistics 37(2);
Tran, Scharth, Pitt & Kohn 2013, on importance sampling with estimated likelihoods), and effects
picked by their weights are draws given the parameters.

The random numbers of a point follow from its coordinates and the seed: asked again, a point has the
same density and the same effects.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.bayes.density.laplace_density import LaplaceDensity, laplace_fields
from nestedmlm.bayes.density.named_coordinates import PosteriorVariable
from nestedmlm.bayes.model.names import parameter_names
from nestedmlm.bayes.model.prior_set import PriorSet
from nestedmlm.bayes.sampling.conditional import effects_by_name
from nestedmlm.errors import OptionError
from nestedmlm.families.row_terms import log_densities, rows

if TYPE_CHECKING:
    from nestedmlm.design.design import Design

_STEPS = 4  # of Newton's method towards the modes of a point, from those of the mode
_OF_PRIOR = 4  # of as many draws one is from the prior
_DRAWS = (16, 256)  # fewest and most of a group's effects
_VARIANCE = 0.1  # of the estimated log-likelihood at the mode, which the number of draws aims at
_PILOT = 64  # draws of each group by which that is judged
_NUMBERS_AT_ONCE = 2_000_000  # rows times draws: their temporary arrays stay small


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Groups:
    """The rows of a model by the groups of its factor.

    Attributes
    ----------
    order : (n,) array of int
        Rows sorted by group.
    level : (n,) array of int
        Group of each sorted row.
    starts : (J,) array of int
        Where each group starts.
    Z : (n, k) array
        Sorted columns of the random effects, scaled.
    """

    order: IntArray
    level: IntArray
    starts: IntArray
    Z: FloatArray

    def sums(self, values: FloatArray) -> FloatArray:
        """Sums over the rows of each group, along the first axis."""
        return np.add.reduceat(values, self.starts, axis=0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WeightedDensity(LaplaceDensity):
    """A log-density by importance weights, with the random effects that go with each point.

    Its gradient is that of the Laplace approximation, which finds the mode.

    Attributes
    ----------
    design : Design
    groups : Groups
    draws : int
        Of each group's effects.
    seed : int
    near : (q,) array
        B of modes at some point: where the search for others starts.
    """

    form: ClassVar[str] = "weighted"

    design: Design
    groups: Groups
    draws: int
    seed: int
    near: FloatArray

    def ready(self, z: FloatArray) -> WeightedDensity:
        """The same with as many draws as the likelihood at a point, the mode, takes."""
        _, there = self.approximation(z)
        here = replace(self, near=there.modes.B)
        wanted = here.spread(z) / _VARIANCE
        least, most = _DRAWS
        # pairs of most, and one in four from the prior
        draws = int(np.clip(8 * np.ceil(wanted / 8.0), least, most)) if wanted < most else most
        return replace(here, draws=draws)

    def logp_points(self, z: FloatArray) -> FloatArray:
        """Log-density at points in rows, by importance weights."""
        prior, _, _ = self.coordinates.log_prior(z, self.coordinates.variables(z))
        with np.errstate(all="ignore"):
            value = prior + np.array([self._weigh(point)[0] for point in z])
        return np.where(np.isnan(value), -np.inf, value)

    def named(self, z: FloatArray) -> dict[str, FloatArray]:
        """The named variables at points in rows, random effects among them."""
        with np.errstate(all="ignore"):
            b = np.array([self._weigh(point)[1] for point in z])
        model = self.likelihood.model
        found = effects_by_name(b, self.design, model.products.empty, model.plan)
        # the method of the class above: slots leave no room for super()
        return LaplaceDensity.named(self, z) | found

    def parameters_only(self) -> LaplaceDensity:
        """The Laplace approximation, whose named variables are the parameters."""
        effects = {v.name for v in _effect_variables(self.design)}
        own = {f.name: getattr(self, f.name) for f in fields(LaplaceDensity)}
        own["variables"] = tuple(v for v in self.variables if v.name not in effects)
        return LaplaceDensity(**own)

    def spread(self, z: FloatArray) -> float:
        """Variance of the log-likelihood at a point times the number of draws."""
        with np.errstate(all="ignore"):
            return self._weigh(z)[2] * self.draws

    def _weigh(self, z: FloatArray) -> tuple[float, FloatArray, float]:
        """Log-likelihood by weights, effects picked by them, and its estimated variance."""
        model, own = self.likelihood.model, self.groups
        (part,), x = model.parts, self.coordinates.variables(z)
        T = part.matrix(self.P @ self._entries(z, x)[0])
        fixed = model.predictor(self.G @ x[self.beta])[own.order]
        dispersion, ZT = float(self.dispersion(x)), own.Z @ T
        rng = np.random.default_rng(_key(z, self.seed))
        u, L = self._modes(fixed, ZT, T, dispersion)
        J, k = u.shape
        of_prior = self.draws // _OF_PRIOR
        half = (self.draws - of_prior) // 2
        noise = rng.standard_normal((J, half, k))
        noise = np.concatenate([noise, -noise], axis=1)
        near = u[:, None] + np.linalg.solve(
            L.transpose(0, 2, 1)[:, None], noise[..., None]
        ).squeeze(-1)
        U = np.concatenate([near, rng.standard_normal((J, of_prior, k))], axis=1)
        away = np.einsum("jba,jmb->jma", L, U - u[:, None])  # L'(u - mode)
        log_det = np.log(np.diagonal(L, axis1=1, axis2=2)).sum(axis=1)
        prior = -0.5 * np.sum(U * U, axis=2)
        share = of_prior / U.shape[1]
        log_q = np.logaddexp(
            np.log1p(-share) + log_det[:, None] - 0.5 * np.sum(away * away, axis=2),
            np.log(share) + prior,
        )
        log_w = self._log_densities(fixed, ZT, U, dispersion) + prior - log_q
        log_w = np.where(np.isnan(log_w), -np.inf, log_w)
        top = log_w.max(axis=1, keepdims=True)
        w = np.exp(log_w - top)
        mean = w.mean(axis=1)
        value = float(np.sum(top[:, 0] + np.log(mean))) + model.constant
        ends = np.cumsum(w, axis=1)
        picked = (ends < rng.random((J, 1)) * ends[:, -1:]).sum(axis=1)
        picked = np.minimum(picked, U.shape[1] - 1)
        b = (U[np.arange(J), picked] @ T.T).ravel()
        pairs = 0.5 * (w[:, :half] + w[:, half : 2 * half])
        variance = (
            pairs.var(axis=1) * half * 4.0 + w[:, 2 * half :].var(axis=1) * of_prior
        ) / U.shape[1] ** 2
        return value, b, float(np.sum(variance / mean**2))

    def _modes(
        self, fixed: FloatArray, ZT: FloatArray, T: FloatArray, dispersion: float
    ) -> tuple[FloatArray, FloatArray]:
        """Modes of the groups after a few steps, and Cholesky factors of the curvature there."""
        model, own = self.likelihood.model, self.groups
        (part,) = model.parts
        u = part.by_level(self.near) @ T
        y, a = model.y[own.order], model.weights[own.order]
        one = np.eye(part.k)
        for step in range(_STEPS + 1):
            eta = fixed + np.einsum("ik,ik->i", ZT, u[own.level])
            terms = rows(model.family, eta, y, a, dispersion)
            h = np.where(terms.h > 0.0, terms.h, terms.w)
            M = one + own.sums(ZT[:, :, None] * ZT[:, None, :] * h[:, None, None])
            if not np.isfinite(M).all():
                return np.zeros_like(u), np.broadcast_to(one, M.shape)
            if step == _STEPS:
                break
            score = own.sums(ZT * terms.g[:, None]) - u
            try:
                u = u + np.linalg.solve(M, score[:, :, None])[:, :, 0]
            except np.linalg.LinAlgError:  # curvature beyond double precision: as good as infinite
                return np.zeros_like(u), np.broadcast_to(one, M.shape)
        try:
            return u, np.linalg.cholesky(M)
        except np.linalg.LinAlgError:
            return np.zeros_like(u), np.broadcast_to(one, M.shape)

    def _log_densities(
        self, fixed: FloatArray, ZT: FloatArray, U: FloatArray, dispersion: float
    ) -> FloatArray:
        """Each group's log-density at its draws, (J, m), without constants."""
        model, own = self.likelihood.model, self.groups
        y, a = model.y[own.order, None], model.weights[own.order, None]
        out = np.empty(U.shape[:2])
        size = max(1, _NUMBERS_AT_ONCE // len(fixed))
        for low in range(0, U.shape[1], size):
            some = slice(low, low + size)
            eta = fixed[:, None] + np.einsum("ik,imk->im", ZT, U[own.level, some])
            out[:, some] = own.sums(log_densities(model.family, eta, y, a, dispersion))
        return out


def _key(z: FloatArray, seed: int) -> list[int]:
    """What the random numbers of a point start from."""
    digest = blake2b(np.ascontiguousarray(z).tobytes(), digest_size=8).digest()
    return [seed, int.from_bytes(digest, "little")]


def weighted_density(design: Design, priors: PriorSet, *, seed: int | None) -> WeightedDensity:
    """Prepare the density of a design with one grouping factor.

    Parameters
    ----------
    design : Design
        With a family.
    priors : PriorSet
        Each an `nm.Prior`.
    seed : int, optional

    Returns
    -------
    WeightedDensity

    Raises
    ------
    OptionError
        For several grouping factors, and for a family whose density has no derivatives (t).
    """
    names = [factor.name for factor in design.factors]
    if len(names) > 1:
        raise OptionError(
            "sampler='psis' weighs the random effects of one grouping factor, whose groups are "
            f"independent; this model has {len(names)} ({', '.join(names)}), whose effects hang "
            "together: sampler='nutpie' samples them with the rest, and marginal='laplace' "
            "integrates them out approximately"
        )
    made = laplace_fields(design, priors, design)
    model = made["likelihood"].model
    variables = (*made.pop("variables"), *_effect_variables(design))
    order = np.argsort(model.products.levels[0], kind="stable")
    level = model.products.levels[0][order]
    groups = Groups(
        order=order,
        level=level,
        starts=np.searchsorted(level, np.arange(model.parts[0].levels)),
        Z=model.products.columns[0][order],
    )
    own = np.random.default_rng(seed).integers(2**32) if seed is None else seed
    return WeightedDensity(
        **made, variables=variables, design=design, groups=groups, draws=_PILOT, seed=int(own),
        near=np.zeros(model.parts[-1].rows.stop),
    )  # fmt: skip


def _effect_variables(design: Design) -> list[PosteriorVariable]:
    return [
        PosteriorVariable(
            name=name, shape=(len(design.factors[term.factor].levels),), dims=(own.factor_dim,)
        )
        for term, own in zip(design.terms, parameter_names(design).terms, strict=True)
        for name in own.variables
    ]
