"""`CrossProducts`: all that the likelihood needs of a design, as the elimination works on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.covariance.closed_forms import upper_inverse
from nestedmlm.errors import DataError
from nestedmlm.statistics.elimination_order import Order
from nestedmlm.statistics.forest import Block, Entries
from nestedmlm.statistics.leaf_levels import LeafLevels
from nestedmlm.statistics.parts import FactorPart
from nestedmlm.statistics.row_blocks import RowBlock
from nestedmlm.statistics.sparse import SparseCrossed

if TYPE_CHECKING:
    from nestedmlm.statistics.cells.worker_blocks import WorkerBlocks
    from nestedmlm.statistics.pair_sums import ResidualAt

SMALLEST, LARGEST = 1e-140, 1e70  # sizes of responses and predictors: products are finite
ROUNDING_SHARE_OF_SQUARES = 1e-26  # share of the sum of squares that is only rounding


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crossed:
    """The dense block of factors that are crossed with the chain.

    Attributes
    ----------
    parts : tuple of FactorPart
        Of the crossed factors; rows count from the block's first column.
    Q, R : (q, q) and (q, r) arrays
        Weighted sums of products, and with the right-hand sides.
    entries : Entries
        Which levels of the chain meet which columns.
    values : array
        Sums of products of the chain with the block, (k, E) factor after factor, flat.
    components : tuple of (number, size) int arrays
        Columns that do not meet those of another component, also when the chain is eliminated,
        by size; empty where the block is one.
    """

    parts: tuple[FactorPart, ...]
    Q: FloatArray
    R: FloatArray
    entries: Entries
    values: FloatArray
    components: tuple[IntArray, ...] = ()


@dataclass(frozen=True, slots=True, weakref_slot=True, kw_only=True, eq=False)
class CrossProducts:
    """Everything the likelihood needs, and how to get back to the user's units.

    Attributes
    ----------
    n, p : int
        Rows and (full-rank) fixed-effects columns.
    order : Order
        Which factor is eliminated when.
    parts : tuple of FactorPart
        Of each factor, in the order of elimination; of one with a basis the levels are its
        columns.
    blocks : tuple of Block
        The chain's panels.
    crossed : Crossed or None
        What is crossed with the chain.
    F : (p+1, p+1) array
        ``[X y]'W[X y]``.
    transforms : tuple of (k, k) arrays
        ``W_t`` of each term, in the order of ``design.terms``.
    R_x : (p, p) array
        Triangular factor of the weighted X; ``beta = beta0 + R_x^{-1} beta_scaled``.
    beta0 : (p,) array
        Weighted least-squares coefficients (offset subtracted).
    log_det_R, sum_log_w : float
        ``log|det R_x|`` and the sum of log weights.
    sparse : SparseCrossed or None
        In place of `blocks` and `crossed`, where the elimination is iterative.
    leaves : LeafLevels or None
        The same sums with a smaller dense block, while an optimum is looked for (`with_leaves`).
    residual : ResidualAt or None
        Where residuals differ or correlate: their covariance, which is in all sums.
    row_blocks : tuple of RowBlock or None
        The rows, where sums of products keep too few digits of the residuals and an optimum is
        looked for: what is eliminated in place of the sums.
    sigma : float or None
        The residual standard deviation, where it is known.
    on_workers : WorkerBlocks or None
        In place of `blocks`, where the sums of the groups stay on Dask's workers.
    bases : tuple of (J, q) arrays or None
        Of each factor, in the order of elimination; empty where no factor has one.
    """

    n: int
    p: int
    order: Order
    parts: tuple[FactorPart, ...]
    blocks: tuple[Block, ...]
    crossed: Crossed | None
    F: FloatArray
    transforms: tuple[FloatArray, ...]
    R_x: FloatArray
    beta0: FloatArray
    log_det_R: float
    sum_log_w: float
    sparse: SparseCrossed | None = None
    leaves: LeafLevels | None = None
    row_blocks: tuple[RowBlock, ...] | None = None
    residual: ResidualAt | None = None
    sigma: float | None = None
    on_workers: WorkerBlocks | None = None
    bases: tuple[FloatArray | None, ...] = ()

    @property
    def factors(self) -> tuple[int, ...]:
        """Indices into ``design.factors`` in elimination order."""
        return self.order.chain + self.order.trailing

    @property
    def q(self) -> int:
        """Number of random effects."""
        return self.parts[-1].rows.stop if self.parts else 0

    @property
    def chain_parts(self) -> tuple[FactorPart, ...]:
        """Parts of the chain's factors, which come first."""
        return self.parts[: len(self.order.chain)]

    @property
    def chain_effects(self) -> int:
        """Number of random effects of the chain: those of crossed factors come after them."""
        chain = self.chain_parts
        return chain[-1].rows.stop if chain else 0

    def basis(self, place: int) -> FloatArray | None:
        """Basis of a factor, by its place in the order of elimination; None: it has none."""
        return self.bases[place] if self.bases else None

    def of_levels(self, place: int, effects: FloatArray) -> FloatArray:
        """Effects of the user's levels from those of a factor in the elimination, levels first."""
        basis = self.basis(place)
        if basis is None:
            return effects[self.level_order(place)]
        out: FloatArray = np.tensordot(basis, effects, axes=1)
        return out

    def level_order(self, place: int) -> IntArray:
        """Where each of the user's levels stands in the order of elimination.

        `place` is the factor's, in that order; only the chain's levels are put into another one.
        """
        nodes = self.order.node_of_level
        return nodes[place] if place < len(nodes) else np.arange(self.parts[place].levels)

    @property
    def R_x_inverse(self) -> FloatArray:
        """Inverse of `R_x`; (0, 0) without fixed effects."""
        return upper_inverse(self.R_x)


def check_magnitude(what: str, values: FloatArray) -> None:
    """Refuse numbers whose products leave the range of double precision.

    Raises
    ------
    DataError
    """
    largest = max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))
    if 0.0 < largest < SMALLEST or largest > LARGEST:
        raise DataError(
            f"{what} is of size {largest:.1e}: its squares and their products are too "
            f"{'large' if largest > 1.0 else 'small'} to compute with; give it in other units "
            "(divide it by its standard deviation)"
        )


def of_usual_size(columns: FloatArray) -> bool:
    """Whether sums of squares tell that `check_magnitude` takes each of some columns, (n, k).

    They do not tell of a column of zeros, or of what is as good as zero.
    """
    n, squares = len(columns), np.einsum("ij,ij->j", columns, columns).tolist()
    return all(n * SMALLEST**2 < s < LARGEST**2 for s in squares)


def check_reproduced(left: float, squares: float) -> None:
    """Refuse a response of which the fixed effects leave nothing.

    Raises
    ------
    DataError
    """
    if left <= ROUNDING_SHARE_OF_SQUARES * squares:
        raise DataError(
            "the fixed effects reproduce the response exactly, so there is no residual variation "
            "to share out between groups; drop fixed effects or check the response"
        )
