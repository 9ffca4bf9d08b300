"""Covariance of one term from the coordinates: the entries of ``D L``, with their adjoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.bayes.density.correlations import (
    CorrelationRows,
    PartialCorrelations,
    StructuredRows,
    lower_places,
)
from nestedmlm.bayes.density.prior_coordinates import (
    CoordinateList,
    correlation_coordinates,
    given_prior,
    make_scale,
)
from nestedmlm.bayes.model.names import TermNames, pairs, structured_parameters
from nestedmlm.covariance import Parameter
from nestedmlm.covariance.parameter import ends

if TYPE_CHECKING:
    from nestedmlm.bayes.model.prior_set import PriorSet
    from nestedmlm.design.design import ReTerm

# of the adjoint of the entries, and of dx/dz, to the gradients in the two kinds of coordinates
Back = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TermCovariance:
    """A term among the coordinates: its standard deviations, and what makes its correlations.

    Attributes
    ----------
    names : TermNames
    sds : (k,) array of int
        The coordinate of each column's standard deviation (a common one is repeated).
    par : (m,) array of int
        Those of the correlations.
    parameters : tuple of Parameter
        Of a structured correlation; empty for partial correlations.
    rows : CorrelationRows or None
        None without correlations.
    free_signs : bool
        Whether signs of the standard deviations go into the correlations.
    """

    names: TermNames
    sds: IntArray
    par: IntArray
    parameters: tuple[Parameter, ...]
    rows: CorrelationRows | None
    free_signs: bool

    @property
    def places(self) -> list[tuple[int, int]]:
        """Places of the entries in ``D L``."""
        k = len(self.sds)
        return [(i, i) for i in range(k)] if self.rows is None else lower_places(k)

    def entries(self, z: FloatArray, x: FloatArray) -> tuple[FloatArray, Back]:
        """The entries at coordinates z and variables x (…, d), and their pullback."""
        raw = x[..., self.sds]
        sds = raw if self.free_signs else np.abs(raw)
        signs = np.ones(()) if self.free_signs else np.sign(raw)
        if self.rows is None:
            none = np.zeros((*raw.shape[:-1], 0))
            return sds, lambda bar, slopes: (bar * signs * slopes[..., self.sds], none)
        below, back = self.rows.rows(self._values(z, x))
        L = np.ones((*below.shape[:-1], 1 + below.shape[-1]))
        L[..., 1:] = below
        at = np.array([i for i, _ in self.places])
        firsts = np.arange(len(self.sds)) * np.arange(1, len(self.sds) + 1) // 2  # of the rows

        def pullback(bar: FloatArray, slopes: FloatArray) -> tuple[FloatArray, FloatArray]:
            of_sds = np.add.reduceat(bar * L, firsts, axis=-1)
            of_values = back((bar * sds[..., at])[..., 1:])
            if self.parameters:
                of_values = of_values * self._directions * slopes[..., self.par]
            return of_sds * signs * slopes[..., self.sds], of_values

        return sds[..., at] * L, pullback

    def named(self, z: FloatArray, x: FloatArray) -> dict[str, FloatArray]:
        """Standard deviations, parameters and correlations at points in rows."""
        own = self.names
        out = {name: np.abs(x[:, at]) for name, at in zip(own.sds, self.sds, strict=False)}
        if self.rows is None or own.correlation is None:
            return out
        values = self._values(z, x)
        if self.parameters:
            out |= dict(zip(own.parameters, values.T, strict=True))
        k = len(self.sds)
        L = np.zeros((len(x), k, k))
        L[:, 0, 0] = 1.0
        at = np.array(lower_places(k)[1:]).T
        L[:, at[0], at[1]] = self.rows.rows(values)[0]
        i, j = np.array(pairs(k)).T
        signs = np.sign(x[:, self.sds]) if self.free_signs else np.ones((len(x), k))
        R = np.einsum("mpl,mpl->mp", L[:, i], L[:, j]) * signs[:, i] * signs[:, j]
        return {**out, own.correlation: R}

    def _values(self, z: FloatArray, x: FloatArray) -> FloatArray:
        """What the rows are made of: logits, or values of the structure's parameters."""
        if not self.parameters:
            return z[..., self.par]
        starts = np.array([origin(p) for p in self.parameters])
        out: FloatArray = starts + self._directions * x[..., self.par]
        return out

    @property
    def _directions(self) -> FloatArray:
        return np.array([direction(p) for p in self.parameters])


def add_term(
    made: CoordinateList, term: ReTerm, own: TermNames, priors: PriorSet
) -> TermCovariance:
    """Append a term's coordinates to a list.

    Parameters
    ----------
    made : CoordinateList
        Is appended to.
    term : ReTerm
    own : TermNames
    priors : PriorSet
    """
    k = len(term.columns)
    sds = made.add(*(make_scale(name, given_prior(priors, name)) for name in own.sds))
    sds = sds if len(own.sds) == k else np.full(k, sds[0])
    par = made.add(*correlation_coordinates(term, own, priors))
    structured = own.correlation is not None and not term.structure.free_correlations
    rows: CorrelationRows | None = None
    if structured:
        rows = StructuredRows(term.structure, k)
    elif own.correlation is not None:
        rows = PartialCorrelations(k)
    return TermCovariance(
        names=own,
        sds=sds,
        par=par,
        parameters=structured_parameters(term) if structured else (),
        rows=rows,
        free_signs=len(own.sds) == 1 or not structured,
    )


def origin(p: Parameter) -> float:
    """What a parameter is counted from."""
    low, high = ends(p)
    return p.lower if low else p.upper if high else 0.0


def direction(p: Parameter) -> float:
    """What its variable is multiplied with."""
    low, high = ends(p)
    if low and high:
        return p.upper - p.lower
    return -1.0 if high else 1.0
