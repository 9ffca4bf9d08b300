"""`LmerFit`: what `lmer` returns (layer 7). A frozen record; every number is computed elsewhere."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.covariance import split_parameters, theta_names
from nestedmlm.crossproducts import cross_products
from nestedmlm.design import Design
from nestedmlm.errors import ConvergenceWarning, DataError, OptionError
from nestedmlm.parameters import make_plan
from nestedmlm.prediction import predict
from nestedmlm.randomeffects import coef_frames, ranef_frame
from nestedmlm.reml.certificate import Certificate
from nestedmlm.reml.optimize import Control, optimize
from nestedmlm.results import Solution, results_at, smallest_singular_value
from nestedmlm.threads import blas_threads
from nestedmlm.varcorr import VarCorr, VarCorrBlock

if TYPE_CHECKING:
    from nestedmlm.bayesfit import BayesFit
    from nestedmlm.model import Model
    from nestedmlm.singularity import Diagnosis, Path, RePCA
    from nestedmlm.tables.view import View

RESIDUALS = ("response", "pearson")
SINGULAR_MESSAGE = "boundary (singular) fit: see fit.diagnose()"
_SINGULAR = 1e-4  # relative standard deviation below which a direction counts as absent
_DISCREPANCY = 1e-6  # disagreement between residuals and crossproducts that deserves a warning


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class LmerFit:
    """A fitted linear mixed model.

    Attributes
    ----------
    model : Model
        The specification it was fitted from.
    design : Design
        Matrices, grouping factors and the learned schema.
    solution : Solution
        The model at the optimum.
    REML : bool
        Fitted by REML (True) or maximum likelihood.
    certificate : Certificate
        What was checked at the optimum.
    messages : tuple of str
        What lme4 would have said: dropped columns, a singular fit.
    """

    model: Model
    design: Design
    solution: Solution
    REML: bool
    certificate: Certificate
    messages: tuple[str, ...]

    # --- the criterion -------------------------------------------------------------------------
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
    def npar(self) -> int:
        """Number of parameters: fixed effects, covariance parameters, sigma."""
        return self.design.p + len(self.theta) + 1

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return self.design.n

    @property
    def df_resid(self) -> int:
        """``nobs - npar``."""
        return self.nobs - self.npar

    @property
    def ngrps(self) -> pd.Series:
        """Number of levels of each grouping factor."""
        return pd.Series({f.name: len(f.levels) for f in self.design.factors}, dtype="int64")

    @property
    def converged(self) -> bool:
        """Whether the optimum is certified."""
        return self.certificate.holds

    # --- estimates -----------------------------------------------------------------------------
    @property
    def theta(self) -> FloatArray:
        """Covariance parameters, relative to sigma, in lme4's order."""
        return self.solution.theta

    @property
    def theta_names(self) -> tuple[str, ...]:
        """lme4's names of `theta` (``Subject.Days.(Intercept)``)."""
        return tuple(
            name
            for t in self.design.terms
            for name in theta_names(
                self.design.factors[t.factor].name, t.columns, t.structure, t.hom
            )
        )

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return self.solution.sigma

    @property
    def params(self) -> pd.Series:
        """Fixed effects (the same as `fixef`)."""
        return pd.Series(self.solution.beta, index=list(self.design.x_names), name="estimate")

    @property
    def fixef(self) -> pd.Series:
        """Fixed effects (the same as `params`)."""
        return self.params

    @property
    def bse(self) -> pd.Series:
        """Standard errors of the fixed effects."""
        se = np.sqrt(np.diag(self.solution.vcov))
        return pd.Series(se, index=list(self.design.x_names), name="std_error")

    @property
    def tvalues(self) -> pd.Series:
        """Estimates divided by standard errors."""
        return (self.params / self.bse).rename("t_value")

    def cov_params(self) -> pd.DataFrame:
        """Covariance matrix of the fixed effects, (p, p)."""
        names = list(self.design.x_names)
        return pd.DataFrame(self.solution.vcov, index=names, columns=names)

    def varcorr(self) -> VarCorr:
        """Variances, standard deviations and correlations of the random effects; a view.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
        >>> fit.varcorr()
         Groups   Name        Std.Dev. Corr
         Subject  (Intercept) 24.7405
                  Days         5.9221  0.066
         Residual             25.5918
        """
        return VarCorr(
            blocks=tuple(
                VarCorrBlock(
                    name=term.name,
                    factor=self.design.factors[term.factor].name,
                    columns=term.columns,
                    cov=self.sigma**2 * (T @ T.T),
                    structure=term.structure,
                    hom=term.hom,
                    par=par,
                )
                for term, T, par in zip(
                    self.design.terms,
                    self.solution.T,
                    split_parameters(self.theta, self.solution.plan.shapes),
                    strict=True,
                )
            ),
            sigma=self.sigma,
        )

    def ranef(self, condvar: bool = True) -> pd.DataFrame:
        """Conditional modes of the random effects, also called BLUPs, in long form.

        Parameters
        ----------
        condvar : bool
            Add their conditional standard deviations.

        Returns
        -------
        DataFrame
            ``grpvar, term, grp, condval, condsd``.
        """
        return ranef_frame(self.solution, self.design, condvar=condvar)

    def coef(self) -> dict[str, pd.DataFrame]:
        """Fixed effects plus conditional modes for each level, one table per grouping factor."""
        return coef_frames(self.solution, self.design)

    # --- rows ----------------------------------------------------------------------------------
    @property
    def fittedvalues(self) -> pd.Series:
        """``X beta + Z b + offset``, on the caller's index."""
        return self.design.align(self.solution.fitted).rename("fitted")

    @property
    def resid(self) -> pd.Series:
        """Response minus fitted values, on the caller's index."""
        return self.residuals()

    def residuals(self, type: str = "response", *, scaled: bool = False) -> pd.Series:
        """Residuals, on the caller's index.

        Parameters
        ----------
        type : {"response", "pearson"}
            Pearson residuals are multiplied by the square root of the weights.
        scaled : bool
            Divide by sigma.
        """
        if type not in RESIDUALS:
            raise OptionError(f"type must be one of {', '.join(RESIDUALS)}, not {type!r}")
        e = self.design.y - self.solution.fitted
        if type == "pearson" and self.design.weights is not None:
            e = e * np.sqrt(self.design.weights)
        return self.design.align(e / self.sigma if scaled else e).rename("resid")

    def predict(
        self, data: Any = None, *, random_effects: bool = True, new_levels: str = "error"
    ) -> pd.Series:
        """Predict for new rows (without `data`: the fitted values).

        Parameters
        ----------
        data : table, optional
        random_effects : bool
            Add the conditional modes (False: the population's mean).
        new_levels : {"error", "population"}
            Refuse unseen groups, or predict them with random effects at zero.
        """
        if data is None:
            if random_effects:
                return self.fittedvalues
            eta = self.design.X @ self.solution.beta
            if self.design.offset is not None:
                eta = eta + self.design.offset
            return self.design.align(eta)
        return predict(
            self.solution,
            self.design,
            data,
            random_effects=random_effects,
            new_levels=new_levels,
        )

    def model_matrix(self, which: str = "fixed") -> Any:
        """The fixed-effects matrix as a DataFrame, or Z as a SciPy sparse matrix.

        Parameters
        ----------
        which : {"fixed", "random"}
        """
        if which == "fixed":
            return pd.DataFrame(
                self.design.X, index=self.design.index, columns=list(self.design.x_names)
            )
        if which == "random":
            from nestedmlm.zmatrix import z_matrix

            return z_matrix(self.design)
        raise OptionError(f"which must be 'fixed' or 'random', not {which!r}")

    # --- singularity ---------------------------------------------------------------------------
    def is_singular(self, tol: float = 1e-4, *, rule: str = "rank") -> bool:
        """Whether some combination of random effects has variance zero.

        Parameters
        ----------
        tol : float
        rule : {"rank", "lme4"}
            ``rank`` looks at the rank of each relative covariance in units of its columns' root
            mean squares, so it does not depend on the units of a predictor; ``lme4`` is lme4's
            rule: any diagonal entry of theta below `tol`.
        """
        from nestedmlm.singularity import is_singular

        return is_singular(self, tol=tol, rule=rule)

    def repca(self) -> RePCA:
        """Principal components of each factor's relative covariance; a view."""
        from nestedmlm.singularity import repca

        return repca(self)

    def diagnose(self) -> Diagnosis:
        """Explain a singular fit, and name the simpler models worth fitting next; a view."""
        from nestedmlm.singularity import diagnose

        return diagnose(self)

    def simplify(self) -> Path:
        """Fit the models `diagnose` recommends until one is not singular; the path, with LRTs."""
        from nestedmlm.singularity import simplify

        return simplify(self)

    # --- other fits ----------------------------------------------------------------------------
    def refit(self, y: Any) -> LmerFit:
        """Fit the same design to another response.

        Parameters
        ----------
        y : array-like, shape (n,) or (rows of the data,)
            One value for each row used, or for each row of the original data.
        """
        values = np.asarray(y, dtype=np.float64)
        if values.shape == self.design.kept.shape:
            values = values[self.design.kept]
        if values.shape != (self.nobs,):
            raise DataError(
                f"refit needs {self.nobs} values (one for each row used) or "
                f"{self.design.kept.size} (one for each row of the data), got shape {values.shape}"
            )
        if not np.all(np.isfinite(values)):
            raise DataError("the new response holds missing or infinite values; remove them first")
        return fit_design(self.model, replace(self.design, y=values), REML=self.REML)

    def refit_ml(self) -> LmerFit:
        """The maximum-likelihood fit of the same model (itself, if it is one)."""
        if not self.REML:
            return self
        return fit_design(self.model, self.design, REML=False, start=self.theta)

    def update(self, formula: str) -> LmerFit:
        """Refit with a changed formula, ``.`` standing for what was there.

        Parameters
        ----------
        formula : str
            For example ``". ~ . + x"`` or ``". ~ . - (0 + Days | Subject)"``.
        """
        return self.model.update(formula).fit(REML=self.REML)

    # --- the Bayesian half ---------------------------------------------------------------------
    def to_pymc(
        self,
        priors: Mapping[str, Any] | None = None,
        *,
        marginal: bool | str = False,
        noncentered: bool | str = "auto",
    ) -> Any:
        """Make the PyMC model of the same design; see `Model.to_pymc`."""
        from nestedmlm.bayesrun import build_pymc

        return build_pymc(self.design, priors, marginal=marginal, noncentered=noncentered)

    def sample(self, **options: Any) -> BayesFit:
        """Draw from the posterior of the same model, starting from this fit.

        Parameters
        ----------
        **options
            ``priors, marginal, draws, tune, chains, cores, sampler, seed, progressbar,
            target_accept``: see `nestedmlm.pymc_lmer`.
        """
        from nestedmlm.bayesrun import sample_model

        return sample_model(self.model, design=self.design, fit=self, **options)

    # --- views ---------------------------------------------------------------------------------
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

    def summary(self) -> View:
        """lme4's summary as a view; ``.tables`` holds the numbers as DataFrames."""
        from nestedmlm.tables.summary import summary_view

        return summary_view(self)

    def __repr__(self) -> str:
        from nestedmlm.tables.summary import fit_view

        return str(fit_view(self))

    def _repr_html_(self) -> str:
        from nestedmlm.tables.summary import fit_view

        return fit_view(self)._repr_html_()


