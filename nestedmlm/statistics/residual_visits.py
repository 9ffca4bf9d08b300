"""Matrices over visits: one set of pairs for each pattern of visits that blocks have."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.covariance.residual_structures import ResidualStructure
from nestedmlm.covariance.structure import COMPLEX_STEP
from nestedmlm.statistics.residual_correlation import Pairs

_COEFFICIENTS_AT_ONCE = 1000  # whose derivatives in all entries of R are formed together
_DIFFERENCE_STEP = 1e-5  # of exact derivatives, in free parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A pattern of visits: which were seen, in how many blocks, where its pairs begin.

    `lower` are places of the lower triangle, `times` how often each counts.
    """

    visits: IntArray
    count: int
    first: int
    lower: tuple[IntArray, IntArray]
    times: FloatArray

    @property
    def pairs(self) -> slice:
        """Its own among the coefficients."""
        return slice(self.first, self.first + len(self.times))


class Inverses(NamedTuple):
    """Inverse of the matrix of each pattern, (P, k, k), and logarithms of their determinants."""

    inverse: Any
    logdet: Any


@dataclass(frozen=True, kw_only=True, eq=False)  # no slots: cached properties stand in __dict__
class Visits:
    """Any matrix over K visits, one set of pairs for each pattern of visits seen.

    Attributes
    ----------
    structure : ResidualStructure
    k : int
    pairs : Pairs
    patterns : tuple of Pattern
    """

    structure: ResidualStructure
    k: int
    pairs: Pairs
    patterns: tuple[Pattern, ...]
    _kept: dict[bytes, Inverses] = field(default_factory=dict, init=False, repr=False)
    # inverses at the last parameters, which all three questions need

    @property
    def size(self) -> int:
        """See `Correlation`."""
        last = self.patterns[-1]
        return int(last.pairs.stop)

    @property
    def start(self) -> FloatArray:
        """See `Correlation`."""
        return self.structure.start(self.k)

    def coefficients(self, free: Any) -> tuple[Any, Any]:
        """See `Correlation`."""
        found = self._inverses(free)
        (p, a, b), times = self._places
        counts = np.array([pattern.count for pattern in self.patterns])
        return times * found.inverse[p, a, b], counts @ found.logdet

    def jacobian(self, free: FloatArray) -> tuple[FloatArray, FloatArray]:
        """See `Correlation`.

        By the entries (c, d) of R first: ``d R^-1[a, b] = -R^-1[a, c] R^-1[d, b]``.
        """
        K, dR = self._inverses(free).inverse, self._slopes(free).reshape(len(free), -1)
        (p, a, b), times = self._places
        J = np.empty((len(p), len(free)))
        for at in range(0, len(p), _COEFFICIENTS_AT_ONCE):
            own = slice(at, at + _COEFFICIENTS_AT_ONCE)
            left, right = K[p[own], a[own]], K[p[own], b[own]]
            entries = (left[:, :, None] * right[:, None, :]).reshape(len(left), -1)
            J[own] = -times[own, None] * (entries @ dR.T)
        counts = np.array([pattern.count for pattern in self.patterns])
        return J, dR @ np.tensordot(counts, K, 1).ravel()

    def bend(self, free: FloatArray, c_bar: FloatArray) -> FloatArray:
        """See `Correlation`.

        Each pattern adds ``2 tr(R^-1 C R^-1 dR R^-1 dR') - count tr(R^-1 dR R^-1 dR')``: a product
        of two matrices over all patterns, in the entries of R.
        """
        K, n = self._inverses(free).inverse, len(free)
        (p, a, b), _ = self._places
        C = np.zeros_like(K)
        C[p, a, b] = C[p, b, a] = c_bar
        counted = np.array([pattern.count for pattern in self.patterns])[:, None, None] * K
        KCK = K @ C @ K
        outer, k = (2.0 * KCK - counted).reshape(len(K), -1), self.k
        entries = (outer.T @ K.reshape(len(K), -1)).reshape(k, k, k, k)  # [d, a, b, c]
        dR = self._slopes(free).reshape(n, -1)
        out: FloatArray = dR @ entries.transpose(1, 2, 3, 0).reshape(k * k, k * k) @ dR.T
        return 0.5 * (out + out.T) + self._second(free, (counted - KCK).sum(axis=0))

    def matrices(self, free: Any, times: FloatArray) -> Any:
        """See `Correlation`."""
        at = times.astype(np.int64)
        return self.structure.matrix(free, self.k)[at[:, :, None], at[:, None, :]]

    def like(self, other: Visits) -> Visits:
        """See `Correlation`."""
        return self

    @cached_property
    def _places(self) -> tuple[tuple[IntArray, IntArray, IntArray], FloatArray]:
        """Pattern and visits of each coefficient, and how often it counts."""
        at = [np.full(len(p.times), number) for number, p in enumerate(self.patterns)]
        lower = [(p.visits[p.lower[0]], p.visits[p.lower[1]]) for p in self.patterns]
        a, b = (np.concatenate(side) for side in zip(*lower, strict=True))
        return (np.concatenate(at), a, b), np.concatenate([p.times for p in self.patterns])

    def _inverses(self, free: Any) -> Inverses:
        """Inverse of the matrix of each pattern, zero where there is no visit.

        Patterns with as many visits are inverted together.

        Raises
        ------
        numpy.linalg.LinAlgError
            If a matrix is no covariance.
        """
        key = free.tobytes()
        if key in self._kept:
            return self._kept[key]
        R = self.structure.matrix(free, self.k)
        inverse = np.zeros((len(self.patterns), self.k, self.k), dtype=R.dtype)
        logdet = np.zeros(len(self.patterns), dtype=R.dtype)
        for some, at in self._by_size:
            own = R[at[:, :, None], at[:, None, :]]
            if np.iscomplexobj(R):
                found, logdet[some] = np.linalg.inv(own), np.log(np.linalg.det(own))
            else:
                root = np.linalg.inv(np.linalg.cholesky(own))  # refuses what is no covariance
                found = root.transpose(0, 2, 1) @ root
                logdet[some] = -2.0 * np.log(np.einsum("paa->pa", root)).sum(axis=1)
            inverse[some[:, None, None], at[:, :, None], at[:, None, :]] = found
        self._kept.clear()
        self._kept[key] = Inverses(inverse, logdet)
        return self._kept[key]

    @cached_property
    def _by_size(self) -> tuple[tuple[IntArray, IntArray], ...]:
        """Patterns with as many visits: their numbers and visits."""
        sizes = np.array([len(p.visits) for p in self.patterns])
        groups = [np.flatnonzero(sizes == size) for size in np.unique(sizes)]
        return tuple((some, np.array([self.patterns[n].visits for n in some])) for some in groups)

    def _slopes(self, free: FloatArray) -> FloatArray:
        """``dR`` along each parameter, (n_free, k, k)."""
        if self.structure.is_root:
            L, (a, b) = np.zeros((self.k, self.k)), np.tril_indices(self.k)
            L[a, b] = np.concatenate([[1.0], free])
            half, each = np.zeros((len(free), self.k, self.k)), np.arange(len(free))
            half[each, a[1:]] = L[:, b[1:]].T
            exact: FloatArray = half + half.transpose(0, 2, 1)
            return exact
        steps = free + 1j * COMPLEX_STEP * np.eye(len(free))
        found = [self.structure.matrix(x, self.k).imag / COMPLEX_STEP for x in steps]
        return np.array(found).reshape(len(free), self.k, self.k)

    def _second(self, free: FloatArray, M: FloatArray) -> FloatArray:
        """``<M, d^2 R>``, without data."""
        n, h = len(free), _DIFFERENCE_STEP
        if self.structure.is_root:
            a, b = (x[1:] for x in np.tril_indices(self.k))
            exact: FloatArray = 2.0 * M[np.ix_(a, a)] * (b[:, None] == b)
            return exact
        out = np.empty((n, n))
        for q, e in enumerate(np.eye(n)):
            change = self._slopes(free + h * e) - self._slopes(free - h * e)
            out[q] = np.tensordot(change, M, 2) / (2.0 * h)
        return 0.5 * (out + out.T)


