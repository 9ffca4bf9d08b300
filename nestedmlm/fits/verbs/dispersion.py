"""Residuals that differ or correlate: their parameters and their matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm.covariance.table import DIAGONAL, UNSTRUCTURED
from nestedmlm.design.design import Design
from nestedmlm.errors import ResidualStructureError
from nestedmlm.inference.variances import wald
from nestedmlm.inference.variances.residual_covariance import (
    has_common_matrix,
    residual_covariance,
    stratum_sds,
    visit_covariances,
)
from nestedmlm.likelihood.solution import Solution
from nestedmlm.views.varcorr import VarCorrBlock

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def dispersion(fit: LmerFit) -> pd.DataFrame:
    """Parameters of residuals that differ or correlate, with Wald intervals.

    Returns
    -------
    DataFrame
        Columns ``term, estimate, std_error, conf_low, conf_high``. `sigma` first: the standard
        deviation of the first stratum or visit (or where a predictor is zero); then ratios to it
        (``sd_ratio[Female]``), slopes of its logarithm (``dispersion[Days]``), correlations
        (``rho``; ``residual_sd[VIS2]``, ``residual_cor[VIS2,VIS1]``). The intervals are symmetric
        on the log and atanh scales.

    Raises
    ------
    ResidualStructureError
        If the fit has neither ``dispersion=`` nor ``residual=``.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("distance ~ age * Sex + (age | Subject)", nm.load_dataset("Orthodont"),
    ...               dispersion="~ Sex")
    >>> fit.dispersion.round(3)
                   term  estimate  std_error  conf_low  conf_high
    0             sigma     1.630      0.178     1.315      2.019
    1  sd_ratio[Female]     0.409      0.073     0.288      0.581
    """
    if fit.design.residual is None:
        raise ResidualStructureError(
            "the residuals of this fit have one variance and no correlation: dispersion='~ Sex' "
            "or residual='ar1(Days | Subject)' makes them differ"
        )
    found = wald.variance_parameters(fit.core)
    own = found[found["kind"].isin(["sigma", "residual"])]
    return own.reset_index()[["term", "estimate", "std_error", "conf_low", "conf_high"]]


def residual_cov(fit: LmerFit, block: Any = None, *, kind: str = "cov") -> pd.DataFrame:
    """Covariance matrix of the residuals over the times, or of one block.

    Parameters
    ----------
    block : level, optional
        A level of the residuals' block, for the matrix of its rows (prior weights included).
    kind : {"cov", "cor"}
        Covariances or correlations.

    Returns
    -------
    DataFrame
        Square, labelled by the times; with ``by=`` one matrix under the other.

    Raises
    ------
    ResidualStructureError
        If the residuals do not correlate, or no one matrix serves all blocks.
    OptionError
        For an unknown kind or block.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> sleep = {"extra": [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0,
    ...                    1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4],
    ...          "drug": ["1"] * 10 + ["2"] * 10, "id": [*range(10), *range(10)]}
    >>> fit = nm.lmer("extra ~ drug", sleep, residual="us(drug | id)")
    >>> fit.residual_cov().round(3)
           1      2
    1  3.201  2.848
    2  2.848  4.009
    """
    return residual_covariance(fit.solution, fit.design, block, kind=kind)


def residual_blocks(solution: Solution, design: Design) -> tuple[VarCorrBlock, ...]:
    """Blocks of the table of variance components, where residuals differ by stratum or visit."""
    rows = design.residual
    if rows is None:
        return ()
    if rows.stratum is not None:
        sds = stratum_sds(solution, rows)
        return (_block("Residual", rows.strata, np.diag(sds**2), diagonal=True),)
    structure = rows.structure
    if structure is None or (rows.hom and structure.time != "levels" and rows.by is None):
        return ()
    if not has_common_matrix(rows):
        return ()
    return tuple(
        _block(f"Residual {name}".rstrip(), tuple(map(str, frame.index)), frame.to_numpy())
        for name, frame in visit_covariances(solution, rows).items()
    )


def _block(
    name: str, columns: tuple[str, ...], cov: Any, *, diagonal: bool = False
) -> VarCorrBlock:
    return VarCorrBlock(
        name=name,
        factor="",
        columns=columns,
        cov=cov,
        structure=DIAGONAL if diagonal else UNSTRUCTURED,
        hom=False,
        par=np.sqrt(np.diag(cov)),
    )


def residual_notes(solution: Solution, design: Design) -> tuple[str, ...]:
    """What is said of the residuals below the table of variance components."""
    rows, at = design.residual, solution.stats.residual
    if rows is None or at is None:
        return ()
    model, said = at.model, []
    natural = dict(zip(model.names, model.natural(at.free), strict=True))
    if rows.arguments.dispersion_text is not None:
        slopes = [f"{name} = {v:.4g}" for name, v in natural.items() if name.startswith("disp")]
        said.append("; ".join([f"Dispersion: log SD {rows.arguments.dispersion_text}", *slopes]))
    term = rows.arguments.term
    if term is not None and rows.structure is not None:
        head = f"Residuals within {rows.block_name}: {term.text}"
        patterns = getattr(model.correlations[0], "patterns", None)
        if patterns is not None:
            count = sum(len(getattr(part, "patterns", ())) for part in model.correlations)
            head += f", {len(rows.block_levels)} blocks, {count} pattern{'' if count == 1 else 's'}"
        known = [f"{k} = {v:.3f}" for k, v in natural.items() if k.startswith("rho")]
        if not rows.structure.is_root and known:
            head += ", " + ", ".join(known)
        said.append(head)
    return tuple(said)