def fit_design(
    model: Model,
    design: Design,
    *,
    REML: bool,
    start: FloatArray | None = None,
    control: Control | None = None,
) -> LmerFit:
    """Optimise, then report: what every route to a fit goes through."""
    if control is not None and not isinstance(control, Control):
        raise OptionError(f"control must be a nestedmlm.Control, not {type(control).__name__}")
    REML = bool(REML) and design.p > 0  # without fixed effects REML is ML, as in lme4
    stats = cross_products(design)
    plan = make_plan(design, stats)
    with blas_threads(stats):
        optimum = optimize(plan, stats, REML=REML, start=start, control=control)
        solution = results_at(design, optimum.theta, REML=REML, stats=stats)
    _warn(optimum.certificate, solution)
    singular = smallest_singular_value(solution) < _SINGULAR
    return LmerFit(
        model=model,
        design=design,
        solution=solution,
        REML=REML,
        certificate=optimum.certificate,
        messages=(*design.messages, SINGULAR_MESSAGE) if singular else design.messages,
    )


def _warn(certificate: Certificate, solution: Solution) -> None:
    if not certificate.holds:
        warnings.warn(certificate.message, ConvergenceWarning, stacklevel=5)
    if solution.discrepancy > _DISCREPANCY:
        warnings.warn(
            "residuals and crossproducts disagree on the residual sum of squares by a relative "
            f"{solution.discrepancy:.1e}: some predictors are nearly collinear or on extreme "
            "scales; centre and rescale them",
            ConvergenceWarning,
            stacklevel=5,
        )