def visits(
    structure: ResidualStructure, k: int, rows: IntArray, block: IntArray, visit: IntArray
) -> Visits:
    """Collect the patterns of visits in the blocks of some rows."""
    order = rows[np.lexsort((visit[rows], block[rows]))]
    b = block[order]
    cuts = np.flatnonzero(np.concatenate([[True], b[1:] != b[:-1], [True]]))
    seen = np.zeros((len(cuts) - 1, k), dtype=bool)
    seen[np.repeat(np.arange(len(cuts) - 1), np.diff(cuts)), visit[order]] = True
    kinds, place = np.unique(seen, axis=0, return_inverse=True)
    i, j, m, patterns, at = [], [], [], [], 0
    for number, kind in enumerate(kinds):
        starts = cuts[:-1][place.ravel() == number]
        met = np.flatnonzero(kind)
        a, c = np.tril_indices(len(met))
        twice = np.where(a == c, 1.0, 2.0)
        pattern = Pattern(visits=met, count=len(starts), first=at, lower=(a, c), times=twice)
        own = order[starts[:, None] + np.arange(len(met))]
        i.append(own[:, a].T.ravel())
        j.append(own[:, c].T.ravel())
        m.append(np.repeat(at + np.arange(len(a)), len(starts)))
        patterns.append(pattern)
        at += len(a)
    return Visits(
        structure=structure,
        k=k,
        pairs=Pairs(np.concatenate(i), np.concatenate(j), np.concatenate(m)),
        patterns=tuple(patterns),
    )
