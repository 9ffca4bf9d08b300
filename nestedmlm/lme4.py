"""R's spellings for people porting scripts: one-line wrappers, and an `lmer` that stops as lme4.

>>> from nestedmlm.lme4 import REMLcrit, VarCorr, fixef, isSingular, lmer
>>> import nestedmlm as nm
>>> fm = lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
>>> round(REMLcrit(fm), 4), isSingular(fm)
(319.6543, False)

A fit of this `lmer` prints lme4's digits: it ends where lme4's default optimizer ends, a little
above the optimum (``fit.certificate``), to which `nestedmlm.lmer` and ``fit.polish()`` go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nestedmlm import api
from nestedmlm._typing import FloatArray
from nestedmlm.fits.fit_comparison import anova
from nestedmlm.fits.lm_list import lm_list as lmList
from nestedmlm.fits.lmer_fit import LmerFit
from nestedmlm.fits.r_arguments import found_by_step, lmertest_ddf, none_if_na, of_a_fit
from nestedmlm.fits.simulation.bootstrap import Bootstrap
from nestedmlm.fits.verbs.getme import getme as getME
from nestedmlm.formula import Formula
from nestedmlm.inference.effects.ddf import df_method
from nestedmlm.optimum.control import Control
from nestedmlm.optimum.penalty import Penalty
from nestedmlm.views.influence import Influence
from nestedmlm.views.profile import Profile
from nestedmlm.views.varcorr import VarCorr as VarCorrView

__all__ = [
    "AIC", "BIC", "REMLcrit", "VarCorr", "anova", "bootMer", "coef", "confint", "contest",
    "cooks_distance", "deviance", "df_residual", "dfbeta", "dfbetas", "drop1", "fitted",
    "fixef", "formula", "getME", "get_model", "hatvalues", "influence", "isREML", "isSingular",
    "lmList", "lmer", "logLik", "model_matrix", "ngrps", "nobs", "predict", "profile", "ranef",
    "ranova", "rePCA", "refit", "refitML", "residuals", "rstudent", "sigma", "simulate", "step",
    "summary", "update", "vcov", "vcovAdj",
]  # fmt: skip

STOP = Control(optimizer="lme4")
R_COLUMNS = {"group": "grpvar", "level": "grp", "estimate": "condval", "std_error": "condsd"}


def lmer(
    formula: str | Formula, data: Any, *, REML: bool = True, weights: Any = None,
    offset: Any = None, contrasts: Mapping[str, Any] | None = None, na_action: str = "omit",
    double_bar: str = "split", dispersion: str | None = None, residual: str | None = None,
    env: Mapping[str, Any] | None = None, start: FloatArray | None = None,
    control: Control | None = None, penalty: Penalty | str | None = None,
) -> LmerFit:  # fmt: skip
    """Fit a linear mixed model and stop where lme4's ``lmer`` stops.

    Parameters
    ----------
    formula : str or Formula
        ``"y ~ x + (x | school) + (1 | teacher)"``, as in R; the page *Formulas* has everything.
    data : DataFrame, mapping of arrays, or anything narwhals can read (polars, Arrow)
        One row for each observation. Never changed.
    REML : bool
        Restricted maximum likelihood (True) or maximum likelihood.
    weights, offset : str or array, optional
        Prior weights, and what is added to the linear predictor: a column, or a number per row.
    contrasts : mapping, optional
        Coding of factors in the fixed part, ``{"cond": "sum"}``; by default treatment contrasts.
    na_action : {"omit", "exclude", "raise"}
        Rows with missing values: left out, kept (as NaN) in residuals and predictions, refused.
    double_bar : {"split", "diag"}
        ``(f || g)`` as lme4 reads it, or one block with a diagonal covariance (as afex).
    env : mapping of str to object, optional
        Variables and functions that the formula may use; by default those written by the caller.
    start : array, optional
        Theta to start from; by default lme4's start.
    control : Control, optional
        By default ``Control(optimizer="lme4")``: lme4's ``nloptwrap`` and checks at the boundary.
    dispersion, residual, penalty : str, optional
        Formula of the residuals' log standard deviation, ``"~ Sex"``; their correlation in blocks,
        ``"ar1(time | id)"``; ``"wishart"``, a prior that keeps covariances from the boundary. lme4
        has none of these: they need ``control=nm.Control()``, the optimizer of `nestedmlm.lmer`.

    Returns
    -------
    LmerFit
        ``certificate`` says how far from the optimum it is; ``polish()`` goes there.

    Raises
    ------
    OptionError
        For a penalty, a registered covariance structure, and residuals that differ or correlate.
    DataError
        Where the path leads to covariances at which the criterion cannot be computed.

    Warns
    -----
    ConvergenceWarning
        If the place is more than 0.001 deviance units above the optimum.

    Notes
    -----
    Satterthwaite's, Kenward and Roger's and Wald's tests are those at its theta, as in R; `refit`
    and `update` stop with lme4 again. What needs other fits (`refitML`, likelihood ratio tests,
    profiles, bootstrap, influence, power) takes optima. *How it matches lmer* has the measurements.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> from nestedmlm.lme4 import VarCorr, lmer
    >>> fm = lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> fm.certificate.evaluations
    43
    >>> VarCorr(fm)
     Groups   Name        Std.Dev. Corr
     Subject  (Intercept) 24.7407
              Days         5.9221  0.066
     Residual             25.5918
    """
    return api.lmer(  # type: ignore[no-any-return]  # one table, one fit
        formula, data, REML=REML, weights=weights, offset=offset, contrasts=contrasts,
        na_action=na_action, double_bar=double_bar, dispersion=dispersion, residual=residual,
        env=env, start=start, control=control or STOP, penalty=penalty,
    )  # fmt: skip


def fixef(object: LmerFit) -> pd.Series:
    """Fixed effects."""
    return object.fixef


def ranef(object: LmerFit, condVar: bool = True, postVar: bool = False) -> pd.DataFrame:
    """Conditional modes, as ``as.data.frame(ranef(fit))``; `condVar` SDs, `postVar` covariances."""
    return object.ranef(condvar=condVar, postvar=postVar).rename(columns=R_COLUMNS)


def coef(object: LmerFit) -> dict[str, pd.DataFrame]:
    """Fixed effects plus conditional modes, by grouping factor."""
    return object.coef()


def VarCorr(x: LmerFit, corr: bool = True) -> VarCorrView:
    """Variance components; with `corr` false printed as variances and covariances."""
    return x.varcorr(corr=corr)


def isSingular(x: LmerFit, tol: float = 1e-4) -> bool:
    """lme4's own rule: any diagonal entry of theta below `tol`, where the fit has stopped."""
    return x.is_singular(tol=tol, rule="lme4")


