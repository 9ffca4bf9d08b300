"""Variance parameters as people read them, with lme4's names (layer 5).

Standard deviations, then correlations of each term, then sigma: the order of lme4 2.x.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance import TermShape, relative_factors, split_parameters
from nestedmlm.design import Design


def natural_names(design: Design) -> tuple[str, ...]:
    """Names of `natural_values`: ``sd_(Intercept)|g``, ``cor_x.(Intercept)|g``, ``sigma``.

    Terms with one standard deviation name it after their first column; those with a structured
    correlation have one, ``rho|g``.
    """
    names: list[str] = []
    for term in design.terms:
        group, columns = design.factors[term.factor].name, term.columns
        names += [f"sd_{c}|{group}" for c in (columns[:1] if term.hom else columns)]
        if term.structure == "us":
            names += [f"cor_{columns[i]}.{columns[j]}|{group}" for i, j in _pairs(len(columns))]
        elif term.structure != "diag":
            names.append(f"rho|{group}")
    return (*names, "sigma")


def natural_values(theta: FloatArray, sigma: float, shapes: Sequence[TermShape]) -> FloatArray:
    """Standard deviations and correlations of each term, and sigma.

    Parameters
    ----------
    theta : (n_theta,) array
        lme4's parameters.
    sigma : float
    shapes : sequence of TermShape
        One for each term (``plan.shapes``).

    Returns
    -------
    array
        In the order of `natural_names`; a correlation beside a standard deviation of zero is NaN.
    """
    out: list[float] = []
    parts = split_parameters(theta, shapes)
    for shape, part, T in zip(shapes, parts, relative_factors(theta, shapes), strict=True):
        sd = np.sqrt(np.einsum("ij,ij->i", T, T))
        out += (sigma * (sd[:1] if shape.hom else sd)).tolist()
        if shape.structure == "us":
            out += [_correlation(T, sd, i, j) for i, j in _pairs(shape.k)]
        elif shape.structure != "diag":
            out.append(float(part[-1]))
    return np.array([*out, sigma])


def _pairs(k: int) -> list[tuple[int, int]]:
    """Below the diagonal, column by column."""
    return [(i, j) for j in range(k) for i in range(j + 1, k)]


def _correlation(T: FloatArray, sd: FloatArray, i: int, j: int) -> float:
    product = float(sd[i] * sd[j])
    return float(np.clip(T[i] @ T[j] / product, -1.0, 1.0)) if product > 0 else float("nan")
