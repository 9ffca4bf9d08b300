"""Covariance of fixed and random effects together, as one dense matrix."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy  # its sparse matrices load on first use

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.design.matrices.zmatrix import z_matrix
from nestedmlm.errors import OptionError
from nestedmlm.inference.rows.residual_precision import precision
from nestedmlm.likelihood.solution import Solution

MOST_EFFECTS = 5000  # a dense matrix of this size takes 200 MB


def relative_factor(design: Design, T: tuple[FloatArray, ...]) -> scipy.sparse.csr_array:
    """Lambda: the relative covariance factor of all random effects, level by level."""
    blocks = []
    for t, term in zip(T, design.terms, strict=True):
        factor = design.factors[term.factor]
        levels = scipy.sparse.eye_array(len(factor.levels))
        blocks.append(scipy.sparse.kron(levels if factor.basis is None else factor.basis, t))
    return scipy.sparse.block_diag(blocks, format="csr")


def effect_names(design: Design) -> list[str]:
    """``Days | Subject: 308``, in the order of lme4's b."""
    return [
        f"{column} | {design.factors[term.factor].name}: {level}"
        for term in design.terms
        for level in design.factors[term.factor].levels
        for column in term.columns
    ]


def joint_covariance(solution: Solution, design: Design) -> pd.DataFrame:
    """Covariance of ``(beta_hat, b_hat - b)`` given theta, from Henderson's equations.

    Parameters
    ----------
    solution : Solution
    design : Design

    Returns
    -------
    DataFrame, shape (p + q, p + q)

    Raises
    ------
    OptionError
        Above 5,000 effects.

    Notes
    -----
    The equations are solved for spherical effects u, ``b = Lambda u``, so that variances of zero
    need no inverse.
    """
    names = effect_names(design)
    size = design.p + len(names)
    if size > MOST_EFFECTS:
        raise OptionError(
            f"a dense covariance matrix of {size} effects is refused (limit: {MOST_EFFECTS}); "
            "ranef(postvar=True) has the covariances of each level, predict(se_fit=True) those of "
            "rows"
        )
    Lambda = relative_factor(design, solution.T)
    ZL = (z_matrix(design) @ Lambda).toarray()
    A = np.hstack([design.X, ZL])
    system = A.T @ precision(solution, design).times(A)
    spherical = np.arange(design.p, len(system))
    system[spherical, spherical] += 1.0
    inverse = np.linalg.inv(system)
    L = scipy.linalg.block_diag(np.eye(design.p), Lambda.toarray())
    inverse = L @ inverse @ L.T
    labels = [*design.x_names, *names]
    return pd.DataFrame(solution.sigma**2 * inverse, index=labels, columns=labels)
