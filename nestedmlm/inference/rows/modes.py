"""Tables of conditional modes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.errors import ResidualStructureError
from nestedmlm.likelihood.solution import Solution, conditional_covariances


def ranef_frame(
    solution: Solution, design: Design, *, condvar: bool = True, postvar: bool = False
) -> pd.DataFrame:
    """Conditional modes in long form, with the columns of R's ``as.data.frame(ranef(fit))``.

    Returns
    -------
    DataFrame
        ``group, term, level, estimate``, with `condvar` ``std_error``, and with `postvar` a column
        for each effect; one row for each level of each column of each term, grouped by factor, then
        term.
    """
    require_effects(design)
    asked = condvar or postvar
    covs = conditional_covariances(solution, design) if asked else (None,) * len(design.terms)
    pieces = []
    for f, factor in enumerate(design.factors):
        for term, b, cov in zip(design.terms, solution.b, covs, strict=True):
            if term.factor != f:
                continue
            for j, column in enumerate(term.columns):
                piece = {
                    "group": factor.name,
                    "term": column,
                    "level": factor.levels,
                    "estimate": b[:, j],
                }
                if cov is not None and condvar:
                    piece["std_error"] = np.sqrt(np.clip(cov[:, j, j], 0.0, None))
                if cov is not None and postvar:
                    for i, other in enumerate(term.columns):
                        piece[f"cov_{other}"] = cov[:, j, i]
                pieces.append(pd.DataFrame(piece))
    return pd.concat(pieces, ignore_index=True)


def require_effects(design: Design) -> None:
    """Refuse a model without random effects.

    Raises
    ------
    ResidualStructureError
    """
    if not design.terms:
        raise ResidualStructureError(
            "the model has no random effects: its groups differ by their residuals only, whose "
            "covariance fit.residual_cov() is"
        )


def coef_frames(solution: Solution, design: Design) -> dict[str, pd.DataFrame]:
    """Fixed effects plus conditional modes, one table per grouping factor."""
    return coefficient_tables(design, solution.beta, solution.b)


def coefficient_tables(
    design: Design, beta: FloatArray, modes: tuple[FloatArray, ...]
) -> dict[str, pd.DataFrame]:
    """Fixed plus random effects, one table per grouping factor.

    Columns are the fixed effects, preceded by random-effect columns without one (lme4 counts
    their fixed effect as zero); rows are the factor's levels.

    Parameters
    ----------
    design : Design
    beta : (p,) array
    modes : tuple of (J, k) arrays
        Random effects of each term.
    """
    require_effects(design)
    fixed = dict(zip(design.x_names, beta.tolist(), strict=True))
    out = {}
    for f, factor in enumerate(design.factors):
        if factor.is_whole:  # coefficients of a smooth
            continue
        own = [(t.columns, b) for t, b in zip(design.terms, modes, strict=True) if t.factor == f]
        extra = [c for columns, _ in own for c in columns if c not in fixed]
        names = [*dict.fromkeys(extra), *fixed]
        values = {c: np.full(len(factor.levels), fixed.get(c, 0.0)) for c in names}
        for columns, b in own:
            for j, c in enumerate(columns):
                values[c] = values[c] + b[:, j]
        out[factor.name] = pd.DataFrame(values, index=pd.Index(factor.levels, name=factor.name))
    return out
