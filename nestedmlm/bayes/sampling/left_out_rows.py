"""The hierarchical model without some rows: compiled once, sampled for every choice of rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import xarray as xr

from nestedmlm._typing import BoolArray
from nestedmlm.bayes.model.hierarchical import hierarchical_model
from nestedmlm.bayes.model.names import OBS_DIM, response_name
from nestedmlm.bayes.model.prior_set import PriorSet
from nestedmlm.bayes.sampling.density import reported_names

if TYPE_CHECKING:
    from nestedmlm.design.design import Design

_LEFT_OUT = "_rows_left_out"
_CHAINS, _TUNE, _TARGET = 2, 500, 0.9


@dataclass(frozen=True, kw_only=True, eq=False)
class LeftOutRows:
    """The hierarchical model of a design, to be sampled without some of its rows.

    Priors, their centring and all levels stay those of the design: random effects of levels that
    are left out are draws from their priors.

    Attributes
    ----------
    design : Design
    priors : PriorSet
    """

    design: Design
    priors: PriorSet

    @cached_property
    def model(self) -> pm.Model:
        """The model, whose likelihood is divided by that of the rows that are left out."""
        model = hierarchical_model(self.design, self.priors)
        rows = _log_densities(model, response_name(self.design))
        with model:
            left_out = pm.Data(_LEFT_OUT, np.zeros(self.design.n), dims=OBS_DIM)
            pm.Potential(_LEFT_OUT + "_taken_back", -(left_out * rows).sum())
        return model

    @cached_property
    def _compiled(self) -> Any:
        import nutpie

        return nutpie.compile_pymc_model(self.model, var_names=reported_names(self.model))

    def sample(self, left_out: BoolArray, *, draws: int, seed: int | None) -> xr.Dataset:
        """Draws of parameters and random effects.

        Parameters
        ----------
        left_out : (n,) array of bool
        draws : int
            Of two chains together.
        seed : int, optional
        """
        import nutpie

        tree = nutpie.sample(
            self._compiled.with_data(**{_LEFT_OUT: left_out.astype(float)}),
            draws=-(-draws // _CHAINS), tune=_TUNE, chains=_CHAINS, cores=_CHAINS, seed=seed,
            target_accept=_TARGET, progress_bar=False, save_warmup=False,
        )  # fmt: skip
        found: xr.Dataset = tree["posterior"].to_dataset()
        return found


def _log_densities(model: pm.Model, response: str) -> Any:
    """Of the rows, as a symbolic vector."""
    for rows in model.observed_RVs:
        if rows.name == response:
            return pm.logp(rows, model.rvs_to_values[rows])
    # rows whose densities are weighted are a potential of their own
    return next(p for p in model.potentials if p.name == response)
