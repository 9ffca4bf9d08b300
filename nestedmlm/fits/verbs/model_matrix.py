"""The model matrices of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from nestedmlm.design.matrices.zmatrix import z_matrix
from nestedmlm.errors import OptionError

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def model_matrix(fit: LmerFit, which: str = "fixed") -> Any:
    """The fixed-effects matrix as a DataFrame, or Z as a SciPy sparse matrix.

    Parameters
    ----------
    which : {"fixed", "random"}

    Returns
    -------
    DataFrame (n, p) or sparse matrix (n, q)
        X on the index of the rows used, a column for each fixed effect, named as it is:
        ``(Intercept), Days``; Z without names, in lme4's order of columns.

    Raises
    ------
    OptionError
        For another `which`.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> fit.model_matrix().head(2)
       (Intercept)  Days
    0          1.0   0.0
    1          1.0   1.0
    >>> fit.model_matrix("random").shape
    (180, 36)
    """
    if which == "fixed":
        return pd.DataFrame(fit.design.X, index=fit.design.index, columns=list(fit.design.x_names))
    if which == "random":
        return z_matrix(fit.design)
    raise OptionError(f"which must be 'fixed' or 'random', not {which!r}")
