"""Start of a sampler: estimates of a fit as values of a model's free variables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.density.prior_coordinates import make_coordinate
from nestedmlm.bayes.model.centring import centring
from nestedmlm.bayes.model.distributions import Prior
from nestedmlm.bayes.model.names import (
    CENTRED_INTERCEPT,
    DISPERSION,
    INTERCEPT,
    PARTIAL,
    RAW,
    SIGMA,
    TermNames,
    parameter_names,
    structured_parameters,
    unbounded_name,
)
from nestedmlm.bayes.sampling.correlation_roots import partial_correlations
from nestedmlm.bayes.sampling.residual_draws import residual_start
from nestedmlm.covariance import Parameter, TermShape, split_parameters
from nestedmlm.covariance.parameter import ends
from nestedmlm.design.moments import term_sizes

if TYPE_CHECKING:
    from nestedmlm.bayes.model.prior_set import PriorSet
    from nestedmlm.design.design import Design, ReTerm
    from nestedmlm.statistics.pair_sums import ResidualAt

_SMALLEST_RELATIVE_SD = 0.05  # of a column at its root mean square: at zero there is no gradient
_LARGEST_CORRELATION = 0.95  # correlations are kept away from their boundary
_DISTANCES = (1e-3, 1e3)  # from the only end of a parameter, on the scale it has


def start_values(
    free: Collection[str],
    design: Design,
    *,
    beta: FloatArray,
    T: Sequence[FloatArray],
    sigma: float,
    theta: FloatArray | None = None,
    dispersion: float | None = None,
    residual: ResidualAt | None = None,
) -> dict[str, Any]:
    """Values of free variables at estimates of a fit.

    Parameters
    ----------
    free : collection of str
        Names of the free variables, of a density or of a PyMC model, which may have been edited.
    beta : (p,) array
    T : sequence of (k, k) arrays
        Relative factor of each term, user's columns.
    sigma : float
        1 in a generalized model.
    theta : (n_theta,) array, optional
        lme4's parameters, which hold those of structured correlations; without them a sampler
        starts these where the optimizer does, but for a correlation that can be read off T.
    dispersion : float, optional
        Of a generalized model's family.
    residual : ResidualAt, optional
        Of residuals that differ or correlate.

    Returns
    -------
    dict
        By the free variable's name, those only that there are.
    """
    names = parameter_names(design)
    found: dict[str, Any] = dict(zip(names.fixed, np.asarray(beta).tolist(), strict=True))
    how = centring(design)
    if how.intercept is not None:
        found[CENTRED_INTERCEPT] = float(beta[how.intercept] + how.means @ beta)
    found |= _beside(design, sigma, dispersion)
    for term, own, factor, par in zip(
        design.terms, names.terms, T, _structured(design, theta), strict=True
    ):
        found |= _term_values(term, own, sigma * np.asarray(factor), sigma, par)
    if residual is not None:
        found |= residual_start(design, residual, sigma)
    return {name: value for name, value in found.items() if name in free}


def within_ends(values: Mapping[str, Any], priors: PriorSet | None) -> dict[str, Any]:
    """Leave out values that lie where their priors have no probability: others are found there."""

    def possible(name: str, value: Any) -> bool:
        known = INTERCEPT if name == CENTRED_INTERCEPT else name
        row = None if priors is None else priors.get(known)
        prior = None if row is None else row.prior
        if not isinstance(prior, Prior) or prior.distribution == "LKJ" or prior.hyperpriors:
            return True
        return make_coordinate(name, prior).holds(float(value))

    return {name: value for name, value in values.items() if possible(name, value)}


def _beside(design: Design, sigma: float, dispersion: float | None) -> dict[str, float]:
    """Sigma, or what a family has beside its mean."""
    if design.family is None:
        return {SIGMA: sigma}
    if design.family.pymc is None:
        return {} if dispersion is None else {DISPERSION: dispersion}
    return design.family.pymc.at_dispersion(dispersion)


def _structured(design: Design, theta: FloatArray | None) -> list[FloatArray]:
    """Each term's parameters of its correlation; nothing where theta is not given."""
    if theta is None:
        return [np.zeros(0)] * len(design.terms)
    shapes = [TermShape(t.structure, t.hom, len(t.columns)) for t in design.terms]
    parts = split_parameters(theta, shapes)
    return [
        term.structure.correlation_part(part, len(term.columns))
        for term, part in zip(design.terms, parts, strict=True)
    ]


def _term_values(
    term: ReTerm, own: TermNames, factor: FloatArray, sigma: float, par: FloatArray
) -> dict[str, Any]:
    k = len(own.variables)
    sd = np.sqrt(np.sum(factor**2, axis=1))
    unit_rows = factor / np.where(sd > 0, sd, 1.0)[:, None]
    R = unit_rows @ unit_rows.T
    rms = term_sizes(term)
    sd = np.maximum(sd, _SMALLEST_RELATIVE_SD * sigma / np.where(rms > 0, rms, 1.0))
    out: dict[str, Any] = {}
    for name, value in zip(own.sds, sd.tolist(), strict=False):
        out |= {name: value, name + RAW: value}
    if own.parameters:
        values = R[1, :1] if own.rho else par
        # none are known where no theta is given
        for name, p, value in zip(
            own.parameters, structured_parameters(term), values, strict=False
        ):
            out |= _parameter_values(name, p, float(value))
    elif own.correlation:
        unit = 0.5 + 0.5 * np.clip(
            partial_correlations(R), -_LARGEST_CORRELATION, _LARGEST_CORRELATION
        )
        out[own.correlation + PARTIAL] = float(unit[0]) if k == 2 else unit
    return out


def _parameter_values(name: str, p: Parameter, value: float) -> dict[str, float]:
    """A parameter within its range and the variable it is made from, away from the ends."""
    low, high = ends(p)
    if low and high:
        width = p.upper - p.lower
        unit = np.clip(
            (value - p.lower) / width,
            0.5 - 0.5 * _LARGEST_CORRELATION,
            0.5 + 0.5 * _LARGEST_CORRELATION,
        )
        return {name: p.lower + width * unit, unbounded_name(name): unit}
    if not (low or high):
        return {name: value}
    distance = np.clip(value - p.lower if low else p.upper - value, *_DISTANCES)
    return {name: p.lower + distance if low else p.upper - distance, unbounded_name(name): distance}
