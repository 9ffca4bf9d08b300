"""Random effects that the data cannot tell apart: variance parameters without information.

Two terms whose effects enter the rows in the same way have one variance between them: the
likelihood knows its sum, and any split of it fits as well. Their columns in the information of the
variance parameters depend on each other, to rounding: in the average information, which every fit
has, and then in the expected information too.

Which effects enter the rows in the same way is a matter of the columns alone. For generalized
models, and for residuals that differ or correlate, the linear model with the same columns answers,
its residual variance known: what is confounded with that is not confounded there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.covariance import TermShape, split_parameters
from nestedmlm.covariance.table import UNSTRUCTURED
from nestedmlm.design.moments import term_matrix
from nestedmlm.design.rows import rows_here
from nestedmlm.inference.effects.variance_derivatives import variance_derivatives
from nestedmlm.inference.fitted import Fitted
from nestedmlm.inference.variances.directions import Directions
from nestedmlm.inference.variances.expected_information import expected_information
from nestedmlm.inference.variances.null_space import has_null_vectors, null_vectors, rank_of
from nestedmlm.inference.variances.residual_identification import terms_in_residuals
from nestedmlm.likelihood.plan import (
    Plan,
    jacobian,
    once_per_plan,
    phi_of_theta,
    term_columns,
    term_places,
    theta_of_phi,
)
from nestedmlm.likelihood.solution import results_at
from nestedmlm.optimum.curvature import free_entries
from nestedmlm.optimum.objective import Objective
from nestedmlm.optimum.starts import scaled_sds
from nestedmlm.statistics.crossproducts import cross_products

if TYPE_CHECKING:
    from nestedmlm.design.design import Design
    from nestedmlm.design.matrices.reterms import ReTerm
    from nestedmlm.likelihood.solution import Solution

_COLLINEAR = 1e-7  # relative singular value of columns that depend on each other (R's rank rule)
_BOUNDARY_STEP = 1e-3  # of a parameter on the boundary, whose square moves the covariance
_LARGEST = 100.0  # relative standard deviation in scaled columns at which information is looked at
_SEED = 0x6E65_7374_6564  # of a response that no predictor is likely to be
_INVOLVED = 1e-4  # share of the largest entry of a null vector that means a parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Confounding:
    """Random effects that the data cannot tell apart.

    Attributes
    ----------
    terms : tuple of str
        The terms as the formula has them: two or more, or one whose own columns are confounded.
    columns : tuple of str
        Of one term, its columns that depend on each other.
    redundant : str
        The term, or the column, without which the model is the same; empty if there is none.
    place : int
        Place of that term, or of the column's term, in the order of VarCorr.
    fixed : bool
        Whether the fixed effects reproduce these columns of the term.
    """

    terms: tuple[str, ...]
    columns: tuple[str, ...]
    redundant: str
    place: int
    fixed: bool = False

    @property
    def message(self) -> str:
        """What is not identified, what is, and what to write instead."""
        if self.fixed:
            return (
                f"the fixed effects reproduce the random effects {listed(self.columns)} of "
                f"{self.terms[0]}: REML knows nothing of their variance, and what it is said to be "
                "is arbitrary; leave these random effects out, or the fixed ones"
            )
        what = f"the data cannot tell the random effects of {listed(self.terms)} apart"
        if len(self.terms) == 1 and self.columns:
            what = f"the random effects {listed(self.columns)} of {self.terms[0]} are collinear"
        elif len(self.terms) == 1:
            what = f"the data do not identify all variances and covariances of {self.terms[0]}"
        known = "only what they add up to is identified, how it is split is arbitrary"
        instead = f"; leave out {self.redundant}: the model is the same" if self.redundant else ""
        return f"{what}: {known}{instead}"


def confoundings(
    design: Design, solution: Solution, *, REML: bool, information: FloatArray | None = None
) -> tuple[Confounding, ...]:
    """Find the random effects of a model that cannot be told apart.

    Parameters
    ----------
    design : Design
    solution : Solution
        The model at its optimum.
    REML : bool
    information : (n, n) array, optional
        Average information there, of the entries of `free_entries`, where the caller has it.

    Returns
    -------
    tuple of Confounding
        None where crossed factors are eliminated iteratively.
    """
    fixed = _reproduced(design) if REML and design.family is None else ()
    shared = _shared(design, solution, REML=REML, information=information)
    return (*fixed, *shared, *_in_residuals(design, solution))


def _in_residuals(design: Design, solution: Solution) -> tuple[Confounding, ...]:
    """Terms that the residuals' structure contains, wholly or in part."""
    found = terms_in_residuals(design, solution)
    residuals = f"residual='{design.residual.arguments.term.text}'" if found else ""  # type: ignore[union-attr]
    return tuple(
        Confounding(
            terms=(_text(design.terms[place]), residuals),
            columns=(),
            redundant=_text(design.terms[place]) if whole else "",
            place=place,
        )
        for place, whole in found
    )


