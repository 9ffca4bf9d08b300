"""The data with what the fit says of each row: broom.mixed's ``augment``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from nestedmlm.design.frame.frames import Frame
from nestedmlm.design.partitions.sources import is_dask, is_source
from nestedmlm.errors import OptionError
from nestedmlm.fits.changed_rows import changed_of
from nestedmlm.fits.summaries.partitioned_rows import (
    as_frame,
    beside_frame,
    lazily_augmented,
    write_augmented,
)
from nestedmlm.inference.rows import prediction, row_tables

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def augment(
    fit: LmerFit, data: Any = None, *, sink: str | Path | None = None
) -> pd.DataFrame | Path:
    """The data with what the fit says of each row.

    Parameters
    ----------
    data : table, or data in partitions, optional
        The table the model was fitted to, with any other columns that should be kept; by
        default the columns that the model uses. Data in partitions need a `sink`, but for a Dask
        DataFrame.
    sink : str or Path, optional
        A Parquet file that data in partitions are written to, one after the other, with ``fitted,
        fixed`` and, where the response is a column, ``resid``.

    Returns
    -------
    DataFrame, or Path of the sink, or Dask DataFrame (not computed yet)
        On the caller's index, after the data's columns: ``fitted, resid, hat, cooksd, fixed``
        (the population's mean), ``mu, offset, sqrt_x_wt, sqrt_rwt, weights, wtres``. A name
        that the data have already gets a dot in front. Of a fit from sums, as in a sink, ``fitted,
        fixed`` and ``resid``.

    Raises
    ------
    DataError
        If `data` has another number of rows.
    OptionError
        If data in partitions have no sink, or a table has one.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> fit.augment().iloc[:2, :6].round(3)
       Yield Batch    fitted   resid    hat  cooksd
    0   1545     A  1509.893  35.107  0.164   0.118
    1   1440     A  1509.893 -69.893  0.164   0.467
    """
    partitions = data is not None and is_source(data)
    if sink is None and is_dask(data):
        return cast(pd.DataFrame, lazily_augmented(data, partial(_beside, fit)))
    if partitions and sink is None:
        raise OptionError(
            "data in partitions are written to a Parquet file: fit.augment(data, "
            "sink='augmented.parquet')"
        )
    if sink is not None and not partitions:
        raise OptionError("sink= is for data in partitions; a table comes back: leave it out")
    if sink is not None:
        return write_augmented(data, partial(_beside, fit), sink)
    if data is not None and fit.design.rows is None:  # what a prediction knows of these rows
        return beside_frame(partial(_beside, fit), as_frame(data))
    numbers = row_tables.row_numbers(fit.solution, fit.design)
    if data is not None:
        return row_tables.beside(fit.design, data, numbers)
    model = fit.model
    own = row_tables.model_columns(
        fit.design, model.data, model.weights_column, refitted=changed_of(model) is not None
    )
    return row_tables.joined(own, numbers)


def _beside(fit: LmerFit, table: Any) -> pd.DataFrame:
    """Fitted values of a partition."""
    predict = partial(prediction.predict, fit.solution, fit.design, table)
    options = prediction.PredictionOptions
    fitted = predict(options=options(new_levels="population"))
    fixed = predict(options=options(re_form=False))
    out = pd.DataFrame({"fitted": np.asarray(fitted), "fixed": np.asarray(fixed)})
    name = fit.design.formula.response_text
    frame = Frame(table)
    if name in frame:
        out["resid"] = frame.series(name).to_numpy(dtype=float) - out["fitted"].to_numpy()
    return out
