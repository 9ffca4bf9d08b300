"""The numbers of a fit, labelled: a frozen record whose properties only look up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import checked
from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError
from nestedmlm.fits.for_maketables import ForMaketables
from nestedmlm.inference.effects.ddf import df_method
from nestedmlm.inference.effects.df_record import ClusterRobust
from nestedmlm.inference.fitted import Fitted
from nestedmlm.inference.rows.joint_covariance import joint_covariance
from nestedmlm.likelihood.solution import Solution
from nestedmlm.optimum.certificate import Certificate
from nestedmlm.optimum.penalty import Penalty

if TYPE_CHECKING:
    from nestedmlm.fits.model import Model

SINGULAR_MESSAGE = "boundary (singular) fit: see fit.diagnose()"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Estimates(ForMaketables):
    """Numbers of a fit by likelihood: criterion, parameters, rows; a fit adds views and verbs.

    Attributes
    ----------
    model : Model
        The specification it was fitted from.
    design : Design
        Matrices, grouping factors and the learned schema.
    solution : Solution or GlmmSolution
        The model at the optimum.
    certificate : Certificate
        What was checked at the optimum.
    messages : tuple of str
        What there is to say: rows left out, dropped columns, a singular fit.
    penalty : Penalty or None
        Prior, if one was used.
    """

    model: Model
    design: Design
    solution: Any
    certificate: Certificate
    messages: tuple[str, ...]
    penalty: Penalty | None = None

    # --- the criterion -------------------------------------------------------------------------
    @property
    def criterion(self) -> float:
        """The minimised value."""
        raise NotImplementedError

    @property
    def npar(self) -> int:
        """Number of parameters."""
        raise NotImplementedError

    @property
    def core(self) -> Fitted:
        """The model as numbers: what tests, intervals and tables are computed from."""
        raise NotImplementedError

    @property
    def llf(self) -> float:
        """(Restricted) log-likelihood."""
        return -0.5 * self.criterion

    @property
    def aic(self) -> float:
        """Akaike's criterion, of the REML criterion for a REML fit (as lme4)."""
        return self.criterion + 2.0 * self.npar

    @property
    def bic(self) -> float:
        """Schwarz's criterion with n the number of rows (as lme4)."""
        return self.criterion + float(np.log(self.nobs)) * self.npar

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return self.design.n

    @property
    def _native(self) -> str:
        return self.model._native

    @property
    def df_resid(self) -> int:
        """``nobs - npar``."""
        return self.nobs - self.npar

    @property
    def ngrps(self) -> pd.Series:
        """Number of levels of each grouping factor."""
        counts = {f.name: len(f.levels) for f in self.design.factors if not f.is_whole}
        return pd.Series([*counts.values()], [*counts], dtype="int64")

    @property
    def converged(self) -> bool:
        """Whether the optimum is certified."""
        return self.certificate.holds

    # --- estimates -----------------------------------------------------------------------------
    @property
    def theta(self) -> FloatArray:
        """Covariance parameters, relative to the residual SD where there is one, lme4's order."""
        theta: FloatArray = self.solution.theta
        return theta

    @property
    def theta_names(self) -> tuple[str, ...]:
        """lme4's names of `theta` (``Subject.Days.(Intercept)``)."""
        return tuple(
            name
            for t in self.design.terms
            for name in t.structure.theta_names(
                self.design.factors[t.factor].name, t.columns, t.hom
            )
        )

    @property
    def params(self) -> pd.Series:
        """Fixed effects (the same as `fixef`)."""
        return pd.Series(
            self.solution.beta.copy(), index=list(self.design.x_names), name="estimate"
        )

    @property
    def fixef(self) -> pd.Series:
        """Fixed effects (the same as `params`)."""
        return self.params

    @property
    def bse(self) -> pd.Series:
        """Standard errors of the fixed effects."""
        se = np.sqrt(np.diag(self.core.vcov))
        return pd.Series(se, index=list(self.design.x_names), name="std_error")

    # --- names ---------------------------------------------------------------------------------
    @property
    def formula(self) -> str:
        """The formula as lme4 prints it."""
        return self.design.formula.display

    @property
    def data_name(self) -> str | None:
        """Name of the caller's variable that held the data, if it could be told."""
        return self.model.data_name

    @property
    def weights_name(self) -> str | None:
        """Name of the weights, if any."""
        return self.model.weights_name

    @property
    def offset_name(self) -> str | None:
        """Name of the offset argument, if any."""
        return self.model.offset_name


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class LinearEstimates(Estimates):
    """Numbers of a linear mixed model, with a residual variance and REML.

    The attributes are `LmerFit`'s.
    """

    solution: Solution
    REML: bool

    @property
    def core(self) -> Fitted:
        """The model as numbers: what tests, intervals and tables are computed from."""
        return Fitted(
            design=self.design, solution=self.solution, REML=self.REML, penalty=self.penalty
        )

    # --- the criterion -------------------------------------------------------------------------
    @property
    def engine(self) -> Literal["REML", "ML"]:
        """What was minimised: ``REML`` or ``ML`` (of a `BayesFit`: ``posterior``)."""
        return "REML" if self.REML else "ML"

    @property
    def criterion(self) -> float:
        """The minimised value: the REML criterion or -2 log-likelihood."""
        return self.solution.reml_criterion if self.REML else self.solution.deviance

    @property
    def reml_criterion(self) -> float:
        """REML criterion at the estimates."""
        return self.solution.reml_criterion

    @property
    def deviance(self) -> float:
        """-2 log-likelihood at theta, with beta and sigma profiled (lme4's ``REML=FALSE``)."""
        return self.solution.deviance

    @property
    def npar(self) -> int:
        """Number of parameters: fixed effects, covariance parameters, sigma, the residuals'."""
        residual = self.solution.stats.residual
        sigma = 1 if self.design.sigma is None else 0
        rest = 0 if residual is None else len(residual.free)
        return self.design.p + len(self.theta) + sigma + rest

    # --- estimates -----------------------------------------------------------------------------
    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return self.solution.sigma

    @property
    def tvalues(self) -> pd.Series:
        """Estimates divided by standard errors."""
        return (self.params / self.bse).rename("t_value")

    @checked
    def cov_params(
        self, vcov: str | ClusterRobust | None = None, *, full: bool = False
    ) -> pd.DataFrame:
        """Covariance matrix of the fixed effects, (p, p).

        Parameters
        ----------
        vcov : {"CR0", "CR1", "CR2", "CR3"} or ClusterRobust, optional
            Cluster-robust covariance in the place of the model's.
        full : bool
            That of fixed and random effects together, given the covariance parameters: of
            ``beta_hat`` and ``b_hat - b`` (lme4's ``vcov(full = TRUE)``).

        Returns
        -------
        DataFrame
            Rows and columns are named by the effects, ``Days | Subject: 308`` for random ones.

        Raises
        ------
        OptionError
            For more than 5,000 effects together.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
        >>> fit.cov_params().round(3)
                     (Intercept)   Days
        (Intercept)       46.575 -1.451
        Days              -1.451  2.389
        """
        if full and vcov is not None:
            raise OptionError("vcov= is of the fixed effects alone: leave out full=True")
        if full:
            return joint_covariance(self.solution, self.design)
        names = pd.Index(list(self.design.x_names))
        cov = self.solution.vcov if vcov is None else df_method(self.core, "none", vcov).cov
        return pd.DataFrame(cov, index=names, columns=names)

    # --- rows ----------------------------------------------------------------------------------
    @property
    def fittedvalues(self) -> pd.Series:
        """``X beta + Z b + offset``, on the caller's index."""
        return self.design.align(self.solution.fitted).rename("fitted")