def rePCA(x: LmerFit) -> Any:
    """Principal components of the relative covariances."""
    return x.repca()


def REMLcrit(object: LmerFit) -> float:
    """REML criterion at the estimates."""
    return object.reml_criterion


def deviance(object: LmerFit, REML: bool | None = None) -> float:
    """The REML criterion of a REML fit, -2 log-likelihood of an ML fit; `REML` chooses."""
    use_reml = object.REML if REML is None else REML
    return object.reml_criterion if use_reml else object.deviance


def logLik(object: LmerFit, REML: bool | None = None) -> float:
    """Log-likelihood, restricted of a REML fit; `REML` chooses."""
    return -0.5 * deviance(object, REML)


def AIC(object: LmerFit) -> float:
    """Akaike's criterion."""
    return object.aic


def BIC(object: LmerFit) -> float:
    """Schwarz's criterion."""
    return object.bic


def sigma(object: LmerFit) -> float:
    """Residual standard deviation."""
    return object.sigma


def vcov(object: LmerFit, full: bool = False) -> pd.DataFrame:
    """Covariance matrix of the fixed effects; `full`: of fixed and random effects together."""
    return object.cov_params(full=full)


def fitted(object: LmerFit) -> pd.Series:
    """Fitted values."""
    return object.fittedvalues


