"""`Emmeans.eff_size`: standardised differences of means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import check_choice, checked
from nestedmlm.errors import OptionError
from nestedmlm.fits.means.means_display import MeansDisplay
from nestedmlm.inference.fitted import Fitted
from nestedmlm.inference.means.effect_sizes import effect_size_table
from nestedmlm.inference.means.simultaneous import COLUMNS, split_rows
from nestedmlm.inference.variances.row_sd import KINDS, RowSd, row_sd
from nestedmlm.posterior.linear_functions import CoefficientDraws
from nestedmlm.posterior.summaries import estimates
from nestedmlm.views.means import MarginalTable
from nestedmlm.views.render.view import Viewable

if TYPE_CHECKING:
    from nestedmlm.fits.means.marginal_means import Emmeans


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class EffectSizes(MeansDisplay, Viewable):
    """Standardised differences of means; prints as R's ``emmeans::eff_size``.

    Attributes
    ----------
    sigma : float
        The standard deviation that contrasts were divided by; of a posterior its mean.
    edf : float
        Its degrees of freedom; infinitely many where it was given without, NaN of a posterior.
    table : MarginalTable
        What is printed.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("angle ~ recipe + temp + (1 | recipe:replicate)", nm.load_dataset("cake"))
    >>> sizes = nm.emmeans(fit, "recipe").eff_size()
    >>> round(sizes.sigma, 3), round(sizes.edf, 1)
    (7.906, 78.0)
    """

    sigma: float
    edf: float
    table: MarginalTable


@checked
def eff_size(
    means: Emmeans,
    sigma: str | float = "total",
    *,
    edf: float | None = None,
    method: str | Mapping[str, Sequence[float]] = "pairwise",
) -> EffectSizes:
    """Standardised effect sizes: differences of means over a standard deviation, with intervals.

    Parameters
    ----------
    sigma : {"total", "residual"} or float
        What one is measured by: the standard deviation of a row given the predictors, random
        effects included (the classical d compares with it), the residual one, or a number of your
        own (the standard deviation of a reference population, of a baseline, …).
    edf : float, optional
        Degrees of freedom of `sigma`, for its part of the standard errors. By default
        Satterthwaite's of this model's; a number is taken as known.
    method : str or mapping
        Contrasts of means: ``pairwise, trt.vs.ctrl, consec, eff, poly``, …, or coefficients by
        name, ``{"A - rest": [1, -0.5, -0.5]}``. Rows that are contrasts already are divided as
        they are.

    Returns
    -------
    EffectSizes
        Of a posterior every draw of a contrast is divided by its own draw of `sigma`.

    Raises
    ------
    OptionError
        For "total" and "residual" of generalized models, of fits with residual structures and of
        pooled fits, which have no single such number: give it.

    Notes
    -----
    Standard errors count that `sigma` is estimated: ``(se / sigma)^2 + d^2 / (2 edf)`` (Hedges
    1981). R's ``emmeans::eff_size(object, sigma, edf)`` has the same ones where all means have one
    sign, and others where they have not, so that there they change when a constant is added to the
    response. It has no default for either. Degrees of freedom are R's: the fewest of
    the means; of rows that are contrasts already their own.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("angle ~ recipe + temp + (1 | recipe:replicate)", nm.load_dataset("cake"))
    >>> nm.emmeans(fit, "recipe").eff_size("residual")
     contrast effect.size   SE df lower.CL upper.CL
     A - B        0.32475 0.54 42   -0.765     1.41
     A - C        0.33451 0.54 42   -0.755     1.42
     B - C        0.00977 0.54 42   -1.080     1.10
    <BLANKLINE>
    Degrees-of-freedom method: kenward-roger
    Confidence level used: 0.95
    sigma used for effect sizes: 4.551 (residual, 224 df)
    """
    contrasts = means if means.contrasts else means.contrast(method, adjust="none")
    labels = contrasts.labels
    blocks = split_rows(labels, contrasts.by)
    if isinstance(means.ddf, CoefficientDraws):
        spread = _posterior_sd(means.ddf, sigma, edf)
        draws = contrasts.draws() / spread[:, None]
        numbers = estimates(draws, level=means.level)
        found = RowSd(sd=float(np.mean(spread)), df=float("nan"))
    else:
        found = _sd(means, sigma, edf)
        own = replace(contrasts, adjust="none", scale=None).to_frame()[list(COLUMNS)]
        if contrasts is not means:
            own = own.assign(df=_fewest(means, contrasts))
        numbers = effect_size_table(own, sd=found.sd, sd_df=found.df, level=means.level)
    table = MarginalTable(
        frame=pd.concat([labels, numbers], axis=1),
        labels=tuple(map(str, labels)),
        by=contrasts.by,
        blocks=blocks,
        means=contrasts.means,
        name="effect.size",
        level=means.level,
        adjust="none",
        ddf=means.ddf.method,
        rank=0,
        intervals=True,
        tests=False,
        contrasts=True,
        averaged=means.averaged,
        notes=(*means.ddf.notes, _says(sigma, found), *contrasts.notes),
    )
    return EffectSizes(sigma=found.sd, edf=found.df, table=table)


def _fewest(means: Emmeans, contrasts: Emmeans) -> FloatArray:
    """For each contrast the smallest degrees of freedom of its family's means."""
    frame = means.to_frame()
    out = np.full(len(contrasts.labels), np.nan)
    families = split_rows(means.labels, means.by)
    for rows, own in zip(families, split_rows(contrasts.labels, contrasts.by), strict=True):
        out[own] = np.nanmin(frame["df"].to_numpy()[rows], initial=np.inf)
    return out


def _sd(means: Emmeans, sigma: str | float, edf: float | None) -> RowSd:
    if edf is not None and not edf > 0:
        raise OptionError(f"edf={edf!r}: degrees of freedom are positive")
    if isinstance(sigma, str):
        check_choice(sigma, "sigma", KINDS)
        if not isinstance(means.fitted, Fitted):
            raise OptionError(
                f"sigma={sigma!r} is of a single fit, not of a pool of them: give the standard "
                "deviation as a number, and edf= its degrees of freedom"
            )
        found = row_sd(means.fitted, sigma)
        return found if edf is None else replace(found, df=float(edf))
    return RowSd(sd=float(sigma), df=float("inf") if edf is None else float(edf))


def _posterior_sd(draws: CoefficientDraws, sigma: str | float, edf: float | None) -> FloatArray:
    if edf is not None:
        raise OptionError("edf= is of fits by likelihood; a posterior has draws of sigma")
    if not isinstance(sigma, str):
        return np.full(len(draws.beta), float(sigma))
    check_choice(sigma, "sigma", KINDS)
    if draws.row_sd is None:
        raise OptionError(f"sigma={sigma!r} is not known of these draws: give it as a number")
    return draws.row_sd[sigma]


def _says(sigma: str | float, found: RowSd) -> str:
    parts = [sigma] if isinstance(sigma, str) else []
    if np.isfinite(found.df):
        parts.append(f"{found.df:.4g} df")
    elif np.isinf(found.df):
        parts.append("taken as known")
    else:
        parts.append("posterior mean; each draw has its own")
    return f"sigma used for effect sizes: {found.sd:.4g} ({', '.join(parts)})"
