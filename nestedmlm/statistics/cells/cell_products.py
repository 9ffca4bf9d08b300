"""`CrossProducts` of a design that has sums by cell in the place of rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.design.partitions.workers import OnWorkers
from nestedmlm.errors import OptionError
from nestedmlm.statistics.cells.cell_sums import triangular_factor, triangular_root
from nestedmlm.statistics.cells.panels import (
    Recoding,
    add_crossed,
    add_dense,
    add_to_panels,
    pieces_of_cells,
    products_of,
)
from nestedmlm.statistics.cells.worker_blocks import WorkerBlocks, blocks_on_workers, refuse_crossed
from nestedmlm.statistics.elimination_order import Order, elimination_order, find_entries
from nestedmlm.statistics.forest import LEVELS, Block, cut_into_blocks
from nestedmlm.statistics.memory import DenseBlock
from nestedmlm.statistics.parts import stacked_parts
from nestedmlm.statistics.scaling import INDEPENDENT
from nestedmlm.statistics.sufficient_statistics import (
    Crossed,
    CrossProducts,
    check_magnitude,
    check_reproduced,
)

if TYPE_CHECKING:
    from nestedmlm.design.design import Design
    from nestedmlm.design.sums import Sums


def cell_products(design: Design, sums: Sums, method: str) -> CrossProducts:
    """Sufficient statistics from sums by cell.

    Parameters
    ----------
    design : Design
    sums : Sums
        Its own.
    method : {"exact", "iterative", "auto"}

    Returns
    -------
    CrossProducts
        Equal to what the rows give, up to rounding.

    Raises
    ------
    DataError
        If the fixed effects leave nothing of the response, or it is of a size whose squares cannot
        be computed.
    MemoryLimitError
        If the dense block of crossed factors would not fit in memory.
    OptionError
        For an iterative elimination, which needs the rows.
    SumsNotHereError
        If the cells stay on workers, and factors are crossed.

    Notes
    -----
    With C the columns of the rows, R the basis, F the sums of all rows in it and U its triangular
    root, any columns C B have the R factor of ``U R B``: all that follows is algebra on (d, d)
    matrices, and as well conditioned as R makes U.
    """
    if method == "iterative":
        raise OptionError(
            'method="iterative" needs the rows of the data, and there are only sums over them'
        )
    cells, p = sums.cells, design.p
    tally = cells.tally
    check_magnitude("the response", np.array([tally.low, tally.high]))
    F = 0.5 * (cells.total + cells.total.T)
    U = triangular_root(F)
    X, Rx = _orthonormal(U, cells.basis[:, list(sums.x)])
    for name, column in zip(design.x_names, Rx.T, strict=True):
        check_magnitude(f"the predictor {name}", column)
    y, beta = _residual(F, X, cells.basis[:, -1])
    right = np.column_stack([X, y])
    FY = right.T @ F @ right
    check_reproduced(FY[-1, -1], float(cells.basis[:, -1] @ F @ cells.basis[:, -1]))
    transforms, columns = _recoded_terms(design, sums, U)
    order = _order(design, sums, columns)
    blocks, crossed, on_workers = _sums_by_level(design, sums, order, columns, right)
    return CrossProducts(
        n=design.n,
        p=p,
        order=order,
        parts=stacked_parts(_sizes(design, columns, order.chain + order.trailing)),
        blocks=blocks,
        crossed=crossed,
        on_workers=on_workers,
        F=FY,
        transforms=transforms,
        R_x=Rx,
        beta0=np.linalg.solve(Rx, beta) if p else beta,
        log_det_R=float(np.log(np.abs(Rx.diagonal())).sum()),
        sum_log_w=tally.sum_log_w,
    )


def _sums_by_level(
    design: Design, sums: Sums, order: Order, columns: Sequence[FloatArray], right: FloatArray
) -> tuple[tuple[Block, ...], Crossed | None, WorkerBlocks | None]:
    """The chain's blocks and the crossed block, or the handles of blocks that stay on workers."""
    cells, r = sums.cells, right.shape[1]
    if cells.on_workers is not None and order.trailing:
        refuse_crossed(design, order)
    Z = np.hstack([columns[f] for f in order.chain + order.trailing])[: cells.kz]
    padded = np.vstack([Z, np.zeros((cells.d - cells.kz, Z.shape[1]))])
    recoded = Recoding(left=Z, right=np.hstack([padded, right]))
    nodes = order.node_of_level[0].astype(np.int32)[sums.codes[order.chain[0]]]
    K, J = map(np.array, zip(*_sizes(design, columns, order.chain), strict=True))
    if cells.on_workers is not None:
        handles = blocks_on_workers(cells.on_workers, recoded, nodes, order.parents, K, J, r - 1)
        return cast(Any, OnWorkers()), None, handles
    crossed = _CrossedSums(design, sums, order, columns, nodes) if order.trailing else None
    blocks = cut_into_blocks(K, J, order.parents, r, most=int(J[0]) if crossed else LEVELS)
    products, kc = products_of(cells, recoded), int(K.sum())
    in_panels = [*range(kc), *range(Z.shape[1], Z.shape[1] + r)]
    for some in pieces_of_cells(cells.size):
        M = products(some)
        add_to_panels(M[:kc], nodes[some], order.parents, blocks, in_panels)
        if crossed is not None:
            crossed.add(M, some)
    return blocks, None if crossed is None else crossed.result(), None


