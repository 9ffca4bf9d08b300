"""Tests of linear combinations of the fixed effects, by any method of degrees of freedom.

`df_method` does what depends on the fit only; `row_tests` and `joint_test` then cost nothing, so
whoever has many contrasts makes one method. `coefficient_tests` is both for one matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import check_level
from nestedmlm.errors import OptionError
from nestedmlm.inference.effects.df_methods import by_constant_df, by_satterthwaite, wald
from nestedmlm.inference.effects.df_record import ClusterRobust, DfMethod
from nestedmlm.inference.effects.satterthwaite import satterthwaite
from nestedmlm.inference.fitted import Fitted, PooledFitted
from nestedmlm.late import late_imports
from nestedmlm.likelihood.threads import blas_threads

if TYPE_CHECKING:
    from nestedmlm.inference.effects.cluster_robust import (
        RobustCovariance,
        robust_covariance,
        robust_joint_df,
        robust_row_df,
    )
    from nestedmlm.inference.effects.generalized_sandwich import generalized_sandwich
    from nestedmlm.inference.effects.kenward_roger import approximate, kenward_roger
    from nestedmlm.inference.imputation.pooled_tests import pooled_method
else:  # each loads when it is first asked for
    globals().update(
        late_imports(
            "nestedmlm.inference",
            {
                "effects.cluster_robust": "robust_covariance robust_joint_df robust_row_df",
                "effects.generalized_sandwich": "generalized_sandwich",
                "effects.kenward_roger": "approximate kenward_roger",
                "imputation.pooled_tests": "pooled_method",
            },
        )
    )

__all__ = [
    "METHODS", "DfMethod", "JointTest", "RowTests", "coefficient_tests", "df_method", "intervals",
    "joint_test", "most_exact_ddf", "row_tests",
]  # fmt: skip

_RANK = 1e-10  # relative size of what counts as a contrast of its own
_NEGATIVE = 1e-8  # of a variance without adjustment: an adjusted one below minus that is none


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowTests:
    """One t test (z test where `df` is infinite) for each row of L.

    Attributes
    ----------
    L : (m, p) array
    estimate, se, df, statistic, p_value : (m,) arrays
    method : str
    notes : tuple of str
    """

    L: FloatArray
    estimate: FloatArray
    se: FloatArray
    df: FloatArray
    statistic: FloatArray
    p_value: FloatArray
    method: str
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """Columns ``estimate, std_error, df, statistic, p_value``."""
        return pd.DataFrame(
            {
                "estimate": self.estimate,
                "std_error": self.se,
                "df": self.df,
                "statistic": self.statistic,
                "p_value": self.p_value,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JointTest:
    """An F test (chi-squared where `den_df` is infinite) that all rows of L are zero.

    Attributes
    ----------
    F, num_df, den_df, p_value : float
    mean_sq, sum_sq : float
        ``F sigma^2`` and that times `num_df`, without the scaling: what lmerTest's tables show.
    scaling : float
        What Kenward and Roger's method has multiplied F by (else 1).
    method : str
    notes : tuple of str
    """

    F: float
    num_df: int
    den_df: float
    p_value: float
    mean_sq: float
    sum_sq: float
    scaling: float
    method: str
    notes: tuple[str, ...]


def most_exact_ddf(fitted: Fitted | PooledFitted) -> str:
    """Name of the most exact method that a fit has: Kenward-Roger's for REML without a penalty.

    Parameters
    ----------
    fitted : Fitted or PooledFitted
    """
    parts = fitted.parts if isinstance(fitted, PooledFitted) else (fitted,)
    plain = fitted.family is None and fitted.REML and fitted.penalty is None
    if plain and all(part.solution.stats.sparse is None for part in parts):
        return "kenward-roger"
    return fitted.ddf()


def df_method(
    fitted: Fitted | PooledFitted,
    method: str | None = None,
    vcov: str | ClusterRobust | None = None,
) -> DfMethod:
    """Make a method of degrees of freedom for a fit: what depends on the fit only.

    Parameters
    ----------
    fitted : Fitted or PooledFitted
        Of a pooled one the method of each part, pooled by Rubin's rules.
    method : {"satterthwaite", "kenward-roger", "residual", "none"}, optional
        ``residual``: rows minus fixed effects for every contrast; ``none``: infinitely many. By
        default what goes with the model: ``fitted.ddf()``.
    vcov : {"CR0", "CR1", "CR2", "CR3"} or ClusterRobust, optional
        A cluster-robust covariance in the place of the model's, with its own degrees of freedom:
        ``satterthwaite`` is Bell and McCaffrey's method, ``residual`` the clusters minus one.

    Raises
    ------
    OptionError
        For an unknown method, or one that does not apply to this fit.
    """
    method = fitted.ddf(method)
    if method not in METHODS:
        raise OptionError(f"ddf={method!r} is unknown; known: {', '.join(METHODS)}")
    if isinstance(fitted, PooledFitted):
        return pooled_method([df_method(part, method, vcov) for part in fitted.parts])
    with blas_threads(fitted.solution.stats):
        if vcov is None:
            return METHODS[method](fitted)
        asked = vcov if isinstance(vcov, ClusterRobust) else ClusterRobust(type=vcov)
        if fitted.family is not None:
            return _generalized_robust(fitted, asked)
        return _robust(fitted, method, asked)


def coefficient_tests(
    fitted: Fitted | PooledFitted,
    L: FloatArray,
    method: str | None = None,
    *,
    rhs: Any = 0.0,
    vcov: str | ClusterRobust | None = None,
) -> RowTests:
    """Test each row of ``L beta = rhs``.

    Parameters
    ----------
    fitted : Fitted
    L : (m, p) array
        Rows are contrasts of the fixed effects (of the columns that were kept).
    method, vcov
        See `df_method`.
    rhs : float or (m,) array
    """
    return row_tests(df_method(fitted, method, vcov), L, rhs=rhs)


def row_tests(method: DfMethod, L: FloatArray, *, rhs: Any = 0.0) -> RowTests:
    """Test each row of ``L beta = rhs`` by a method."""
    from scipy.special import ndtr, stdtr

    L = np.atleast_2d(np.asarray(L, dtype=float))
    estimate = L @ method.beta
    se = np.sqrt(np.einsum("mi,ij,mj->m", L, method.cov, L).clip(min=0.0))
    df = method.rows(L)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = (estimate - rhs) / se
    size = -np.abs(statistic)
    finite = np.isfinite(df)
    p_value = 2.0 * np.where(finite, stdtr(np.where(finite, df, 1.0), size), ndtr(size))
    return RowTests(
        L=L,
        estimate=estimate,
        se=se,
        df=df,
        statistic=statistic,
        p_value=p_value,
        method=method.method,
        notes=method.notes,
    )


def intervals(tests: RowTests, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Lower and upper ends of the confidence intervals that belong to some t (z) tests."""
    from scipy.special import ndtri, stdtrit

    tail = 0.5 * (1.0 + check_level(level))
    finite = np.isfinite(tests.df)
    half = np.where(finite, stdtrit(np.where(finite, tests.df, 1.0), tail), ndtri(tail)) * tests.se
    return tests.estimate - half, tests.estimate + half


