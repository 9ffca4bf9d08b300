"""`GlmmModel`: a family, its rows and the maps to sums of products: what no parameter changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import check_choice
from nestedmlm.design.design import Design
from nestedmlm.families.family import Family
from nestedmlm.families.row_terms import RowTerms, log_densities, rows
from nestedmlm.likelihood.elimination import Eliminated, solve_other
from nestedmlm.likelihood.plan import Plan, make_plan
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.statistics.parts import FactorPart
from nestedmlm.statistics.reweighting import Reweighting, reweighting

_ROWS_AT_ONCE = 8192  # what they need meanwhile stays in the processor's cache
INFORMATION = ("auto", "expected", "observed")
# of ``"auto"``: glmer's numbers without a free dispersion, glmmTMB's with one
_AUTO: Mapping[bool, str] = MappingProxyType({False: "expected", True: "observed"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GlmmModel:
    """A generalized linear mixed model before its parameters are known.

    Attributes
    ----------
    family : Family
    y, weights, offset : (n,) arrays
        Responses, trials or prior weights, and offsets.
    products : Reweighting
    plan : Plan
    observed : bool
        Whether log|M| has the observed information; else the expected one.
    constant : float
        Sum of the log-density's constants.
    unit : float
        Size of the linear predictor that columns are scaled by (`predictor_unit`).
    """

    family: Family
    y: FloatArray
    weights: FloatArray
    offset: FloatArray
    products: Reweighting
    plan: Plan
    observed: bool
    constant: float
    unit: float

    @property
    def parts(self) -> tuple[FactorPart, ...]:
        """Parts of the grouping factors in stacked vectors."""
        return self.products.parts

    @property
    def one_information(self) -> bool:
        """Whether log|M| has the weights of Newton's method."""
        return self.observed or self.family.is_canonical

    @property
    def bounded(self) -> bool:
        """Whether log|M| cannot fall below zero: the expected information is never negative."""
        return not self.observed or self.family.is_canonical

    def rows(self, eta: FloatArray, dispersion: float) -> RowTerms:
        """Derivatives of the rows' log-densities."""
        if len(eta) <= _ROWS_AT_ONCE:
            return rows(self.family, eta, self.y, self.weights, dispersion)
        out = np.empty((len(RowTerms._fields), len(eta)))
        for low in range(0, len(eta), _ROWS_AT_ONCE):
            at = slice(low, low + _ROWS_AT_ONCE)
            out[:, at] = rows(self.family, eta[at], self.y[at], self.weights[at], dispersion)
        return RowTerms(*out)

    def loglik(self, eta: FloatArray, dispersion: float) -> float:
        """Sum of the log-densities without their constants; NaN where there is none."""
        return float(log_densities(self.family, eta, self.y, self.weights, dispersion).sum())

    def predictor(self, gamma: FloatArray) -> FloatArray:
        """Linear predictor of the fixed effects (in orthonormal columns) and the offset."""
        out: FloatArray = self.offset + self.products.X @ gamma
        return out

    def spherical(self, T: FloatArray, B: FloatArray) -> FloatArray:
        """``u = Lambda'B``."""
        return np.concatenate([(p.by_level(B) @ p.matrix(T)).ravel() for p in self.parts])

    def effects(self, T: FloatArray, u: FloatArray) -> FloatArray:
        """``b = Lambda u``."""
        return np.concatenate([(p.by_level(u) @ p.matrix(T).T).ravel() for p in self.parts])

    def solve_other(
        self, T: FloatArray, at: tuple[CrossProducts, Eliminated], w: FloatArray, R: FloatArray
    ) -> FloatArray:
        """``Z'V^-1 x`` for ``R = Z'x`` at the weights w of an elimination that is done."""
        return solve_other(
            *at,
            R,
            covariance=lambda B: self.effects(T, self.spherical(T, B)),
            information=lambda b: self.products.Zt @ (w * (self.products.Z @ b)),
        )


def predictor_unit(family: Family, y: FloatArray, weights: FloatArray) -> float:
    """A power of two near the standard deviation of the linear predictor among the responses.

    Identity, inverse and root links carry the response's unit into the predictor. In this unit
    steps, limits and zeros of the optimizer are those of a response of size one.

    Parameters
    ----------
    family : Family
    y, weights : (n,) arrays

    Returns
    -------
    float
        1 of links that have no unit: the log, and those of shares.
    """
    if family.link.unit or family.link.name == "log":
        return 1.0
    with np.errstate(all="ignore"):
        mu = family.start_mean(y, weights)
        slope = family.link.derivatives(family.link.eta(np.atleast_1d(np.mean(mu))))[0]
        size = float(np.abs(np.std(mu) / slope[0]))
    return float(2.0 ** np.round(np.log2(size))) if 0.0 < size < np.inf else 1.0


def make_model(
    design: Design, family: Family, *, information: str = "auto", unit: float | None = None
) -> GlmmModel:
    """Make the model of a design and a family.

    Parameters
    ----------
    design : Design
        With responses and weights of the kind that the family takes.
    family : Family
    information : {"auto", "expected", "observed"}
        Of the determinant in the Laplace approximation.
    unit : float, optional
        Of the linear predictor; by default `predictor_unit`.

    Returns
    -------
    GlmmModel

    Raises
    ------
    OptionError
        For an unknown information.
    """
    check_choice(information, "information", INFORMATION)
    kind = _AUTO[family.has_dispersion] if information == "auto" else information
    weights = _kept(np.ones(design.n) if design.weights is None else design.weights)
    y = _kept(design.y)
    unit = predictor_unit(family, y, weights) if unit is None else unit
    products = reweighting(design, unit)
    return GlmmModel(
        family=family,
        y=y,
        weights=weights,
        offset=np.zeros(design.n) if design.offset is None else np.array(design.offset),
        products=products,
        plan=make_plan(design, products.empty),
        observed=kind == "observed",
        constant=float(family.log_constant(y, weights).sum()),
        unit=unit,
    )


def _kept(values: FloatArray) -> FloatArray:
    """The numbers as an array that is never written: compiled loops are kept for one kind."""
    out = np.ascontiguousarray(values, dtype=float).view()
    out.flags.writeable = False
    return out
