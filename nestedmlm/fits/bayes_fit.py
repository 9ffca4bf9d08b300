"""`BayesFit`: draws from a mixed model's posterior, with the verbs of `LmerFit`.

A frozen record; every number is computed in `nestedmlm.posterior`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pandas as pd

from nestedmlm.errors import OptionError
from nestedmlm.fits.bayes_estimates import BayesEstimates, Run
from nestedmlm.fits.maketables import TableHooks
from nestedmlm.fits.verbs.pictures import PosteriorPictures
from nestedmlm.posterior import checks, datatree, loglik, storage, summaries, variance
from nestedmlm.posterior.hypothesis_probabilities import hypothesis_table
from nestedmlm.views.posterior.diagnosis import BayesDiagnosis
from nestedmlm.views.posterior.hypothesis import HypothesisResult
from nestedmlm.views.posterior.summary import summary_view
from nestedmlm.views.render.view import View

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.fits.model import Model

__all__ = ["BayesFit", "Run", "load_bayesfit"]

UNITS = ("row", "group")
_FIELDS = ("design", "priors", "run", "data_name", "weights_name", "offset_name", "messages")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BayesFit(PosteriorPictures, TableHooks, BayesEstimates):
    """Draws from the posterior of a linear mixed model.

    Attributes
    ----------
    data : DataTree
        Groups ``posterior``, ``observed_data``, ``constant_data``, ``log_likelihood`` (given the
        random effects; left out where it would take more than half a gigabyte), and
        ``sample_stats`` from samplers that have them. ArviZ's functions take it as it is.
    design : Design
        Matrices, grouping factors and the learned schema.
    priors : PriorSet or None
        A table of the priors; None for a PyMC model of the user's.
    run : Run
        How the draws were made.
    given_model : pymc.Model or None
        The model that was sampled, if it had been built.
    data_name, weights_name, offset_name : str or None
        Names for printing.
    messages : tuple of str
        What was wrong with the sampling, and about the design.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
    >>> posterior.summary().to_frame().columns[:2].tolist()
    ['kind', 'group']
    >>> posterior.parameters().columns[4:8].tolist()
    ['estimate', 'sd', 'lower', 'upper']
    >>> posterior.varcorr().to_frame().shape
    (2, 8)
    >>> posterior.ranef().columns.tolist()
    ['grpvar', 'term', 'grp', 'condval', 'condsd', 'lower', 'upper']
    >>> posterior.coef()["Batch"].shape, posterior.cov_params().shape
    ((6, 1), (1, 1))
    >>> posterior.hypothesis("sigma > 30").table["probability"].item() > 0.9
    True
    >>> posterior.icc().columns.tolist()
    ['estimate', 'sd', 'lower', 'upper']
    >>> posterior.r2().index.tolist()
    ['bayes', 'marginal', 'conditional']
    >>> posterior.predict({"Batch": ["new"]}, new_levels="sample", seed=1).shape
    (1, 4)
    >>> posterior.simulate(3, seed=1).shape
    (30, 3)
    >>> int(posterior.loo().n_data_points)
    30
    >>> "posterior_predictive" in posterior.with_posterior_predictive(seed=1).data
    True
    >>> posterior.diagnose().to_frame().shape
    (1, 8)
    """

    # --- the model -----------------------------------------------------------------------------
    @classmethod
    def from_pymc(cls, data: Any, fit: LmerFit | Model, *, model: Any = None,
                  seed: int | None = None) -> BayesFit:  # fmt: skip
        """Make a fit of draws from a PyMC model that `to_pymc` made and the user edited.

        Parameters
        ----------
        data : DataTree
            What ``pymc.sample`` returned (or nutpie, …); variables besides the parameters stay
            in it.
        fit : LmerFit or Model
            What ``to_pymc`` was called on.
        model : pymc.Model, optional
            The edited model, kept as `model`.
        seed : int, optional
            For the random effects, which are drawn if the draws lack them (marginal form).

        Raises
        ------
        OptionError
            If the draws lack a parameter of the formula.

        Notes
        -----
        The verbs read the draws as this formula's: ``y = X beta + Z b`` plus normal noise. If the
        edited likelihood is another one, `predict` and `simulate` with ``kind="response"`` and
        the random effects of a marginal form do not hold. No log-likelihood is added: `loo`
        needs the model's own (``pymc.compute_log_likelihood``) where the likelihood was edited.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> draws = fit.sample(sampler="psis", draws=250, seed=1).data  # or pymc.sample(model=…)
        >>> again = nm.BayesFit.from_pymc(draws, fit)
        >>> again.n_chains, again.n_draws
        (4, 250)
        """
        from nestedmlm.fits.bayes_run import from_draws
        from nestedmlm.fits.lmer_fit import LmerFit

        own = fit.model if isinstance(fit, LmerFit) else fit
        return from_draws(own, data, design=fit.design, pymc_model=model, seed=seed)

    @cached_property
    def model(self) -> Any:
        """The PyMC model; built on first use where there is none yet.

        Raises
        ------
        OptionError
            For a loaded fit of a user's own PyMC model, which is not saved.
        """
        if self.given_model is not None:
            return self.given_model
        if self.priors is None:
            raise OptionError("the PyMC model of this fit was given by the user and is not saved")
        if self.run.form == "marginal":
            from nestedmlm.bayes.model.marginal import marginal_model

            return marginal_model(self.design, self.priors)
        from nestedmlm.bayes.model.hierarchical import hierarchical_model

        return hierarchical_model(self.design, self.priors)

    def with_posterior_predictive(self, *, seed: int | None = None) -> BayesFit:
        """Make the same fit with a group ``posterior_predictive``: one replicate per draw."""
        data = datatree.add_posterior_predictive(self.data, self.design, seed=seed)
        return replace(self, data=data)

    # --- criticism -----------------------------------------------------------------------------
    def loo(
        self, unit: str = "row", *, group: str | None = None, max_draws: int | None = None
    ) -> Any:
        """Leave-one-out cross-validation by Pareto-smoothed importance sampling.

        Parameters
        ----------
        unit : {"row", "group"}
            ``row``: each row given its random effects (what ``az.loo(fit.data)`` does).
            ``group``: all rows of one group at once, ``p(y_j | y_-j)``, the random effects
            integrated out: the log-density of the group's rows given the other rows at each draw
            of (beta, covariances, sigma) is exact, and these draws are importance-weighted. If no
            other group shares a random effect with group j, that density is the group's own
            marginal likelihood; for classes within schools it conditions on the school's other
            classes.
        group : str, optional
            Which grouping factor; by default the one that contains all others.
        max_draws : int, optional
            Use so many evenly spaced draws (crossed factors: the cost per draw is cubic in the
            number of random effects that hang together).

        Returns
        -------
        arviz ELPDData
        """
        if unit not in UNITS:
            raise OptionError(f"unit={unit!r} is unknown; known: {', '.join(UNITS)}")
        if unit == "row":
            return loglik.loo_rows(self.data, self.design)
        return loglik.loo_groups(self.data, self.design, group, max_draws=max_draws)

    def r2(self, *, prob: float = summaries.PROB) -> pd.DataFrame:
        """R-squared: ``bayes``, ``marginal`` and ``conditional`` with intervals.

        See `nestedmlm.posterior.variance.r2_table` for what they are.
        """
        return variance.r2_table(self.data, self.design, prob=prob)

    def icc(self, *, prob: float = summaries.PROB) -> pd.DataFrame:
        """Share of each grouping factor in the variance given the predictors, with intervals.

        See `nestedmlm.posterior.variance.icc_table` for how random slopes count.
        """
        return variance.icc_table(self.data, self.design, prob=prob)

    def hypothesis(
        self, hypotheses: str | Sequence[str], *, prob: float = summaries.PROB
    ) -> HypothesisResult:
        """Posterior probability of statements about parameters; a view.

        Parameters
        ----------
        hypotheses : str or sequence of str
            ``"ses > 0"``, ``"10 < ses < 15"``, ``"`1|schoolid_sigma` > `1|classid_sigma`"``,
            ``"`1|schoolid`[12] > 0 and ses > 10"``: the posterior's names, those that are no
            identifiers in backticks.
        prob : float
            Probability inside the intervals.

        Raises
        ------
        FormulaError
            If a hypothesis cannot be understood.
        """
        texts = [hypotheses] if isinstance(hypotheses, str) else list(hypotheses)
        table = hypothesis_table(texts, self.data, prob=prob)
        return HypothesisResult(table=table, prob=prob, draws=self.n_chains * self.n_draws)

    def diagnose(self) -> BayesDiagnosis:
        """Whether the draws can be trusted, and which standard deviations may be zero; a view."""
        boundary = checks.boundary_table(self.data, self.design)
        return BayesDiagnosis(
            problems=checks.sampling_problems(
                self.parameters(),
                chains=self.n_chains,
                divergences=self.divergences,
                independent=self.run.khat is not None,
            ),
            table=boundary,
            boundary=checks.boundary_sentences(boundary),
            prob=checks.UPPER,
        )

    # --- files ---------------------------------------------------------------------------------
    def save(self, path: str | Path) -> Path:
        """Write the draws and what is needed to predict.

        Parameters
        ----------
        path : path
            ``.nc`` writes one NetCDF file (needs h5netcdf), anything else a Zarr folder. Other
            programs can read the draws; the design is pickled in a group ``nestedmlm``.

        Returns
        -------
        Path

        Examples
        --------
        >>> import tempfile
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     print(posterior.save(f"{folder}/dyestuff.zarr").name)
        dyestuff.zarr
        """
        extra = {name: getattr(self, name) for name in _FIELDS}
        # a PriorSet holds a mapping proxy, which cannot be pickled
        extra["priors"] = None if self.priors is None else dict(self.priors)
        return storage.save(self.data, extra, path)

    # --- views ---------------------------------------------------------------------------------
    @property
    def formula(self) -> str:
        """The formula as lme4 prints it."""
        return self.design.formula.display

    def summary(self, *, prob: float = summaries.PROB) -> View:
        """Estimates, intervals and diagnostics in lme4's layout; a view.

        Parameters
        ----------
        prob : float
            Probability inside the intervals.
        """
        return summary_view(self, self.parameters(prob=prob), prob)

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def load_bayesfit(path: str | Path) -> BayesFit:
    """Read a fit that `BayesFit.save` wrote.

    The design is unpickled, which can run code: load only files you trust.

    Parameters
    ----------
    path : path

    Raises
    ------
    DataError
        If there is no such file, or it holds no fit.

    Examples
    --------
    >>> import tempfile
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = posterior.save(f"{folder}/dyestuff.zarr")
    ...     again = nm.load_bayesfit(path)
    >>> bool((again.fixef == posterior.fixef).all())
    True
    """
    from nestedmlm.bayes.model.priors import PriorSet

    data, extra = storage.load(path)
    rows = extra.pop("priors")
    priors = None if rows is None else PriorSet(MappingProxyType(rows))
    return BayesFit(data=data, priors=priors, **extra)
