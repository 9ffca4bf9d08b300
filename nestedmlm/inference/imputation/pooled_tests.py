"""Tests of fixed effects pooled over imputed data sets, with any method of degrees of freedom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.inference.effects.df_record import DfMethod
from nestedmlm.inference.imputation.rubin import RubinPool, barnard_rubin, rubin, wald_test


def pool_of(methods: Sequence[DfMethod]) -> RubinPool:
    """Pool the fixed effects of several data sets."""
    return rubin(np.array([own.beta for own in methods]), np.array([own.cov for own in methods]))


def pooled_method(methods: Sequence[DfMethod]) -> DfMethod:
    """Pool the methods of several data sets.

    Rows are tested with Barnard and Rubin's degrees of freedom, several together by D1; the
    methods' own degrees of freedom count as those of complete data.
    """
    pool = pool_of(methods)

    def rows(L: FloatArray) -> FloatArray:
        complete = np.mean([own.rows(L) for own in methods], axis=0)
        return barnard_rubin(pool, L, complete)

    def joint(L: FloatArray, estimate: FloatArray) -> tuple[float, float, float]:
        complete = float(np.mean([own.joint(L, L @ own.beta)[1] for own in methods]))
        found = wald_test(pool, L, estimate, complete)
        return found.F, found.den_df, 1.0

    first = methods[0]
    notes = dict.fromkeys(note for own in methods for note in own.notes)
    return replace(
        first,
        beta=pool.estimate,
        cov=pool.total,
        sigma=float(np.sqrt(np.mean([own.sigma**2 for own in methods]))),
        notes=(*notes, f"pooled over {pool.m} imputed data sets by Rubin's rules"),
        rows=rows,
        joint=joint,
        joint_of_rank=None,
        reference="t",  # of generalized models, too: Rubin's degrees of freedom are finite
    )
