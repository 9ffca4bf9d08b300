"""Predictive densities of whole groups by the fit without them: leave one group out.

Without group g the estimates are ``beta_(g), theta_(g), sigma_(g)``; its rows are then predicted by

    y_g ~ N(X_g beta_(g), sigma_(g)^2 V_g(theta_(g)) + X_g Cov(beta_(g)) X_g'),

random effects integrated out and the uncertainty of the fixed effects counted. The sum of the
logarithms is on the scale of a posterior's leave-one-group-out elpd.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.covariance import relative_factors
from nestedmlm.design.design import Design
from nestedmlm.design.matrices.grouping import refuse_related
from nestedmlm.errors import DataError, OptionError
from nestedmlm.inference.fitted import Fitted
from nestedmlm.inference.resampling.resampling import nested_in
from nestedmlm.inference.rows.deletion import DeletionEstimates
from nestedmlm.inference.rows.leaveout import leave_out
from nestedmlm.likelihood.plan import term_shapes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupPredictions:
    """Each group as the fit without it predicts it.

    Attributes
    ----------
    factor : int
    rows : (J,) int array
        Of each group.
    elpd : (J,) array
        Log predictive densities.
    squares : (J,) array
        Sums of the squared errors of prediction.
    """

    factor: int
    rows: IntArray
    elpd: FloatArray
    squares: FloatArray


def predict_groups(
    fitted: Fitted, group: str | None = None, *, refit: str = "full", progress: bool = True
) -> GroupPredictions:
    """Predict each group by the fit to the other groups.

    Parameters
    ----------
    fitted : Fitted
    group : str, optional
        A factor in which all others are nested; by default the one with the fewest levels.
    refit : {"full", "one-step", "none"}
        How theta is found without the group; see `leave_out`.
    progress : bool

    Raises
    ------
    OptionError
        If no factor holds all others, or `group` does not.
    DataError
        If a fixed effect cannot be estimated without one of the groups.
    """
    design = fitted.design
    refuse_related(design.factors, "leaving one group out")
    f = _outer_factor(design, group)
    codes = design.factors[f].codes
    sets = [np.flatnonzero(codes == g) for g in range(len(design.factors[f].levels))]
    found = leave_out(fitted, sets, refit=refit, progress=progress)
    lost = np.flatnonzero(np.isnan(found.beta).any(axis=1))
    if len(lost):
        level = design.factors[f].levels[lost[0]]
        raise DataError(
            f"without {design.factors[f].name} {level} a fixed effect cannot be estimated, so its "
            "rows cannot be predicted by the others"
        )
    done = len(found.sigma)  # fewer after Ctrl-C
    scores = [_score(design, sets[g], found, g) for g in range(done)]
    elpd, squares = (np.array(part) for part in zip(*scores, strict=True))
    rows = np.array([len(own) for own in sets[:done]])
    return GroupPredictions(factor=f, rows=rows, elpd=elpd, squares=squares)


def _outer_factor(design: Design, group: str | None) -> int:
    names = [f.name for f in design.factors]
    if group is not None and group not in names:
        raise OptionError(f"group={group!r} is no grouping factor; there are {', '.join(names)}")
    outer = [
        i
        for i, f in enumerate(design.factors)
        if all(nested_in(o.codes, f.codes) for o in design.factors)
    ]
    chosen = [i for i in outer if group in (None, names[i])]
    if not chosen:
        raise OptionError(
            "a new group shares no random effect with the others: take a factor in which all "
            f"others are nested ({', '.join(names[i] for i in outer) or 'there is none here'})"
        )
    return min(chosen, key=lambda i: len(design.factors[i].levels))


def _score(design: Design, own: IntArray, found: DeletionEstimates, g: int) -> tuple[float, float]:
    """Log predictive density of a group's rows, and their squared errors."""
    n, X = len(own), design.X[own]
    V = np.diag(np.ones(n) if design.weights is None else 1.0 / design.weights[own])
    factors = relative_factors(found.theta[g], term_shapes(design))
    for term, T in zip(design.terms, factors, strict=True):
        codes = design.factors[term.factor].codes[own]
        Z = term.X[own] @ T
        V += (Z @ Z.T) * (codes[:, None] == codes[None, :])
    V = found.sigma[g] ** 2 * V + X @ found.vcov[g] @ X.T
    rest = design.y[own] - X @ found.beta[g]
    if design.offset is not None:
        rest = rest - design.offset[own]
    L = np.linalg.cholesky(V)
    half = np.linalg.solve(L, rest)
    log_det = 2.0 * float(np.log(L.diagonal()).sum())
    return -0.5 * (n * np.log(2.0 * np.pi) + log_det + float(half @ half)), float(rest @ rest)
