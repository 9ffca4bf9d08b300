"""The numbers of a generalized fit, labelled: a frozen record whose properties only look up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pandas as pd

from nestedmlm.arguments import checked
from nestedmlm.errors import OptionError
from nestedmlm.families import Family
from nestedmlm.fits.estimates import Estimates
from nestedmlm.inference.effects.ddf import df_method
from nestedmlm.inference.effects.df_record import ClusterRobust
from nestedmlm.inference.fitted import Approximation, Fitted

if TYPE_CHECKING:
    from nestedmlm.likelihood.glmm.glmm_solution import GlmmSolution
    from nestedmlm.optimum.glmm.solve_glmm import GlmmSolved


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class GeneralizedEstimates(Estimates):
    """Numbers of a generalized linear mixed model.

    The attributes are `GlmerFit`'s.
    """

    solution: GlmmSolution
    solved: GlmmSolved
    family: Family
    nAGQ: int
    information: str

    @property
    def formula(self) -> str:
        """The formula as glmer prints it, which leaves ``||`` as it is."""
        return self.design.formula.written

    # --- numbers -------------------------------------------------------------------------------
    @property
    def core(self) -> Fitted:
        """The model as numbers: what tests, intervals and tables are computed from."""
        return Fitted(
            design=self.design,
            solution=self.solution,
            REML=False,
            penalty=self.penalty,
            family=self.family,
            approximation=Approximation(nAGQ=self.nAGQ, information=self.information),
            solved=self.solved,
        )

    @property
    def engine(self) -> Literal["ML"]:
        """What was minimised: ``ML``."""
        return "ML"

    @property
    def REML(self) -> Literal[False]:
        """A generalized model is fitted by maximum likelihood."""
        return False

    @property
    def link(self) -> str:
        """Name of the link."""
        return self.family.link.name

    @property
    def dispersion(self) -> float | None:
        """The family's parameter beside the mean: Gamma's dispersion, theta, phi; None: none."""
        return self.core.dispersion

    @property
    def criterion(self) -> float:
        """The minimised value: -2 log-likelihood, all constants included."""
        return self.solution.deviance

    @property
    def deviance(self) -> float:
        """Sum of the squared deviance residuals, given the random effects (lme4's ``deviance``).

        The column of that name in a summary is -2 log-likelihood, `criterion`.
        """
        return self.solution.conditional_deviance

    @property
    def npar(self) -> int:
        """Number of parameters: fixed effects, covariance parameters, an estimated dispersion."""
        return self.design.p + len(self.theta) + int(self.family.has_dispersion)

    @property
    def zvalues(self) -> pd.Series:
        """Estimates divided by standard errors."""
        return (self.params / self.bse).rename("z_value")

    @checked
    def cov_params(
        self, vcov: str | ClusterRobust | None = None, *, method: str = "hessian"
    ) -> pd.DataFrame:
        """Covariance matrix of the fixed effects, (p, p).

        Parameters
        ----------
        vcov : {"CR0", "CR1", "CR2", "CR3"} or ClusterRobust, optional
            Cluster-robust covariance in the place of the model's: the sandwich of the marginal
            likelihood (as approximated) in all parameters, by the scores of whole clusters; CR1
            times ``m / (m - 1)`` for m clusters. CR2 and CR3, for few clusters, adjust residuals
            in the working linear model at the optimum, the covariances held.
        method : {"hessian", "conditional"}
            From the Hessian in all parameters, as lme4's default; or given the covariance
            parameters, ``(X'V^{-1}X)^{-1}`` at the conditional modes (lme4's
            ``use.hessian = FALSE``).

        Returns
        -------
        DataFrame
            Rows and columns are the fixed effects.

        Raises
        ------
        OptionError
            For an unknown `vcov` or `method`, and for both together.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)",
        ...                nm.load_dataset("cbpp"), family="binomial")
        >>> fit.cov_params().iloc[:2, :2].round(3)
                     (Intercept)  period2
        (Intercept)        0.054   -0.026
        period2           -0.026    0.094
        """
        if vcov is not None and method != "hessian":
            raise OptionError("give either vcov= or method=")
        names = list(self.design.x_names)
        cov = self.solved.cov_params(method)
        if vcov is not None:
            cov = df_method(self.core, "none", vcov).cov
        return pd.DataFrame(cov, index=names, columns=names)

    @property
    def fittedvalues(self) -> pd.Series:
        """Expected responses given the random effects, on the caller's index."""
        return self.design.align(self.solution.mu).rename("fitted")
