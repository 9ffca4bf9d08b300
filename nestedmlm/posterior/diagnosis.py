"""Diagnosis of draws: convergence, and standard deviations that may be zero."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.model.scalar_parameters import list_parameters
from nestedmlm.design.design import Design
from nestedmlm.design.matrices.reterms import ReTerm
from nestedmlm.design.moments import term_sizes
from nestedmlm.families import Family
from nestedmlm.posterior.draws import sigma_draws
from nestedmlm.posterior.effective_draws import diagnostics
from nestedmlm.posterior.summaries import parameter_draws

NEAR_ZERO = 0.05  # of sigma: an effect that moves no row by more cannot be told from none
PILED_UP = 0.5  # density next to zero, relative to the highest, from which a posterior is piled up
_SURE = 2.0  # Monte-Carlo standard errors by which that must be exceeded, so that no seed decides
_LEAST_SHARE = 0.02  # of draws near zero; fewer say nothing about the density there
MAX_R_HAT, MIN_ESS_PER_CHAIN = 1.01, 100
LEAST_CHAINS = 4  # as many chains' worth of independent draws
LEAST_SHARE = 0.5  # of independent draws, where fewer were asked for
UPPER = 0.95  # the one-sided bound that is quoted


def boundary_table(data: Any, design: Design) -> pd.DataFrame:
    """How much of each standard deviation's posterior lies next to zero.

    "Next to zero" is below 5 % of sigma once multiplied with the root mean square of its column,
    so that the units of a predictor do not matter. In a generalized model the unit of the linear
    predictor is in the place of sigma.

    Returns
    -------
    DataFrame
        ``group, var1, estimate, conf_high, threshold, share_near_zero, density_ratio,
        ratio_error, at_boundary``: `density_ratio` is the density of that stretch over that of the
        densest one of its width, `ratio_error` its Monte-Carlo standard error (of as many
        independent draws as the standard deviation has effective ones). Piled up at the boundary
        is a posterior whose ratio is above one half by two of these errors: by less, another seed
        might say otherwise.
    """
    sigma = sigma_draws(data, design) if design.family is None else np.ones(1)
    scale = {(term.name, name): size for term in design.terms for name, size in _sizes(term)}
    rows = []
    parameters = [p for p in list_parameters(design) if p.kind == "sd"]
    chains = np.stack([parameter_draws(data, p) for p in parameters], axis=-1)
    each = zip(
        parameters, chains.reshape(-1, len(parameters)).T, _effective(data, chains), strict=True
    )
    for parameter, draws, effective in each:
        rms = scale[parameter.group, str(parameter.var1)]
        stretch = np.bincount((draws * rms / (NEAR_ZERO * sigma)).astype(np.int64))
        share, ratio = stretch[0] / len(draws), stretch[0] / stretch.max()
        error = _ratio_error(stretch * effective / len(draws))
        rows.append(
            {
                "group": parameter.group,
                "var1": parameter.var1,
                "estimate": float(draws.mean()),
                "conf_high": float(np.quantile(draws, UPPER)),
                "threshold": NEAR_ZERO * float(sigma.mean()) / rms if rms > 0 else np.inf,
                "share_near_zero": share,
                "density_ratio": ratio,
                "ratio_error": error,
                "at_boundary": bool(share > _LEAST_SHARE and ratio - _SURE * error > PILED_UP),
            }
        )
    return pd.DataFrame(rows)


def _effective(data: Any, chains: FloatArray) -> FloatArray:
    """Effective draws of each standard deviation; all of them where that is not known."""
    found = diagnostics(data, chains)["ess_bulk"].to_numpy(dtype=float)
    most = chains.shape[0] * chains.shape[1]
    out: FloatArray = np.where(np.isfinite(found), np.minimum(found, most), most)
    return out


def _sizes(term: ReTerm) -> Iterator[tuple[str, float]]:
    """By how much an effect of one moves the rows; of a curve, all its effects together."""
    sizes = term_sizes(term)
    if term.smooth is not None:
        yield term.smooth.label, float(np.sqrt(np.sum(sizes**2)))
    else:
        yield from zip(term.columns, sizes.tolist(), strict=True)


def _ratio_error(counts: FloatArray) -> float:
    """Standard error of the first count over the largest, of independent draws."""
    first, most = float(counts[0]), float(counts.max())
    return first / most * float(np.sqrt(1.0 / first + 1.0 / most)) if first > 0.0 else 0.0


def boundary_sentences(table: pd.DataFrame, *, linear: bool = True) -> tuple[str, ...]:
    """Say in words which posteriors are piled up at zero."""
    unit = "of the residual's" if linear else "of a unit of the linear predictor"
    return tuple(
        f"{row.group}, {row.var1}: {100 * row.share_near_zero:.0f} % of the draws have a standard "
        f"deviation below {row.threshold:.3g}, which is {100 * NEAR_ZERO:.0f} % {unit}; "
        f"{100 * UPPER:.0f} % have one below {row.conf_high:.3g}. The data do not tell it from "
        "zero."
        for row in table[table["at_boundary"]].itertuples()
    )


def sampling_problems(
    table: pd.DataFrame,
    *,
    chains: int,
    draws: int,
    divergences: int | None,
    independent: bool,
    form: str,
    family: Family | None = None,
) -> tuple[str, ...]:
    """Say what is wrong with the draws, and what to do about it.

    Parameters
    ----------
    table : DataFrame
        The parameter table.
    chains, draws : int
        Chains, and draws of each.
    divergences : int or None
    independent : bool
        Whether draws are independent (importance sampling), so that chains say nothing.
    form : {"marginal", "hierarchical", "laplace"}
        Of the model that was sampled.
    family : Family, optional
        Of a generalized model.
    """
    out = []
    if divergences:
        integrating = _integrating(form, family)
        out.append(
            f"{divergences} divergences of the {form} form: "
            + (f"integrate the random effects out ({integrating}), " if integrating else "")
            + "raise target_accept (0.95, then 0.99), or give tighter priors for the standard "
            "deviations"
        )
    worst, least = table["r_hat"].max(), table["ess_bulk"].min()
    if independent:
        if least < min(MIN_ESS_PER_CHAIN * LEAST_CHAINS, LEAST_SHARE * chains * draws):
            out.append(
                f"importance sampling found only {np.floor(least):.0f} effective draws of "
                f"{table['ess_bulk'].idxmin()}: ask for more draws, or sample with NUTS "
                "(sampler='nutpie')"
            )
        return tuple(out)
    if worst > MAX_R_HAT:
        name = table["r_hat"].idxmax()
        shown = np.ceil(1000.0 * worst - 1e-9) / 1000.0  # never the limit that it is above
        out.append(
            f"R-hat of {name} is {shown:.3f} (above {MAX_R_HAT}): draw more, or warm up longer"
        )
    if least < MIN_ESS_PER_CHAIN * chains:
        name = table["ess_bulk"].idxmin()
        out.append(
            f"only {np.floor(least):.0f} effective draws of {name} (fewer than "
            f"{MIN_ESS_PER_CHAIN} per chain): draw more"
        )
    return tuple(out)


def _integrating(form: str, family: Family | None) -> str:
    """What asks for a form without random effects; empty if one is in use, or there is none."""
    if form != "hierarchical":
        return ""
    if family is None:
        return "marginal=True"
    return "marginal='laplace', approximate" if family.has_derivatives else ""