def joint_test(method: DfMethod, L: FloatArray, *, rhs: Any = 0.0) -> JointTest:
    """Test all rows of ``L beta = rhs`` together; rows that repeat others are left out.

    Raises
    ------
    OptionError
        If no `beta` fulfils the hypothesis (rows contradict each other).
    """
    from scipy.special import chdtrc, fdtrc

    L = np.atleast_2d(np.asarray(L, dtype=float))
    estimate = L @ method.beta - np.broadcast_to(np.asarray(rhs, dtype=float), len(L))
    basis, reduced = _independent(L, estimate, method.cov)
    q = len(basis)
    if q == 0:
        F, den, scaling = float("nan"), float("nan"), float("nan")
    elif method.joint_of_rank is not None:
        F, den, scaling = method.joint_of_rank(L, estimate, q)
    else:
        F, den, scaling = method.joint(basis, reduced)
    mean_sq = F * method.sigma**2
    F *= scaling
    p_value = float(chdtrc(q, q * F) if np.isinf(den) else fdtrc(q, den, F))
    return JointTest(
        F=F,
        num_df=q,
        den_df=den,
        p_value=p_value,
        mean_sq=mean_sq,
        sum_sq=mean_sq * q,
        scaling=scaling,
        method=method.method,
        notes=method.notes,
    )


