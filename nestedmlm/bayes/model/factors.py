"""Standard deviations and correlations of one term as PyMC variables.

A term's covariance is ``D L L' D``: signed standard deviations on the diagonal of D, and the
Cholesky factor L of the correlation matrix written out element by element (small graphs compile
five times faster than matrix products, and sample better; reference/bayes.md §1b).

*Folded* scales: SD = ``|r|`` with r symmetric around zero, so that the posterior may cross the
boundary instead of piling up in a funnel before it. The sign of r goes into the correlations,
whose LKJ prior is the same for every sign.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from nestedmlm.bayes.model.distributions import Prior
from nestedmlm.bayes.model.distributions import folded as folded_prior
from nestedmlm.bayes.model.names import (
    PARTIAL,
    RAW,
    TermNames,
    pairs,
    structured_parameters,
    unbounded_name,
)
from nestedmlm.bayes.model.prior_set import PriorSet
from nestedmlm.covariance import Parameter
from nestedmlm.covariance.parameter import ends
from nestedmlm.errors import OptionError

if TYPE_CHECKING:
    from nestedmlm.design.design import ReTerm

Entries = tuple[tuple[Any, ...], ...]
_ELEMENTWISE = 4  # largest correlation matrix that is written out element by element


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TermFactor:
    """Covariance of one term as symbolic scalars.

    Attributes
    ----------
    sds : tuple of k scalars
        Signed where the scale is folded.
    rows : tuple of tuples
        Rows of the lower triangle of the correlation's Cholesky factor; None where it is 1 on
        the diagonal or 0 below it for certain.
    """

    sds: tuple[Any, ...]
    rows: Entries

    def entries(self) -> dict[tuple[int, int], Any]:
        """The entries of ``D L`` that are not zero for certain."""
        out = {}
        for i, row in enumerate(self.rows):
            for j, value in enumerate(row):
                if i == j or value is not None:
                    out[i, j] = self.sds[i] if value is None else self.sds[i] * value
        return out


def term_factor(
    term: ReTerm, names: TermNames, priors: PriorSet, *, folded: bool = True
) -> TermFactor:
    """Make the covariance variables of one term in the PyMC model that is being built.

    Parameters
    ----------
    folded : bool
        Sample signed standard deviations where their prior allows it.
    """
    k = len(term.columns)
    sds = tuple(scale(name, priors[name].prior, folded=folded) for name in names.sds)
    sds = sds * k if len(sds) < k else sds
    if names.correlation is None:
        return TermFactor(sds=sds, rows=_identity(k))
    if not _sign_free(term, names, priors):
        sds = tuple(pt.abs(s) for s in sds)
    how = _unstructured if term.structure.free_correlations else _structured
    rows = how(term, names, priors)
    factor = TermFactor(sds=sds, rows=rows)
    pm.Deterministic(names.correlation, correlations(factor), dims=names.pair_dim)
    return factor


def _sign_free(term: ReTerm, names: TermNames, priors: PriorSet) -> bool:
    """Whether signs of the standard deviations leave structure and prior as they are."""
    if len(names.sds) == 1:
        return True
    if not term.structure.free_correlations:
        return False
    return names.correlation is None or isinstance(priors[names.correlation].prior, Prior)


def scale(name: str, prior: Prior | Callable[..., Any], *, folded: bool) -> Any:
    """Make a standard deviation; where it can be folded, its signed twin is returned."""
    if not isinstance(prior, Prior):
        return called(name, prior, ())
    signed = folded_prior(prior) if folded else None
    if signed is None:
        return prior.variable(name)
    raw = signed.variable(name + RAW)
    pm.Deterministic(name, pt.abs(raw))
    return raw


def correlations(factor: TermFactor) -> Any:
    """Entries of ``L L'`` below its diagonal, with the signs of the standard deviations."""
    k = len(factor.rows)
    if k > _ELEMENTWISE:
        L = pt.stack([pt.stack([_entry(factor.rows, i, j) for j in range(k)]) for i in range(k)])
        signs = pt.sign(pt.stack(factor.sds))
        i, j = np.array(pairs(k)).T
        return (pt.dot(L, L.T) * signs[:, None] * signs[None, :])[i, j]
    cells = []
    for i, j in pairs(k):
        value = sum(_entry(factor.rows, i, m) * _entry(factor.rows, j, m) for m in range(j + 1))
        cells.append(value * pt.sign(factor.sds[i]) * pt.sign(factor.sds[j]))
    return pt.stack(cells)


