"""Matrices over visits: one set of pairs for each pattern of visits that blocks have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.covariance.residual_structures import ResidualStructure
from nestedmlm.covariance.structure import COMPLEX_STEP
from nestedmlm.statistics.residual_correlation import Pairs

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
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
    _kept: dict[bytes, list[tuple[Pattern, FloatArray, float]]] = field(
        default_factory=dict, init=False, repr=False
    )  # inverses at the last parameters, which all three questions need

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
        c, total = [], 0.0
        for pattern, inverse, logdet in self._inverses(free):
            a, b = pattern.lower
            c.append(pattern.times * inverse[a, b])
            total = total + pattern.count * logdet
        return np.concatenate(c), total

    def jacobian(self, free: FloatArray) -> tuple[FloatArray, FloatArray]:
        """See `Correlation`."""
        dR = self._slopes(free)
        J, L = np.empty((self.size, len(free))), np.zeros(len(free))
        for pattern, inverse, _ in self._inverses(free):
            a, b = pattern.lower
            half = inverse @ dR[:, pattern.visits][:, :, pattern.visits]
            J[pattern.pairs] = -(pattern.times * (half @ inverse)[:, a, b]).T
            L += pattern.count * np.einsum("qaa->q", half)
        return J, L

    def bend(self, free: FloatArray, c_bar: FloatArray) -> FloatArray:
        """See `Correlation`."""
        dR = self._slopes(free)
        n = len(free)
        out, M = np.zeros((n, n)), np.zeros((self.k, self.k))
        for pattern, inverse, _ in self._inverses(free):
            a, b = pattern.lower
            at, size = pattern.visits, len(pattern.visits)
            C = np.zeros((size, size))
            C[a, b] = C[b, a] = c_bar[pattern.pairs]
            half = inverse @ dR[:, at][:, :, at]  # R^-1 dR
            weighted = (inverse @ C - 0.5 * pattern.count * np.eye(size)) @ half
            product = weighted.reshape(n, -1) @ half.transpose(0, 2, 1).reshape(n, -1).T
            out += product + product.T
            M[np.ix_(at, at)] += pattern.count * inverse - inverse @ C @ inverse
        return out + self._second(free, M)

    def matrices(self, free: Any, times: FloatArray) -> Any:
        """See `Correlation`."""
        at = times.astype(np.int64)
        return self.structure.matrix(free, self.k)[at[:, :, None], at[:, None, :]]

    def like(self, other: Visits) -> Visits:
        """See `Correlation`."""
        return self

    def _inverses(self, free: Any) -> Iterable[tuple[Pattern, Any, Any]]:
        """Inverse and log-determinant of the matrix of each pattern."""
        R = self.structure.matrix(free, self.k)
        own = ((p, R[np.ix_(p.visits, p.visits)]) for p in self.patterns)
        if np.iscomplexobj(R):
            return [(p, np.linalg.inv(C), np.log(np.linalg.det(C))) for p, C in own]
        key = free.tobytes()
        if key not in self._kept:
            found = []
            for p, C in own:
                root = np.linalg.inv(np.linalg.cholesky(C))  # refuses what is no covariance
                found.append((p, root.T @ root, -2.0 * float(np.log(root.diagonal()).sum())))
            self._kept.clear()
            self._kept[key] = found
        return self._kept[key]

    def _slopes(self, free: FloatArray) -> FloatArray:
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
