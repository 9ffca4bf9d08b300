"""`BayesEstimates`: numbers of draws, labelled; a frozen record that looks up and averages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from nestedmlm.arguments import checked
from nestedmlm.bayes.model.names import parameter_names
from nestedmlm.bayes.model.prior_set import PriorSet
from nestedmlm.design.design import Design
from nestedmlm.errors import NotDefinedError
from nestedmlm.families import Family
from nestedmlm.fits.for_maketables import ForMaketables
from nestedmlm.posterior import row_draws, summaries
from nestedmlm.posterior.draws import draw_shape, fixed_draws, sigma_draws
from nestedmlm.posterior.run import Run


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BayesEstimates(ForMaketables):
    """Numbers of a posterior: draws, parameters, rows; `BayesFit` adds the verbs.

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
    weights_column: str | None = None
    messages: tuple[str, ...] = ()
    source: Any = None

    # --- the draws -----------------------------------------------------------------------------
    @property
    def engine(self) -> Literal["posterior"]:
        """What the numbers are: ``posterior`` (of a `LmerFit`: ``REML`` or ``ML``)."""
        return "posterior"

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

    # --- the model -----------------------------------------------------------------------------
    @property
    def _native(self) -> str:
        return "pandas" if self.source is None else str(self.source._native)

    @property
    def formula(self) -> str:
        """The formula as lme4 prints it."""
        return self.design.formula.display

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return self.design.n

    @property
    def ngrps(self) -> pd.Series:
        """Number of levels of each grouping factor."""
        counts = {f.name: len(f.levels) for f in self.design.factors if not f.is_whole}
        return pd.Series(counts, dtype="int64")

    # --- estimates -----------------------------------------------------------------------------
    @property
    def family(self) -> Family | None:
        """Family of a generalized model, with its link; None of a linear one."""
        return self.design.family

    @property
    def sigma(self) -> float:
        """Posterior mean of the residual standard deviation.

        Raises
        ------
        NotDefinedError
            For a family that has none.
        """
        names = parameter_names(self.design)
        if names.sigma not in names.beside:
            own = ", ".join(names.beside) or "nothing"
            raise NotDefinedError(
                "there is no residual standard deviation: beside the mean this family has "
                f"{own}; see fit.parameters()"
            )
        return float(sigma_draws(self.data, self.design).mean())

    @property
    def params(self) -> pd.Series:
        """Posterior means of the fixed effects (the same as `fixef`), under R's names."""
        return self._fixed()["estimate"].rename("estimate")

    @property
    def fixef(self) -> pd.Series:
        """Posterior means of the fixed effects (the same as `params`)."""
        return self.params

    @property
    def bse(self) -> pd.Series:
        """Posterior standard deviations of the fixed effects."""
        return self._fixed()["std_error"]

    def _fixed(self) -> pd.DataFrame:
        draws = fixed_draws(self.data, self.design)
        return summaries.estimates(draws, index=list(self.design.x_names))

    @checked
    def cov_params(self) -> pd.DataFrame:
        """Posterior covariance matrix of the fixed effects, (p, p).

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> fit.sample(sampler="psis", draws=250, seed=1).cov_params().shape
        (1, 1)
        """
        return summaries.fixed_covariance(self.data, self.design)

    # --- rows ----------------------------------------------------------------------------------
    @property
    def fittedvalues(self) -> pd.Series:
        """Posterior means of the expected responses given the random effects.

        On the caller's index.
        """
        return self.design.align(row_draws.mean_fitted(self.data, self.design)).rename("fitted")

    @property
    def resid(self) -> pd.Series:
        """Response minus fitted values, on the caller's index."""
        e = self.design.y - row_draws.mean_fitted(self.data, self.design)
        return self.design.align(e).rename("resid")
