"""`ModelParameter`: which parameters a model has, and the names that its tables print.

Ratios of residual standard deviations, slopes of their logarithm, correlations of residuals stand
after sigma: the standard deviation of the first stratum or visit, or where the predictors of the
dispersion are zero.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from nestedmlm.covariance.residual_structures import BLOCK
from nestedmlm.design.design import Design, ReTerm
from nestedmlm.design.residual import ResidualRows

Bounds = tuple[float, float]
_INFINITE = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelParameter:
    """One parameter on the scale it is reported on.

    Attributes
    ----------
    kind : str
        ``sd``, ``cor`` (of two columns), ``par`` (of a structured correlation), ``sigma``,
        ``residual`` (of residuals that differ or correlate), ``dispersion`` (of a family) or
        ``beta``.
    term : int
        Random-effects term; -1 for the others.
    i, j : int
        Columns of the term (``cor``: j < i); which parameter of the structure (``par``); which
        parameter of the residuals; which fixed effect (``beta``).
    name : str
        ``sd_Days|Subject``, ``cor_Days.(Intercept)|Subject``, ``rho|Subject``, ``sigma``, or the
        fixed effect's name.
    lower, upper : float
        Ends of the admissible values.
    """

    kind: str
    term: int = -1
    i: int = 0
    j: int = 0
    name: str
    lower: float = -np.inf
    upper: float = np.inf


def model_parameters(
    design: Design, *, residual: bool = True, dispersion: str = ""
) -> tuple[ModelParameter, ...]:
    """List a model's parameters: each term's standard deviations, correlations; sigma; beta.

    That is the order of lme4 since 2.0 and of ``as.data.frame(VarCorr(m))``. A generalized model
    has no `residual` and no sigma; where its family has a dispersion that is estimated,
    `dispersion` is its name.
    """
    found: list[ModelParameter] = []
    for t, term in enumerate(design.terms):
        found += _of_term(t, term, design.factors[term.factor].name)
    counts = Counter(p.name for p in found)
    found = [
        replace(p, name=f"{p.name.rpartition('|')[0]}|{design.terms[p.term].name}")
        if counts[p.name] > 1
        else p
        for p in found
    ]
    if residual:
        found.append(ModelParameter(kind="sigma", name="sigma", lower=0.0))
    if design.residual is not None:
        found += [
            ModelParameter(kind="residual", i=i, name=name, lower=low, upper=high)
            for i, (name, (low, high)) in enumerate(residual_names(design.residual))
        ]
    if dispersion:
        found.append(ModelParameter(kind="dispersion", name=dispersion, lower=0.0))
    found += [ModelParameter(kind="beta", i=i, name=name) for i, name in enumerate(design.x_names)]
    return tuple(found)


def _of_term(t: int, term: ReTerm, group: str) -> list[ModelParameter]:
    k, columns = len(term.columns), term.columns
    labels = ("*",) if term.hom and k > 1 else columns
    if term.smooth is not None:  # one SD of all its coefficients
        labels = (term.smooth.label,)
    out = [
        ModelParameter(kind="sd", term=t, i=i, name=f"sd_{label}|{group}", lower=0.0)
        for i, label in enumerate(labels)
    ]
    if term.structure.free_correlations:
        out += [
            ModelParameter(
                kind="cor",
                term=t,
                i=i,
                j=j,
                name=f"cor_{columns[i]}.{columns[j]}|{group}",
                lower=-1.0,
                upper=1.0,
            )
            for j in range(k)
            for i in range(j + 1, k)
        ]
    return out + [
        ModelParameter(
            kind="par", term=t, i=i, name=f"{q.name}|{group}", lower=q.lower, upper=q.upper
        )
        for i, q in enumerate(term.structure.parameters(k))
    ]


def residual_names(rows: ResidualRows) -> list[tuple[str, Bounds]]:
    """Names of the parameters after sigma, with the ends of their admissible values."""
    structure, q = rows.structure, rows.log_sd.shape[1]
    out: list[tuple[str, Bounds]] = [
        (name, (0.0, _INFINITE) if name.startswith("sd_ratio") else (-_INFINITE, _INFINITE))
        for name in rows.names[:q]
    ]
    if structure is None:
        return out
    if not structure.is_root:
        k = rows.levels
        if structure.time == BLOCK and rows.block is not None:
            k = int(np.bincount(rows.block).max())
        own, names = structure.ends(k), rows.names[q:]
        bounds = [(p.lower, p.upper) for p in own] * (len(names) // max(len(own), 1))
        return [*out, *zip(names, bounds, strict=True)]
    groups = [""] if rows.by is None else [f"|{level}" for level in rows.by_levels]
    labels = rows.time_labels
    for ending in groups:
        # the first is sigma's, or sigma's times the group's ratio
        out += [(f"residual_sd[{label}{ending}]", (0.0, _INFINITE)) for label in labels[1:]]
        out += [
            (f"residual_cor[{labels[i]},{labels[j]}{ending}]", (-1.0, 1.0))
            for j in range(len(labels))
            for i in range(j + 1, len(labels))
        ]
    return out