def _reproduced(design: Design) -> tuple[Confounding, ...]:
    """Terms with columns whose effects, one for each level, are sums of the fixed effects'."""
    if design.sums is not None or not design.p:
        return ()
    found, Q = list[Confounding](), None
    for place, term in enumerate(design.terms):
        factor = design.factors[term.factor]
        if len(factor.levels) > design.p or factor.basis is not None or term.smooth:
            continue
        if Q is None:
            Q = np.linalg.qr(design.X)[0]
        effects = np.zeros((design.n, len(factor.levels)))
        columns = list[str]()
        for name, x in zip(term.columns, term_matrix(term).T, strict=True):
            effects[np.arange(design.n), factor.codes] = x
            rest = effects - Q @ (Q.T @ effects)
            if effects.any() and np.linalg.norm(rest) <= _COLLINEAR * np.linalg.norm(effects):
                columns.append(name)
        if columns:
            found.append(
                Confounding(
                    terms=(_text(term),), columns=tuple(columns), redundant="", place=place,
                    fixed=True,
                )
            )  # fmt: skip
    return tuple(found)


def _shared(
    design: Design, solution: Solution, *, REML: bool, information: FloatArray | None
) -> tuple[Confounding, ...]:
    """Variances that terms, or columns of one, have between them."""
    other = design.family is not None or design.residual is not None
    if not design.terms:
        return ()
    if other and (solution.plan.n_theta == 1 or len(design.x_names) >= design.n):
        return ()  # one parameter, beside a known scale, shares with none
    if solution.stats.sparse is not None and (other or information is None):
        return ()  # an iterative elimination does not work it out
    if other:
        generalized, design = design.family is not None, _linear(design)
        try:
            solution = _as_linear(design, solution, generalized)
        except np.linalg.LinAlgError:  # a fit that ran away: beside its variances nothing is known
            return ()
    plan = solution.plan
    if information is not None and not other:  # most models end here
        basis = _linear_parameters(plan)
        if basis is not None and not has_null_vectors(basis.T @ information @ basis):
            return ()
    nearer = _nearer(solution)
    if nearer is not None:
        solution, information = results_at(design, nearer, stats=solution.stats), None
    phi = phi_of_theta(solution.theta, plan, solution.stats)
    if information is None and not other:
        objective = Objective(plan=plan, stats=solution.stats, REML=REML)
        information = objective.at(phi).curvature.information
    parameters = _parameters(phi, plan)
    if information is not None and not other:
        basis = _in_free_entries(parameters, plan)
        if not has_null_vectors(basis.T @ information @ basis):
            return ()
    # few groups can hide from the average information what the expected one knows
    own = _expected(parameters, design, solution, REML, known=other or design.sigma is not None)
    owner = np.array([t for t, _ in parameters])
    found, left = list[Confounding](), list(range(len(plan.shapes)))
    while True:
        kept = np.flatnonzero(np.isin(owner, left))
        null = null_vectors(own[np.ix_(kept, kept)])
        if not null.shape[1]:
            return tuple(found)
        involved = kept[np.abs(null).max(axis=1) > _INVOLVED * np.abs(null).max()]
        terms = sorted(set(owner[involved].tolist()))
        gone = _redundant_term(design, own, owner, left, terms) if len(terms) > 1 else None
        found.append(_confounding(design, terms, gone))
        left.remove(terms[0] if gone is None else gone)


