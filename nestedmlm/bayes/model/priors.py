"""Default priors scaled from the data, the user's changes, and the table of both.

The rules (y is the response minus the offset, W the weights):

- the intercept: Normal(mean y, 2.5 sd y), *at the means of the other columns*;
- other fixed effects: Normal(0, 2.5 sd y / sd x);
- standard deviations of random effects: HalfNormal(sd y / rms x), rms x being 1 for an intercept;
- sigma: HalfNormal(sd y), times the root mean weight where there are weights;
- correlation matrices: LKJ(2); the common correlation of ``cs`` and ``ar1``: Beta(2, 2),
  stretched onto the interval of admissible values;
- other parameters of a structured correlation: by their range, see `_structured_row`;
- residuals that differ: logarithms of ratios of their standard deviations Normal(0, 1), slopes per
  standard deviation of the predictor; correlations of residuals as those of random effects (car1:
  at the median gap); of an unstructured matrix each visit's standard deviation as sigma.

Those of generalized models, on the scale of the link: `nestedmlm.bayes.model.link_priors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nestedmlm.bayes.model.distributions import Prior
from nestedmlm.bayes.model.link_priors import LinkScale, beside_prior, link_scale
from nestedmlm.bayes.model.names import (
    ResidualNames,
    TermNames,
    parameter_names,
    sampled_parameters,
    structured_parameters,
)
from nestedmlm.bayes.model.prior_set import CENTRED, PriorRow, PriorSet, given_priors
from nestedmlm.bayes.model.scalar_parameters import printed_terms
from nestedmlm.covariance import Parameter
from nestedmlm.covariance.parameter import ends
from nestedmlm.covariance.residual_structures import GAPS, ResidualStructure
from nestedmlm.design.moments import column_moments, mean_weight, response_moments, term_sizes
from nestedmlm.errors import DataError
from nestedmlm.statistics.residual_model import column_unit

if TYPE_CHECKING:
    from nestedmlm.design.design import Design, ReTerm
    from nestedmlm.design.residual import ResidualRows

_WIDE = 2.5  # units of the prior of a fixed effect


def resolve_priors(design: Design, user: Mapping[str, Any] | None = None) -> PriorSet:
    """Default priors of a design, with the user's in their place.

    Parameters
    ----------
    design : Design
    user : mapping of str to Prior or callable, optional
        By a posterior's names (``Days|Subject_sigma``) or by those that tables print
        (``sd_Days|Subject``). A callable gets the name of the variable (and, for a correlation
        matrix, ``n=``) and returns a PyMC variable; for a correlation matrix its (n, n) lower
        Cholesky factor. The prior of "Intercept" is that of the intercept at the means of the
        other predictors.

    Raises
    ------
    OptionError
        For unknown names and for priors that do not suit the parameter.
    """
    if isinstance(user, PriorSet):
        return default_priors(design).replace(given_priors(user))
    return default_priors(design).replace(user)


def default_priors(design: Design) -> PriorSet:
    """Weakly informative priors, scaled from the data by the rules above."""
    family = design.family
    scale = _response_scale(design) if family is None else link_scale(design, family)
    names = parameter_names(design)
    rows = {name: _fixed_row(design, j, scale) for j, name in enumerate(names.fixed)}
    for term, own in zip(design.terms, names.terms, strict=True):
        rows |= _term_rows(term, own, scale)
    if family is None:
        rows[names.sigma] = _sigma_row(design, scale.unit)
    else:
        for parameter in sampled_parameters(family):
            prior, rule = beside_prior(parameter, design.y)
            rows[parameter.name] = PriorRow(prior, "positive parameter", rule)
    if design.residual is not None:
        rows |= _residual_rows(design.residual, names.residual, rows[names.sigma])
    terms = printed_terms(design)
    return PriorSet({name: replace(row, terms=terms[name]) for name, row in rows.items()})


def _residual_rows(own: ResidualRows, names: ResidualNames, sigma: PriorRow) -> dict[str, PriorRow]:
    rows = {}
    for name, column in zip(names.log_sd, own.log_sd.T, strict=True):
        unit = column_unit(column)
        rule = "log ratio of standard deviations" if unit == 1.0 else "log SD, 1 / sd x"
        rows[name] = PriorRow(Prior("Normal", mu=0.0, sigma=1.0 / unit), "fixed effect", rule)
    structure = own.structure
    for group in names.groups:
        assert structure is not None
        for name, p in zip(group.parameters, structure.ends(own.levels), strict=True):
            rows[name] = _structured_row(p) if structure.rate is None else _between_row(structure)
        rows |= {name: PriorRow(sigma.prior, sigma.role, sigma.rule) for name in group.sds}
        if group.correlation:
            rows[group.correlation] = _unstructured_row()
    return rows


def _between_row(structure: ResidualStructure) -> PriorRow:
    rule = "Beta(2, 2) stretched onto the admissible correlations"
    if structure.time == GAPS and not structure.whole_gaps:
        rule += ", of rows at the median gap"
    return PriorRow(Prior("Beta", alpha=2, beta=2), "common correlation", rule)


def _unstructured_row() -> PriorRow:
    rule = "LKJ(2): correlations near -1 and 1 less likely"
    return PriorRow(Prior("LKJ", eta=2), "correlation matrix", rule)


def _response_scale(design: Design) -> LinkScale:
    """The scale of a linear model: that of its response."""
    y = response_moments(design)
    return LinkScale(centre=y.mean, unit=y.sd, centre_rule="mean y", unit_rule="sd y", effect=1.0)


def _units(number: float, scale: LinkScale, over: str = "") -> str:
    """A number of units in words: ``2.5 sd y / sd x``."""
    many = "" if number == 1.0 and scale.unit_rule else f"{number:g}"
    return " ".join(part for part in (many, scale.unit_rule) if part) + over


def _fixed_row(design: Design, j: int, scale: LinkScale) -> PriorRow:
    if design.x_names[j] == "(Intercept)":
        rule = f"{scale.centre_rule}, {_units(_WIDE, scale)}"
        rule += CENTRED if design.p > 1 else ""
        prior = Prior("Normal", mu=scale.centre, sigma=_WIDE * scale.unit)
        return PriorRow(prior, "fixed effect", rule)
    x = column_moments(design, j)
    spread, word = x.sd, "sd"
    if spread == 0.0:  # a constant column that is not called the intercept
        spread, word = x.rms, "rms"
    if spread == 0.0:
        raise DataError(
            f"the predictor {design.x_names[j]} is so small that its squares are zero to the "
            "computer; give it in other units (divide it by its standard deviation)"
        )
    rule = f"0, {_units(_WIDE, scale, f' / {word} x')}"
    prior = Prior("Normal", mu=0.0, sigma=_WIDE * scale.unit / spread)
    return PriorRow(prior, "fixed effect", rule, units=(scale.unit, spread))


def _term_rows(term: ReTerm, names: TermNames, scale: LinkScale) -> dict[str, PriorRow]:
    rms = term_sizes(term)
    common = len(names.sds) < len(names.variables)
    sizes = [float(np.sqrt(np.mean(rms**2)))] if common else rms.tolist()
    columns = term.columns if len(names.sds) == len(term.columns) else ("",)
    rows = {}
    for name, column, size in zip(names.sds, columns, sizes, strict=True):
        rule = _units(scale.effect, scale, "" if column == "(Intercept)" else " / rms x")
        prior = Prior("HalfNormal", sigma=scale.effect * scale.unit / (size or 1.0))
        rows[name] = PriorRow(prior, "standard deviation", rule)
    if names.rho:
        prior = Prior("Beta", alpha=2, beta=2)
        rule = "Beta(2, 2) stretched onto the admissible correlations"
        rows[names.rho] = PriorRow(prior, "common correlation", rule)
    elif names.parameters:
        for name, parameter in zip(names.parameters, structured_parameters(term), strict=True):
            rows[name] = _structured_row(parameter)
    elif names.correlation:
        rows[names.correlation] = _unstructured_row()
    return rows


def _structured_row(parameter: Parameter) -> PriorRow:
    """Weak prior of a parameter of a structured correlation, by its range."""
    low, high = ends(parameter)
    middle = 0.0 if parameter.start is None else parameter.start
    if low and high:
        rule = f"Beta(2, 2) stretched onto ({parameter.lower:g}, {parameter.upper:g})"
        return PriorRow(Prior("Beta", alpha=2, beta=2), "common correlation", rule)
    if low or high:
        end = parameter.lower if low else parameter.upper
        size = abs(middle - end) if parameter.start is not None else 1.0
        rule = f"distance from {end:g}: twice where the optimizer starts"
        return PriorRow(Prior("HalfNormal", sigma=2.0 * size), "standard deviation", rule)
    prior = Prior("Normal", mu=middle, sigma=2.0 * max(1.0, abs(middle)))
    return PriorRow(prior, "fixed effect", "around where the optimizer starts")


def _sigma_row(design: Design, sd_y: float) -> PriorRow:
    rule = "sd y"
    weight = mean_weight(design)
    if weight is not None:
        sd_y, rule = sd_y * float(np.sqrt(weight)), "sd y * root mean weight"
    return PriorRow(Prior("HalfNormal", sigma=sd_y), "standard deviation", rule)
