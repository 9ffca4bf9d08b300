"""`LmerFit`: what `lmer` returns.

A frozen record; its verbs are the functions of `nestedmlm.fits.verbs`, one file per question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import checked
from nestedmlm.covariance import near_bounds
from nestedmlm.deprecations import renamed
from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError
from nestedmlm.fits.estimates import SINGULAR_MESSAGE, LinearEstimates
from nestedmlm.fits.old_names import NAMES_ELSEWHERE, OLD_NAMES
from nestedmlm.fits.plain_only import plain_only, unknown_sigma
from nestedmlm.inference.variances.identification import confoundings
from nestedmlm.late import late_imports, late_property
from nestedmlm.likelihood.plan import SINGULAR
from nestedmlm.likelihood.solution import Solution, smallest_singular_value
from nestedmlm.optimum.control import Control
from nestedmlm.optimum.penalty import Penalty
from nestedmlm.optimum.solve import remarks_on_precision, solve, warn_uncertified
from nestedmlm.statistics.crossproducts import CrossProducts

if TYPE_CHECKING:
    from nestedmlm.fits.capsule.capsule import capsule
    from nestedmlm.fits.means.emmeans import emmeans, emtrends
    from nestedmlm.fits.means.joint_tests import joint_tests
    from nestedmlm.fits.model import Model
    from nestedmlm.fits.simulation.simulated_power import power
    from nestedmlm.fits.singularity.diagnose import diagnose
    from nestedmlm.fits.singularity.rank import is_singular, repca
    from nestedmlm.fits.singularity.simplify import simplify
    from nestedmlm.fits.verbs.anova import anova
    from nestedmlm.fits.verbs.augment import augment
    from nestedmlm.fits.verbs.autocorrelation import autocorrelation
    from nestedmlm.fits.verbs.bootstrap import bootstrap
    from nestedmlm.fits.verbs.check import check
    from nestedmlm.fits.verbs.conf_int import conf_int
    from nestedmlm.fits.verbs.contest import contest
    from nestedmlm.fits.verbs.dispersion import dispersion, residual_cov
    from nestedmlm.fits.verbs.drop1 import drop1
    from nestedmlm.fits.verbs.elimination import elimination
    from nestedmlm.fits.verbs.extend import extend
    from nestedmlm.fits.verbs.fragility import fragility
    from nestedmlm.fits.verbs.glance import glance
    from nestedmlm.fits.verbs.icc import icc
    from nestedmlm.fits.verbs.influence import dfbeta, dfbetas, influence
    from nestedmlm.fits.verbs.leverage import cooks_distance, hatvalues
    from nestedmlm.fits.verbs.loo import loo
    from nestedmlm.fits.verbs.model_matrix import model_matrix
    from nestedmlm.fits.verbs.partial_r2 import partial_r2
    from nestedmlm.fits.verbs.polish import polish
    from nestedmlm.fits.verbs.predict import predict
    from nestedmlm.fits.verbs.profile import profile
    from nestedmlm.fits.verbs.r2 import r2
    from nestedmlm.fits.verbs.r_code import r_code
    from nestedmlm.fits.verbs.ranef import coef, ranef
    from nestedmlm.fits.verbs.ranova import ranova
    from nestedmlm.fits.verbs.refit import refit, refit_ml
    from nestedmlm.fits.verbs.refit_many import refit_many
    from nestedmlm.fits.verbs.report import report
    from nestedmlm.fits.verbs.residuals import resid, residuals, rstudent
    from nestedmlm.fits.verbs.sample import sample
    from nestedmlm.fits.verbs.simulate import simulate
    from nestedmlm.fits.verbs.smooths import smooths
    from nestedmlm.fits.verbs.standardized import standardized
    from nestedmlm.fits.verbs.step import step
    from nestedmlm.fits.verbs.summary import pvalues, summary
    from nestedmlm.fits.verbs.tidy import tidy
    from nestedmlm.fits.verbs.to_pymc import to_pymc
    from nestedmlm.fits.verbs.update import update
    from nestedmlm.fits.verbs.varcorr import varcorr
    from nestedmlm.fits.verbs.variance_parameters import variance_parameters
    from nestedmlm.fits.verbs.variance_partition import variance_partition
    from nestedmlm.plots.accessor import FitPlots
    from nestedmlm.views.summary import fit_view
else:  # each loads when it is first asked for
    property = late_property
    # fmt: off
    globals().update(
        late_imports(
            "nestedmlm.fits.verbs",
            {
                "anova": "anova", "autocorrelation": "autocorrelation", "bootstrap": "bootstrap",
                "conf_int": "conf_int", "contest": "contest", "drop1": "drop1", "glance": "glance",
                "icc": "icc", "influence": "influence", "model_matrix": "model_matrix",
                "partial_r2": "partial_r2", "polish": "polish", "predict": "predict",
                "profile": "profile", "r2": "r2", "report": "report", "ranef": "coef ranef",
                "dispersion": "dispersion residual_cov", "ranova": "ranova", "tidy": "tidy",
                "refit": "refit refit_ml", "residuals": "resid residuals", "simulate": "simulate",
                "summary": "pvalues summary", "update": "update", "varcorr": "varcorr",
                "variance_parameters": "variance_parameters",
            },
            wrap=checked,
        )
    )
    globals().update(late_imports(  # not beside such residuals
        "nestedmlm.fits.verbs", {"elimination": "elimination"}, wrap=plain_only))
    unless_known = {  # refused where sigma is known
        "augment": "augment", "check": "check", "extend": "extend", "fragility": "fragility",
        "influence": "dfbeta dfbetas", "leverage": "cooks_distance hatvalues", "loo": "loo",
        "r_code": "r_code", "refit_many": "refit_many",
        "residuals": "rstudent", "sample": "sample", "smooths": "smooths",
        "standardized": "standardized", "step": "step", "to_pymc": "to_pymc",
        "variance_partition": "variance_partition",
    }
    globals().update(late_imports("nestedmlm.fits.verbs", unless_known, wrap=unknown_sigma))
    globals().update(late_imports(
        "nestedmlm.fits.simulation", {"simulated_power": "power"}, wrap=unknown_sigma))
    globals().update(late_imports(
        "nestedmlm.fits.singularity", {"diagnose": "diagnose", "simplify": "simplify"},
        wrap=unknown_sigma))
    globals().update(late_imports(
        "nestedmlm.fits.capsule", {"capsule": "capsule"}, wrap=checked))
    globals().update(
        late_imports(
            "nestedmlm",
            {"fits.singularity.rank": "is_singular repca", "plots.accessor": "FitPlots",
             "views.summary": "fit_view"},
            wrap=checked,
        )
    )
    globals().update(late_imports(
        "nestedmlm.fits.means", {"emmeans": "emmeans emtrends", "joint_tests": "joint_tests"}))
# fmt: on

# when that is said: at an optimum it does not depend on units; where lme4 stops, when lme4 says it
_SINGULAR_BY: Mapping[str, Callable[[Solution], bool]] = MappingProxyType(
    {
        "newton": lambda s: smallest_singular_value(s) < SINGULAR,
        "pytensor": lambda s: smallest_singular_value(s) < SINGULAR,
        "lme4": lambda s: near_bounds(s.theta, s.plan.shapes, SINGULAR),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class LmerFit(LinearEstimates):
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
    penalty : Penalty or None
        Prior on the covariances, if one was used.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> fit.fixef.round(2).to_dict()
    {'(Intercept)': 251.41, 'Days': 10.47}
    >>> fit.converged, fit.is_singular(), fit.nobs
    (True, False, 180)
    >>> fit.ngrps.to_dict()
    {'Subject': 18}
    """

    # --- estimates -----------------------------------------------------------------------------
    varcorr = varcorr
    variance_parameters = variance_parameters
    ranef = ranef
    coef = coef
    pvalues = property(pvalues)
    dispersion = property(dispersion)
    residual_cov = residual_cov
    autocorrelation = autocorrelation

    # --- tables --------------------------------------------------------------------------------
    summary = summary
    tidy = tidy
    glance = glance
    augment = augment
    report = report
    r_code = r_code
    capsule = capsule

    # --- tests ---------------------------------------------------------------------------------
    anova = anova
    contest = contest
    drop1 = drop1
    ranova = ranova
    step = step

    # --- means ---------------------------------------------------------------------------------
    emmeans = emmeans
    emtrends = emtrends
    joint_tests = joint_tests

    # --- intervals -----------------------------------------------------------------------------
    conf_int = conf_int
    profile = profile

    # --- shares of variance --------------------------------------------------------------------
    icc = icc
    r2 = r2
    partial_r2 = partial_r2
    variance_partition = variance_partition
    smooths = smooths

    # --- rows ----------------------------------------------------------------------------------
    predict = predict
    residuals = residuals
    resid = property(resid)
    rstudent = rstudent
    hatvalues = hatvalues
    cooks_distance = cooks_distance
    influence = influence
    fragility = fragility
    loo = loo
    dfbeta = dfbeta
    dfbetas = dfbetas
    model_matrix = model_matrix

    # --- singular fits -------------------------------------------------------------------------
    is_singular = is_singular
    repca = repca
    check = check
    diagnose = diagnose
    simplify = simplify

    # --- simulation ----------------------------------------------------------------------------
    simulate = simulate
    bootstrap = bootstrap
    extend = extend
    power = power

    # --- how it was computed -------------------------------------------------------------------
    elimination = elimination

    # --- further fits --------------------------------------------------------------------------
    refit = refit
    refit_many = refit_many
    refit_ml = refit_ml
    polish = polish
    standardized = standardized
    update = update

    @checked
    def refitted(
        self,
        design: Design,
        *,
        REML: bool | None = None,
        start: FloatArray | None = None,
        control: Control | None = None,
        stats: CrossProducts | None = None,
    ) -> LmerFit:
        """Fit another design of this model, as this fit was made.

        Parameters
        ----------
        design : Design
            The model's own with another response, other rows or another fixed part.
        REML : bool, optional
            REML or maximum likelihood; by default this fit's criterion.
        start : (n_theta,) array, optional
            Theta to start from; by default this fit's.
        control : Control, optional
            Settings of the optimizer; by default the optimum, also of a fit that stopped with lme4.
        stats : CrossProducts, optional
            ``cross_products(design)``, where the caller has them already.

        Returns
        -------
        LmerFit
            With this fit's penalty, if it has one.

        Warns
        -----
        ConvergenceWarning
            If the optimum is not certified.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> doubled = fit.design.with_response(2.0 * fit.design.y)
        >>> print(round(fit.sigma, 4), round(fit.refitted(doubled).sigma, 4))
        49.5101 99.0202
        """
        return fit_design(
            self.model,
            design,
            REML=self.REML if REML is None else REML,
            start=self.theta if start is None else start,
            control=Control(method=self.certificate.control.method) if control is None else control,
            penalty=self.penalty,
            stats=stats,
        )

    # --- the Bayesian half ---------------------------------------------------------------------
    to_pymc = to_pymc
    sample = sample

    # --- pictures ------------------------------------------------------------------------------
    @property
    def plot(self) -> FitPlots:
        """Pictures: ``fit.plot.trellis()``; `fit.plot()` alone draws the diagnostics.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
        >>> fit.plot.shrinkage().get_ylabel()
        'Days'
        >>> len(fit.plot())
        4
        """
        return FitPlots(self)

    if not TYPE_CHECKING:
        __getattr__ = renamed(OLD_NAMES, NAMES_ELSEWHERE)

    def __repr__(self) -> str:
        return str(fit_view(self))

    def _repr_html_(self) -> str:
        return fit_view(self)._repr_html_()