def _sizes(
    design: Design, columns: Sequence[FloatArray], factors: Sequence[int]
) -> list[tuple[int, int]]:
    """Columns and levels of some factors."""
    return [(columns[f].shape[1], len(design.factors[f].levels)) for f in factors]


def _orthonormal(U: FloatArray, B: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Columns X with ``(U X)'(U X) = I`` that span B, and R with ``B = X R``."""
    if not B.shape[1]:
        return B, np.zeros((0, 0))
    Q, R0 = np.linalg.qr(B)
    sign = np.where(R0.diagonal() < 0, -1.0, 1.0)  # as Cholesky's factor has it
    Q, R0 = Q * sign, R0 * sign[:, None]
    R1 = triangular_factor(U @ Q)
    X = Q @ np.linalg.inv(R1)
    R2 = triangular_factor(U @ X)  # once more: the first round left its rounding
    return X @ np.linalg.inv(R2), R2 @ R1 @ R0


def _residual(F: FloatArray, X: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Residual of y from weighted least squares on the orthonormal X, and the coefficients."""
    beta = np.zeros(X.shape[1])
    for _ in range(2):  # the second round removes the rounding of the first
        step = X.T @ (F @ y)
        y, beta = y - X @ step, beta + step
    return y, beta


def _recoded_terms(
    design: Design, sums: Sums, U: FloatArray
) -> tuple[tuple[FloatArray, ...], list[FloatArray]]:
    """W of each term as `scaling.scaled_columns` makes it, and each factor's columns, recoded."""
    basis, n = sums.cells.basis, design.n
    transforms: list[FloatArray] = []
    of_factor: list[list[FloatArray]] = [[] for _ in design.factors]
    for term, places in zip(design.terms, sums.terms, strict=True):
        B = basis[:, list(places)]
        R = triangular_factor(U @ B)
        norms = np.sqrt((R * R).sum(axis=0))
        k = B.shape[1]
        spread = np.abs(R.diagonal()) / norms.clip(min=1e-300)
        if term.structure.recodable and k > 1 and spread.min() > INDEPENDENT:
            W = np.linalg.inv(R) * np.sqrt(n)
        else:
            rms = norms / np.sqrt(n)
            rms[rms == 0] = 1.0
            if term.hom:
                rms[:] = np.sqrt(np.mean(rms**2))
            W = np.diag(1.0 / rms)
        transforms.append(W)
        of_factor[term.factor].append(B @ W)
    return tuple(transforms), [np.hstack(own) for own in of_factor]


def _order(design: Design, sums: Sums, columns: Sequence[FloatArray]) -> Order:
    widths = [B.shape[1] for B in columns]
    order = elimination_order(sums.codes, [len(f.levels) for f in design.factors], widths)
    dense = DenseBlock(
        factors=tuple(design.factors[f].name for f in order.trailing),
        columns=sum(k * j for k, j in _sizes(design, columns, order.trailing)),
    )
    dense.refuse_what_does_not_fit()
    return order


class _CrossedSums:
    """The dense block while it is summed."""

    def __init__(
        self, design: Design, sums: Sums, order: Order, columns: Sequence[FloatArray],
        nodes: IntArray,
    ) -> None:  # fmt: skip
        K, J = map(np.array, zip(*_sizes(design, columns, order.chain), strict=True))
        trailing = _sizes(design, columns, order.trailing)
        self.K, self.Kt = K.tolist(), [k for k, _ in trailing]
        self.tcode = np.stack([sums.codes[f] for f in order.trailing])
        self.parts = stacked_parts(trailing)
        self.first, q = [part.rows.start for part in self.parts], self.parts[-1].rows.stop
        self.entries, self.entry = find_entries(
            nodes, order.parents, K, J, self.tcode, np.array(self.Kt), np.array(self.first), q
        )
        cuts = self.entries.first.tolist()
        self.ups = [self.entries.up[a:b] for a, b in pairwise(cuts)]
        self.values = [
            np.zeros((k, b - a)) for k, (a, b) in zip(self.K, pairwise(cuts), strict=True)
        ]
        self.Q, self.R = np.zeros((q, q)), np.zeros((q, design.p + 1))

    def add(self, M: FloatArray, some: slice) -> None:
        """Add the products of some cells."""
        add_crossed(M, self.entry[:, some], self.ups, self.K, self.Kt, self.values)
        add_dense(M, self.tcode[:, some], self.Kt, self.first, sum(self.K), self.Q, self.R)

    def result(self) -> Crossed:
        """The finished block."""
        self.Q += np.tril(self.Q, -1).T
        values = np.concatenate([own.ravel() for own in self.values])
        return Crossed(parts=self.parts, Q=self.Q, R=self.R, entries=self.entries, values=values)
