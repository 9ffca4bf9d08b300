"""Resampling rows and groups of a design: what bootstraps without normality draw.

Residual bootstrap: Carpenter, Goldstein & Rasbash (2003), Applied Statistics 52(4), 431-443.
Cases bootstrap and leave-one-group-out: whole groups of one factor, with fresh labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.design.design import Design, GroupingFactor
from nestedmlm.design.matrices.grouping import refuse_curves, refuse_related
from nestedmlm.design.rows import rows_here
from nestedmlm.errors import OptionError, ResidualStructureError
from nestedmlm.likelihood.solution import Solution

BLOCKS = -1  # in the place of a factor's index: the blocks of correlated residuals
_RANK = 1e-10  # share of the largest eigenvalue below which a direction counts as absent


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowResampler:
    """Conditional fitted values plus residuals drawn with replacement.

    Attributes
    ----------
    mean, spread : (n,) arrays
        Fitted values; ``1 / sqrt(weights)``.
    residuals : (n,) array
        On the scale of weight 1.
    """

    mean: FloatArray
    spread: FloatArray
    residuals: FloatArray

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """Draw one response, (n,)."""
        n = len(self.mean)
        return self.mean + self.spread * self.residuals[rng.integers(0, n, n)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LevelResampler:
    """Residual bootstrap: residuals of every level drawn with replacement.

    Attributes
    ----------
    rows : RowResampler
        Its mean is ``X beta + offset``.
    X : tuple of (n, K) arrays
        The columns of all terms of each grouping factor.
    codes : tuple of (n,) int arrays
    b : tuple of (J, K) arrays
        Random effects, centred and with the estimated covariance.
    """

    rows: RowResampler
    X: tuple[FloatArray, ...]
    codes: tuple[np.ndarray, ...]
    b: tuple[FloatArray, ...]

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """Draw one response, (n,)."""
        y = self.rows.draw(rng)
        for X, codes, b in zip(self.X, self.codes, self.b, strict=True):
            y += np.einsum("ij,ij->i", X, b[rng.integers(0, len(b), len(b))][codes])
        return y


def semiparametric(design: Design, solution: Solution) -> RowResampler:
    """Resample the raw residuals around the conditional fitted values (lme4's bootMer)."""
    root = np.ones(design.n) if design.weights is None else np.sqrt(design.weights)
    return RowResampler(
        mean=solution.fitted,
        spread=1.0 / root,
        residuals=root * (design.y - solution.fitted),
    )


def residual(design: Design, solution: Solution) -> LevelResampler:
    """Resample centred residuals of every level, rescaled to the estimated covariances.

    Conditional modes are shrunken, so their empirical covariance S is too small: each is
    multiplied by ``A`` with ``A S A' = Sigma`` (Carpenter, Goldstein & Rasbash 2003, section 3).

    Raises
    ------
    OptionError
        If a factor has too few levels for its random effects.
    """
    refuse_related(design.factors, "a bootstrap of the levels' effects")
    refuse_curves(design.factors, "a bootstrap of the levels' effects")
    rows = semiparametric(design, solution)
    e = rows.residuals - rows.residuals.mean()
    e *= solution.sigma / np.sqrt(np.mean(e**2))
    mean = design.X @ solution.beta
    X, codes, b = [], [], []
    for f, factor in enumerate(design.factors):
        own = [t for t, term in enumerate(design.terms) if term.factor == f]
        X.append(np.hstack([design.terms[t].X for t in own]))
        codes.append(factor.codes)
        b.append(
            _reflated(
                np.hstack([solution.b[t] for t in own]),
                _block_diagonal([solution.sigma * solution.T[t] for t in own]),
                factor.name,
            )
        )
    return LevelResampler(
        rows=RowResampler(
            mean=mean if design.offset is None else mean + design.offset,
            spread=rows.spread,
            residuals=e,
        ),
        X=tuple(X),
        codes=tuple(codes),
        b=tuple(b),
    )


def _reflated(b: FloatArray, L: FloatArray, name: str) -> FloatArray:
    """Centre the rows of `b` and give them the covariance ``L L'``."""
    b = b - b.mean(axis=0)
    root, _, rank = _roots(L @ L.T)
    if len(b) - 1 < rank:
        raise OptionError(
            f"{name} has {len(b)} levels, too few to resample {rank} random effects each; take "
            "type='parametric'"
        )
    inverse = _roots(b.T @ b / len(b))[1]
    out: FloatArray = b @ inverse @ root
    return out


def _roots(S: FloatArray) -> tuple[FloatArray, FloatArray, int]:
    """Symmetric square root of a covariance, its pseudo-inverse, and the rank."""
    values, vectors = np.linalg.eigh(S)
    present = values > _RANK * max(float(values[-1]), 0.0)
    sd = np.sqrt(np.where(present, values, 0.0))
    inverse = np.divide(1.0, sd, out=np.zeros_like(sd), where=present)
    return (vectors * sd) @ vectors.T, (vectors * inverse) @ vectors.T, int(present.sum())


def _block_diagonal(blocks: Sequence[FloatArray]) -> FloatArray:
    size = sum(len(B) for B in blocks)
    out, at = np.zeros((size, size)), 0
    for B in blocks:
        out[at : at + len(B), at : at + len(B)] = B
        at += len(B)
    return out


def nested_in(inner: np.ndarray, outer: np.ndarray) -> bool:
    """Whether every value of `inner` occurs with one value of `outer` only."""
    first = np.full(int(inner.max(initial=-1)) + 1, -1)
    first[inner] = outer
    return bool(np.array_equal(first[inner], outer))


def top_factor(design: Design, by: str | None = None) -> int:
    """Index of the factor whose groups are resampled: `by`, or that in which all others nest.

    `BLOCKS`, where they are the blocks of correlated residuals and no factor has their name.

    Raises
    ------
    OptionError
        If there is no such factor, or no factor called `by`.
    RelationshipError
        If levels of the factors whose groups are taken are related.
    ResidualStructureError
        If residuals correlate across those groups.
    """
    top = _top_factor(design, by)
    residual = design.residual
    if residual is not None and residual.block is not None and top != BLOCKS:
        factor = design.factors[top]
        if not nested_in(residual.block, factor.codes):
            raise ResidualStructureError(
                f"residuals correlate within {residual.block_name}, across levels of "
                f"{factor.name}, so these are no units to resample: take by={residual.block_name!r}"
            )
    return top


def groups_of(design: Design, factor: int) -> tuple[IntArray, int]:
    """Group of each row, (n,), and how many there are: of a factor, or the blocks' (`BLOCKS`)."""
    if factor != BLOCKS:
        return design.factors[factor].codes, len(design.factors[factor].levels)
    assert design.residual is not None and design.residual.block is not None
    return design.residual.block, len(design.residual.block_levels)


def _top_factor(design: Design, by: str | None) -> int:
    names, residual = [f.name for f in design.factors], design.residual
    blocks = "" if residual is None or residual.block is None else residual.block_name
    if by not in names and blocks and (by == blocks or (by is None and not names)):
        return BLOCKS
    if by is not None:
        if by not in names:
            known = ", ".join(dict.fromkeys([*names, *filter(None, [blocks])])) or "none"
            raise OptionError(f"by={by!r} is no grouping factor; they are {known}")
        outer = design.factors[names.index(by)].codes
        nested = [g for g in design.factors if nested_in(g.codes, outer)]
        refuse_related(nested, "a bootstrap of cases")
        refuse_curves(nested, "a bootstrap of cases")
        return names.index(by)
    own = [f for f, factor in enumerate(design.factors) if not factor.is_whole]
    for f in sorted(own, key=lambda f: len(design.factors[f].levels)):
        outer = design.factors[f].codes
        if all(nested_in(design.factors[g].codes, outer) for g in own):
            refuse_related(design.factors, "a bootstrap of cases")
            return f
    raise OptionError(
        f"the grouping factors ({', '.join(names)}) are not nested in one of them: say with by= "
        "which factor's groups are resampled (the others keep their levels)"
    )


def take_groups(design: Design, factor: int, positions: np.ndarray) -> Design:
    """Make the design of some groups' rows; a group taken twice counts as two groups.

    Parameters
    ----------
    design : Design
    factor : int
        Index of the grouping factor, or `BLOCKS`.
    positions : (m,) int array
        Its levels, in any order, repeated or left out.

    Notes
    -----
    Levels of factors nested in `factor` are relabelled with their group; those of crossed factors
    stay what they are. Blocks of correlated residuals are those of their group.
    """
    top, size = groups_of(design, factor)
    by_level = row_sets(top, size)
    chosen = [by_level[p] for p in positions.tolist()]
    rows = np.concatenate(chosen)
    group = np.repeat(np.arange(len(chosen)), [len(r) for r in chosen])
    groups = [
        _taken(f, rows, group if nested_in(f.codes, top) else np.zeros_like(group))
        for f in design.factors
    ]
    return take_rows(design, rows, groups, group)


def row_sets(codes: IntArray, size: int) -> list[IntArray]:
    """Rows of each of `size` groups."""
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes, minlength=size))[:-1])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Groups:
    """Levels of a grouping factor among some rows: which of the old ones, and that of each row."""

    kept: np.ndarray
    codes: np.ndarray