def residuals(object: LmerFit, type: str = "response", scaled: bool = False) -> pd.Series:
    """Residuals of a `type` (``response``, ``pearson``, …); `scaled`: divided by sigma."""
    return object.residuals(type, scaled=scaled)


def predict(
    object: LmerFit, newdata: Any = None, re_form: Any = None, allow_new_levels: bool = False,
    random_only: bool = False, se_fit: bool = False,
) -> pd.Series | pd.DataFrame:  # fmt: skip
    """Predictions, of `newdata`; ``re_form="NA"`` (or ``"~0"``) leaves out the random effects.

    `allow_new_levels`: new groups have random effects of zero; `random_only`: these alone;
    `se_fit`: a table with standard errors.
    """
    found = object.predict(
        newdata, re_form=re_form, new_levels="population" if allow_new_levels else "error",
        random_only=random_only, se_fit=se_fit,
    )  # fmt: skip
    return found.rename(columns={"estimate": "fit", "std_error": "se.fit"}) if se_fit else found


def simulate(
    object: LmerFit, nsim: int = 1, seed: int | None = None, use_u: bool = False,
    re_form: Any = "NA", newdata: Any = None,
) -> pd.DataFrame:  # fmt: skip
    """`nsim` responses drawn from the fit, of `newdata`; `seed`: the same, the same draws.

    ``re_form="NA"`` draws new random effects; `use_u` keeps the conditional modes.
    """
    form = none_if_na(re_form)
    return object.simulate(nsim, seed, use_u=use_u, re_form=form, newdata=newdata)


def bootMer(
    x: LmerFit, FUN: Any = None, nsim: int = 1, seed: int | None = None, use_u: bool = False,
    re_form: Any = "NA", type: str = "parametric",
) -> Bootstrap:  # fmt: skip
    """`nsim` refits; without `FUN`, of fixed effects, SDs, correlations and sigma.

    `type`: ``parametric`` or ``semiparametric``; `use_u` keeps the conditional modes, `re_form`
    those that it names (``"NA"``: none); `seed`: the same, the same refits.
    """
    kept = {"use_u": use_u, "re_form": none_if_na(re_form)}
    return x.bootstrap(nsim, FUN, type=type, seed=seed, **kept, progress=False)


def nobs(object: LmerFit) -> int:
    """Number of rows used."""
    return object.nobs


def ngrps(object: LmerFit) -> pd.Series:
    """Number of levels of each grouping factor."""
    return object.ngrps


def df_residual(object: LmerFit) -> int:
    """``nobs - npar``."""
    return object.df_resid


def isREML(x: LmerFit) -> bool:
    """Whether the fit is by REML."""
    return x.REML


def formula(x: LmerFit) -> str:
    """The model formula."""
    return x.formula


def model_matrix(object: LmerFit, type: str = "fixed") -> Any:
    """Model matrix of a `type`: ``fixed``, X, or ``random``, the sparse Z."""
    return object.model_matrix(type)


def refit(object: LmerFit, newresp: Any = None, newweights: Any = None) -> LmerFit:
    """Fit the same model to another response `newresp`, or with other weights `newweights`."""
    return object.refit(newresp, weights=newweights)


def refitML(x: LmerFit) -> LmerFit:
    """Refit by maximum likelihood."""
    return x.refit_ml()


def update(object: LmerFit, formula: str) -> LmerFit:
    """Refit with a changed `formula`, in which a dot stands for what was there."""
    return object.update(formula)


def summary(object: LmerFit, ddf: str = "lme4") -> Any:
    """lme4's summary; lmerTest's with `ddf` ``"Satterthwaite"`` or ``"Kenward-Roger"``."""
    return object.summary(lmertest_ddf(ddf))


def contest(
    model: LmerFit, L: Any, rhs: Any = 0.0, joint: bool = True, ddf: str = "Satterthwaite"
) -> Any:
    """lmerTest: test contrasts `L` of fixed effects against `rhs`, `joint` or one by one; `ddf`."""
    return model.contest(L, rhs, joint=joint, ddf=lmertest_ddf(ddf))


