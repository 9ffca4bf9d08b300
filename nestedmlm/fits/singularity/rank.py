"""Rank of the relative covariances: the singularity verdict and rePCA.

All here follows from each term's relative factor T (``Cov(b) = sigma^2 T T'``), once in the user's
columns and once in orthonormal ones, where units and origins of predictors play no role.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.covariance import near_bounds
from nestedmlm.covariance.parameter import near_end
from nestedmlm.errors import OptionError
from nestedmlm.likelihood.solution import scaled_factors
from nestedmlm.views.render.blocks import Table, Text
from nestedmlm.views.render.rformat import format_numbers
from nestedmlm.views.render.view import View, Viewable
from nestedmlm.views.varcorr import VarCorrBlock

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit

TOL = 1e-4  # relative standard deviation below which a direction counts as absent


def singular_values(fit: LmerFit) -> tuple[FloatArray, ...]:
    """Relative standard deviations along the principal directions of each term.

    Parameters
    ----------
    fit : LmerFit

    Returns
    -------
    tuple of (k,) arrays
        Descending; in scaled columns, so that units of predictors play no role.
    """
    factors = scaled_factors(fit.solution)
    return tuple(np.linalg.svd(T, compute_uv=False) for T in factors)


def is_singular(fit: LmerFit, tol: float = TOL, *, rule: str = "rank") -> bool:
    """Tell whether some combination of random effects has variance zero.

    Parameters
    ----------
    tol : float
        Relative standard deviation (in units of sigma) below which a variance counts as zero.
    rule : {"rank", "lme4"}
        ``rank`` looks at the rank of each term's relative covariance in units of its columns'
        root mean squares, so it does not depend on the units of a predictor; ``lme4`` is lme4's
        rule: any entry of theta closer than `tol` to one of its bounds (the diagonal entries of
        an unstructured term, to zero).

    Returns
    -------
    bool

    Raises
    ------
    OptionError
        For an unknown rule.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff2"))
    >>> fit.is_singular()
    True
    """
    if rule not in _RULES:
        raise OptionError(f"rule={rule!r} is unknown; known: {', '.join(_RULES)}")
    return _RULES[rule](fit, tol)


def _by_rank(fit: LmerFit, tol: float) -> bool:
    return any(bool(values[-1] < tol) for values in singular_values(fit))


def _by_bounds(fit: LmerFit, tol: float) -> bool:
    return near_bounds(fit.theta, fit.solution.plan.shapes, tol)


def structured_bound(block: VarCorrBlock, tol: float) -> str:
    """Say which parameter of a structured correlation is at its bound; empty if none is."""
    k = len(block.columns)
    values = block.structure.correlation_part(block.par, k)
    for value, p in zip(values, block.structure.parameters(k), strict=True):
        if near_end(p, value, tol):
            common = block.structure.common_correlation(k)
            label = "the common correlation" if common else p.name
            return f"{label} is at its bound, {value:.4g}"
    return ""


_RULES: dict[str, Callable[[LmerFit, float], bool]] = {"rank": _by_rank, "lme4": _by_bounds}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class RePCA(Viewable):
    """Principal components of the relative covariance of each grouping factor.

    Attributes
    ----------
    components : dict of str to (k,) array
        Standard deviations relative to sigma, descending, for each grouping factor.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> fit.repca().to_frame()["sdev"].round(4).tolist()
    [0.9669, 0.2309]
    """

    components: dict[str, FloatArray]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per component.

        Returns
        -------
        pandas.DataFrame
            Columns ``group, component, sdev, prop, cumprop``: proportions of the variance.
        """
        rows = []
        for name, sdev in self.components.items():
            total = float(np.sum(sdev**2))
            prop = sdev**2 / total if total > 0 else np.full(len(sdev), np.nan)
            parts = zip(sdev, prop, np.cumsum(prop), strict=True)
            rows += [(name, i + 1, *map(float, part)) for i, part in enumerate(parts)]
        return pd.DataFrame(rows, columns=["group", "component", "sdev", "prop", "cumprop"])

    def view(self) -> View:
        """Build the document."""
        frame = self.to_frame()
        columns = [
            [name if component == 1 else "" for name, component in zip(
                frame["group"], frame["component"], strict=True)],
            [str(i) for i in frame["component"]],
            format_numbers(frame["sdev"].to_numpy(), digits=4),
            *([f"{x:.4f}" for x in frame[name]] for name in ("prop", "cumprop")),
        ]  # fmt: skip
        table = Table(
            name="repca",
            frame=frame,
            cells=tuple(zip(*columns, strict=True)),
            rows=("",) * len(frame),
            columns=("Groups", "PC", "Std.Dev.", "Proportion", "Cumulative"),
            right=False,
            numeric=(1, 2, 3, 4),
        )
        title = Text(("Principal components of the relative covariances",), role="title")
        return View((title, table))


def repca(fit: LmerFit) -> RePCA:
    """Principal components of each factor's relative covariance, in the user's columns; a view.

    Returns
    -------
    RePCA
        Terms on one grouping factor are taken together (their covariance is block-diagonal), as
        lme4's ``rePCA`` does.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> fit.repca()
    Principal components of the relative covariances
     Groups  PC Std.Dev. Proportion Cumulative
     Subject 1  0.9669   0.9461     0.9461
             2  0.2309   0.0539     1.0000
    """
    values: dict[str, list[float]] = {}
    for term, T in zip(fit.design.terms, fit.solution.T, strict=True):
        name = fit.design.factors[term.factor].name
        values.setdefault(name, []).extend(np.linalg.svd(T, compute_uv=False).tolist())
    return RePCA(components={k: np.sort(np.array(v))[::-1] for k, v in values.items()})
