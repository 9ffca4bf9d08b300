"""``python -m nestedmlm fit``: one model from a formula and a CSV file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nestedmlm as nm
from nestedmlm.cli.tables import read_table, save_json, table_name, with_factors


def fit(
    formula: str,
    data: Path,
    *,
    reml: bool = True,
    factors: Sequence[str] = (),
    weights: str | None = None,
    ddf: str | None = None,
    dispersion: str | None = None,
    residual: str | None = None,
    family: str | None = None,
    link: str | None = None,
    nAGQ: int = 1,
    json: Path | None = None,
) -> Iterator[str]:
    """Fit one model and yield its summary.

    Parameters
    ----------
    formula : str
        The model, in lme4's language.
    data : pathlib.Path
        CSV file with a header line; ``-`` for standard input.
    reml : bool
        REML if true, else maximum likelihood.
    factors : sequence of str
        Numeric columns to be read as factors.
    weights : str, optional
        Column with prior weights.
    ddf : str, optional
        Method of degrees of freedom.
    dispersion, residual : str, optional
        Residuals that differ or correlate, as `nestedmlm.lmer` takes them.
    family, link : str, optional
        Of a generalized model.
    nAGQ : int
        Quadrature points of a generalized model.
    json : pathlib.Path, optional
        File to which the numbers are saved.

    Yields
    ------
    str
        The summary.
    """
    frame = with_factors(read_table(data), factors)
    specified = nm.Model(
        formula, frame, weights=weights, env={}, data_name=table_name(data), family=family,
        link=link, dispersion=dispersion, residual=residual,
    )  # fmt: skip
    model: Any = specified.fit(REML=reml if family is None else None, nAGQ=nAGQ)
    summary = model.summary() if ddf is None else model.summary(ddf)
    yield str(summary)
    if json is not None:
        record = {
            "formula": str(model.formula),
            "data": str(data),
            "REML": model.REML,
            "criterion": model.criterion,
            "converged": model.converged,
            "singular": model.is_singular(),
            "messages": model.messages,
            "nobs": model.nobs,
            "ngrps": model.ngrps,
            "npar": model.npar,
            "df_resid": model.df_resid,
            "llf": model.llf,
            "aic": model.aic,
            "bic": model.bic,
            **({"sigma": model.sigma} if family is None else {"dispersion": model.dispersion}),
            "theta": model.theta,
            "tables": summary.tables,
        }
        save_json(json, record)
