"""Probabilities of hypotheses."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import BoolArray, FloatArray
from nestedmlm.callers import PACKAGE
from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError, SamplingWarning
from nestedmlm.posterior.effective_draws import diagnostics
from nestedmlm.posterior.hypothesis import evaluate
from nestedmlm.posterior.hypothesis_names import spelled
from nestedmlm.posterior.point_hypothesis import Evaluate, PointDensities
from nestedmlm.posterior.summaries import ESTIMATES, estimates

_LEAST = 30  # effective draws near a point: its odds are known to a fifth


def hypothesis_table(
    texts: Sequence[str],
    data: Any,
    *,
    design: Design,
    level: float,
    densities: Callable[[Evaluate], PointDensities],
) -> pd.DataFrame:
    """Evaluate hypotheses.

    Parameters
    ----------
    texts : sequence of str
    data : DataTree
    design : Design
        Of whose parameters the names are.
    level : float
    densities : callable
        Of a point hypothesis: see `point_densities`.

    Returns
    -------
    DataFrame
        Indexed by the texts: ``estimate, std_error, conf_low, conf_high`` of the difference of the
        two sides, ``probability``, its Monte-Carlo error ``mcse``, ``odds``.
    """
    if not texts:
        raise OptionError("no hypothesis given; write for example 'ses > 0'")
    rows = [_row(spelled(text, design), data, level, densities) for text in texts]
    return pd.DataFrame(rows, index=pd.Index(list(texts), name="hypothesis"))


def _row(
    text: str, data: Any, level: float, densities: Callable[[Evaluate], PointDensities]
) -> dict[str, float]:
    evaluated = evaluate(text, data["posterior"])
    numbers = dict.fromkeys(ESTIMATES, np.nan)
    if evaluated.difference is not None:
        found = estimates(evaluated.difference.reshape(-1, 1), level=level).iloc[0]
        numbers = {name: float(found[name]) for name in ESTIMATES}
    if evaluated.point:
        return numbers | _of_point(densities(lambda own: _difference(text, own)), data)
    p = float(evaluated.holds.mean())
    odds = p / (1.0 - p) if p < 1.0 else np.inf
    return {**numbers, "probability": p, "mcse": _error(data, evaluated.holds, p), "odds": odds}


def _difference(text: str, posterior: Any) -> FloatArray:
    found = evaluate(text, posterior).difference
    assert found is not None
    return found


def _of_point(found: PointDensities, data: Any) -> dict[str, float]:
    """Odds of a point, the probability that they make of one half, and its Monte-Carlo error."""
    odds = found.odds
    p = odds / (1.0 + odds) if np.isfinite(odds) else 1.0
    values = np.exp(found.log_posterior - found.log_posterior.max())
    effective = values.sum() ** 2 / np.sum(values**2)
    if effective < _LEAST:
        warnings.warn(
            f"the odds of a point rest on {effective:.0f} effective draws near it: they say that "
            "they are small, not how small; compare log_evidence() of the models with and without "
            "the parameter",
            SamplingWarning,
            skip_file_prefixes=PACKAGE,
        )
    ess = float(diagnostics(data, values[:, :, None])["ess_bulk"].iloc[0])
    size = ess if np.isfinite(ess) and ess > 0 else float(values.size)
    relative = float(values.std() / values.mean()) / np.sqrt(size)
    return {"probability": p, "mcse": p * (1.0 - p) * relative, "odds": odds}


def _error(data: Any, holds: BoolArray, p: float) -> float:
    """Monte-Carlo standard error of a probability, from its effective number of draws."""
    if p in (0.0, 1.0):
        return 0.0
    ess = float(diagnostics(data, holds[:, :, None].astype(float))["ess_bulk"].iloc[0])
    size = ess if np.isfinite(ess) and ess > 0 else float(holds.size)
    return float(np.sqrt(p * (1.0 - p) / size))
