"""Variance components: what `fit.varcorr()` returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.covariance import Structure
from nestedmlm.inference.variances.correlation import correlation_matrix, standard_deviations
from nestedmlm.inference.variances.parameters import component_names
from nestedmlm.views.render.blocks import Table, Text
from nestedmlm.views.render.rformat import format_numbers, round_r
from nestedmlm.views.render.view import View, Viewable

DIGITS = 5  # significant digits of R's print(VarCorr(m)); the summary shows 4
MAX_ROWS = 10  # a larger block is cut off with "..."
MAX_PARAMETERS = 3  # of a structured correlation; the rest is "..."
COMPONENTS = ("Variance", "Std.Dev.")

Cells = list[list[str]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VarCorrBlock:
    """Covariance of one random-effects term.

    Attributes
    ----------
    name : str
        Unique: ``classid``, ``classid.1``.
    factor : str
        Grouping factor.
    columns : tuple of str
        The k random effects.
    cov : (k, k) array
        ``sigma^2 T T'``.
    structure : Structure
    hom : bool
        Whether a structured term has one standard deviation for all columns.
    par : array
        Natural parameters, relative to sigma. ``us``: lower triangle of T, column by column;
        the others: standard deviations (one if `hom`), then the correlation's parameters.
    """

    name: str
    factor: str
    columns: tuple[str, ...]
    cov: FloatArray
    structure: Structure
    hom: bool
    par: FloatArray

    @property
    def sd(self) -> FloatArray:
        """Standard deviations, shape (k,)."""
        return standard_deviations(self.cov)

    @property
    def corr(self) -> FloatArray:
        """Correlations, shape (k, k); NaN beside a standard deviation of zero."""
        return correlation_matrix(self.cov)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class VarCorr(Viewable):
    """Variance components of a fit; prints as lme4's ``VarCorr``.

    Attributes
    ----------
    blocks : tuple of VarCorrBlock
        One for each random-effects term, in lme4's order.
    sigma : float or None
        Residual standard deviation; None in a model without one.
    corr : bool
        Whether it prints standard deviations and correlations, or variances and covariances.
    residual : tuple of VarCorrBlock
        Of residuals that differ by stratum or visit, in place of `sigma` in tables.
    notes : tuple of str
        What to say of the residuals below.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> fit.varcorr().to_frame()[["var1", "var2", "estimate"]].round(3)
              var1  var2  estimate
    0  (Intercept)  None    24.740
    1         Days  None     5.922
    2  (Intercept)  Days     0.066
    3         None  None    25.592
    """

    blocks: tuple[VarCorrBlock, ...]
    sigma: float | None
    corr: bool = True
    residual: tuple[VarCorrBlock, ...] = ()
    notes: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """Return the components as lme4's ``as.data.frame(VarCorr(m))`` lists them.

        Returns
        -------
        pandas.DataFrame
            Columns ``term, group, var1, var2, vcov, estimate``: for each block its variances
            (`estimate`: the standard deviations), then its covariances (`estimate`: the
            correlations); the residual, where there is one, is last. `term` is the name in
            ``fit.conf_int()``. Missing names are None.
        """
        columns = zip(
            ("term", "group", "var1", "var2", "vcov", "estimate"),
            zip(*component_rows(self), strict=True),
            strict=True,
        )
        # object columns: pandas' string type would turn None into NaN
        types = {"vcov": float, "estimate": float}
        return pd.DataFrame(
            {name: pd.Series(values, dtype=types.get(name, object)) for name, values in columns}
        )

    def view(self) -> View:
        """Build the document: standard deviations and correlations, 5 significant digits."""
        table = varcorr_table(self, comp=("Std.Dev.",) if self.corr else ("Variance",))
        return View((table, *residual_text(self)))


def component_rows(
    varcorr: VarCorr,
) -> list[tuple[str, str, str | None, str | None, float, float]]:
    """The rows of ``VarCorr.to_frame``: term, group, var1, var2, vcov, estimate."""
    rows: list[tuple[str, str | None, str | None, float, float]] = []
    for block in (*varcorr.blocks, *varcorr.residual):
        own, sd, corr = block.columns, block.sd, block.corr
        rows += [
            (block.name, own[i], None, float(block.cov[i, i]), float(sd[i]))
            for i in range(len(own))
        ]
        if not block.structure.correlated:
            continue
        rows += [
            (block.name, own[j], own[i], float(block.cov[i, j]), float(corr[i, j]))
            for j in range(len(own))
            for i in range(j + 1, len(own))
        ]
    if varcorr.sigma is not None and not varcorr.residual:
        rows.append(("Residual", None, None, varcorr.sigma**2, varcorr.sigma))
    factors = {block.name: block.factor for block in varcorr.blocks}
    own_rows = [row for row in rows if row[0] in factors or not varcorr.residual]
    names = component_names([(factors.get(row[0], ""), *row[:3]) for row in own_rows])
    names += [_residual_name(varcorr, *row[:3]) for row in rows[len(own_rows) :]]
    return [(name, *row) for name, row in zip(names, rows, strict=True)]


_SAME = 1e-9  # relative: so near to sigma a stratum's standard deviation is sigma


def _residual_name(varcorr: VarCorr, block: str, var1: str | None, var2: str | None) -> str:
    """Name of a residual component, that of ``conf_int`` where it is a parameter."""
    first = varcorr.residual[0]
    here = (block, var1, var2) == (first.name, first.columns[0], None)
    # with contrasts of an ordered factor sigma is no stratum's, but between them
    if here and (varcorr.sigma is None or np.isclose(first.sd[0], varcorr.sigma, rtol=_SAME)):
        return "sigma"
    _, bar, level = block.partition(" ")  # "Residual b": of the group b
    ending = f"|{level}" if bar else ""
    pair = f"cor[{var2},{var1}" if var2 is not None else f"sd[{var1}"
    return f"residual_{pair}{ending}]"


def residual_text(varcorr: VarCorr) -> tuple[Text, ...]:
    """What is said of the residuals below the table."""
    return (Text(varcorr.notes),) if varcorr.notes else ()


def varcorr_table(
    varcorr: VarCorr, *, digits: int = DIGITS, comp: tuple[str, ...] = ("Std.Dev.",)
) -> Table:
    """Lay out variance components as lme4's ``formatVC`` does.

    Parameters
    ----------
    varcorr : VarCorr
    digits : int
        Significant digits; correlations get two decimals less, at least two.
    comp : tuple of str
        Which of ``Variance`` and ``Std.Dev.`` to show.

    Returns
    -------
    Table
        Groups, names, the components, and correlations where there are any.
    """
    # lme4 2.x: one row, named after the first column, where all columns share one SD
    blocks = (*varcorr.blocks, *varcorr.residual)
    shown = [block.sd[:1] if block.hom else block.sd for block in blocks]
    sizes = [len(sd) for sd in shown]
    residual = [] if varcorr.sigma is None else [varcorr.sigma]
    values = np.concatenate([*shown, residual])
    formatted = [
        format_numbers(values**2 if name == "Variance" else values, digits=digits) for name in comp
    ]
    if varcorr.corr:
        corr = [_correlations(block, max(2, digits - 2)) for block in blocks]
    else:
        corr = [_covariances(block, digits) for block in blocks]
    n_corr = max((len(row) for cells in corr for row in cells), default=0)
    cells: Cells = []
    at = 0
    for block, size, correlations in zip(blocks, sizes, corr, strict=True):
        numbers = [column[at : at + size] for column in formatted]
        cells += _block_rows(block, numbers, correlations, n_corr)
        at += size
    if residual and not varcorr.residual:
        cells.append(["Residual", "", *(column[-1] for column in formatted), *[""] * n_corr])
    heading = "Corr" if varcorr.corr else "Cov"
    headings = [heading, *[""] * (n_corr - 1)] if n_corr else []
    return Table(
        name="varcorr",
        frame=varcorr.to_frame,
        cells=tuple(map(tuple, cells)),
        rows=("",) * len(cells),
        columns=("Groups", "Name", *comp, *headings),
        right=False,
        numeric=tuple(range(2, 2 + len(comp) + n_corr)),
    )


def _block_rows(
    block: VarCorrBlock, numbers: list[list[str]], correlations: Cells, n_corr: int
) -> Cells:
    """Rows of one block; long ones are cut off."""
    count = len(numbers[0])
    rows = []
    for i in range(min(count, MAX_ROWS)):
        row_corr = correlations[i] if i < len(correlations) else []
        group = block.name if i == 0 else ""
        padded = [*row_corr, *[""] * (n_corr - len(row_corr))]
        rows.append([group, block.columns[i], *(column[i] for column in numbers), *padded])
    if count > MAX_ROWS:
        rows.append(["", *["..."] * (1 + len(numbers)), *[""] * n_corr])
    return rows


def _correlations(block: VarCorrBlock, decimals: int) -> Cells:
    """Rows of correlation cells, each as long as it needs to be."""
    if block.structure.free_correlations:
        return _triangle(block, decimals)
    return _parameters(block, decimals)


def _covariances(block: VarCorrBlock, digits: int) -> Cells:
    """Rows of covariances below the diagonal."""
    k = min(len(block.columns), MAX_ROWS)
    if k < 2 or not block.structure.correlated:
        return []
    low = np.tril_indices(k, -1)
    places = zip(low[0].tolist(), low[1].tolist(), strict=True)
    texts = dict(zip(places, format_numbers(block.cov[low], digits=digits), strict=True))
    return [[texts.get((i, j), "") for j in range(k - 1)] for i in range(k)]


def _triangle(block: VarCorrBlock, decimals: int) -> Cells:
    k = min(len(block.columns), MAX_ROWS)
    if k < 2:
        return []
    corr = round_r(block.corr, decimals)
    texts = format_numbers(corr, nsmall=decimals)
    width = corr.shape[0]
    return [[texts[i * width + j] if j < i else "" for j in range(k - 1)] for i in range(k)]


def _parameters(block: VarCorrBlock, decimals: int) -> Cells:
    """lme4 2.x: the parameters of a structured correlation in the first row, with its name."""
    own = block.structure.correlation_part(block.par, len(block.columns))
    if len(own) == 0:
        return []
    values = [round_r([float(v)], decimals) for v in own]
    texts = [format_numbers(value, nsmall=decimals)[0] for value in values[:MAX_PARAMETERS]]
    texts += ["..."] if len(own) > MAX_PARAMETERS else []
    return [[f"{', '.join(texts)} ({block.structure.name})"]]
