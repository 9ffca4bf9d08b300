"""Separate least-squares fits of groups: lme4's `lmList`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy  # its distributions load on first use

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.arguments import checked
from nestedmlm.design.build import build_design
from nestedmlm.design.matrices.grouping import GroupingFactor
from nestedmlm.design.matrices.qr import kept_columns
from nestedmlm.errors import FormulaError
from nestedmlm.formula import parse_formula
from nestedmlm.formula.structures import UNSTRUCTURED
from nestedmlm.views.render.blocks import Table, Text
from nestedmlm.views.render.rformat import format_numbers
from nestedmlm.views.render.view import View, Viewable


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class LmList(Viewable):
    """Coefficients of each group by least squares, as lme4's ``lmList``.

    Attributes
    ----------
    formula : str
    group : str
        The grouping factor.
    coef : DataFrame, shape (J, p)
        By group; NaN where a group's rows do not determine a coefficient.
    std_error : DataFrame, shape (J, p)
    sigma : Series, shape (J,)
        Residual standard deviation of each group; NaN without residual degrees of freedom.
    df : Series, shape (J,)
        Residual degrees of freedom of each group.
    pool : bool
        Whether standard errors are those of the pooled standard deviation.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> from nestedmlm.lme4 import lmList
    >>> found = lmList("Reaction ~ Days | Subject", nm.load_dataset("sleepstudy"))
    >>> found.coef.head(2).round(3)
             (Intercept)    Days
    Subject
    308          244.193  21.765
    309          205.055   2.262
    >>> print(round(found.pooled_sigma, 4))
    25.5918
    """

    formula: str
    group: str
    coef: pd.DataFrame
    std_error: pd.DataFrame
    sigma: pd.Series
    df: pd.Series
    pool: bool

    @property
    def pooled_sigma(self) -> float:
        """Residual standard deviation of all groups together."""
        squares = (self.sigma**2 * self.df).sum()
        return float(np.sqrt(squares / self.df.sum())) if self.df.sum() else np.nan

    @checked
    def conf_int(self, level: float = 0.95) -> pd.DataFrame:
        """Intervals of every coefficient by t distributions.

        Parameters
        ----------
        level : float

        Returns
        -------
        DataFrame
            ``group, term, estimate, conf_low, conf_high``.

        Raises
        ------
        OptionError
            For a level that is not between 0 and 1.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> from nestedmlm.lme4 import lmList
        >>> found = lmList("Yield ~ 1 | Batch", nm.load_dataset("Dyestuff"))
        >>> found.conf_int().head(2).round(2)
          group         term  estimate  conf_low  conf_high
        0     A  (Intercept)    1505.0   1459.3     1550.7
        1     B  (Intercept)    1528.0   1482.3     1573.7
        """
        df = np.full(len(self.df), self.df.sum()) if self.pool else self.df.to_numpy(dtype=float)
        with np.errstate(invalid="ignore"):
            reach = scipy.stats.t.ppf(0.5 + level / 2, df)[:, None] * self.std_error.to_numpy()
        frame = self.to_frame()[["group", "term", "estimate"]]
        estimate = self.coef.to_numpy()
        return frame.assign(
            conf_low=(estimate - reach).ravel(), conf_high=(estimate + reach).ravel()
        )

    def to_frame(self) -> pd.DataFrame:
        """Estimates and standard errors in long form: ``group, term, estimate, std_error``."""
        J, p = self.coef.shape
        return pd.DataFrame(
            {
                "group": np.repeat(self.coef.index.to_numpy(), p),
                "term": list(self.coef.columns) * J,
                "estimate": self.coef.to_numpy().ravel(),
                "std_error": self.std_error.to_numpy().ravel(),
            }
        )

    def view(self) -> View:
        """Build the document: coefficients by group and the residual standard deviation."""
        cells = [format_numbers(self.coef[c].to_numpy(), digits=7) for c in self.coef]
        table = Table(
            name="coefficients",
            frame=self.coef,
            cells=tuple(zip(*cells, strict=True)),
            rows=tuple(map(str, self.coef.index)),
            columns=tuple(map(str, self.coef.columns)),
        )
        df = int(self.df.sum())
        total = df + int(self.coef.notna().to_numpy().sum())
        sigma = format_numbers(np.array([self.pooled_sigma]), digits=6)[0]
        said = (
            f"Degrees of freedom: {total} total; {df} residual",
            f"Residual standard error: {sigma}",
        )
        title = Text((f"Least squares by {self.group}: {self.formula}",), role="title")
        return View((title, table, Text(said)))


@checked
def lm_list(formula: str, data: Any, pool: bool = True) -> LmList:
    """Least-squares fits of each group: lme4's ``lmList(Reaction ~ Days | Subject)``.

    Parameters
    ----------
    formula : str
        Response, predictors and, after the bar, one grouping factor.
    data : table
    pool : bool
        Standard errors and intervals by one residual standard deviation of all groups.

    Returns
    -------
    LmList

    Raises
    ------
    FormulaError
        Without exactly one grouping factor.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> from nestedmlm.lme4 import lmList
    >>> found = lmList("Yield ~ 1 | Batch", nm.load_dataset("Dyestuff"))
    >>> found.coef["(Intercept)"].round(3).tolist()
    [1505.0, 1528.0, 1564.0, 1498.0, 1600.0, 1470.0]
    """
    response, tilde, right = formula.partition("~")
    if "(" not in right.partition("|")[0] or "|" in right.rpartition(")")[2]:
        right = f"({right})"
    parsed = parse_formula(f"{response}{tilde}{right}")
    if len(parsed.bars) != 1 or parsed.bars[0].structure != UNSTRUCTURED:
        raise FormulaError(
            "lmList needs one grouping factor after the bar: y ~ x | g", formula, None
        )
    bar = parsed.bars[0]
    text = f"{parsed.response_text} ~ {bar.lhs_text} + (1 | {bar.group_text})"
    design = build_design(text, data, check=False)
    factor = design.factors[0]
    found = [_least_squares(design.X[rows], design.y[rows]) for rows in _rows_of(factor)]
    index = pd.Index(factor.levels, name=factor.name)
    names = list(design.x_names)
    sigma = pd.Series([f.sigma for f in found], index=index, name="sigma")
    df = pd.Series([f.df for f in found], index=index, name="df")
    spread = sigma.to_numpy(dtype=float)
    if pool:
        total = df.sum()  # without degrees of freedom nothing is known of the spread
        pooled = np.sqrt((sigma**2 * df).sum() / total) if total > 0 else np.nan
        spread = np.full(len(found), pooled)
    units = np.array([f.unit_errors for f in found])
    return LmList(
        formula=f"{parsed.response_text} ~ {bar.lhs_text}",
        group=factor.name,
        coef=pd.DataFrame([f.beta for f in found], index=index, columns=names),
        std_error=pd.DataFrame(units * spread[:, None], index=index, columns=names),
        sigma=sigma,
        df=df,
        pool=pool,
    )


@dataclass(frozen=True, slots=True)
class _GroupFit:
    beta: FloatArray
    unit_errors: FloatArray  # standard errors for a residual SD of 1
    sigma: float
    df: int


def _rows_of(factor: GroupingFactor) -> list[IntArray]:
    order = np.argsort(factor.codes, kind="stable")
    counts = np.bincount(factor.codes, minlength=len(factor.levels))
    return list(np.split(order, np.cumsum(counts)[:-1]))


def _least_squares(X: FloatArray, y: FloatArray) -> _GroupFit:
    """Fit one group; coefficients that its rows do not determine are NaN, as R's aliased ones."""
    kept = kept_columns(X)
    own = X[:, kept]
    beta, errors = np.full(X.shape[1], np.nan), np.full(X.shape[1], np.nan)
    Q, R = np.linalg.qr(own)
    beta[kept] = np.linalg.solve(R, Q.T @ y)
    errors[kept] = np.sqrt((np.linalg.inv(R) ** 2).sum(axis=1))
    df = len(y) - len(kept)
    rest = y - own @ beta[kept]
    return _GroupFit(beta, errors, float(np.sqrt(rest @ rest / df)) if df else np.nan, df)
