"""What draws say, labelled: a frozen record whose members look up and summarise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm.bayes.model.names import OBS_DIM
from nestedmlm.design.design import Design
from nestedmlm.posterior import rows, summaries
from nestedmlm.posterior.draws import draw_shape, fixed_draws, sigma_draws
from nestedmlm.views.posterior.varcorr import BayesVarCorr

if TYPE_CHECKING:
    from nestedmlm.bayes.model.priors import PriorSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How the draws were made.

    Attributes
    ----------
    sampler : str
        ``nutpie``, ``pymc``, …, ``psis``.
    form : {"marginal", "hierarchical"}
    tune : int
        Draws of warm-up per chain; 0 for importance sampling.
    khat : float or None
        Pareto k of importance sampling.
    ess : float or None
        Effective number of its draws.
    seed : int or None
    """

    sampler: str
    form: str
    tune: int = 0
    khat: float | None = None
    ess: float | None = None
    seed: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BayesEstimates:
    """Parameters and rows from draws; `BayesFit` adds the model, criticism, files and views.

    The attributes are `BayesFit`'s.
    """

    data: Any
    design: Design
    priors: PriorSet | None
    run: Run
    given_model: Any = None
    data_name: str | None = None
    weights_name: str | None = None
    offset_name: str | None = None
    messages: tuple[str, ...] = ()

    # --- the draws -----------------------------------------------------------------------------
    @property
    def n_chains(self) -> int:
        """Number of chains."""
        return draw_shape(self.data)[0]

    @property
    def n_draws(self) -> int:
        """Draws of each chain."""
        return draw_shape(self.data)[1]

    @property
    def divergences(self) -> int | None:
        """Number of divergent transitions; None for a sampler that has none."""
        if "sample_stats" not in self.data.children:
            return None
        stats = self.data["sample_stats"]
        return int(stats["diverging"].sum()) if "diverging" in stats.data_vars else None

    def parameters(self, *, prob: float = summaries.PROB) -> pd.DataFrame:
        """Fixed effects, standard deviations, correlations and sigma in one table.

        Parameters
        ----------
        prob : float
            Probability inside the equal-tailed intervals.

        Returns
        -------
        DataFrame
            By the posterior's names: ``kind, group, var1, var2, estimate, sd, lower, upper,
            r_hat, ess_bulk, ess_tail`` (importance sampling has no R-hat, and one ESS for all).
        """
        table = summaries.parameter_table(self.data, self.design, prob=prob)
        return summaries.importance_diagnostics(table, self.run.ess)

    # --- estimates -----------------------------------------------------------------------------
    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return self.design.n

    @property
    def ngrps(self) -> pd.Series:
        """Number of levels of each grouping factor."""
        return pd.Series({f.name: len(f.levels) for f in self.design.factors}, dtype="int64")

    @property
    def sigma(self) -> float:
        """Posterior mean of the residual standard deviation."""
        return float(sigma_draws(self.data, self.design).mean())

    @property
    def params(self) -> pd.Series:
        """Posterior means of the fixed effects (the same as `fixef`), under R's names."""
        return self._fixed("estimate").rename("estimate")

    @property
    def fixef(self) -> pd.Series:
        """Posterior means of the fixed effects (the same as `params`)."""
        return self.params

    @property
    def bse(self) -> pd.Series:
        """Posterior standard deviations of the fixed effects."""
        return self._fixed("sd").rename("std_error")

    def _fixed(self, column: str) -> pd.Series:
        draws = fixed_draws(self.data, self.design)
        return summaries.estimates(draws, index=list(self.design.x_names))[column]

    def cov_params(self) -> pd.DataFrame:
        """Posterior covariance matrix of the fixed effects, (p, p)."""
        names = list(self.design.x_names)
        draws = fixed_draws(self.data, self.design)
        centred = draws - draws.mean(axis=0)
        cov = centred.T @ centred / max(len(draws) - 1, 1)
        return pd.DataFrame(cov, index=names, columns=names)

    def varcorr(self, *, prob: float = summaries.PROB) -> BayesVarCorr:
        """Standard deviations and correlations of the random effects with intervals; a view."""
        table = summaries.varcorr_table(self.data, self.design, prob=prob)
        table = summaries.importance_diagnostics(table, self.run.ess)
        return BayesVarCorr(table=table, prob=prob)

    def ranef(self, condvar: bool = True, *, prob: float = summaries.PROB) -> pd.DataFrame:
        """Random effects in long form.

        Parameters
        ----------
        condvar : bool
            Add their spread and intervals.
        prob : float
            Probability inside the intervals.

        Returns
        -------
        DataFrame
            ``grpvar, term, grp, condval`` (posterior mean), ``condsd`` (posterior SD, which unlike
            a `LmerFit`'s counts the uncertainty of all parameters), ``lower, upper``.
        """
        frame = summaries.effects_table(self.data, self.design, prob=prob)
        return frame if condvar else frame[["grpvar", "term", "grp", "condval"]]

    def coef(self) -> dict[str, pd.DataFrame]:
        """Fixed plus random effects of each level (posterior means), one table per factor."""
        return summaries.coef_tables(self.data, self.design)

    # --- rows ----------------------------------------------------------------------------------
    @property
    def fittedvalues(self) -> pd.Series:
        """Posterior means of ``X beta + Z b + offset``, on the caller's index."""
        return self.design.align(rows.mean_fitted(self.data, self.design)).rename("fitted")

    @property
    def resid(self) -> pd.Series:
        """Response minus fitted values, on the caller's index."""
        e = self.design.y - rows.mean_fitted(self.data, self.design)
        return self.design.align(e).rename("resid")

    def predict(
        self,
        newdata: Any = None,
        *,
        kind: str = "mean",
        re_form: Any = None,
        new_levels: str = "error",
        offset: Any = None,
        prob: float = summaries.PROB,
        draws: bool = False,
        seed: int | None = None,
    ) -> Any:
        """Predict for new rows (without `newdata`: for the rows of the fit).

        Parameters
        ----------
        newdata : table, optional
        kind : {"mean", "response"}
            The expected value of a row, or a new response there (with residual noise, of weight
            one for new data).
        re_form : None, False or str
            Which random effects count, as for a `LmerFit`: all, none (``"~ 0"``), or those of
            ``"~ (1 | schoolid)"``.
        new_levels : {"error", "population", "sample"}
            Unseen groups: refuse; random effects of zero; or random effects drawn from their
            distribution, once per draw and group (rows with the same unseen label share them).
        offset : str or array, optional
            A column of `newdata` or one number per row, in place of the fit's argument ``offset``.
        prob : float
            Probability inside the intervals.
        draws : bool
            Return all draws instead of a summary.
        seed : int, optional
            For what is drawn.

        Returns
        -------
        DataFrame or DataArray
            ``estimate, sd, lower, upper`` on the index of `newdata`; with `draws` an array with
            dims ``chain, draw, __obs__``.

        Raises
        ------
        OptionError
            For an unknown `kind` or `new_levels`, or a `re_form` that the model does not have.
        NewLevelsError
            For unseen groups with ``new_levels="error"``, and for unseen levels of a fixed factor.
        """
        rng = np.random.default_rng(seed)
        if newdata is None:
            used = rows.fitted_rows(self.data, self.design, re_form=re_form)
            index = self.design.index
        else:
            used, index = rows.new_rows(
                self.data,
                self.design,
                newdata,
                new_levels=new_levels,
                re_form=re_form,
                offset=offset,
                rng=rng,
            )
        if draws:
            from xarray import DataArray

            found = rows.all_draws(used, kind=kind, rng=rng)
            values = found.reshape(self.n_chains, self.n_draws, -1)
            posterior = self.data["posterior"]
            coords = {name: posterior[name].values for name in ("chain", "draw")}
            return DataArray(
                values,
                dims=("chain", "draw", OBS_DIM),
                coords={**coords, OBS_DIM: index.to_numpy()},
                name="prediction",
            )
        frame = rows.summarise_rows(used, kind=kind, prob=prob, rng=rng)
        if newdata is not None:
            return frame.set_index(index)
        return pd.DataFrame({name: self.design.align(frame[name]) for name in frame})

    def simulate(
        self, nsim: int = 1, *, seed: int | None = None, new_groups: bool = False
    ) -> pd.DataFrame:
        """Draw new responses for the rows of the fit, each from another draw of the posterior.

        Parameters
        ----------
        nsim : int
            Number of replicates.
        seed : int, optional
        new_groups : bool
            Draw the random effects anew too, as lme4's ``simulate`` does; otherwise the groups
            are those of the data.

        Returns
        -------
        DataFrame
            Columns ``sim_1``, ``sim_2``, …, on the caller's index.
        """
        y = rows.replicate(self.data, self.design, nsim, new_groups=new_groups, seed=seed)
        return pd.DataFrame(
            {f"sim_{i + 1}": self.design.align(column) for i, column in enumerate(y.T)}
        )
