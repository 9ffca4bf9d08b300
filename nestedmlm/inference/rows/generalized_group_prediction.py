"""Predictive densities of whole groups of a generalized model by the fit without them.

Without group g the fit has ``beta_(g), theta_(g)`` and a dispersion; its rows are then predicted by

    p(y_g) = E prod_i f(y_i; x_i' beta + z_i' b),   beta ~ N(beta_(g), Cov_(g)), b ~ N(0, Sigma),

as those of a linear model (`nestedmlm.inference.rows.group_prediction`), where that integral has a
closed form; here it is sampled (`nestedmlm.likelihood.glmm.new_group_density`).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.callers import PACKAGE
from nestedmlm.covariance import relative_factors
from nestedmlm.design.design import Design
from nestedmlm.errors import ConvergenceWarning, OptionError
from nestedmlm.inference.fitted import Fitted
from nestedmlm.inference.means.generalized_linear import (
    GeneralizedLinearFit,
    generalized_linear_fit,
)
from nestedmlm.inference.rows.deletion import check_sizes
from nestedmlm.inference.rows.leaveout import check_levels
from nestedmlm.inference.rows.subset import without_rows
from nestedmlm.likelihood.glmm.new_group_density import (
    NewGroup,
    expected_responses,
    new_group_density,
)
from nestedmlm.likelihood.plan import term_shapes
from nestedmlm.optimum.glmm.solve_glmm import solve_glmm
from nestedmlm.progress import gather

_DRAWS = 4000  # of importance sampling, for each group
_SEED = 20011  # of the first group's draws: the same call has the same digits


def score_groups(
    fitted: Fitted, sets: Sequence[IntArray], *, refit: str, progress: bool
) -> list[tuple[float, float, float]]:
    """Log predictive density of each group, its Monte Carlo error and the squared errors.

    Raises
    ------
    OptionError
        For another `refit` than ``"full"``.

    Warns
    -----
    ConvergenceWarning
        If an optimum without a group is not certified.
    """
    if refit != "full":
        raise OptionError(
            f"refit={refit!r} is for linear models: a generalized one is refitted without each "
            "group (refit='full')"
        )
    design, family, how = fitted.design, fitted.family, fitted.approximation
    assert family is not None
    assert how is not None
    check_sizes(design, list(sets))
    factors_of = term_shapes(design)
    lost: list[int] = []

    def each() -> Iterator[tuple[float, float, float]]:
        for g, own in enumerate(sets):
            rest = without_rows(design, own)
            check_levels(design, rest)
            if rest.p < design.p:
                yield np.nan, np.nan, np.nan
                continue
            found = solve_glmm(
                rest, family, nAGQ=how.nAGQ, information=how.information,
                start=fitted.solution.theta, penalty=fitted.penalty,
            )  # fmt: skip
            if not found.certificate.holds:
                lost.append(g)
            s = found.solution
            factors = relative_factors(s.theta, factors_of)
            root = np.hstack(
                [_effects_root(design, own, factors), _fixed_root(s.vcov, design, own)]
            )
            yield _score(design, own, s.beta, root, fitted, family.value_of(s.dispersion), g)

    scores = gather(each(), len(sets), "refits", show=progress)
    if lost:
        warnings.warn(
            f"without {len(lost)} of {len(sets)} groups (the first is number {lost[0] + 1}) the "
            "optimum is not certified: predictions of these may be off",
            ConvergenceWarning,
            skip_file_prefixes=PACKAGE,
        )
    return scores


def score_groups_flat(
    fit: GeneralizedLinearFit, sets: Sequence[IntArray]
) -> list[tuple[float, float, float]]:
    """As `score_groups`, by a generalized linear model without random effects."""
    scores = []
    for g, own in enumerate(sets):
        rest = without_rows(fit.design, own)
        if rest.p < fit.design.p:
            scores.append((np.nan, np.nan, np.nan))
            continue
        found = generalized_linear_fit(rest, fit.family)
        root = _fixed_root(found.vcov, fit.design, own)
        value = fit.family.value_of(found.dispersion)
        scores.append(_score(fit.design, own, found.beta, root, fit, value, g))
    return scores


def _score(
    design: Design,
    own: IntArray,
    beta: FloatArray,
    root: FloatArray,
    fit: Fitted | GeneralizedLinearFit,
    dispersion: float,
    g: int,
) -> tuple[float, float, float]:
    assert fit.family is not None
    offset = 0.0 if design.offset is None else design.offset[own]
    group = NewGroup(
        family=fit.family,
        y=design.y[own],
        weights=np.ones(len(own)) if design.weights is None else design.weights[own],
        center=design.X[own] @ beta + offset,
        root=root,
        dispersion=dispersion,
    )
    value, error = new_group_density(group, draws=_DRAWS, seed=_SEED + g)
    rest = group.y - expected_responses(group)
    return value, error, float(rest @ rest)


def _fixed_root(vcov: FloatArray, design: Design, own: IntArray) -> FloatArray:
    """``X L`` of some rows, where ``L L'`` is the covariance of the fixed effects."""
    values, vectors = np.linalg.eigh(vcov)
    root: FloatArray = design.X[own] @ (vectors * np.sqrt(np.maximum(values, 0.0)))
    return root


def _effects_root(design: Design, own: IntArray, factors: Sequence[FloatArray]) -> FloatArray:
    """``Z Lambda`` of some rows: a block of columns for each level of each term."""
    parts = [np.zeros((len(own), 0))]
    for term, T in zip(design.terms, factors, strict=True):
        levels, codes = np.unique(design.factors[term.factor].codes[own], return_inverse=True)
        block = np.zeros((len(own), len(levels), len(T)))
        block[np.arange(len(own)), codes] = term.X[own] @ T
        parts.append(block.reshape(len(own), -1))
    return np.hstack(parts)
