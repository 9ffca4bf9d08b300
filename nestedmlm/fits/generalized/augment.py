"""The data with what a generalized fit says of each row: broom.mixed's ``augment``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm.fits.changed_rows import changed_of
from nestedmlm.inference.rows import generalized_residuals as numbers
from nestedmlm.inference.rows import row_tables
from nestedmlm.inference.rows.residuals import population

if TYPE_CHECKING:
    from nestedmlm.fits.glmer_fit import GlmerFit


def augment(fit: GlmerFit, data: Any = None) -> pd.DataFrame:
    """The data with what the fit says of each row.

    Parameters
    ----------
    data : table, optional
        The table the model was fitted to, with any other columns that should be kept; by
        default the columns that the model uses.

    Returns
    -------
    DataFrame
        On the caller's index, after the data's columns: ``fitted`` (the linear predictor), ``mu``
        (the expected response), ``fixed`` (the linear predictor with random effects of zero),
        ``resid`` (deviance), ``pearson``, ``offset, weights``. A name that the data have already
        gets a dot in front.

    Raises
    ------
    DataError
        If `data` has another number of rows.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)",
    ...                nm.load_dataset("cbpp"), family="binomial")
    >>> fit.augment().loc[:1, ["incidence", "size", "mu"]].round(3)
       incidence  size     mu
    0          2    14  0.308
    1          3    12  0.142
    """
    design, at = fit.design, numbers.response_at(fit.core)
    columns = {
        "fitted": at.eta,
        "mu": at.mu,
        "fixed": population(fit.core.solution, design),
        "resid": numbers.deviance(at),
        "pearson": numbers.pearson(at),
        "offset": np.zeros(design.n) if design.offset is None else design.offset,
        "weights": at.weights,
    }
    frame = pd.DataFrame({name: design.align(values) for name, values in columns.items()})
    if data is not None:
        return row_tables.beside(design, data, frame)
    model = fit.model
    own = row_tables.model_columns(
        design, model.data, model.weights_column, refitted=changed_of(model) is not None
    )
    return row_tables.joined(own, frame)
