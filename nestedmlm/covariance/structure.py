"""A covariance structure: everything that is asked of one, answered by one object.

Three descriptions of one term's covariance meet here:

- ``theta``, what users see: lme4's parameters, relative to sigma. Standard deviations (one if
  homogeneous), then the parameters of the correlation; ``us``: the lower triangle of T, column by
  column.
- ``phi``, what the optimizer moves: unbounded, smooth through every boundary, in scaled columns.
- ``T``, a (k, k) relative covariance factor with ``Cov(b) = sigma^2 T T'``.

`factor` is written once for NumPy and PyTensor (its first argument is the array module), so the
optimizer's graph, the Bayesian model and the tests share one expression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance.moves import Move, StructuredAt, structured_moves
from nestedmlm.covariance.parameter import (
    Parameter,
    bounded,
    middle,
    near_end,
    quantile,
    unbounded,
)
from nestedmlm.covariance.triangle import echelon

Entries = tuple[tuple[Any, ...], ...]
OTHER_STARTS = (0.0, 1.0)  # shares of the parameters' ranges to start from as well
_INSIDE = 0.1  # share of a parameter's range below and above which no descent begins by itself
TRAPPED = 1e-3  # relative standard deviations and distances from an end not to start at
COMPLEX_STEP = 1e-40  # of a derivative along the imaginary axis: exact to the last digit


def n_sd(k: int, hom: bool) -> int:
    """Number of standard deviations."""
    return 1 if hom else k


@dataclass(frozen=True, slots=True)
class Structure:
    """Standard deviations times a correlation matrix with a few parameters.

    What is written here holds for every such structure; one of them says what its parameters are
    and what they make of the correlations. ``us`` answers differently and overrides most.

    Attributes
    ----------
    name : str
        What formulas call it: ``cs(0 + f | g)``.
    default_hom : bool
        Whether all columns share one standard deviation unless a formula says otherwise.
    linear : bool
        Whether `factor` is linear in phi. If not, the signs of heterogeneous standard deviations
        matter.
    correlated : bool
        Whether covariances may differ from zero.
    free_correlations : bool
        Whether each pair of columns has a correlation of its own.
    recodable : bool
        Whether the model is the same in any other basis of the columns, not only in other units.
    takes_hom : bool
        Whether formulas may say ``hom=``.
    simpler : tuple of str
        Names of structures that it contains, nearest first.
    """

    name: str
    default_hom: bool = False

    linear: ClassVar[bool] = False
    correlated: ClassVar[bool] = True
    free_correlations: ClassVar[bool] = False
    recodable: ClassVar[bool] = False
    takes_hom: ClassVar[bool] = True
    simpler: ClassVar[tuple[str, ...]] = ("diag",)

    # --- what a structure has to say -----------------------------------------------------------
    def parameters(self, k: int) -> tuple[Parameter, ...]:
        """What follows the standard deviations in theta, for k columns."""
        return ()

    def bounded(self, xp: ModuleType, free: Sequence[Any], k: int) -> list[Any]:
        """Values of `parameters` from their unbounded numbers."""
        return [bounded(p, xp, x) for p, x in zip(self.parameters(k), free, strict=True)]

    def unbounded(self, par: Sequence[float], k: int) -> list[float]:
        """Inverse of `bounded`."""
        return [unbounded(p, float(v)) for p, v in zip(self.parameters(k), par, strict=True)]

    def correlation_factor(self, xp: ModuleType, free: Sequence[Any], k: int) -> Any:
        """A (k, k) root R of the correlation matrix, ``R R'``, smooth in the unbounded numbers."""
        raise NotImplementedError

    def correlations(self, par: Any, k: int) -> Any:
        """The (k, k) correlation matrix at values of `parameters`, which may be complex."""
        raise NotImplementedError

    def correlation_rows(self, xp: ModuleType, par: Sequence[Any], k: int) -> Entries:
        """Rows of the lower triangle of the correlations' Cholesky factor, as scalars.

        None stands for 1 on the diagonal and 0 below it. Element by element because small graphs
        compile faster than products of matrices, and sample better.
        """
        raise NotImplementedError

    def common_correlation(self, k: int) -> bool:
        """Whether its one parameter is the correlation of neighbouring columns."""
        return False

    def check(self, k: int) -> None:
        """Refuse to serve k columns, for structures that may be wrong for some.

        Raises
        ------
        OptionError
        """

    # --- theta, phi, T -------------------------------------------------------------------------
    def count(self, k: int, hom: bool) -> int:
        """Number of free parameters of a term with k columns."""
        return n_sd(k, hom) + len(self.parameters(k))

    def start(self, k: int, hom: bool) -> FloatArray:
        """Starting value of phi: equal standard deviations, parameters where they start."""
        first = [middle(p) for p in self.parameters(k)]
        return np.append(np.ones(n_sd(k, hom)), self.unbounded(first, k))

    def factor(self, xp: ModuleType, phi: Any, k: int, hom: bool) -> Any:
        """T in scaled columns, with `xp` either NumPy or ``pytensor.tensor``."""
        first = n_sd(k, hom)
        sds = phi[0] * np.ones(k) if hom else phi[:k]  # signed
        if k == 1:
            return sds[:, None]
        free = [phi[first + i] for i in range(len(self.parameters(k)))]
        return sds[:, None] * self.correlation_factor(xp, free, k)

    def factor_jacobian(self, phi: FloatArray, k: int, hom: bool) -> FloatArray:
        """Derivative (k k, parameters) of ``factor(np, phi, k, hom).ravel()``, exact."""
        if self.linear or k == 1:
            columns = [self.factor(np, e, k, hom) for e in np.eye(len(phi))]
            return np.stack([T.ravel() for T in columns], axis=1)
        first = n_sd(k, hom)
        free = phi[first:]
        # complex, as its derivatives: where the root does not exist its square roots are imaginary
        root = self.correlation_factor(np, list(free + 0j), k).real
        out = np.zeros((k, k, len(phi)))
        if hom:
            out[:, :, 0] = root
        else:  # a standard deviation multiplies its row
            out[np.arange(k), :, np.arange(k)] = root
        sds = np.broadcast_to(phi[:first], k)
        for i, e in enumerate(np.eye(len(free)), start=first):
            moved = self.correlation_factor(np, list(free + 1j * COMPLEX_STEP * e), k)
            out[:, :, i] = sds[:, None] * moved.imag / COMPLEX_STEP
        return out.reshape(k * k, len(phi))

    def to_theta(self, phi: FloatArray, W: FloatArray, hom: bool) -> FloatArray:
        """The user's parameters; ``W`` (k, k) turns the user's columns into scaled ones."""
        k, n = len(W), n_sd(len(W), hom)
        return np.append(np.abs(phi[:n]) * np.diag(W)[:n], self.bounded(np, phi[n:].tolist(), k))

    def to_phi(self, theta: FloatArray, W: FloatArray, hom: bool) -> FloatArray:
        """Inverse of `to_theta` (up to sign and rotation)."""
        k, n = len(W), n_sd(len(W), hom)
        return np.append(theta[:n] / np.diag(W)[:n], self.unbounded(theta[n:].tolist(), k))

    def factor_of_theta(self, theta: FloatArray, k: int, hom: bool) -> FloatArray:
        """Lower-triangular T in the user's columns."""
        return echelon(self.factor(np, self.to_phi(theta, np.eye(k), hom), k, hom))

    def theta_of_factor(self, L: FloatArray, hom: bool) -> FloatArray:
        """The user's parameters at a lower-triangular T, where they are entries of it.

        Raises
        ------
        NotImplementedError
            If they are not.
        """
        raise NotImplementedError(f"the parameters of {self.name} are no entries of its factor")

    def correlation_part(self, theta: FloatArray, k: int) -> FloatArray:
        """Values of `parameters`: what follows the standard deviations in theta."""
        return theta[len(theta) - len(self.parameters(k)) :]

    def with_sd(self, theta: FloatArray, k: int, i: int, value: float) -> FloatArray:
        """Theta with another relative standard deviation and the same correlations."""
        out = theta.copy()
        out[i] = value
        return out

    # --- names and ends ------------------------------------------------------------------------
    def theta_names(self, term: str, columns: Sequence[str], hom: bool) -> tuple[str, ...]:
        """lme4's names of one term's parameters (``Subject.Days``, ``Subject.rho``)."""
        sds = (f"{term}.*",) if hom else tuple(f"{term}.{c}" for c in columns)
        return (*sds, *(f"{term}.{p.name}" for p in self.parameters(len(columns))))

    def bounds(self, k: int, hom: bool) -> tuple[FloatArray, FloatArray]:
        """Lower and upper ends of theta."""
        n, own = n_sd(k, hom), self.parameters(k)
        lower = np.array([*[0.0] * n, *(p.lower for p in own)])
        return lower, np.array([*[np.inf] * n, *(p.upper for p in own)])

    def correlation_slopes(self, par: Any, k: int) -> FloatArray:
        """Derivative of `correlations` in each parameter, (number of parameters, k, k)."""
        steps = 1j * COMPLEX_STEP * np.eye(len(par))
        found = [np.imag(self.correlations(np.asarray(par) + e, k)) / COMPLEX_STEP for e in steps]
        return np.array(found).reshape(len(par), k, k)

    # --- the cone of covariances ---------------------------------------------------------------
    def linear_basis(self, k: int, hom: bool) -> tuple[FloatArray, ...]:
        """A basis of the covariance matrices where they are a linear space, else nothing."""
        return ()

    def free_entries(self, k: int, hom: bool) -> tuple[tuple[int, int], ...]:
        """Entries (a, b), a >= b, of the covariance that are parameters of their own."""
        return ()

    def determinant_powers(self, k: int, hom: bool) -> FloatArray | None:
        """Powers of phi whose product is ``det T``; None where it is no such product."""
        return None

    def on_boundary(
        self, phi: FloatArray, theta: FloatArray, k: int, hom: bool, tol: float
    ) -> np.ndarray:
        """Which entries of phi stand on the boundary of the covariances, or mean nothing there."""
        n = n_sd(k, hom)
        mark = np.abs(phi) < tol
        absent = bool(mark[:n].all())
        for i, p in enumerate(self.parameters(k), start=n):
            mark[i] = absent or near_end(p, theta[i], tol)
        return mark

    def moves(self, phi: FloatArray, M: FloatArray, k: int, hom: bool) -> tuple[Move, ...]:
        """Ways in which the covariance can change from `phi`, where the gradient sees none.

        `M` (k, k) is the derivative of the criterion in the covariance.
        """
        n = n_sd(k, hom)
        par = tuple(map(float, self.bounded(np, phi[n:].tolist(), k)))
        here = StructuredAt(structure=self, k=k, hom=hom, sds=np.abs(phi[:n]), par=par)
        return structured_moves(here, M)

    def signed(self, k: int, hom: bool) -> np.ndarray:
        """Which entries of phi are standard deviations whose sign matters."""
        out = np.zeros(self.count(k, hom), dtype=bool)
        out[:k] = not (hom or self.linear)
        return out

    def starts(self, k: int, hom: bool) -> tuple[FloatArray, ...]:
        """Values of phi to start from: `start`, then with parameters near their ends."""
        sds = np.ones(n_sd(k, hom))
        own = self.parameters(k)
        shares = OTHER_STARTS if own else ()
        return self.start(k, hom), *(
            np.append(sds, self.unbounded([quantile(p, u) for p in own], k)) for u in shares
        )

    def off_boundary(self, phi: FloatArray, k: int, hom: bool) -> FloatArray:
        """Phi without zeros and ends, from which a descent would hardly get away."""
        n, out = n_sd(k, hom), phi.copy()
        out[:n] = np.where(np.abs(phi[:n]) < TRAPPED, 0.1, phi[:n])
        par = self.bounded(np, phi[n:].tolist(), k)
        own = self.parameters(k)
        if any(near_end(p, v, TRAPPED) for p, v in zip(own, par, strict=True)):
            inside = [
                min(max(float(v), quantile(p, _INSIDE)), quantile(p, 1.0 - _INSIDE))
                for p, v in zip(own, par, strict=True)
            ]
            out[n:] = self.unbounded(inside, k)
        return out

    def with_zeros(self, phi: FloatArray, k: int, hom: bool, limit: float) -> list[FloatArray]:
        """Phi with standard deviations below `limit` at zero: all of them first, then fewer."""
        n = n_sd(k, hom)
        small = np.abs(phi[:n]) < limit
        if not small.any():
            return []
        out = phi.copy()
        out[:n][small] = 0.0
        return [out]


def growing_variances(k: int, hom: bool) -> tuple[FloatArray, ...]:
    """Directions of the variances alone: each column's, or the common one."""
    return (np.eye(k),) if hom else tuple(np.outer(e, e) for e in np.eye(k))
