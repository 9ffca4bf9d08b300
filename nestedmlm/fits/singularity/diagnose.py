"""`diagnose`: what has collapsed in a singular fit, and the simpler models worth fitting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nestedmlm.design.moments import group_sizes, term_matrix
from nestedmlm.design.restarting_ids import RestartingIds, restarting_ids
from nestedmlm.errors import ResidualStructureError
from nestedmlm.fits.singularity.collapse import collapse_of, finding_of
from nestedmlm.fits.singularity.diagnosis import Diagnosis, Recommendation, TermDiagnosis
from nestedmlm.fits.singularity.rank import TOL, singular_values
from nestedmlm.fits.singularity.steps import Collapse, Step, redundant_step, steps
from nestedmlm.formula import Bar, Formula
from nestedmlm.inference.variances.identification import confoundings
from nestedmlm.optimum.glmm.separation import growing_terms

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.views.varcorr import VarCorrBlock

_REST = {False: "an ordinary regression", True: "generalized least squares"}


def diagnose(fit: LmerFit, *, tol: float = TOL) -> Diagnosis:
    """Explain a singular fit, and name the simpler models worth fitting next; a view.

    Parameters
    ----------
    tol : float
        Relative standard deviation below which a direction counts as collapsed.

    Returns
    -------
    Diagnosis
        Nothing is fitted; see `simplify` for that.

    Raises
    ------
    ResidualStructureError
        For models without random effects.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff2"))
    >>> fit.diagnose()
    Singularity diagnosis: the fit is singular
    Formula: Yield ~ 1 + (1 | Batch)
    <BLANKLINE>
     Term  Effects     Rank   Groups Rows: min median mean
     Batch (Intercept) 0 of 1 6      5         5      5.0
    <BLANKLINE>
    Batch: the standard deviation of (Intercept) is zero (rank 0 of 1).
    The groups show no more variation in it than chance differences between rows explain.
    Each of the 6 levels of Batch holds 5.0 rows on average.
    <BLANKLINE>
    Worth fitting next:
    1. no random intercept for Batch (an ordinary regression: no random effects are left):
         Yield ~ 1
    """
    if not fit.design.terms:
        raise ResidualStructureError(
            "the model has no random effects that could be singular; of its residuals' parameters "
            "fit.dispersion says where they are, and the certificate whether one is at its bound"
        )
    blocks = fit.varcorr().blocks
    collapses = [
        # of a smooth one column stands for all, with their one SD
        collapse_of(
            block,
            term_matrix(term)[:, : len(block.columns)],
            values[: len(block.columns)],
            fit.core.scale,
            tol,
        )
        for block, term, values in zip(blocks, fit.design.terms, singular_values(fit), strict=False)
    ]
    formula: Formula = fit.design.formula
    bars = _bars_of_terms(formula, fit.design.terms)
    terms = [
        _diagnosed(fit, i, block, collapse, _next(formula, bars, collapses, i))
        for i, (block, collapse) in enumerate(zip(blocks, collapses, strict=False))
    ]
    confounded = confoundings(fit.design, fit.solution, REML=fit.REML)
    same = [(bars[c.place], redundant_step(bars[c.place], c)) for c in confounded[:1]]
    found, family = restarting_ids(fit.design), fit.core.family
    return Diagnosis(
        formula=str(fit.formula),
        terms=tuple(terms),
        restarting=tuple(ids.message(formula) for ids in found),
        reread=tuple(_reread(ids, formula) for ids in found),
        confounded=confounded,
        same=tuple(_recommendation(formula, bar, step) for bar, step in same if step is not None),
        growing=() if family is None else growing_terms(fit.design, family, fit.solution.T),
        rest=_REST[fit.design.residual is not None],
    )


def _diagnosed(
    fit: LmerFit,
    i: int,
    block: VarCorrBlock,
    collapse: Collapse,
    following: tuple[Recommendation, ...],
) -> TermDiagnosis:
    """What there is to say of term i."""
    term = fit.design.terms[i]
    factor, counts = fit.design.factors[term.factor], group_sizes(fit.design, term.factor)
    return TermDiagnosis(
        name=block.name,
        group=factor.name,
        text=term.text,
        collapse=collapse,
        finding=finding_of(block, collapse),
        groups=len(factor.levels),
        rows_min=int(counts.min()),
        rows_median=float(np.median(counts)),
        rows_mean=float(counts.mean()),
        next=following,
    )


def _reread(ids: RestartingIds, formula: Formula) -> Recommendation:
    term, whole = ids.nested(formula)
    change = f"levels of {ids.inner} are other groups in each level of {ids.outer}, {term}"
    return Recommendation(formula=whole.text, change=change, mixed=True)


def _bars_of_terms(formula: Formula, terms: Sequence[Any]) -> list[Bar]:
    """Find each term's bar: the design has them in lme4's order, the formula in its own.

    The curves of ``s(x, by=g)`` are a term for each level of g, of one bar.
    """
    left = list(formula.bars)
    found = []
    for term in terms:
        key = (term.text, term.structure.name, term.hom)
        place = next(i for i, b in enumerate(left) if (b.text, b.structure, b.hom) == key)
        found.append(left[place] if term.smooth is not None else left.pop(place))
    return found


def _next(
    formula: Formula, bars: Sequence[Bar], collapses: Sequence[Collapse], i: int
) -> tuple[Recommendation, ...]:
    """Simpler models for term i; of one bar's curves all must be straight before it can go."""
    bar = bars[i]
    if not all(collapses[j].singular for j, other in enumerate(bars) if other is bar):
        return ()
    living = [b for j, b in enumerate(bars) if j != i and not all(collapses[j].zero)]
    return tuple(_recommendation(formula, bar, step) for step in steps(bar, collapses[i], living))


def _recommendation(formula: Formula, bar: Bar, step: Step) -> Recommendation:
    return Recommendation(
        formula=formula.replacing(bar, step.terms).text,
        change=step.change,
        mixed=bool(step.terms) or len(formula.bars) > 1,
    )
