"""The data with what the fit says of each row: broom.mixed's ``augment``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from nestedmlm.inference.rows import row_tables

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def augment(fit: LmerFit, data: Any = None) -> pd.DataFrame:
    """The data with what the fit says of each row.

    Parameters
    ----------
    data : table, optional
        The table the model was fitted to, with any other columns that should be kept; by
        default the columns that the model uses.

    Returns
    -------
    DataFrame
        On the caller's index, after the data's columns: ``fitted, resid, hat, cooksd, fixed``
        (the population's mean), ``mu, offset, sqrt_x_wt, sqrt_rwt, weights, wtres``. A name
        that the data have already gets a dot in front.

    Raises
    ------
    DataError
        If `data` has another number of rows.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> fit.augment().iloc[:2, :6].round(3)
       Yield Batch    fitted   resid    hat  cooksd
    0   1545     A  1509.893  35.107  0.164   0.118
    1   1440     A  1509.893 -69.893  0.164   0.467
    """
    numbers = row_tables.row_numbers(fit.solution, fit.design)
    if data is not None:
        return row_tables.beside(fit.design, data, numbers)
    own = row_tables.model_columns(fit.design, fit.model.data, fit.model.weights_column)
    return row_tables.joined(own, numbers)
