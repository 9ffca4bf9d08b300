"""Stand-ins for fits, made of numbers that R printed: views need no optimizer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from reference import numbers, sections

from nestedmlm.covariance import STRUCTURES
from nestedmlm.views.varcorr import VarCorr, VarCorrBlock

NUMBERS = numbers("prints/prints")
CASES = NUMBERS["fits"]


def printed(name: str) -> dict[str, str]:
    """What R prints of a case: its summary, print and VarCorr."""
    return sections(f"prints/{name}")


def varcorr(case: dict[str, Any]) -> VarCorr:
    return VarCorr(
        blocks=tuple(block(name, tuple(columns), cov) for name, columns, cov in case["blocks"]),
        sigma=case["sigma"],
    )


def block(name: str, columns: tuple[str, ...], cov: Any, **changes: Any) -> VarCorrBlock:
    given = {
        "name": name,
        "factor": name.split(".")[0],
        "columns": columns,
        "cov": np.asarray(cov, dtype=float),
        "structure": STRUCTURES["us"],
        "hom": False,
        "par": np.zeros(0),
    }
    return VarCorrBlock(**given | changes)


def fake_fit(name: str, **changes: Any) -> Any:
    """A case of `reference/prints` with the attributes of an `LmerFit` that views use."""
    case = CASES[name]
    names = list(case["names"])
    beta, se = np.array(case["beta"]), np.array(case["se"])
    vcov = np.array(case["vcov"])
    aic, bic, llf = case["ic"]
    fit = SimpleNamespace(
        formula=case["formula"],
        data_name=case["data"],
        weights_name=case["weights"],
        offset_name=case["offset"],
        REML=case["REML"],
        core=SimpleNamespace(family=None, approximation=None, scale=case["sigma"]),
        reml_criterion=case["reml"],
        aic=aic,
        bic=bic,
        llf=llf,
        npar=case["npar"],
        df_resid=case["df_resid"],
        nobs=case["nobs"],
        ngrps=pd.Series(case["ngrps"]),
        sigma=case["sigma"],
        params=pd.Series(beta, index=names, dtype=float),
        bse=pd.Series(se, index=names, dtype=float),
        tvalues=pd.Series(beta / se, index=names, dtype=float),
        cov_params=lambda: pd.DataFrame(vcov.reshape(len(names), -1), index=names, columns=names),
        varcorr=lambda: varcorr(case),
        residuals=lambda type, scaled: pd.Series(case["resid"]),
        design=SimpleNamespace(
            family=None, weights=None, offset=None,
            messages=(), y=np.arange(case["nobs"]), x_assign=tuple(range(len(names))),
            x_terms=tuple(names[1:]), n=case["nobs"], p=0, terms=(),
            factors=tuple(case["ngrps"]), sums=None,
        ),
        messages=(),
        converged=True,
        model=SimpleNamespace(
            source=SimpleNamespace(
                options=SimpleNamespace(dispersion=None, residual=None, relationship=None)
            )
        ),
        certificate=SimpleNamespace(
            evaluations=12, monte_carlo_error=0.0, control=SimpleNamespace(optimizer="newton")
        ),
    )  # fmt: skip
    if name in NUMBERS["ml"]:
        npar, aic, bic, llf = NUMBERS["ml"][name]
        fit.refit_ml = lambda: SimpleNamespace(
            **vars(fit) | {"REML": False, "npar": npar, "aic": aic, "bic": bic, "llf": llf}
        )
    return SimpleNamespace(**vars(fit) | changes)