def fit_design(
    model: Model,
    design: Design,
    *,
    REML: bool,
    start: FloatArray | None = None,
    control: Control | None = None,
    penalty: Penalty | str | None = None,
    stats: CrossProducts | None = None,
) -> LmerFit:
    """Optimise, then report: what every route to a fit goes through.

    `stats` are ``cross_products(design)`` where the caller has them already.
    """
    if control is not None and not isinstance(control, Control):
        raise OptionError(
            f"control must be a nm.Control(max_evaluations=..., ...), not {type(control).__name__}"
        )
    found = solve(design, REML=REML, start=start, control=control, penalty=penalty, stats=stats)
    uncertified = warn_uncertified(found)
    notes = [*design.messages, *uncertified]
    if _SINGULAR_BY[found.certificate.control.optimizer](found.solution):
        notes.append(SINGULAR_MESSAGE)
    notes += [one for one in remarks_on_precision(found) if one not in uncertified]
    s, H = found.solution, found.information
    shared = confoundings(design, s, REML=found.REML, information=H)
    hint = " (see fit.diagnose())" if design.residual is None else ""
    notes += [f"{one.message}{hint}" for one in shared]
    if found.penalty is not None:
        name = found.penalty.name
        notes.append(f"covariances penalised: {name} (the criterion is without the penalty)")
    return LmerFit(
        model=model,
        design=design,
        solution=found.solution,
        REML=found.REML,
        certificate=found.certificate,
        messages=tuple(notes),
        penalty=found.penalty,
    )
