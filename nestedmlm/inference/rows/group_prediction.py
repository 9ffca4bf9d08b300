"""Predictive densities of whole groups by the fit without them: leave one group out.

Without group g the estimates are ``beta_(g), theta_(g), sigma_(g)``; its rows are then predicted by

    y_g ~ N(X_g beta_(g), sigma_(g)^2 V_g(theta_(g)) + X_g Cov(beta_(g)) X_g'),

random effects integrated out and the uncertainty of the fixed effects counted; of residuals that
differ or correlate V_g has their own covariance, as estimated without the group. The sum of the
logarithms is on the scale of a posterior's leave-one-group-out elpd. Generalized models:
`nestedmlm.inference.rows.generalized_group_prediction`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.covariance import relative_factors
from nestedmlm.design.design import Design
from nestedmlm.design.matrices.grouping import refuse_curves, refuse_related
from nestedmlm.errors import OptionError
from nestedmlm.inference.fitted import Fitted
from nestedmlm.inference.means.generalized_linear import GeneralizedLinearFit
from nestedmlm.inference.resampling.resampling import nested_in
from nestedmlm.inference.rows.deletion import DeletionEstimates
from nestedmlm.inference.rows.leaveout import leave_out
from nestedmlm.late import late_imports
from nestedmlm.likelihood.plan import term_shapes
from nestedmlm.statistics.pair_sums import ResidualAt
from nestedmlm.statistics.residual_model import tells_of

if TYPE_CHECKING:
    from nestedmlm.inference.means.linear import LinearFit
    from nestedmlm.inference.rows.generalized_group_prediction import (
        score_groups,
        score_groups_flat,
    )
else:  # only generalized models ask for it
    globals().update(
        late_imports(
            "nestedmlm.inference.rows",
            {"generalized_group_prediction": "score_groups score_groups_flat"},
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupPredictions:
    """Each group as the fit without it predicts it.

    Attributes
    ----------
    rows : (J,) int array
        Of each group.
    elpd : (J,) array
        Log predictive densities; NaN where a fixed effect, or what is asked of the residuals'
        covariance, cannot be estimated without the group.
    squares : (J,) array
        Sums of the squared errors of prediction.
    error : (J,) array or None
        Monte Carlo standard errors of `elpd`, where the densities are sampled.
    """

    rows: IntArray
    elpd: FloatArray
    squares: FloatArray
    error: FloatArray | None = None


def predict_groups(
    fitted: Fitted, sets: Sequence[IntArray], *, refit: str = "full", progress: bool = True
) -> GroupPredictions:
    """Predict each group by the fit to the other groups.

    Parameters
    ----------
    fitted : Fitted
    sets : sequence of int arrays
        The rows of each group: every row in one, and every level of the grouping factors (and
        every block of residuals that correlate) in one.
    refit : {"full", "one-step", "none"}
        How theta is found without the group; see `leave_out`.
    progress : bool

    Raises
    ------
    OptionError
        If two groups share a random effect, or a block of residuals that correlate.
    """
    design = fitted.design
    refuse_related(design.factors, "leaving one group out")
    refuse_curves(design.factors, "leaving one group out")
    codes = np.empty(design.n, dtype=np.int64)
    for g, own in enumerate(sets):
        codes[own] = g
    if not all(nested_in(factor.codes, codes) for factor in design.factors):
        raise OptionError(
            "a new group shares no random effect with the others: take a factor in which all "
            f"others are nested ({', '.join(outer_factors(design)) or 'there is none here'})"
        )
    blocks = None if design.residual is None else design.residual.block
    if blocks is not None and not nested_in(blocks, codes):
        raise OptionError(
            f"rows of one {design.residual.block_name} correlate, and some would be predicted by "  # type: ignore[union-attr]
            "others: take groups of whole blocks"
        )
    if fitted.family is not None:
        return _sampled(sets, score_groups(fitted, sets, refit=refit, progress=progress))
    found = leave_out(fitted, list(sets), refit=refit, residuals=True, progress=progress)
    done = len(found.sigma)  # fewer after Ctrl-C
    return _gathered(sets[:done], [_score(design, sets[g], found, g) for g in range(done)])


def predict_groups_flat(
    fit: LinearFit | GeneralizedLinearFit, sets: Sequence[IntArray]
) -> GroupPredictions:
    """As `predict_groups`, by a (generalized) linear model without random effects."""
    if isinstance(fit, GeneralizedLinearFit):
        return _sampled(sets, score_groups_flat(fit, sets))
    X, w = fit.X[:, fit.kept], fit.w
    information, moments = X.T @ (w[:, None] * X), X.T @ (w * fit.y)
    scores = []
    for own in sets:
        rest = information - X[own].T @ (w[own, None] * X[own])
        if np.linalg.matrix_rank(rest, hermitian=True) < len(rest):
            scores.append((np.nan, np.nan))
            continue
        unscaled = np.linalg.inv(rest)
        beta = unscaled @ (moments - X[own].T @ (w[own] * fit.y[own]))
        others = np.delete(np.arange(fit.nobs), own)
        rss = float(np.sum(w[others] * (fit.y[others] - X[others] @ beta) ** 2))
        sigma2 = rss / (len(others) - (len(beta) if fit.REML else 0))
        V = sigma2 * (np.diag(1.0 / w[own]) + X[own] @ unscaled @ X[own].T)
        scores.append(_log_density(fit.y[own] - X[own] @ beta, np.linalg.cholesky(V)))
    return _gathered(sets, scores)


def outer_factors(design: Design) -> list[str]:
    """Factors in which all others are nested, the one with the fewest levels first.

    Blocks of residuals that correlate must be too; where there are only these, they are it.
    """
    residual = design.residual
    blocks = None if residual is None else residual.block
    if blocks is not None and not design.factors:
        return [residual.block_name]  # type: ignore[union-attr]
    outer = [f for f in design.factors if all(nested_in(o.codes, f.codes) for o in design.factors)]
    if blocks is not None:
        outer = [f for f in outer if nested_in(blocks, f.codes)]
    return [f.name for f in sorted(outer, key=lambda f: len(f.levels))]


def named_unit(design: Design, unit: str, group: str | None) -> tuple[str, str | None]:
    """Read a factor's name in the place of a unit: ``"school"`` is the group of that name."""
    if group is None and unit not in ("row", "group") and unit in [f.name for f in design.factors]:
        return "group", unit
    return unit, group


