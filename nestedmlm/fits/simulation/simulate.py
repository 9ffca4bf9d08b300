"""Responses of a fit, for its own rows or others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.design.frame.frames import Frame
from nestedmlm.design.schema import argument_numbers
from nestedmlm.errors import DataError, WeightsError
from nestedmlm.inference.resampling.response_distribution import (
    Seed,
    draw_frame,
    response_distribution,
    response_distribution_for,
)
from nestedmlm.inference.rows.re_form import chosen_columns

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def simulate_fit(
    fit: LmerFit, *, nsim: int, seed: Seed, re_form: Any, data: Any = None
) -> pd.DataFrame:
    """Draw responses; see `SimulationVerbs.simulate`."""
    keep = chosen_columns(fit.design, re_form)
    s = fit.solution
    if data is None:
        distribution = response_distribution(
            fit.design, beta=s.beta, T=s.T, sigma=s.sigma, b=s.b, keep=keep
        )
        drawn = draw_frame(distribution, fit.design.index, nsim=nsim, seed=seed)
        return _padded(drawn, fit.design)
    distribution, index = response_distribution_for(
        fit.design, data, beta=s.beta, T=s.T, sigma=s.sigma, b=s.b, keep=keep,
        weights=_new_weights(fit, data),
    )  # fmt: skip
    return draw_frame(distribution, index, nsim=nsim, seed=seed)


def _padded(drawn: pd.DataFrame, design: Design) -> pd.DataFrame:
    """Rows of missing values where ``na_action="exclude"`` left some out (as fitted values)."""
    columns = [design.align(drawn[name].to_numpy()) for name in drawn]
    return pd.concat(columns, axis=1).set_axis(drawn.columns, axis=1)


def _new_weights(fit: LmerFit, data: Any) -> FloatArray | None:
    """Prior weights of new rows: the column that the model took them from."""
    if fit.design.weights is None:
        return None
    name = fit.model.weights_column
    if name is None:
        raise DataError(
            "the model was fitted with an array of weights, which new data do not have; give the "
            "weights as a column name"
        )
    evaluator = fit.design.schema.evaluator(Frame(data))
    return argument_numbers(name, evaluator, "weights", error=WeightsError)
