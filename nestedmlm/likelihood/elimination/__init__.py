"""Elimination of the random effects: log|M|, S and their exact derivatives.

Given relative covariance factors T_f, with ``V = W^{-1} + Z Lambda Lambda' Z'`` and
``M = Lambda'Z'WZ Lambda + I``,

    (T_1 … T_F)  ->  log|M|,  S = [X y]' V^{-1} [X y]
    (adjoint of log|M|, adjoint of S)  ->  M_f = d/d(T_f T_f'),  adjoint of T_f = 2 M_f T_f

A chain of nested factors is swept up and down with its levels as vector lanes (`sweeps`), beside a
dense block of crossed factors with entries as lanes (`entries`); the block itself is one Cholesky
factorisation (LAPACK), or, where that would not fit, stays sparse and is solved iteratively
(`iterative`). Where sums of products keep too few digits, small models are eliminated from their
rows (`orthogonal`). Every sweep is written once: as it stands it runs on NumPy, with nothing to
compile; `compiled` compiles the same functions where that repays (`speed`).

Notation of the source: Bates, Mächler, Bolker & Walker (2015), Journal of Statistical Software
67(1), eq. 13-42, with ``S`` the Schur complement that remains of ``[X y]'W[X y]``.
"""

from __future__ import annotations

from nestedmlm.likelihood.elimination.gram import apply_chain, products
from nestedmlm.likelihood.elimination.iterative import IterativelyEliminated
from nestedmlm.likelihood.elimination.on_workers import summed
from nestedmlm.likelihood.elimination.orthogonal import OrthogonallyEliminated
from nestedmlm.likelihood.elimination.other_sides import solve_combination, solve_other
from nestedmlm.likelihood.elimination.routes import (
    effects,
    eliminate,
    factor_adjoint,
    gram,
    level_covariances,
    level_information,
    solve,
    working_variates,
)
from nestedmlm.likelihood.elimination.variates import Variates
from nestedmlm.likelihood.elimination.visit import (
    Dense,
    Eliminated,
    Factor,
    Half,
    adjoint,
    inverse_on_pattern,
    mirrored,
    whole_factor,
)

__all__ = [
    "Dense",
    "Eliminated",
    "Factor",
    "Half",
    "IterativelyEliminated",
    "OrthogonallyEliminated",
    "Variates",
    "adjoint",
    "apply_chain",
    "effects",
    "eliminate",
    "factor_adjoint",
    "gram",
    "inverse_on_pattern",
    "level_covariances",
    "level_information",
    "mirrored",
    "products",
    "solve",
    "solve_combination",
    "solve_other",
    "summed",
    "whole_factor",
    "working_variates",
]
