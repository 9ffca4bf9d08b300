"""Cluster-robust covariance of the fixed effects: CR0 to CR3, and their degrees of freedom.

The variances of the model are a working model here: estimates stay as they are, and their
covariance comes from the residuals of whole clusters (Liang & Zeger 1986). With ``W = V^{-1}``,
cluster g's rows ``X_g, e_g`` and ``M = (X'WX)^{-1}``,

    V_CR = M sum_g u_g u_g' M,    u_g = X_g' W_g A_g e_g,

where A_g is I (CR0), ``sqrt(m / (m - 1)) I`` (CR1), what makes the expectation right if the model
is (CR2: Bell & McCaffrey 2002, in the form of Pustejovsky & Tipton 2018 and clubSandwich, with
the upper triangular root of V_g), or ``(I - H_gg)^{-1}`` (CR3, near the jackknife of clusters).

Degrees of freedom match two moments of ``c' V_CR c`` (Satterthwaite, Bell & McCaffrey), F tests
those of the whole matrix (Tipton & Pustejovsky 2015, "AHT"). Of each cluster they need the (p, p)
matrices ``Q_g = X_g' A_g' W_g X_g`` and ``R_g = X_g' W_g A_g V_g A_g' W_g X_g`` only. All is
relative to sigma.

A is the same for every root C of ``V = C'C``, and beside the span of the cluster's columns of Z and
X it is the identity: sums of products by cluster tell all of it (`condensed` rows have them), as
long as they are of all columns and, for CR2, without weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.design.matrices.grouping import refuse_curves, refuse_related
from nestedmlm.design.rows import CondensedRows
from nestedmlm.errors import OptionError, RowsNotHereError
from nestedmlm.inference.effects.cluster_rows import ClusterRows, Clusters, cluster_rows
from nestedmlm.inference.effects.df_record import ClusterRobust
from nestedmlm.inference.fitted import Fitted
from nestedmlm.inference.resampling.resampling import nested_in, row_sets
from nestedmlm.likelihood.criterion import profile
from nestedmlm.statistics.cells.condensed import condensed

_SINGULAR = 1e-9  # share of its information that a cluster may leave of a coefficient
_APART = 1e-10  # share of a column's square that sums by cell may miss: rounding
_NULL = 1e-12  # relative eigenvalue of a matrix whose inverse root is taken that counts as zero


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClusterSums:
    """Sums of clusters of rows, in scaled columns of X and relative to sigma.

    Attributes
    ----------
    u : (m, p) array
        Adjusted scores.
    Q, R : (m, p, p) arrays
    """

    u: FloatArray
    Q: FloatArray
    R: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RobustCovariance:
    """A cluster-robust covariance with what its degrees of freedom need.

    Attributes
    ----------
    cov : (p, p) array
        User's columns.
    M : (p, p) array
        ``(X'WX)^{-1}``, scaled columns.
    back : (p, p) array
        From scaled to user's coefficients.
    sums : ClusterSums
    type, cluster : str
    """

    cov: FloatArray
    M: FloatArray
    back: FloatArray
    sums: ClusterSums
    type: str
    cluster: str

    @property
    def clusters(self) -> int:
        """Number of clusters."""
        return len(self.sums.u)

    @property
    def notes(self) -> tuple[str, ...]:
        """Line for below a table."""
        return (f"{self.type} covariance, clusters: {self.cluster}, {self.clusters}",)


def robust_covariance(fitted: Fitted, asked: ClusterRobust) -> RobustCovariance:
    """Compute a cluster-robust covariance at a fit.

    Raises
    ------
    OptionError
        If the clusters do not hold all random effects, there are no fixed effects, or CR3 is not
        defined because a coefficient is known from a single cluster.
    MemoryLimitError
        If a cluster is too large for CR2.
    RowsNotHereError
        If the fit is made of sums that do not tell the products of all columns by cluster.
    """
    s, design = fitted.solution, fitted.design
    p = s.stats.p
    if not p:
        raise OptionError("the model has no fixed effects, whose covariance this is")
    if design.rows is None:  # sums take the place of the rows, where they tell enough
        design = condensed(design)
        fitted = replace(fitted, design=design)
    cluster = find_clusters(design, asked.cluster)
    if cluster.count < 2:
        raise OptionError(f"cluster-robust covariances need two clusters; {cluster.name} has one")
    if isinstance(design.rows, CondensedRows):
        _check_sums(design, design.rows, asked, cluster)
    members = row_sets(cluster.codes.astype(np.int64), cluster.count)
    M = profile(s.state.S)[3][:p, :p]
    parts = cluster_rows(fitted, members)
    sums = SUMS[asked.type](parts, M)
    back = s.stats.R_x_inverse
    half = back @ M @ sums.u.T
    return RobustCovariance(
        cov=half @ half.T, M=M, back=back, sums=sums, type=asked.type, cluster=cluster.name
    )


def robust_row_df(found: RobustCovariance, L: FloatArray) -> FloatArray:
    """Satterthwaite degrees of freedom of each row of L, shape (k,)."""
    out = np.empty(len(L))
    for i, row in enumerate(L):
        with np.errstate(divide="ignore", invalid="ignore"):
            P = _products(found, row[None])[0, 0]
            out[i] = np.trace(P) ** 2 / np.sum(P * P)
    return out


def robust_joint_df(found: RobustCovariance, L: FloatArray) -> tuple[float, float]:
    """Denominator degrees of freedom of an F test of the rows of L, and its scaling.

    Tipton & Pustejovsky (2015), Journal of Educational and Behavioral Statistics 40, 604-634: the
    matrix is taken for a Wishart matrix with eta degrees of freedom, so that
    ``(eta - q + 1) / eta`` times the Wald statistic over q is F(q, eta - q + 1).
    """
    q = len(L)
    P = _products(found, L)
    expected = np.einsum("stgg->st", P)
    values, vectors = np.linalg.eigh(expected)
    root = (vectors / np.sqrt(values)) @ vectors.T
    P = np.einsum("as,stgh,bt->abgh", root, P, root, optimize=True)
    same = np.einsum("ssgh,ttgh->", P, P, optimize=True)
    crossed = np.einsum("stgh,tsgh->", P, P, optimize=True)
    eta = q * (q + 1.0) / float(same + crossed)
    df = eta - q + 1.0
    return (df, df / eta) if df > 0 else (float("nan"), float("nan"))


def _products(found: RobustCovariance, L: FloatArray) -> FloatArray:
    """Covariances under the model of the clusters' shares in ``L beta``: (q, q, m, m)."""
    C = L @ found.back @ found.M
    q, m = len(C), found.clusters
    within = np.einsum("sa,gab,tb->stg", C, found.sums.R, C, optimize=True)
    moved = np.einsum("gab,sb->sga", found.sums.Q, C)
    out: FloatArray = -np.einsum("sga,ab,thb->stgh", moved, found.M, moved, optimize=True)
    out[:, :, np.arange(m), np.arange(m)] += within.reshape(q, q, m)
    return out


# --- clusters -----------------------------------------------------------------------------------
def find_clusters(design: Design, name: str | None) -> Clusters:
    """A factor in which all others are nested: `name`, or the one with the fewest levels.

    The blocks of residuals that correlate are one, too.
    """
    refuse_related(design.factors, "a cluster-robust covariance")
    refuse_curves(design.factors, "a cluster-robust covariance")
    factors = list(_groupings(design))
    names = list(dict.fromkeys(f.name for f in factors))
    if name is not None and name not in names:
        raise OptionError(f"cluster={name!r} is no grouping factor; there are {', '.join(names)}")
    outer = [f for f in factors if all(nested_in(o.codes, f.codes) for o in factors)]
    if not outer:
        raise OptionError(
            f"no grouping factor holds all others ({', '.join(names)}): crossed factors leave no "
            "independent clusters"
        )
    chosen = [f for f in outer if name in (None, f.name)]
    if not chosen:
        raise OptionError(
            f"rows of different {name} share random effects of {outer[0].name}: take "
            f"cluster={outer[0].name!r}"
        )
    return min(chosen, key=lambda f: f.count)


def _groupings(design: Design) -> Iterator[Clusters]:
    """All that rows of one cluster may share: random effects, and blocks of residuals."""
    for factor in design.factors:
        yield Clusters(name=factor.name, codes=factor.codes, count=len(factor.levels))
    rows = design.residual
    if rows is not None and rows.block is not None:
        yield Clusters(name=rows.block_name, codes=rows.block, count=len(rows.block_levels))


def _check_sums(
    design: Design, rows: CondensedRows, asked: ClusterRobust, cluster: Clusters
) -> None:
    """Refuse sums that do not tell the products of all columns by cluster."""
    assert design.sums is not None
    if asked.type == "CR2" and design.sums.plan.reading.weights is not None:
        raise RowsNotHereError(
            "CR2 of weighted rows is more than a matter of sums: take vcov='CR1' or 'CR3'"
        )
    rest = np.sum(rows.X[rows.cell < 0] ** 2, axis=0)  # in no cell: in no cluster
    apart = rest > _APART * np.sum(rows.X**2, axis=0)
    if apart.any():
        terms = " + ".join(design.x_terms)
        raise RowsNotHereError(
            f"the sums do not tell the products of {', '.join(np.array(design.x_names)[apart])} by "
            f"{cluster.name}, which vcov= needs: sum them with nm.summarise of a formula that has "
            f"({terms} | {cluster.name}), and fit this one from it"
        )


# --- adjustments --------------------------------------------------------------------------------
def _unadjusted(parts: list[ClusterRows], M: FloatArray) -> ClusterSums:
    S = np.array([c.X.T @ c.WX for c in parts])
    return ClusterSums(u=np.array([c.X.T @ c.We for c in parts]), Q=S, R=S)


def _scaled(parts: list[ClusterRows], M: FloatArray) -> ClusterSums:
    plain = _unadjusted(parts, M)
    square = len(parts) / (len(parts) - 1.0)
    return ClusterSums(u=plain.u * np.sqrt(square), Q=plain.Q * np.sqrt(square), R=plain.R * square)


def _bell_mccaffrey(parts: list[ClusterRows], M: FloatArray) -> ClusterSums:
    """``A = C' G^{-1/2} C`` with ``V = C'C`` and ``G = C (V - X M X') C'``."""
    u, Q, R = [], [], []
    for c in parts:
        V = c.V()
        unit = float(V[0, 0])  # A is the same in any unit; tiny weights leave no room for squares
        C = np.linalg.cholesky(V / unit).T
        values, vectors = np.linalg.eigh(C @ ((V - c.X @ M @ c.X.T) / unit) @ C.T)
        kept = values > _NULL * values[-1] if values[-1] > 0 else values > 0
        half = vectors[:, kept] * values[kept] ** -0.25
        AWX = C.T @ (half @ (half.T @ (C @ c.WX)))
        # We is W e: A e = A V W e
        u.append(AWX.T @ (V @ c.We))
        Q.append(c.X.T @ AWX)
        R.append(AWX.T @ V @ AWX)
    return ClusterSums(u=np.array(u), Q=np.array(Q), R=np.array(R))


def _jackknife(parts: list[ClusterRows], M: FloatArray) -> ClusterSums:
    """``X'W (I - X M X'W)^{-1} = (I - S M)^{-1} X'W``."""
    plain = _unadjusted(parts, M)
    left = np.eye(len(M)) - plain.Q @ M
    root = np.linalg.cholesky(M)
    rest = np.linalg.eigvalsh(np.eye(len(M)) - root.T @ plain.Q @ root)
    if np.any(rest[:, 0] < _SINGULAR):
        raise OptionError(
            "CR3 is not defined: without one of the clusters a coefficient cannot be estimated; "
            "take vcov='CR2'"
        )
    inverse = np.linalg.inv(left)
    Q = inverse @ plain.Q
    return ClusterSums(
        u=np.einsum("gab,gb->ga", inverse, plain.u), Q=Q, R=Q @ inverse.transpose(0, 2, 1)
    )


SUMS: Mapping[str, Callable[[list[ClusterRows], FloatArray], ClusterSums]] = MappingProxyType(
    {"CR0": _unadjusted, "CR1": _scaled, "CR2": _bell_mccaffrey, "CR3": _jackknife}
)
