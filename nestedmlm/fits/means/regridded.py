"""`Emmeans.regrid`: means on another scale, whose contrasts are differences there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import check_choice, checked
from nestedmlm.errors import OptionError
from nestedmlm.families.links import LINKS, Link
from nestedmlm.inference.means.null_hypothesis import ZERO
from nestedmlm.inference.means.response_scale import ResponseScale
from nestedmlm.posterior.linear_functions import CoefficientDraws

if TYPE_CHECKING:
    from nestedmlm.fits.means.marginal_means import Emmeans

OF_A_MEAN = "emmean"  # on the scale of a link
OF_A_SLOPE = ".trend"  # how the names of slopes end
_RESPONSE, _IDENTITY = "response", "identity"  # a scale, and the link to it


@checked
def regrid(means: Emmeans, transform: str = _RESPONSE) -> Emmeans:
    """Means on another scale, linearised there: contrasts become differences on it.

    ``type="response"`` compares means by what differences on the link's scale become: odds ratios
    of logits. After ``regrid()`` they are compared by differences of probabilities or rates, with
    intervals that are symmetric on the scale of the response; after ``regrid("log")`` by ratios of
    them, risk ratios of a logistic model (``.pairs(type="response")``).

    Parameters
    ----------
    transform : {"response", "log", "logit", "probit", "cloglog", "cauchit", "sqrt", "inverse", ...}
        The new scale: that of the response, or a link to it (also from means of a linear model).

    Returns
    -------
    Emmeans
        Means without a value on the new scale (the logarithm of a negative one) are ``nonEst``.

    Raises
    ------
    OptionError
        For another scale, contrasts, slopes, or a posterior's means; for means of a linear model
        on the scale of the response, where they are.

    Notes
    -----
    With ``m(eta) = g(h(eta))`` of ``eta = L beta + o``, the inverse link ``h`` and the new link
    ``g``, the linear function ``m' L`` has the covariance of the delta method. emmeans 1.8.4.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.glmer("TICKS ~ YEAR + (1 | BROOD)", nm.load_dataset("grouseticks"),
    ...                family="poisson")
    >>> nm.emmeans(fit, "YEAR").regrid().pairs()
     contrast        estimate    SE  df z.ratio p.value
     YEAR95 - YEAR96   -4.033 1.161 Inf  -3.472  0.0015
     YEAR95 - YEAR97    0.846 0.358 Inf   2.359  0.0480
     YEAR96 - YEAR97    4.879 1.123 Inf   4.343  <.0001
    <BLANKLINE>
    Degrees-of-freedom method: asymptotic
    P value adjustment: tukey method for comparing a family of 3 estimates

    Risk ratios of a logistic model:

    >>> cows = nm.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)",
    ...                 nm.load_dataset("cbpp"), family="binomial")
    >>> risks = nm.emmeans(cows, "period").regrid("log")
    >>> risks.contrast("trt.vs.ctrl", type="response")
     contrast          ratio     SE  df null z.ratio p.value
     period2 / period1 0.423 0.1154 Inf    1  -3.154  0.0047
     period3 / period1 0.374 0.1098 Inf    1  -3.351  0.0024
     period4 / period1 0.244 0.0975 Inf    1  -3.531  0.0012
    <BLANKLINE>
    Degrees-of-freedom method: asymptotic
    P value adjustment: dunnettx method for 3 tests
    Tests are performed on the log scale
    """
    check_choice(transform, "transform", (_RESPONSE, *(n for n in LINKS if n != _IDENTITY)))
    _check_means(means, transform)
    old = LINKS[_IDENTITY] if means.scale is None else means.scale.link
    new = LINKS[_IDENTITY if transform == _RESPONSE else transform]
    eta = replace(means, scale=None).to_frame()["estimate"].to_numpy()
    moved, slope = _moved(old, new, eta)
    word = _RESPONSE if means.scale is None else means.scale.mean
    on_response = transform == _RESPONSE
    return replace(
        means,
        L=slope[:, None] * means.L,
        offset=moved - slope * (eta - means.offset),
        name=word if on_response else OF_A_MEAN,
        scale=None if on_response else ResponseScale(link=new, mean=word),
        hypothesis=ZERO,
    )


def _moved(old: Link, new: Link, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Means on the new scale, and their derivative by the old one; NaN where there are none."""
    with np.errstate(all="ignore"):
        moved = new.eta(old.mu(eta))
        slope = old.derivatives(eta)[0] / new.derivatives(moved)[0]
    known = np.isfinite(moved) & np.isfinite(slope)
    return np.where(known, moved, np.nan), np.where(known, slope, np.nan)


def _check_means(means: Emmeans, transform: str) -> None:
    """Refuse what has no mean on another scale.

    Raises
    ------
    OptionError
    """
    if means.scale is None and transform == _RESPONSE:
        raise OptionError(
            "these means are on the scale of the response already; regrid takes them to a link: "
            'regrid("log") for ratios'
        )
    if isinstance(means.ddf, CoefficientDraws):
        raise OptionError(
            "regrid linearises; a posterior needs no linearisation: differences of "
            'emmeans(..., type="response").draws() are exact'
        )
    if means.contrasts:
        raise OptionError(
            "contrasts stay on the scale they were made on: regrid the means first, as in "
            f'fit.emmeans(...).regrid("{transform}").pairs()'
        )
    if means.name.endswith(OF_A_SLOPE):
        raise OptionError(
            "slopes are no means and have no other scale: compare means at two values of the "
            f'predictor, as in fit.emmeans(..., at={{...}}).regrid("{transform}").pairs()'
        )
