"""Scenarios with more or fewer groups, or rows per group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestedmlm.fits.simulation.scenario import Scenario, scenario_of

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def extend(
    fit: LmerFit, *, along: str | None = None, within: str | None = None, n: int
) -> Scenario:
    """Suppose data with more (or fewer) groups, or rows per group.

    Parameters
    ----------
    along : str, optional
        A column: there will be `n` levels of it, the first ones copied with new labels.
        Factors nested in it get new levels too. ``"classid within schoolid"``: `n` classes
        in each school. A numeric predictor is continued at its mean step.
    within : str, optional
        A column or several (``"a + b"``): there will be `n` rows in each combination.
    n : int
        How many levels or rows there are to be.

    Returns
    -------
    Scenario
        With this fit's estimates as truth; takes ``simulate``, ``power``, ``with_params``,
        and ``extend`` again.

    Raises
    ------
    OptionError
        If both or neither of along and within are given, or n is no number of levels or rows.
    ColumnNotFoundError
        If the data have no such column.
    DataError
        If the column cannot be continued.

    Notes
    -----
    R: ``simr::extend``.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    >>> fit.extend(along="Subject", n=30).design.n
    300
    """
    return scenario_of(fit).extend(along=along, within=within, n=n)
