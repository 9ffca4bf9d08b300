"""Random-effects terms: their matrices and factors, in lme4's order and with its names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from nestedmlm._typing import FloatArray
from nestedmlm.covariance import STRUCTURES, Structure
from nestedmlm.design.frame.checks import check_finite
from nestedmlm.design.frame.values import Vector
from nestedmlm.design.matrices.grouping import GroupingFactor, GroupSpec, learn_group
from nestedmlm.design.matrices.modelmatrix import MatrixSpec, build_matrix, learn_matrix
from nestedmlm.design.rows import LateRows, Rows, frozen, rows_here
from nestedmlm.design.sums import Sums
from nestedmlm.formula.bars import Bar
from nestedmlm.formula.formula import Formula
from nestedmlm.formula.terms import Terms
from nestedmlm.late import Late

smooth_parts = Late("nestedmlm.design.smooths", "smooth_parts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The curve whose penalised part a random-effects term is.

    Attributes
    ----------
    label : str
        As mgcv's: ``s(x)``, ``s(x):z``, ``s(x):fA``.
    x : str
        R's text of what it is a function of.
    by : str or None
        Numbers that multiply the curve, or the factor that has one for each level.
    level : str or None
        Of the factor `by`.
    lines : int
        Unpenalised columns that it has among the fixed effects: none of a curve for each level of
        a grouping factor, two of one that numbers multiply.
    low, high, mean : float
        Of x at the fit.
    """

    label: str
    x: str
    by: str | None
    level: str | None
    lines: int
    low: float
    high: float
    mean: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReTerm:
    """One random-effects term: one covariance block on one grouping factor.

    Attributes
    ----------
    factor : int
        Index into `Design.factors`.
    columns : tuple of str
        R's names of the columns.
    structure : Structure
    hom : bool
        Whether all SDs of the block are equal.
    name : str
        As in VarCorr, unique: ``classid``, ``classid.1``.
    text : str
        ``"ses | schoolid"``.
    smooth : Curve or None
        The curve whose penalised part this is.
    number : int
        Its place in `Design.terms`.
    rows : Rows, LateRows or None
        Those of the design, where it has them.
    sums : Sums or None
        In their place.
    """

    factor: int
    columns: tuple[str, ...]
    structure: Structure
    hom: bool
    name: str
    text: str
    smooth: Curve | None = None
    number: int = 0
    rows: Rows | LateRows | None = None
    sums: Sums | None = None

    @property
    def X(self) -> FloatArray:
        """Its matrix, shape (n, k)."""
        return rows_here(self.rows, f"the matrix of ({self.text})").matrices[self.number]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A random-effects term with its matrix and its grouping factor."""

    bar: Bar
    spec: MatrixSpec
    X: FloatArray
    group: GroupSpec
    factor: GroupingFactor
    codes: npt.NDArray[np.int32]
    smooth: Curve | None = None


def _same_matrix(a: Terms, b: Terms) -> bool:
    return (a.intercept, a.labels) == (b.intercept, b.labels)


def make_blocks(
    formula: Formula,
    values: Mapping[str, Vector],
    n: int,
    shared: tuple[MatrixSpec, FloatArray] | None,
) -> list[Block]:
    """Make the terms in formula order; equal matrices and equal factors are made once."""
    matrices = [] if shared is None else [shared]
    made: dict[str, tuple[GroupSpec, GroupingFactor, npt.NDArray[np.int32]]] = {}
    blocks = []
    for bar in formula.bars:
        found = next((m for m in matrices if _same_matrix(m[0].terms, bar.terms)), None)
        if found is None:
            learned = learn_matrix(bar.terms, values)
            columns = build_matrix(learned, values, n)
            check_finite(columns, learned.names)
            matrices.append(found := (learned, frozen(columns)))
        if not found[0].names:  # (0 | g): nothing to estimate, as in lme4
            continue
        if bar.group_text not in made:
            made[bar.group_text] = learn_group(bar, values, n)
        (spec, X), (group, factor, codes) = found, made[bar.group_text]
        if bar.smooth is None:
            blocks.append(Block(bar, spec, X, group, factor, codes))
        else:
            blocks += [
                Block(bar, own, columns, group, factor, codes, curve)
                for curve, own, columns in smooth_parts(bar, spec, X, values)
            ]
    return blocks


def lme4_order(blocks: list[Block]) -> list[Block]:
    """Reorder as lme4: only if some term has more levels than the one before it.

    Curves of all data are last, as they were written.
    """
    curves = [block for block in blocks if block.factor.is_whole]
    blocks = [block for block in blocks if not block.factor.is_whole]
    sizes = [block.factor.levels.size for block in blocks]
    if all(later <= earlier for earlier, later in pairwise(sizes)):
        return blocks + curves
    return [blocks[i] for i in sorted(range(len(blocks)), key=sizes.__getitem__)[::-1]] + curves


def first_of_each_factor(blocks: list[Block]) -> dict[str, Block]:
    """The first term on each grouping factor, by the factor's name and in order of the terms."""
    first: dict[str, Block] = {}
    for block in blocks:
        first.setdefault(block.factor.name, block)
    return first


def make_terms(blocks: list[Block], factor_of: tuple[int, ...]) -> tuple[ReTerm, ...]:
    """Turn blocks into terms with VarCorr's unique names."""
    taken: dict[str, int] = {}
    terms = []
    for block, factor in zip(blocks, factor_of, strict=True):
        name = block.factor.name
        if block.smooth is not None and block.factor.is_whole:
            name = block.smooth.label  # s(x):fA: each level has an SD of its own
        count = taken.get(name, 0)
        taken[name] = count + 1
        terms.append(
            ReTerm(
                factor=factor,
                columns=block.spec.names,
                structure=STRUCTURES[block.bar.structure],
                hom=block.bar.hom,
                name=f"{name}.{count}" if count else name,
                text=block.bar.text,
                smooth=block.smooth,
            )
        )
    return tuple(terms)