def _linear(design: Design) -> Design:
    """A linear model with the same columns.

    Its expected information knows no response; but there must be one, which the fixed effects do
    not reproduce, as they do where a binomial response is separated.
    """
    rows = rows_here(design.rows, "what the data can tell apart")
    y = np.random.default_rng(_SEED).normal(size=design.n)
    return replace(design, family=None, rows=replace(rows, residual=None, y=y))


def _as_linear(design: Design, solution: Solution, generalized: bool) -> Solution:
    """A linear model at covariances of the same relative size."""
    stats, theta = cross_products(design), solution.theta
    if generalized:  # scaled columns have a unit of the linear predictor
        phi = phi_of_theta(theta, solution.plan, solution.stats)
        theta = theta_of_phi(phi, solution.plan, stats)
    return results_at(design, theta, stats=stats)


def _nearer(solution: Solution) -> FloatArray | None:
    """Theta at which the information shows what the columns tell apart; None: where it is.

    Beside a sigma of nothing all else is rounding, and the correlations of a structured term
    without variance move nothing.
    """
    plan, stats = solution.plan, solution.stats
    if plan.linear and solution.pwrss * _LARGEST**2 > stats.F[-1, -1]:  # no effect is so large
        return None
    phi = phi_of_theta(solution.theta, plan, stats)
    moved, largest = phi, np.max(np.abs(phi))
    if not plan.linear:
        parts = [
            part if s.structure.linear else s.structure.off_boundary(part, s.k, s.hom)
            for part, s in zip(split_parameters(phi, plan.shapes), plan.shapes, strict=True)
        ]
        moved = np.concatenate(parts)
    if largest > _LARGEST:
        moved = scaled_sds(moved, plan, _LARGEST / largest)
    return None if np.array_equal(moved, phi) else theta_of_phi(moved, plan, stats)


def _parameters(phi: FloatArray, plan: Plan) -> list[tuple[int, FloatArray]]:
    """Term and derivative of its covariance for each parameter, in elimination order."""
    out = []
    parts, J = split_parameters(phi, plan.shapes), jacobian(phi, plan)
    ends = np.cumsum([0, *(s.count for s in plan.shapes)]).tolist()
    for t in (t for terms in plan.factors for t in terms):
        shape, k = plan.shapes[t], plan.shapes[t].k
        directions = shape.structure.linear_basis(k, shape.hom)
        if not directions:
            T = shape.structure.factor(np, parts[t], k, shape.hom)
            slopes = J[term_places(plan)[t], ends[t] : ends[t + 1]].T.reshape(-1, k, k) @ T.T
            own = [
                h + h.T if np.abs(h).max() > _INVOLVED else _second_order(parts[t], j, shape)
                for j, h in enumerate(slopes)
            ]
            directions = tuple(E for E in own if np.abs(E).max() > _INVOLVED)
        out += [(t, E) for E in directions]
    return out


def _second_order(phi: FloatArray, j: int, shape: TermShape) -> FloatArray:
    """Where the covariance moves with the square of a parameter, as it does on the boundary.

    Zero where it does not move at all: the correlation of columns without variance.
    """
    moved = phi.copy()
    moved[j] += _BOUNDARY_STEP
    here, there = (shape.structure.factor(np, x, shape.k, shape.hom) for x in (phi, moved))
    out: FloatArray = (there @ there.T - here @ here.T) / _BOUNDARY_STEP**2
    return out