def _independent(
    L: FloatArray, estimate: FloatArray, cov: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Leave L alone where it has full row rank, else an orthonormal basis of its rows."""
    if L.size == 0:
        return L[:0], estimate[:0]
    unit = np.sqrt(np.diag(cov))  # in units of standard errors the columns are comparable
    size = np.linalg.norm(L * unit, axis=1)
    kept = size > 0
    U, s, _ = np.linalg.svd((L * unit)[kept] / size[kept][:, None], full_matrices=False)
    rank = int(np.sum(s > _RANK * s.max(initial=0.0)))
    if np.any(np.abs(estimate[~kept]) > 0):
        raise OptionError("a row of the contrasts is zero, but its hypothetical value is not")
    if rank == np.sum(kept):
        return L[kept], estimate[kept]
    basis = U[:, :rank].T / size[kept]
    rest = (U[:, rank:].T / size[kept]) @ estimate[kept]
    if U.shape[1] > rank and np.any(np.abs(rest) > 1e-8 * (1.0 + np.abs(estimate).max())):
        raise OptionError("the rows of the contrasts depend on each other, but their rhs do not")
    return basis @ L[kept], basis @ estimate[kept]


def _satterthwaite(fitted: Fitted) -> DfMethod:
    s = fitted.solution
    return by_satterthwaite(satterthwaite(fitted), s.beta, s.sigma)


def _kenward_roger(fitted: Fitted) -> DfMethod:
    method = kenward_roger(fitted)
    unit = np.sqrt(np.diag(method.unadjusted))
    unit[unit == 0.0] = 1.0
    # a sum of squares in exact numbers, if the information is positive definite
    if np.linalg.eigvalsh(method.cov / unit / unit[:, None])[0] < -_NEGATIVE:
        raise OptionError(
            "Kenward and Roger's covariance of the fixed effects has a negative variance at this "
            "fit: the data know too little of the covariance parameters (see fit.diagnose()); "
            "take ddf='satterthwaite'"
        )

    def rows(L: FloatArray) -> FloatArray:
        return np.array([approximate(method, row[None]).df if row.any() else np.nan for row in L])

    def joint(L: FloatArray, estimate: FloatArray) -> tuple[float, float, float]:
        found = approximate(method, L)
        return wald(L, estimate, method.cov), found.df, found.scaling

    return _method(fitted, "kenward-roger", method, rows, joint)


def _method(fitted: Fitted, name: str, method: Any, rows: Any, joint: Any) -> DfMethod:
    return DfMethod(
        method=name,
        beta=fitted.solution.beta,
        cov=method.cov,
        sigma=fitted.solution.sigma,
        notes=method.notes,
        rows=rows,
        joint=joint,
    )


def _constant(fitted: Fitted, *, name: str) -> DfMethod:
    s = fitted.solution
    df = fitted.residual_df if name == "residual" else float("inf")
    return by_constant_df(
        name, df, beta=s.beta, cov=fitted.vcov, sigma=s.sigma, reference=fitted.reference
    )


def _robust(fitted: Fitted, method: str, asked: ClusterRobust) -> DfMethod:
    """Tests with a cluster-robust covariance."""
    if method not in _ROBUST:
        raise OptionError(
            f"ddf={method!r} is for the model's covariance; with vcov={asked.type!r} there are "
            f"{', '.join(_ROBUST)}"
        )
    found = robust_covariance(fitted, asked)
    rows, joint = _ROBUST[method]
    made = _method(
        fitted, method, found, partial(rows, found),
        lambda L, estimate: (wald(L, estimate, found.cov), *joint(found, L)),
    )  # fmt: skip
    return replace(made, vcov=asked)


def _generalized_robust(fitted: Fitted, asked: ClusterRobust) -> DfMethod:
    """Tests of a generalized model with the sandwich covariance of its likelihood: z tests."""
    cov, notes = generalized_sandwich(fitted, asked)
    made = _constant(fitted, name="none")
    return replace(
        made, cov=cov, notes=notes, vcov=asked,
        joint=lambda L, estimate: (wald(L, estimate, cov), float("inf"), 1.0),
    )  # fmt: skip


def _robust_constant(df: Callable[[RobustCovariance], float]) -> tuple[Any, Any]:
    return lambda found, L: np.full(len(L), df(found)), lambda found, L: (df(found), 1.0)


# of a robust covariance: degrees of freedom of rows, and of rows together with their scaling
_ROBUST: MappingProxyType[str, tuple[Any, Any]] = MappingProxyType(
    {
        "satterthwaite": (robust_row_df, robust_joint_df),
        "residual": _robust_constant(lambda found: found.clusters - 1.0),
        "none": _robust_constant(lambda found: float("inf")),
    }
)
METHODS: MappingProxyType[str, Callable[[Fitted], DfMethod]] = MappingProxyType(
    {
        "satterthwaite": _satterthwaite,
        "kenward-roger": _kenward_roger,
        "residual": partial(_constant, name="residual"),
        "none": partial(_constant, name="none"),
    }
)
