"""Entry points: `lmer` and `pymc_lmer`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, overload

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import checked
from nestedmlm.design.partitions.sources import is_source
from nestedmlm.errors import OptionError
from nestedmlm.fits.lmer_fit import LmerFit
from nestedmlm.fits.model import Model
from nestedmlm.formula import Formula
from nestedmlm.late import late_imports
from nestedmlm.optimum.control import Control
from nestedmlm.optimum.penalty import Penalty

if TYPE_CHECKING:
    from nestedmlm.fits.bayes_fit import BayesFit
    from nestedmlm.fits.imputation.pooled_fit import PooledFit, pooled_fit
    from nestedmlm.fits.summaries.summarise import summarise
else:  # each loads when it is first asked for
    globals().update(
        late_imports(
            "nestedmlm.fits",
            {"imputation.pooled_fit": "pooled_fit", "summaries.summarise": "summarise"},
        )
    )


@overload
def lmer(
    formula: str | Formula, data: list[Any], *, REML: bool = ..., weights: Any = ...,
    offset: Any = ..., contrasts: Mapping[str, Any] | None = ..., na_action: str = ...,
    double_bar: str = ..., dispersion: str | None = ..., residual: str | None = ...,
    relationship: Mapping[str, Any] | None = ..., fixed: Mapping[str, float] | None = ...,
    env: Mapping[str, Any] | None = ..., start: FloatArray | None = ..., control: Control |
    None = ..., penalty: Penalty | str | None = ..., method: str | None = ...,
) -> PooledFit: ...  # fmt: skip
@overload
def lmer(
    formula: str | Formula, data: Any, *, REML: bool = ..., weights: Any = ...,
    offset: Any = ..., contrasts: Mapping[str, Any] | None = ..., na_action: str = ...,
    double_bar: str = ..., dispersion: str | None = ..., residual: str | None = ...,
    relationship: Mapping[str, Any] | None = ..., fixed: Mapping[str, float] | None = ...,
    env: Mapping[str, Any] | None = ..., start: FloatArray | None = ..., control: Control |
    None = ..., penalty: Penalty | str | None = ..., method: str | None = ...,
) -> LmerFit: ...  # fmt: skip
@checked
def lmer(
    formula: str | Formula,
    data: Any,
    *,
    REML: bool = True,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    na_action: str = "omit",
    double_bar: str = "split",
    dispersion: str | None = None,
    residual: str | None = None,
    relationship: Mapping[str, Any] | None = None,
    fixed: Mapping[str, float] | None = None,
    env: Mapping[str, Any] | None = None,
    start: FloatArray | None = None,
    control: Control | None = None,
    penalty: Penalty | str | None = None,
    method: str | None = None,
) -> LmerFit | PooledFit:
    """Fit a linear mixed model.

    Parameters
    ----------
    formula : str or Formula
        lme4-style: ``"mathscore ~ ses + (ses | schoolid) + (1 | classid)"``. The page *Formulas*
        has every operator and function.
    data : DataFrame, mapping of arrays, or anything narwhals can read (polars, Arrow)
        One row for each observation. Never changed. Data in partitions (a path or pattern of
        Parquet files, an Arrow data set or stream, a Dask DataFrame) are summed and fitted from
        the sums, as by `summarise`. A list of tables holds multiply imputed data sets, each of
        which is fitted.
    weights, offset : str or array, optional
        Prior weights, and what is added to the linear predictor: the name of a column, or one
        number for each row of the data.
    contrasts : mapping, optional
        Coding of factors in the fixed part: ``{"cond": "sum"}``, or a matrix; by default
        treatment contrasts.
    na_action : {"omit", "exclude", "raise"}
        Rows with missing values are left out, left out but kept (as NaN) in residuals and
        predictions, or refused.
    double_bar : {"split", "diag"}
        ``(f || g)`` as lme4 reads it, or one block with a diagonal covariance (as afex).
    dispersion : str, optional
        One-sided formula of the residuals' log standard deviation: ``"~ Sex"``, ``"~ log(Time)"``.
    residual : str, optional
        Correlation of residuals within blocks, ``"structure(time | block)"``: `ar1`, `car1`, `cs`,
        `us`, `toep`, `ad1` or one that was registered.
    relationship : mapping of str to DataFrame, (matrix, labels) or Pedigree, optional
        Known relationships between levels, ``{"id": A}``; the page *Relatives* has more.
    fixed : mapping of str to float, optional
        What is known: ``{"sigma": 1}``, with `weights` one over each row's sampling variance.
    env : mapping of str to object, optional
        Variables and functions that the formula may use where the data have no such column; by
        default data and functions written by the caller. Give functions of packages here:
        ``env={"rank": scipy.stats.rankdata}``.
    REML : bool
        Restricted maximum likelihood (True) or maximum likelihood.
    start : array, optional
        Covariance parameters (theta, in the order of ``fit.theta_names``) to start from; by
        default the optimizer's own start.
    control : Control, optional
        Settings of the optimizer: which one, tolerance, most evaluations.
    penalty : {"wishart"} or Penalty, optional
        Prior that keeps covariances away from the boundary, as blme's default does; the result
        maximises the penalised likelihood and is never singular.
    method : {"newton", "pytensor", "lme4"}, optional
        The optimizer, short for ``control=Control(optimizer=...)``.

    Returns
    -------
    LmerFit or PooledFit
        Of a list: pooled by Rubin's rules, as by `pool`.

    Raises
    ------
    FormulaError
        With the place marked: no operator between two terms, no random effects, ...
    ColumnNotFoundError
        For a name that is neither a column nor known; says which is near it.
    DataError
        If the data are no table, are empty, or hold infinite values.
    GroupingError
        If a factor has one level, or as many levels as there are rows.
    OptionError
        For an argument of the wrong kind.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> sleepstudy = nm.load_dataset("sleepstudy")
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
    >>> fit
    Linear mixed model fit by REML ['lmerMod']
    Formula: Reaction ~ Days + (Days | Subject)
       Data: sleepstudy
    REML criterion at convergence: 1743.628
    Random effects:
     Groups   Name        Std.Dev. Corr
     Subject  (Intercept) 24.740
              Days         5.922   0.07
     Residual             25.592
    Number of obs: 180, groups:  Subject, 18
    Fixed Effects:
    (Intercept)         Days
         251.41        10.47

    Residuals that correlate within subjects, from day to day:

    >>> correlated = nm.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy,
    ...                      residual="ar1(Days | Subject)")
    >>> correlated.dispersion[["term", "estimate"]].round(3)
        term  estimate
    0  sigma    37.637
    1    rho     0.653
    """
    if is_source(data):
        if any(x is not None for x in (dispersion, residual, relationship, fixed)):
            raise OptionError(
                "dispersion=, residual=, relationship= and fixed= need the rows in memory; data in "
                "partitions are fitted from sums over them: read the table first"
            )
        sums = summarise(
            formula, data, weights=weights, offset=offset, contrasts=contrasts,
            na_action=na_action, double_bar=double_bar, env=env,
        )  # fmt: skip
        return sums.model().fit(
            REML=REML, start=start, control=control, penalty=penalty, method=method
        )
    if isinstance(data, list):
        each: Any = partial(
            lmer, formula, REML=REML, weights=weights, offset=offset, contrasts=contrasts,
            na_action=na_action, double_bar=double_bar, dispersion=dispersion, residual=residual,
            relationship=relationship, fixed=fixed, env=env, start=start, control=control,
            penalty=penalty, method=method,
        )  # fmt: skip
        return pooled_fit([each(table) for table in data])
    model = Model(
        formula, data, weights=weights, offset=offset, contrasts=contrasts, na_action=na_action,
        double_bar=double_bar, dispersion=dispersion, residual=residual, relationship=relationship,
        fixed=fixed, env=env,
    )  # fmt: skip
    return model.fit(REML=REML, start=start, control=control, penalty=penalty, method=method)


@checked
def pymc_lmer(
    formula: str | Formula,
    data: Any,
    *,
    priors: Mapping[str, Any] | None = None,
    marginal: bool | str = "auto",
    draws: int = 1000,
    tune: int | None = None,
    chains: int = 4,
    cores: int | None = None,
    sampler: str = "auto",
    backend: str = "auto",
    seed: int | None = None,
    progress: bool = True,
    target_accept: float = 0.8,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    na_action: str = "omit", double_bar: str = "split",
    env: Mapping[str, Any] | None = None,
    dispersion: str | None = None, residual: str | None = None,
) -> BayesFit:  # fmt: skip
    """Draw from the posterior of a linear mixed model.

    Parameters
    ----------
    formula : str or Formula
        lme4-style: ``"mathscore ~ ses + (ses | schoolid) + (1 | classid)"``. The page *Formulas*
        has every operator and function.
    data : DataFrame, mapping of arrays, or anything narwhals can read (polars, Arrow)
        One row for each observation. Never changed.
    priors : mapping of str to Prior, number or callable, optional
        Priors by the posterior's names (``{"1|schoolid_sigma": nm.Prior("HalfNormal", sigma=10)}``)
        in place of the defaults, which `Model.priors` shows.
    marginal : {"auto", True, False}
        Integrate the random effects out and draw them afterwards, exactly (nothing to compile), or
        sample them with the rest (False). The posterior is the same, and so are its names.
    draws, chains : int
        Draws kept of each chain, and chains.
    tune : int, optional
        Warm-up of each chain; by default as much as the form needs.
    cores : int, optional
        How many chains run at a time.
    sampler : {"auto", "nutpie", "pymc", "numpyro", "blackjax", "psis"}
        ``psis``: importance sampling around the mode; independent draws in about a second, refused
        where its diagnostic says that it does not cover the posterior.
    backend : {"auto", "python", "numba", "c", "jax"}
        What evaluates the density for nutpie. The marginal form: "python", with nothing to
        compile, or "numba", which gains nothing. The other: "numba" ("auto"), "c"
        (compiles sooner, runs slower), "jax".
    seed : int, optional
        The same seed, the same draws. PyMC's name, ``random_seed``, is taken too.
    progress : bool
        False: no progress bar, and no message that something is compiled.
    target_accept : float
        Between 0 and 1; nearer to 1 against divergences.
    weights, offset : str or array, optional
        Prior weights, and what is added to the linear predictor: the name of a column, or one
        number for each row of the data.
    contrasts : mapping, optional
        Coding of factors in the fixed part: ``{"cond": "sum"}``, or a matrix; by default
        treatment contrasts.
    na_action : {"omit", "exclude", "raise"}
        Rows with missing values are left out, left out but kept (as NaN) in residuals and
        predictions, or refused.
    double_bar : {"split", "diag"}
        ``(f || g)`` as lme4 reads it, or one block with a diagonal covariance (as afex).
    env : mapping of str to object, optional
        Variables and functions that the formula may use where the data have no such column; by
        default data and functions written by the caller. Give functions of packages here:
        ``env={"rank": scipy.stats.rankdata}``.
    dispersion : str, optional
        One-sided formula of the residuals' log standard deviation: ``"~ Sex"``, ``"~ log(Time)"``.
    residual : str, optional
        Correlation of residuals within blocks, ``"structure(time | block)"``: `ar1`, `car1`, `cs`,
        `us`, `toep`, `ad1` or one that was registered.

    Returns
    -------
    BayesFit

    Raises
    ------
    OptionError
        For an unknown sampler, backend or form, a prior of what is not there, or a prior that does
        not go with its parameter.
    SamplingError
        If the sampler cannot start, or importance sampling does not cover the posterior (Pareto k
        above 0.7).
    MissingSamplerError
        If the sampler's package is not installed.

    Warns
    -----
    SamplingWarning
        If there were divergences, R-hat is high, or effective draws are few.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> posterior = nm.pymc_lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"),
    ...                          sampler="psis", draws=250, seed=1)
    >>> posterior.parameters().index.tolist()
    ['(Intercept)', 'sd_(Intercept)|Batch', 'sigma']
    >>> round(posterior.sigma, -1)
    50.0
    """
    model = Model(
        formula, data, weights=weights, offset=offset, contrasts=contrasts, na_action=na_action,
        double_bar=double_bar, env=env, dispersion=dispersion, residual=residual,
    )  # fmt: skip
    return model.sample(
        priors=priors, marginal=marginal, draws=draws, tune=tune, chains=chains, cores=cores,
        sampler=sampler, backend=backend, seed=seed, progress=progress, target_accept=target_accept
    )  # fmt: skip