def take_rows(
    design: Design, rows: np.ndarray, groups: Sequence[Groups], copy: IntArray | None = None
) -> Design:
    """Make the design of some rows, with groups given for them by grouping factor.

    Blocks of correlated residuals whose rows have different numbers in `copy` are told apart;
    without it no row may be taken twice.
    """
    factors = tuple(
        replace(
            factor,
            levels=factor.levels[own.kept],
            basis=None if factor.basis is None else factor.basis[own.kept],
        )
        for factor, own in zip(design.factors, groups, strict=True)
    )
    all_rows = rows_here(design.rows, "taking some of them")
    residual = all_rows.residual
    taken = replace(all_rows, residual=None).take(rows, [own.codes for own in groups])
    if residual is not None:
        own = residual.of_rows(rows)
        taken = replace(taken, residual=own if copy is None else own.apart(copy))
    return replace(design, factors=factors).with_rows(taken)


def _taken(factor: GroupingFactor, rows: np.ndarray, group: np.ndarray) -> Groups:
    """Levels of the rows taken, those of different groups told apart."""
    codes = factor.codes[rows].astype(np.int64)
    key = group * len(factor.levels) + codes
    observed, new = np.unique(key, return_inverse=True)
    return Groups(kept=observed % len(factor.levels), codes=new.astype(np.int32))
