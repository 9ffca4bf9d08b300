"""Correlations within blocks of rows as sums over pairs of rows.

The inverse of a block's matrix is ``sum_m c_m E_m``, each E_m a fixed set of pairs (i, j) of rows:
``a'E_m a = sum a_i a_j``. The parameters enter through the few c_m and the log-determinant only.
Each class here is one such family; `pairs` never changes, `coefficients` is cheap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.covariance.residual_structures import ResidualStructure
from nestedmlm.covariance.structure import COMPLEX_STEP

_DIFFERENCE_STEP = 1e-5  # of exact derivatives, in free parameters
_DIGITS_OF_GAPS = 12  # relative: gaps that agree to so many are one


class Pairs(NamedTuple):
    """Pairs of rows (i, j) and the number m of the coefficient that multiplies ``a_i a_j``."""

    i: IntArray
    j: IntArray
    m: IntArray


class Correlation(Protocol):
    """A family of correlation matrices within blocks."""

    @property
    def pairs(self) -> Pairs:
        """Pairs of rows."""

    @property
    def size(self) -> int:
        """Number of coefficients."""

    @property
    def start(self) -> FloatArray:
        """Free parameters to start from."""

    def coefficients(self, free: Any) -> tuple[Any, Any]:
        """Coefficients (size,), and the sum of the blocks' log-determinants."""

    def jacobian(self, free: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Their derivatives, (size, n_free) and (n_free,)."""

    def bend(self, free: FloatArray, c_bar: FloatArray) -> FloatArray:
        """Second derivatives of ``c_bar' c + log-determinant``."""

    def matrices(self, free: Any, times: FloatArray) -> Any:
        """Matrices of blocks with these times, (blocks, k) -> (blocks, k, k)."""

    def like(self, other: Any) -> Correlation:
        """The same with free parameters that mean what they do in another one, of more rows."""


class Differentiated:
    """Derivatives by complex steps, for families with few parameters."""

    def coefficients(self, free: Any) -> tuple[Any, Any]:
        """See `Correlation`."""
        raise NotImplementedError

    def jacobian(self, free: FloatArray) -> tuple[FloatArray, FloatArray]:
        """See `Correlation`."""
        found = [self.coefficients(free + 1j * COMPLEX_STEP * e) for e in np.eye(len(free))]
        c, _ = self.coefficients(free)
        J = np.array([f[0].imag for f in found]).reshape(len(free), len(c)) / COMPLEX_STEP
        return J.T, np.array([np.imag(f[1]) for f in found]) / COMPLEX_STEP

    def bend(self, free: FloatArray, c_bar: FloatArray) -> FloatArray:
        """See `Correlation`."""
        n, h = len(free), _DIFFERENCE_STEP
        out = np.zeros((n, n))
        for q, e in enumerate(np.eye(n)):
            (up, up_l), (down, down_l) = self.jacobian(free + h * e), self.jacobian(free - h * e)
            out[q] = (c_bar @ (up - down) + up_l - down_l) / (2.0 * h)
        return 0.5 * (out + out.T)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Independent(Differentiated):
    """No correlation: every row is a block of its own."""

    rows: IntArray

    @property
    def pairs(self) -> Pairs:
        """See `Correlation`."""
        return Pairs(self.rows, self.rows, np.zeros(len(self.rows), dtype=np.int64))

    size: int = 1

    @property
    def start(self) -> FloatArray:
        """See `Correlation`."""
        return np.zeros(0)

    def coefficients(self, free: Any) -> tuple[Any, Any]:
        """See `Correlation`."""
        return np.ones(1), 0.0

    def matrices(self, free: Any, times: FloatArray) -> Any:
        """See `Correlation`."""
        return np.broadcast_to(np.eye(times.shape[1]), (*times.shape, times.shape[1]))

    def like(self, other: Independent) -> Independent:
        """See `Correlation`."""
        return self


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decay(Differentiated):
    """``ar1`` and ``car1``: the correlation at gap d is ``rho ** (d / unit)``.

    Attributes
    ----------
    structure : ResidualStructure
    pairs : Pairs
        First rows of the blocks; for each gap: current rows, previous rows, and both.
    gaps, counts : (g,) arrays
        The different gaps, in units, and how often they occur.
    unit : float
        What gaps are divided by.
    """

    structure: ResidualStructure
    pairs: Pairs
    gaps: FloatArray
    counts: FloatArray
    unit: float

    @property
    def size(self) -> int:
        """See `Correlation`."""
        return 1 + 3 * len(self.gaps)

    @property
    def start(self) -> FloatArray:
        """See `Correlation`."""
        return self.structure.start(0)

    def coefficients(self, free: Any) -> tuple[Any, Any]:
        """See `Correlation`."""
        f = self._power(free, self.gaps)
        s = 1.0 / (1.0 - f * f)
        c = np.concatenate([[1.0], np.stack([s, f * f * s, -2.0 * f * s], 1).ravel()])
        return c, -(self.counts @ np.log(s))

    def matrices(self, free: Any, times: FloatArray) -> Any:
        """See `Correlation`."""
        gaps = np.abs(times[:, :, None] - times[:, None, :]) / self.unit
        return self._power(free, gaps)

    def like(self, other: Decay) -> Decay:
        """See `Correlation`."""
        return replace(self, gaps=self.gaps * (self.unit / other.unit), unit=other.unit)

    def _power(self, free: Any, gaps: FloatArray) -> Any:
        rho = self.structure.matrix(free, 0)
        if self.structure.whole_gaps:
            return rho ** np.rint(gaps).astype(np.int64)
        return np.exp(gaps * np.log(rho))


def decay(structure: ResidualStructure, rows: IntArray, block: IntArray, time: FloatArray) -> Decay:
    """Collect the gaps within blocks of some rows."""
    order = rows[np.lexsort((time[rows], block[rows]))]
    b, t = block[order], time[order]
    new = np.concatenate([[True], b[1:] != b[:-1]])
    own = np.diff(t)[~new[1:]]
    unit = 1.0
    if len(own):  # steps are counted in their greatest common divisor
        steps = np.rint(own).astype(np.int64)
        unit = float(np.gcd.reduce(steps) if structure.whole_gaps else np.median(own))
    digits = _DIGITS_OF_GAPS - 1
    gaps, place = np.unique(np.round(own / unit, digits), return_inverse=True)
    first, current = order[new], order[~new]
    previous = order[np.flatnonzero(~new) - 1]
    m = [np.zeros(len(first), dtype=np.int64), *(1 + q + 3 * place for q in range(3))]
    return Decay(
        structure=structure,
        pairs=Pairs(
            np.concatenate([first, current, previous, current]),
            np.concatenate([first, current, previous, previous]),
            np.concatenate(m),
        ),
        gaps=gaps,
        counts=np.bincount(place, minlength=len(gaps)).astype(float),
        unit=unit,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exchangeable(Differentiated):
    """``cs``: one correlation of any two rows of a block.

    Attributes
    ----------
    structure : ResidualStructure
    pairs : Pairs
        All rows; and for each size of block all pairs of its rows.
    sizes, counts : (s,) arrays
        The different sizes of blocks, and how often they occur.
    largest : int
        Rows of the largest block: they bound the correlation from below.
    """

    structure: ResidualStructure
    pairs: Pairs
    sizes: IntArray
    counts: FloatArray
    largest: int

    @property
    def size(self) -> int:
        """See `Correlation`."""
        return 1 + len(self.sizes)

    @property
    def start(self) -> FloatArray:
        """See `Correlation`."""
        return self.structure.start(self.largest)

    def coefficients(self, free: Any) -> tuple[Any, Any]:
        """See `Correlation`."""
        rho, n = self.structure.matrix(free, self.largest), self.sizes
        w, grown = 1.0 / (1.0 - rho), 1.0 + (n - 1) * rho
        logdet = self.counts @ ((n - 1) * np.log(1.0 - rho) + np.log(grown))
        return np.concatenate([[w], -w * rho / grown]), logdet

    def matrices(self, free: Any, times: FloatArray) -> Any:
        """See `Correlation`."""
        rho, k = self.structure.matrix(free, self.largest), times.shape[1]
        C = rho + (1.0 - rho) * np.eye(k)
        return np.broadcast_to(C, (len(times), k, k))

    def like(self, other: Exchangeable) -> Exchangeable:
        """See `Correlation`."""
        return replace(self, largest=other.largest)


def exchangeable(structure: ResidualStructure, rows: IntArray, block: IntArray) -> Exchangeable:
    """Collect the pairs within blocks of some rows."""
    grouped = rows_by_size(rows, block, np.zeros(len(block)))
    sizes = np.array([own.shape[1] for own in grouped])
    i, j, m = [rows], [rows], [np.zeros(len(rows), dtype=np.int64)]
    for place, own in enumerate(grouped):
        k = own.shape[1]
        i.append(np.repeat(own, k, axis=1).ravel())
        j.append(np.tile(own, (1, k)).ravel())
        m.append(np.full(own.size * k, 1 + place))
    return Exchangeable(
        structure=structure,
        pairs=Pairs(np.concatenate(i), np.concatenate(j), np.concatenate(m)),
        sizes=sizes,
        counts=np.array([len(own) for own in grouped], dtype=float),
        largest=int(sizes.max()),
    )


def rows_by_size(rows: IntArray, block: IntArray, time: FloatArray) -> list[IntArray]:
    """Rows of the blocks, in the order of time: one (blocks, k) array for each size k."""
    order = rows[np.lexsort((time[rows], block[rows]))]
    b = block[order]
    cuts = np.flatnonzero(np.concatenate([[True], b[1:] != b[:-1], [True]]))
    size = np.diff(cuts)
    return [order[cuts[:-1][size == k][:, None] + np.arange(k)] for k in np.unique(size).tolist()]