@once_per_plan
def _linear_parameters(plan: Plan) -> FloatArray | None:
    """`_in_free_entries` of parameters in which all covariances are linear; None: some are not."""
    if not (plan.linear and all(s.structure.linear_basis(s.k, s.hom) for s in plan.shapes)):
        return None
    return _in_free_entries(_parameters(np.zeros(plan.n_theta), plan), plan)


def _in_free_entries(parameters: list[tuple[int, FloatArray]], plan: Plan) -> FloatArray:
    """Derivatives of the free entries, (entries, parameters)."""
    entries = free_entries(plan)
    basis = np.zeros((len(entries.flat), len(parameters)))
    for j, (t, E) in enumerate(parameters):
        own, places = entries.of_term[t]
        basis[own, j] = E.ravel()[places]
    return basis


def _expected(
    parameters: list[tuple[int, FloatArray]],
    design: Design,
    solution: Solution,
    REML: bool,
    *,
    known: bool,
) -> FloatArray:
    """Expected information in the parameters, sigma profiled out unless it is known."""
    plan, factors, matrices = solution.plan, list[int](), list[FloatArray]()
    for t, E in parameters:
        f = next(f for f, terms in enumerate(plan.factors) if t in terms)
        own, whole = term_columns(plan)[t], np.zeros((plan.widths[f], plan.widths[f]))
        whole[own, own] = E
        factors.append(f)
        matrices.append(whole)
    found = variance_derivatives(
        Fitted(design=design, solution=solution, REML=REML),
        Directions(factor=np.array(factors), matrices=tuple(matrices)),
    )
    IE = expected_information(found, design.n, design.p, REML=REML and design.p > 0)
    out: FloatArray = IE[1:, 1:]
    if not known:
        out = out - np.outer(IE[1:, 0], IE[0, 1:]) / IE[0, 0]
    return 0.5 * (out + out.T)


def _redundant_term(
    design: Design, own: FloatArray, owner: IntArray, left: list[int], terms: list[int]
) -> int | None:
    """The term with fewest parameters, then the longest, without which the others say as much."""
    cost = {t: (int(np.sum(owner == t)), -len(design.terms[t].text), -t) for t in terms}
    everything = np.isin(owner, left)
    rank = rank_of(own[np.ix_(everything, everything)])
    for t in sorted(terms, key=lambda t: cost[t]):
        rest = everything & (owner != t)
        if rank_of(own[np.ix_(rest, rest)]) == rank:
            return t
    return None


def _confounding(design: Design, terms: list[int], gone: int | None) -> Confounding:
    texts = tuple(_text(design.terms[t]) for t in terms)
    if len(terms) > 1:
        redundant = "" if gone is None else texts[terms.index(gone)]
        return Confounding(
            terms=texts, columns=(), redundant=redundant, place=terms[0] if gone is None else gone
        )
    term = design.terms[terms[0]]
    columns = _collinear(term)
    redundant = columns[-1] if columns and term.structure.recodable else ""
    return Confounding(terms=texts, columns=columns, redundant=redundant, place=terms[0])


def _text(term: ReTerm) -> str:
    name = term.structure.name
    return f"({term.text})" if name in (UNSTRUCTURED.name, "||") else f"{name}({term.text})"


def _collinear(term: ReTerm) -> tuple[str, ...]:
    """Names of a term's columns that add up to nothing; none if no columns do."""
    X = term_matrix(term)
    size = np.linalg.norm(X, axis=0)
    _, values, rotation = np.linalg.svd(X / np.where(size > 0, size, 1.0), full_matrices=False)
    null = rotation[values < _COLLINEAR * values[0]]
    return tuple(
        name
        for name, v in zip(term.columns, np.abs(null).max(axis=0, initial=0.0), strict=True)
        if v > _COLLINEAR
    )


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them: ``a, b and c``."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
