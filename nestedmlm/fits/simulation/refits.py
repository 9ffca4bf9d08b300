"""Refitting a design to many responses, and what is kept of each refit."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance import TermShape, lower_indices, relative_factors
from nestedmlm.design.design import Design
from nestedmlm.design.model_parameters import ModelParameter, model_parameters
from nestedmlm.inference.variances.parameters import values_at
from nestedmlm.likelihood.plan import SINGULAR, make_plan, term_shapes
from nestedmlm.likelihood.solution import results_at, smallest_singular_value
from nestedmlm.likelihood.threads import blas_threads
from nestedmlm.optimum.batch import Batch, refit_many
from nestedmlm.optimum.optimize import optimize
from nestedmlm.optimum.penalty import Penalty
from nestedmlm.statistics.crossproducts import CrossProducts, cross_products

SINGULAR_NOTE = "boundary (singular) fit"
UNCERTIFIED = "optimum not certified"
FAILED = "the response could not be fitted"
_FIELDS = tuple(f.name for f in fields(Batch))


def refit_columns(
    design: Design,
    Y: FloatArray,
    *,
    REML: bool,
    start: FloatArray | None = None,
    stats: CrossProducts | None = None,
    penalty: Penalty | None = None,
    workers: int = 1,
) -> Batch:
    """Fit one design to each column of `Y` (n, m), starting from `start`.

    All together (`nestedmlm.optimum.batch`); one after the other where there is a penalty, or where
    that fails for one of them. What cannot be fitted is a row of NaN.
    """
    if penalty is None:
        try:
            return refit_many(design, Y, REML=REML, start=start, stats=stats, workers=workers)
        except (ArithmeticError, ValueError):  # LinAlgError is a ValueError
            pass
    rows = [
        _or_nothing(design.with_response(np.ascontiguousarray(y)), REML, start, penalty)
        for y in Y.T
    ]
    return Batch(**{name: np.concatenate([getattr(row, name) for row in rows]) for name in _FIELDS})


def _or_nothing(
    design: Design, REML: bool, start: FloatArray | None, penalty: Penalty | None
) -> Batch:
    try:
        return refit_one(design, REML=REML, start=start, penalty=penalty)
    except (ArithmeticError, ValueError):
        nothing = np.full(1, np.nan)
        count = sum(shape.count for shape in term_shapes(design))
        return Batch(
            theta=np.full((1, count), np.nan),
            criterion=nothing,
            sigma=nothing,
            beta=np.full((1, design.p), np.nan),
            std_error=np.full((1, design.p), np.nan),
            converged=np.zeros(1, dtype=bool),
            singular=np.zeros(1, dtype=bool),
            evaluations=np.zeros(1, dtype=np.int64),
        )


def refit_one(
    design: Design,
    *,
    REML: bool,
    start: FloatArray | None = None,
    penalty: Penalty | None = None,
) -> Batch:
    """Fit one design; a batch of one, without warnings."""
    REML = REML and design.p > 0
    stats = cross_products(design)
    plan = make_plan(design, stats)
    with blas_threads(stats):
        optimum = optimize(plan, stats, REML=REML, start=start, penalty=penalty)
        solution = results_at(design, optimum.theta, REML=REML, stats=stats)
    return Batch(
        theta=solution.theta[None],
        criterion=np.array([solution.reml_criterion if REML else solution.deviance]),
        sigma=np.array([solution.sigma]),
        beta=solution.beta[None],
        std_error=np.sqrt(np.diag(solution.vcov))[None],
        converged=np.array([optimum.certificate.holds]),
        singular=np.array([smallest_singular_value(solution) < SINGULAR]),
        evaluations=np.array([optimum.certificate.evaluations]),
    )


def default_values(design: Design, batch: Batch) -> FloatArray:
    """Statistics that a bootstrap keeps of each refit by default, (m, q)."""
    shapes = term_shapes(design)
    if all(shape.structure.free_correlations for shape in shapes):
        return np.hstack([batch.beta, _unstructured(shapes, batch), batch.sigma[:, None]])
    wanted = _variances(design)
    rows = [
        values_at(
            wanted, shapes, theta=theta, T=relative_factors(theta, shapes), sigma=float(sigma),
            beta=beta,
        )
        for theta, sigma, beta in zip(batch.theta, batch.sigma, batch.beta, strict=True)
    ]  # fmt: skip
    return np.hstack([batch.beta, np.vstack(rows)])


def _unstructured(shapes: tuple[TermShape, ...], batch: Batch) -> FloatArray:
    """Standard deviations and correlations (`values_at`) of all refits at once."""
    out, at = [], 0
    for shape in shapes:
        rows, cols = lower_indices(shape.k)
        T = np.zeros((len(batch.theta), shape.k, shape.k))
        T[:, rows, cols] = batch.theta[:, at : at + shape.count]
        at += shape.count
        sd = np.sqrt(np.einsum("mij,mij->mi", T, T))
        off = rows > cols
        i, j = rows[off], cols[off]
        size = sd[:, i] * sd[:, j]
        product = np.einsum("mpk,mpk->mp", T[:, i], T[:, j])
        cor = np.divide(product, size, out=np.full_like(size, np.nan), where=size > 0)
        out += [batch.sigma[:, None] * sd, np.clip(cor, -1.0, 1.0)]
    return np.hstack(out)


def _variances(design: Design) -> list[ModelParameter]:
    return [p for p in model_parameters(design) if p.kind != "beta"]


def notes_of(batch: Batch) -> tuple[str, ...]:
    """Messages about each refit; empty where there is none."""
    found = np.select(
        [~np.isfinite(batch.criterion), ~batch.converged, batch.singular],
        [FAILED, UNCERTIFIED, SINGULAR_NOTE],
        "",
    )
    return tuple(found.tolist())
