"""`Emmeans.regrid`: means on the scale of the response, whose contrasts are differences there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nestedmlm.arguments import check_choice, checked
from nestedmlm.errors import OptionError
from nestedmlm.posterior.linear_functions import CoefficientDraws

if TYPE_CHECKING:
    from nestedmlm.fits.means.marginal_means import Emmeans

_TRANSFORMS = ("response",)


@checked
def regrid(means: Emmeans, transform: str = "response") -> Emmeans:
    """Means on the scale of the response, linearised there: contrasts become differences.

    ``type="response"`` compares means by ratios; after this they are compared by differences of
    probabilities or rates. Intervals are symmetric on the scale of the response.

    Parameters
    ----------
    transform : {"response"}
        The new scale.

    Returns
    -------
    Emmeans

    Raises
    ------
    OptionError
        For another scale, the means of a linear model, contrasts, or a posterior's means.

    Notes
    -----
    With ``mu = h(L beta + o)`` the linear function ``h' L`` has the covariance of the delta method.
    emmeans 1.8.4.

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
    """
    check_choice(transform, "transform", _TRANSFORMS)
    scale = means.scale
    if scale is None:
        raise OptionError(
            "regrid is for means of generalized models on the scale of the link: these are on the "
            "only scale they have"
        )
    if isinstance(means.ddf, CoefficientDraws):
        raise OptionError(
            "regrid linearises; a posterior needs no linearisation: differences of "
            'emmeans(..., type="response").draws() are exact'
        )
    if scale.contrasts:
        raise OptionError(
            "contrasts stay on the scale they were made on: regrid the means first, as in "
            "fit.emmeans(...).regrid().pairs()"
        )
    eta = replace(means, scale=None).to_frame()["estimate"].to_numpy()
    L = scale.link.derivatives(eta)[0][:, None] * means.L
    fixed = scale.link.derivatives(eta)[0] * (eta - means.offset)
    return replace(means, L=L, offset=scale.link.mu(eta) - fixed, name=scale.mean, scale=None)