def ranova(model: LmerFit, reduce_terms: bool = True) -> Any:
    """lmerTest: likelihood-ratio tests of the random effects; `reduce_terms`: of each in a term."""
    return model.ranova(reduce_terms=reduce_terms)


def drop1(object: LmerFit, scope: Any = None, ddf: str = "Satterthwaite", test: str = "F") -> Any:
    """F tests of the terms that can be dropped (or `scope`); `ddf` "lme4", `test` "Chisq": LRTs."""
    if lmertest_ddf(ddf) == "none" or test == "Chisq":
        return object.drop1(scope, test="Chisq")
    return object.drop1(scope, ddf=lmertest_ddf(ddf))


def step(
    object: LmerFit, ddf: str = "Satterthwaite", alpha_random: float = 0.1,
    alpha_fixed: float = 0.05, reduce_fixed: bool = True, reduce_random: bool = True,
    keep: Any = (),
) -> Any:  # fmt: skip
    """lmerTest: backward elimination of random effects, then of fixed ones (tests by `ddf`).

    Terms go above `alpha_random` and `alpha_fixed`, if `reduce_random` and `reduce_fixed`; those
    in `keep` stay.
    """
    return object.step(
        ddf=lmertest_ddf(ddf), alpha_random=alpha_random, alpha_fixed=alpha_fixed,
        reduce_fixed=reduce_fixed, reduce_random=reduce_random, keep=keep,
    )  # fmt: skip


def get_model(x: Any) -> Any:
    """lmerTest: the model that `step` has found."""
    return found_by_step(x)


def vcovAdj(object: LmerFit) -> pd.DataFrame:
    """pbkrtest: Kenward and Roger's adjusted covariance of the fixed effects."""
    cov = df_method(object.core, "kenward-roger").cov
    return pd.DataFrame(cov, index=object.params.index, columns=object.params.index)


def hatvalues(model: LmerFit) -> pd.Series:
    """Leverages."""
    return model.hatvalues()


def rstudent(model: LmerFit) -> pd.Series:
    """Studentised residuals, with the sigma of the fit."""
    return model.rstudent()


def influence(model: LmerFit, groups: Any = None, progress: bool = True) -> Influence:
    """Estimates without each case, or each of `groups`, by full refits; `progress`: a bar."""
    return model.influence(groups, progress=progress)


def cooks_distance(model: LmerFit | Influence) -> pd.Series:
    """R's ``cooks.distance``: of rows, or of what an `influence` left out."""
    return model.cooks_distance()


def dfbeta(model: LmerFit | Influence) -> pd.DataFrame:
    """Fixed effects without each, minus those with all rows."""
    return model.dfbeta()


def dfbetas(model: LmerFit | Influence) -> pd.DataFrame:
    """`dfbeta` in standard errors."""
    return model.dfbetas()


def confint(
    object: LmerFit, parm: Any = None, level: float = 0.95, method: str = "profile",
    signames: bool = True, nsim: int = 500, seed: int | None = None, progress: bool = True,
    oldNames: bool | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Confidence intervals of a `level`, in the order of lme4 2.x; columns such as ``2.5 %``.

    Of the parameters `parm`, by default all; `method`: ``profile``, ``Wald`` or ``boot`` (of `nsim`
    replicates, by `seed`); `signames` chooses the names ``.sig01``; `oldNames` is what it was
    called before lme4 1.1-38; `progress`: a line of it.
    """
    names = "old" if (signames if oldNames is None else oldNames) else "new"
    found = object.conf_int(
        parm, level, method=method.lower(), names=names, nsim=nsim, seed=seed,
        progress=progress,
    )  # fmt: skip
    return found.set_axis([f"{50 * (1 - level):.3g} %", f"{50 * (1 + level):.3g} %"], axis=1)


def profile(
    fitted: LmerFit, which: Any = None, signames: bool = True, progress: bool = True
) -> Profile:
    """Profiles of the ML deviance, of `which` parameters; names by `signames`; `progress` bar."""
    return fitted.profile(which, names="old" if signames else "new", progress=progress)


globals().update({name: of_a_fit(name, globals()[name]) for name in __all__})
