"""Covariance matrices of residuals that differ or correlate: of the visits, or of one block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.design.residual import ResidualRows
from nestedmlm.errors import OptionError, ResidualStructureError
from nestedmlm.inference.variances.correlation import correlation_matrix
from nestedmlm.likelihood.solution import Solution

if TYPE_CHECKING:
    from nestedmlm.statistics.pair_sums import ResidualAt

_MOST_TIMES = 60  # different times of one matrix
KINDS = ("cov", "cor")


def stratum_sds(solution: Solution, rows: ResidualRows) -> FloatArray:
    """Standard deviation of each stratum of the argument ``dispersion``."""
    at = solution.stats.residual
    assert at is not None
    assert rows.stratum is not None
    first = np.unique(rows.stratum, return_index=True)[1]
    n = rows.n_dispersion
    columns = rows.log_sd[first, :n] / at.model.unit[:n]
    out: FloatArray = solution.sigma * np.exp(columns @ at.free[:n])
    return out


def has_common_matrix(rows: ResidualRows) -> bool:
    """Whether all blocks (of a group) are parts of one matrix over the times."""
    return (
        rows.structure is not None
        and bool(rows.time_name)
        and not rows.n_dispersion
        and rows.time is not None
        and len(np.unique(rows.time)) <= _MOST_TIMES
    )


def visit_covariances(solution: Solution, rows: ResidualRows) -> dict[str, pd.DataFrame]:
    """The matrix over all times of each group (one, called "", without ``by=``)."""
    at = solution.stats.residual
    assert at is not None
    assert rows.time is not None
    times = np.unique(rows.time)
    labels = rows.time_labels or tuple(f"{t:g}" for t in times)
    group = np.zeros(len(rows.time), dtype=np.int64) if rows.by is None else rows.by
    out = {}
    for g, (part, own) in enumerate(zip(at.model.correlations, at.model.cuts, strict=True)):
        C = part.matrices(at.free[own], times[None])[0]
        sd = np.full(len(times), np.nan)
        for v, t in enumerate(times):
            seen = np.flatnonzero((group == g) & (rows.time == t))
            if len(seen):
                sd[v] = np.exp(rows.log_sd[seen[0]] / at.model.unit @ at.free[: at.model.q])
        cov = solution.sigma**2 * C * np.outer(sd, sd)
        name = rows.by_levels[g] if rows.by_levels else ""
        out[name] = pd.DataFrame(cov, index=list(labels), columns=list(labels))
    return out


def residual_covariance(
    solution: Solution, design: Design, block: Any = None, *, kind: str = "cov"
) -> pd.DataFrame:
    """Covariance or correlations of the residuals over the times, or within one block.

    Parameters
    ----------
    solution, design : Solution, Design
    block : level, optional
        A level of the residuals' block; its own matrix, prior weights included.
    kind : {"cov", "cor"}

    Raises
    ------
    ResidualStructureError
        If the residuals have no correlations, or no one matrix serves all blocks.
    OptionError
        For an unknown kind or block.
    """
    if kind not in KINDS:
        raise OptionError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    rows, at = design.residual, solution.stats.residual
    if rows is None or at is None or rows.structure is None:
        raise ResidualStructureError(
            "the residuals of this fit do not correlate: residual='ar1(Days | Subject)' or "
            "another structure makes them"
        )
    if block is not None:
        frames = {"": _block_covariance(solution, design, rows, at, block)}
    elif has_common_matrix(rows):
        frames = visit_covariances(solution, rows)
    else:
        raise ResidualStructureError(
            "blocks have matrices of their own here: give block=, a level of "
            f"{rows.block_name} such as {rows.block_levels[0]!r}"
        )
    if kind == "cor":
        frames = {
            name: pd.DataFrame(correlation_matrix(f.to_numpy()), index=f.index, columns=f.columns)
            for name, f in frames.items()
        }
    if list(frames) == [""]:
        return frames[""]
    return pd.concat(frames, names=[rows.arguments.term.by.name, rows.time_name])  # type: ignore[union-attr]


def _block_covariance(
    solution: Solution, design: Design, rows: ResidualRows, at: ResidualAt, block: Any
) -> pd.DataFrame:
    levels = list(rows.block_levels)
    found = [i for i, level in enumerate(levels) if level == block or str(level) == str(block)]
    if not found:
        known = ", ".join(map(str, levels[:5]))
        raise OptionError(f"no block {block!r} of {rows.block_name}; there are {known}, …")
    for some, R in at.model.matrices(at.free):
        own = np.flatnonzero(rows.block[some[:, 0]] == found[0])  # type: ignore[index]
        if len(own):
            mine, cov = some[own[0]], solution.sigma**2 * R[own[0]]
            if design.weights is not None:
                root = np.sqrt(design.weights[mine])
                cov = cov / np.outer(root, root)
            labels = list(design.index[mine])
            if rows.time_name and rows.time is not None:
                names, t = rows.time_labels, rows.time[mine]
                whole = rows.structure is not None and rows.structure.time == "levels"
                labels = [names[int(x)] if whole else f"{x:g}" for x in t]
            return pd.DataFrame(cov, index=labels, columns=labels)
    raise OptionError(f"block {block!r} of {rows.block_name} has no rows")
