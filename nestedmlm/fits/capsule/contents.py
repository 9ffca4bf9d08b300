"""Contents of a capsule: a fit and the sums over rows it was made of, as numbers and lists."""

from __future__ import annotations

import base64
import platform
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance import TermShape, relative_factors
from nestedmlm.design.design import Design
from nestedmlm.design.matrices.grouping import refuse_curves, refuse_related
from nestedmlm.errors import OptionError
from nestedmlm.fits.plain_only import refuse_residuals
from nestedmlm.fits.summaries.saved import to_arrow
from nestedmlm.fits.summaries.summarise import summarise
from nestedmlm.fits.summaries.summary_source import SummarySource
from nestedmlm.formula import Formula
from nestedmlm.statistics.cells.cell_design import reading_of
from nestedmlm.statistics.cells.cell_sums import Cells
from nestedmlm.views.report import version

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.fits.summaries.data_summary import Summary

FORMAT = "nestedmlm capsule 1"
FEW_ROWS = 10  # in a cell: sums of fewer tell of single rows
_DIFFERENCE_STEP = 1e-6  # for dT / d theta, which is linear for all but the structured terms
_MOST_EFFECTS = 10_000  # that the verifier, which is dense, is asked to take


def capsule_contents(fit: LmerFit, min_rows: int | None) -> dict[str, Any]:
    """Collect what a capsule holds."""
    _check(fit)
    summary = _summary(fit)
    formula = fit.model.formula
    own = {part.name for bar in formula.bars for part in bar.parts}
    groups = [name for name in summary.plan.groups if name in own]
    summary = _of_formula(summary.share(min_rows=min_rows or 1, groups=groups), formula)
    design = summary.model().design
    few = int((summary.cells.counts < FEW_ROWS).sum())
    return {
        "format": FORMAT,
        "made": datetime.now(UTC).date().isoformat(),
        "versions": _versions(),
        "formula": fit.formula,
        "REML": bool(fit.REML),
        "criterion": float(fit.criterion),
        "sigma": float(fit.sigma),
        "certificate": {
            "holds": bool(fit.certificate.holds),
            "message": fit.certificate.message,
            "gap": float(fit.certificate.gap),
        },
        "messages": list(fit.messages),
        "fixed": {
            "columns": list(design.x_names),
            "places": _places(design)[0],
            "estimate": fit.fixef.to_numpy().tolist(),
            "std_error": fit.bse.to_numpy().tolist(),
        },
        "terms": _terms(fit, design),
        "statistics": _statistics(summary, design),
        "disclosure": (
            f"{few} of {summary.cells.size} cells have fewer than {FEW_ROWS} rows, and their sums "
            "tell of single rows"
            if few
            else f"every cell has {FEW_ROWS} rows or more"
        ),
        "summary": _packed(summary),
    }


def _check(fit: LmerFit) -> None:
    refuse_residuals(
        fit, "a capsule", "it holds sums over single rows, and these need sums over pairs of rows; "
        "r_code() has lines that check the fit",
    )  # fmt: skip
    refuse_related(fit.design.factors, "a capsule")
    refuse_curves(fit.design.factors, "a capsule")
    if fit.penalty is not None or fit.solution.stats.sigma is not None:
        raise OptionError(
            "a capsule holds a fit by REML or maximum likelihood, without a penalty and without a "
            "known sigma"
        )
    if fit.solution.stats.sparse is not None:
        raise OptionError("the criterion of an iterative fit has a Monte Carlo error: no capsule")
    if fit.solution.stats.q > _MOST_EFFECTS:
        raise OptionError(
            f"{fit.solution.stats.q:,} random effects: whoever checks a capsule inverts one dense "
            f"matrix of them, which is too large from {_MOST_EFFECTS:,} on; save the sums with "
            "nm.summarise(...).save(path)"
        )


def _summary(fit: LmerFit) -> Summary:
    """Sums of the fit's own data, read as the fit read them."""
    source = fit.model.source
    if isinstance(source, SummarySource):
        return source.summary
    o = source.options
    return summarise(
        fit.model.formula, source.data, weights=o.weights, offset=o.offset, contrasts=o.contrasts,
        na_action=o.na_action, double_bar=o.double_bar, env=source.env.values,
    )  # fmt: skip


def _of_formula(summary: Summary, formula: Formula) -> Summary:
    """The same sums for a part of their formula: the one that was fitted."""
    plan = summary.plan
    return replace(summary, plan=replace(plan, reading=reading_of(plan.reading, formula)))


def _places(design: Design) -> tuple[list[int], list[list[int]]]:
    """Columns of the fixed effects and of each term among those that were summed."""
    assert design.sums is not None
    return list(map(int, design.sums.x)), [list(map(int, own)) for own in design.sums.terms]


def _terms(fit: LmerFit, design: Design) -> list[dict[str, Any]]:
    """Relative covariance factor of each term, and how theta moves it."""
    slopes = _slopes(fit.theta, fit.solution.plan.shapes)
    return [
        {
            "term": term.text,
            "group": design.factors[term.factor].name,
            "columns": list(term.columns),
            "places": places,
            "T": T.tolist(),
            "slopes": [slope[t].tolist() for slope in slopes if slope[t].any()],
        }
        for t, (term, places, T) in enumerate(
            zip(design.terms, _places(design)[1], fit.solution.T, strict=True)
        )
    ]


def _slopes(theta: FloatArray, shapes: tuple[TermShape, ...]) -> list[list[FloatArray]]:
    """Derivatives of all factors in each entry of theta."""
    out = []
    for e in np.eye(len(theta)) * _DIFFERENCE_STEP:
        up, down = relative_factors(theta + e, shapes), relative_factors(theta - e, shapes)
        out.append([(a - b) / (2.0 * _DIFFERENCE_STEP) for a, b in zip(up, down, strict=True)])
    return out


def _statistics(summary: Summary, design: Design) -> dict[str, Any]:
    cells: Cells = summary.cells
    assert design.sums is not None
    names = [f.name for f in design.factors]
    return {
        "n": int(cells.tally.n),
        "sum_log_w": float(cells.tally.sum_log_w),
        "kz": int(cells.kz),
        "basis": cells.basis.tolist(),
        "total": cells.total.tolist(),
        "cells": {
            "groups": {
                name: np.asarray(codes).tolist()
                for name, codes in zip(names, design.sums.codes, strict=True)
            },
            "rows": cells.counts.tolist(),
            "products": cells.products.tolist(),
        },
    }


def _packed(summary: Summary) -> str:
    """The summary itself, for refits: a Parquet file as text."""
    import pyarrow.parquet as pq

    file = BytesIO()
    pq.write_table(to_arrow(summary), file)
    return base64.b64encode(file.getvalue()).decode("ascii")


def _versions() -> Mapping[str, str]:
    return {"nestedmlm": version(), "numpy": np.__version__, "python": platform.python_version()}
