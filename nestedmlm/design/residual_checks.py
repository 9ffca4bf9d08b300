"""Checks of residuals that differ or correlate: what cannot be estimated is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nestedmlm.covariance.residual_structures import BLOCK, LEVELS
from nestedmlm.errors import ResidualStructureError

if TYPE_CHECKING:
    from nestedmlm._typing import FloatArray
    from nestedmlm.design.design import Design
    from nestedmlm.design.residual import ResidualRows

MOST_VISITS = 20  # of an unstructured matrix: 210 parameters
_LEAST_ROWS = 2  # of a stratum
_RANK = 1e-9  # relative: columns that others explain


def checked_rows(rows: ResidualRows) -> ResidualRows:
    """Refuse what cannot be estimated."""
    _check_times(rows)
    n, structure = len(rows.log_sd), rows.structure
    columns = [np.ones((n, 1)), rows.log_sd]
    if structure is not None and structure.is_root and rows.time is not None:
        each = np.zeros(n, dtype=np.int64) if rows.by is None else rows.by
        seen = each * rows.levels + rows.time.astype(np.int64)
        columns.append((seen[:, None] == np.unique(seen)[1:]).astype(float)
                       if rows.n_dispersion else np.zeros((n, 0)))  # fmt: skip
        if rows.n_dispersion and rows.by is not None:
            columns[1] = rows.log_sd[:, : rows.n_dispersion]
    X = np.column_stack(columns)
    size = np.sqrt((X * X).sum(axis=0))
    scaled = np.linalg.qr(X / np.where(size == 0, 1.0, size), mode="r")
    _, sizes, directions = np.linalg.svd(scaled)
    alike = directions[int(np.sum(sizes > _RANK * np.sqrt(n))) :, 1 : 1 + columns[1].shape[1]]
    if len(alike):
        shares = np.abs(alike).max(axis=0)
        named = [name for name, own in zip(rows.names, shares, strict=False) if own > _RANK]
        by = "" if rows.by is None else ", by= one for each group"
        raise ResidualStructureError(
            "the standard deviations that dispersion= and residual= name explain one another "
            f"({', '.join(named)}): leave some out (us and hom=False have a standard deviation for "
            f"each visit anyhow{by})"
        )
    for name, column in zip(rows.names, rows.log_sd.T, strict=False):
        if np.isin(column, (0.0, 1.0)).all() and min(column.sum(), n - column.sum()) < _LEAST_ROWS:
            raise ResidualStructureError(
                f"{name}: a stratum of {int(min(column.sum(), n - column.sum()))} row; its "
                f"standard deviation needs {_LEAST_ROWS} at least: join strata"
            )
    return rows


def _check_times(rows: ResidualRows) -> None:
    structure, time, block = rows.structure, rows.time, rows.block
    if structure is None or time is None or block is None:
        return
    largest = int(np.bincount(block).max())
    if largest < _LEAST_ROWS:
        raise ResidualStructureError(
            f"every block of {rows.block_name} has one row: nothing in it correlates"
        )
    if structure.time == BLOCK and rows.hom:
        return
    order = np.lexsort((time, block))
    same = (np.diff(block[order]) == 0) & (np.diff(time[order]) == 0)
    if same.any():
        row = order[np.flatnonzero(same)[0]]
        label = rows.time_labels[int(time[row])] if structure.time == LEVELS else f"{time[row]:g}"
        raise ResidualStructureError(
            f"{rows.block_name} {rows.block_levels[block[row]]} has two rows at {rows.time_name} = "
            f"{label}: rows of a block are told apart by their time; take another block, or "
            f"cs(1 | {rows.block_name})"
        )
    if structure.time != LEVELS:
        return
    k, name = rows.levels, rows.structure.name if rows.structure else ""
    if k < _LEAST_ROWS:
        raise ResidualStructureError(f"{rows.time_name} has one level: nothing correlates over it")
    if structure.is_root and k > MOST_VISITS:
        raise ResidualStructureError(
            f"an unstructured matrix over {k} levels of {rows.time_name} has {k * (k + 1) // 2} "
            "parameters: take toep, ad1 or ar1"
        )
    groups = np.zeros(len(block), dtype=np.int64) if rows.by is None else rows.by
    for g in range(int(groups.max()) + 1):
        blocks = len(np.unique(block[groups == g]))
        if structure.is_root and blocks <= k:
            raise ResidualStructureError(
                f"{name} over {k} levels of {rows.time_name} needs more than {k} blocks; "
                f"{rows.block_name} has {blocks}"
                f"{'' if rows.by is None else ' in ' + rows.by_levels[g]}: take ad1, toep or cs"
            )


def check_known_sigma(sigma: float | None) -> None:
    """Refuse a sigma that is known: it is profiled out here.

    Raises
    ------
    ResidualStructureError
    """
    if sigma is not None:
        raise ResidualStructureError(
            "fixed={'sigma': ...} beside dispersion= or residual= is not worked out: leave one out "
            "(known variances of the rows are weights=)"
        )


def check_beside(rows: ResidualRows, factors: Sequence[Any], terms: Sequence[Any]) -> None:
    """Refuse random effects that the residuals' structure contains.

    Raises
    ------
    ResidualStructureError
    """
    structure, block = rows.structure, rows.block
    if structure is None or block is None:
        return
    whole = structure.is_root or (structure.time == BLOCK and rows.hom)
    if not whole:
        return
    for term in terms:
        codes = factors[term.factor].codes
        related = factors[term.factor].basis is not None  # their effects correlate across blocks
        if related or not _same_partition(codes, block):
            continue
        constant = bool(np.ptp(term.X, axis=0).min() == 0.0)
        if structure.is_root or constant:
            raise ResidualStructureError(
                f"({term.text}) and residual='{rows.arguments.term.text}' say the same: "  # type: ignore[union-attr]
                f"every covariance within {rows.block_name} is in the residual structure; leave "
                "the random effect out"
            )


def check_reproduced(rows: ResidualRows, design: Design) -> None:
    """Refuse a stratum or visit whose rows the fixed effects reproduce: its variance is zero.

    Raises
    ------
    ResidualStructureError
    """
    strata = [j for j, column in enumerate(rows.log_sd.T) if np.isin(column, (0.0, 1.0)).all()]
    keys, root = [rows.log_sd[:, strata]], rows.structure is not None and rows.structure.is_root
    if root:
        keys += [key[:, None].astype(float) for key in (rows.time, rows.by) if key is not None]
    _, first, group = np.unique(np.hstack(keys), axis=0, return_index=True, return_inverse=True)
    if len(first) == 1:  # one variance: the whole response is exact, which is said elsewhere
        return
    y = design.y if design.offset is None else design.y - design.offset
    for g, row in enumerate(first.tolist()):
        own = np.flatnonzero(group.ravel() == g)
        few = own[: 2 * design.p + 2]  # of which no fixed effects reproduce all by chance
        if not (_reproduced(design.X[few], y[few]) and _reproduced(design.X[own], y[own])):
            continue
        if any(len(np.unique(f.codes[own])) == len(own) for f in design.factors):
            continue  # random effects vary there
        stratum = [rows.names[j] for j in strata if rows.log_sd[row, j]] or [
            "sigma, the first stratum"
        ]
        if root and rows.time is not None:
            stratum = [f"{rows.time_name} = {rows.time_labels[int(rows.time[row])]}"]
        named = ", ".join(stratum) or "sigma, the first stratum"
        raise ResidualStructureError(
            f"the fixed effects reproduce all {len(own)} rows of {named}, whose "
            "residuals would have a standard deviation of zero, and the likelihood no maximum: "
            "leave these rows out (a baseline that is a predictor is no response, too)"
        )


def _reproduced(X: FloatArray, y: FloatArray) -> bool:
    beta, _, rank, _ = np.linalg.lstsq(X, y, rcond=None)
    left = np.abs(y - X @ beta).max()
    return bool(rank < len(y) and y.any() and left <= _RANK * np.abs(y).max())


def _same_partition(a: Any, b: Any) -> bool:
    pairs = len(np.unique(np.stack([a, b]), axis=1).T)
    return pairs == len(np.unique(a)) == len(np.unique(b))
