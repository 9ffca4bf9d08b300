"""Conditional modes of the random effects, alone and with the fixed effects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from nestedmlm.inference.rows.modes import coef_frames, ranef_frame

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def ranef(fit: LmerFit, condvar: bool = True, *, postvar: bool = False) -> pd.DataFrame:
    """Conditional modes of the random effects, also called BLUPs, in long form.

    Parameters
    ----------
    condvar : bool
        Add their conditional standard deviations.
    postvar : bool
        Add their conditional covariances (R's attribute ``postVar``): one column for each effect,
        ``cov_(Intercept)``, ``cov_Days``, with the covariance of the row's effect and that effect
        of the same level and term; NaN where the term does not have it.

    Returns
    -------
    DataFrame
        ``group, term, level, estimate, std_error``, and the covariances.

    Raises
    ------
    ResidualStructureError
        If the model has no random effects.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> fit.ranef().head(2).round(3)
         group         term level  estimate  std_error
    0  Subject  (Intercept)   308     2.259     12.071
    1  Subject  (Intercept)   309   -40.399     12.071
    >>> first = fit.ranef(postvar=True).query("level == '308'")
    >>> first[["cov_(Intercept)", "cov_Days"]].to_numpy().round(3)
    array([[145.705, -21.444],
           [-21.444,   5.312]])
    """
    return ranef_frame(fit.solution, fit.design, condvar=condvar, postvar=postvar)


def coef(fit: LmerFit) -> dict[str, pd.DataFrame]:
    """Fixed effects plus conditional modes for each level, one table per grouping factor.

    Returns
    -------
    dict of str to DataFrame
        By grouping factor: one row per level, one column per effect.

    Raises
    ------
    ResidualStructureError
        If the model has no random effects.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> fit.coef()["Subject"].head(2).round(3)
             (Intercept)    Days
    Subject
    308          253.664  19.666
    309          211.007   1.848
    """
    return coef_frames(fit.solution, fit.design)
