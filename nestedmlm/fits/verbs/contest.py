"""Tests of contrasts of the fixed effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from nestedmlm.errors import OptionError
from nestedmlm.fits.verbs.anova import f_frame
from nestedmlm.fits.verbs.summary import row_numbers
from nestedmlm.inference.effects.contrasts import read_contrasts
from nestedmlm.inference.effects.ddf import df_method, intervals, row_tests
from nestedmlm.inference.effects.df_record import ClusterRobust
from nestedmlm.views.effect_tests import ROW_COLUMNS, TestTable

if TYPE_CHECKING:
    from nestedmlm.fits.imputation.pooled_fit import PooledFit
    from nestedmlm.fits.lmer_fit import LmerFit


def contest(
    fit: LmerFit | PooledFit,
    L: Any,
    rhs: Any = 0.0,
    *,
    joint: bool = True,
    ddf: str | None = None,
    level: float = 0.95,
    vcov: str | ClusterRobust | None = None,
) -> TestTable:
    """Test contrasts of the fixed effects, as lmerTest's ``contest``.

    Parameters
    ----------
    L : str, sequence of str, mapping, array (p,) or (m, p), Series, DataFrame
        Hypotheses as text (``"ses = 0"``, ``"a1 - a2"``, ``"Days - 10 = 0.5"``; backticks
        around odd names), or numbers for each coefficient; a mapping labels them.
    rhs : float or (m,) array
        Hypothetical values.
    joint : bool
        One F test of all (True), or a t test with a confidence interval for each.
    ddf : {"satterthwaite", "kenward-roger", "residual", "none"}, optional
        Degrees of freedom; by default Satterthwaite's. A generalized model has z tests.
    level : float
        Of the confidence intervals.
    vcov : {"CR0", "CR1", "CR2", "CR3"} or ClusterRobust, optional
        Cluster-robust covariance in the place of the model's, with its degrees of freedom.

    Returns
    -------
    TestTable
        Estimates are those of the coefficients' part: constants in a text go to the right.

    Raises
    ------
    OptionError
        For hypotheses that name no coefficient, or have another number of columns than there are.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> sleepstudy = nm.load_dataset("sleepstudy")
    >>> fit = nm.lmer("Reaction ~ Days + I(Days^2) + (Days | Subject)", sleepstudy)
    >>> fit.contest(["Days = 0", "I(Days^2) = 0"]).table.iloc[0].round(4).tolist()
    [30974.3817, 15487.1908, 2.0, 51.5631, 23.7544, 0.0]
    >>> fit.contest("10 * Days = 50", joint=False)
                   Estimate Std. Error    df t value  lower  upper Pr(>|t|)
    10 * Days = 50    74.34      28.19 114.4   0.863  18.50 130.18     0.39
    """
    given = read_contrasts(L, fit.design, rhs=rhs)
    if not len(given.L):
        raise OptionError("there is no contrast to test")
    method = df_method(fit.core, ddf, vcov)
    named = dict(zip(given.labels, given.L, strict=True))
    if joint:
        label = ", ".join(given.labels) if not _numbered(given.labels) else "1"
        table = f_frame(method, {label: given.L}, rhs=given.rhs)
    else:
        found = row_tests(method, given.L, rhs=given.rhs)
        lower, upper = intervals(found, level)
        numbers = row_numbers(found) | {"lower": lower, "upper": upper}
        columns = list(ROW_COLUMNS[method.reference])
        table = pd.DataFrame(numbers, index=list(given.labels))[columns]
    return TestTable(
        table=table,
        heading=(),
        notes=method.notes,
        hypotheses={k: v[None] for k, v in named.items()},
    )


def _numbered(labels: Sequence[str]) -> bool:
    return all(label.isdigit() for label in labels) and len(labels) > 0