def _sampled(
    sets: Sequence[IntArray], scores: Sequence[tuple[float, float, float]]
) -> GroupPredictions:
    """Predictions of the sets done, fewer after Ctrl-C, with Monte Carlo errors."""
    found = _gathered(sets[: len(scores)], [(value, squares) for value, _, squares in scores])
    return replace(found, error=np.array([error for _, error, _ in scores]))


def _gathered(sets: Sequence[IntArray], scores: Sequence[tuple[float, float]]) -> GroupPredictions:
    elpd, squares = (np.array(part) for part in zip(*scores, strict=True))
    rows = np.array([len(own) for own in sets])
    return GroupPredictions(rows=rows, elpd=elpd, squares=squares)


def _score(design: Design, own: IntArray, found: DeletionEstimates, g: int) -> tuple[float, float]:
    """Log predictive density of a group's rows, and their squared errors."""
    if np.isnan(found.beta[g]).any():
        return np.nan, np.nan
    X, V = design.X[own], _residual_covariance(design, own, found.residual[g])
    if V is None:
        return np.nan, np.nan
    factors = relative_factors(found.theta[g], term_shapes(design))
    columns = [np.linalg.cholesky(V), X @ _root(found.vcov[g]) / found.sigma[g]]
    for term, T in zip(design.terms, factors, strict=True):
        _, level = np.unique(design.factors[term.factor].codes[own], return_inverse=True)
        apart = np.eye(level.max() + 1)[level]
        columns.append(np.einsum("il,ik->ilk", apart, term.X[own] @ T).reshape(len(own), -1))
    # the root of the rows' covariance without the covariance, whose small numbers would be lost
    root = np.linalg.qr(np.hstack(columns).T, mode="r").T
    rest = design.y[own] - X @ found.beta[g]
    if design.offset is not None:
        rest = rest - design.offset[own]
    return _log_density(rest, found.sigma[g] * root)


def _root(covariance: FloatArray) -> FloatArray:
    """A with ``A A'`` the covariance, which may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0.0))


def _residual_covariance(design: Design, own: IntArray, at: ResidualAt | None) -> FloatArray | None:
    """Covariance of a group's residuals over sigma^2; None where the other rows do not tell it."""
    w = np.ones(len(own)) if design.weights is None else design.weights[own]
    if at is None or design.residual is None:
        return np.diag(1.0 / w)
    rows = design.residual.of_rows(own)
    if not tells_of(at, rows):
        return None
    V: FloatArray = np.zeros((len(own), len(own)))
    for some, R in at.model.matrices_of(at.free, rows):
        V[some[:, :, None], some[:, None, :]] = R
    return V / np.sqrt(np.outer(w, w))


def _log_density(rest: FloatArray, L: FloatArray) -> tuple[float, float]:
    """Logarithm of a normal density of mean zero and covariance ``L L'``, and the squares' sum."""
    half = np.linalg.solve(L, rest)
    log_det = 2.0 * float(np.log(np.abs(L.diagonal())).sum())
    constant = len(rest) * np.log(2.0 * np.pi)
    return -0.5 * (constant + log_det + float(half @ half)), float(rest @ rest)