def _entry(rows: Entries, i: int, j: int) -> Any:
    if j > i:
        return pt.constant(0.0)
    value = rows[i][j]
    return pt.constant(float(i == j)) if value is None else value


def _identity(k: int) -> Entries:
    return tuple((None,) * (i + 1) for i in range(k))


def _unstructured(term: ReTerm, names: TermNames, priors: PriorSet) -> Entries:
    assert names.correlation is not None
    return unstructured_rows(names.correlation, len(term.columns), priors)


def unstructured_rows(correlation: str, k: int, priors: PriorSet) -> Entries:
    """Rows of an unstructured correlation's Cholesky factor, in the model that is being built.

    LKJ through canonical partial correlations, each ``2 Beta(a, a) - 1``; stick-breaking.

    Lewandowski, Kurowicka & Joe (2009): column j (from 0) has ``a = eta + (k - 2 - j) / 2``.
    """
    prior = priors[correlation].prior
    if not isinstance(prior, Prior):
        L = called(correlation + PARTIAL, prior, (k, k), n=k)
        return tuple(tuple(L[i, j] for j in range(i + 1)) for i in range(k))
    places = [(i, j) for i in range(1, k) for j in range(i)]
    a = np.array([prior["eta"] + 0.5 * (k - 2 - j) for _, j in places])
    name = correlation + PARTIAL
    if k == 2:  # a scalar spares the indexing
        unit = {places[0]: pm.Beta(name, a[0], a[0])}
    else:
        vector = pm.Beta(name, a, a, shape=len(places))
        unit = {place: vector[m] for m, place in enumerate(places)}
    rows: list[tuple[Any, ...]] = [(None,)]
    for i in range(1, k):
        left: Any = None  # what the row's unit length leaves for the columns to come
        row = []
        for j in range(i):
            half = unit[i, j]
            p, q = 2.0 * half - 1.0, 2.0 * pt.sqrt(half * (1.0 - half))
            row.append(p if left is None else p * left)
            left = q if left is None else left * q
        rows.append((*row, left))
    return tuple(rows)


def _structured(term: ReTerm, names: TermNames, priors: PriorSet) -> Entries:
    """Rows that the structure makes of variables for its parameters."""
    own = zip(names.parameters, structured_parameters(term), strict=True)
    values = [_structured_parameter(name, p, priors) for name, p in own]
    return term.structure.correlation_rows(pt, values, len(term.columns))


def _structured_parameter(name: str, parameter: Parameter, priors: PriorSet) -> Any:
    """A parameter within its range: stretched from (0, 1), counted from its end, or free."""
    prior = priors[name].prior
    if not isinstance(prior, Prior):
        return called(name, prior, ())
    low, high = ends(parameter)
    if not (low or high):
        return prior.variable(name)
    free = prior.variable(unbounded_name(name))
    if low and high:
        return pm.Deterministic(name, parameter.lower + (parameter.upper - parameter.lower) * free)
    return pm.Deterministic(name, parameter.lower + free if low else parameter.upper - free)


def called(name: str, prior: Callable[..., Any], shape: tuple[int, ...], **options: Any) -> Any:
    """Let the user's function make a variable, and check its shape."""
    value = pt.as_tensor_variable(prior(name, **options))
    known = tuple(value.type.shape)
    fits = len(known) == len(shape) and all(
        have in (None, want) for have, want in zip(known, shape, strict=True)
    )
    if not fits:
        raise OptionError(
            f"the function given as the prior of {name!r} returned a variable of shape {known}; "
            f"wanted {shape}"
        )
    return value
