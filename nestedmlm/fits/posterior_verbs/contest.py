"""Posterior contrasts of the fixed effects."""

from __future__ import annotations

from typing import Any

import pandas as pd

from nestedmlm.arguments import check_level, checked
from nestedmlm.errors import OptionError
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.fits.means.marginal_means import Emmeans
from nestedmlm.inference.effects.contrasts import read_contrasts
from nestedmlm.posterior.draws import fixed_draws
from nestedmlm.posterior.linear_functions import CoefficientDraws


@checked
def contest(fit: BayesEstimates, L: Any, rhs: Any = 0.0, *, level: float = 0.95) -> Emmeans:
    """Posterior of contrasts of the fixed effects, minus their hypothetical values.

    Parameters
    ----------
    L : str, sequence of str, mapping, array (p,) or (m, p), Series, DataFrame
        As for `LmerFit.contest`: ``"ses = 0"``, ``"a1 - a2"``, or numbers for each coefficient.
    rhs : float or (m,) array
        Hypothetical values.
    level : float
        Probability inside the intervals.

    Returns
    -------
    Emmeans
        ``.to_frame()`` has ``contrast, estimate, std_error, conf_low, conf_high`` and the
        ``probability`` of being above the hypothetical value.

    Raises
    ------
    OptionError
        For contrasts that cannot be read, or none.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> model = nm.Model("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> posterior = model.sample(sampler="psis", draws=250, seed=1)
    >>> posterior.contest("Days = 5").to_frame()["probability"].item() > 0.95
    True
    """
    given = read_contrasts(L, fit.design, rhs=rhs)
    if not len(given.L):
        raise OptionError("there is no contrast to test")
    return Emmeans(
        labels=pd.DataFrame({"contrast": list(given.labels)}),
        L=given.L,
        offset=-given.rhs,
        fitted=None,
        ddf=CoefficientDraws(beta=fixed_draws(fit.data, fit.design)),
        by=(),
        name="estimate",
        level=check_level(level),
        means=(float(len(given.L)),),
        tests=True,
        intervals=False,
    )
