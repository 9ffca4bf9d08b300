"""`GlmerFit`: what `glmer` returns.

Its verbs are the functions that `LmerFit` has; what differs, they ask of ``fit.core``. Those in
`nestedmlm.fits.generalized` are its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import checked
from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError
from nestedmlm.fits.estimates import SINGULAR_MESSAGE
from nestedmlm.fits.generalized.absent import absent
from nestedmlm.fits.generalized.estimates import GeneralizedEstimates
from nestedmlm.fits.generalized.options import (
    check_quadrature,
    few_rows_of_a_group,
)
from nestedmlm.inference.variances.identification import confoundings
from nestedmlm.late import late_imports, late_property
from nestedmlm.likelihood.plan import SINGULAR
from nestedmlm.likelihood.solution import smallest_singular_value
from nestedmlm.optimum.control import Control
from nestedmlm.optimum.glmm.separation import growing_terms

if TYPE_CHECKING:
    from nestedmlm.fits.generalized.augment import augment
    from nestedmlm.fits.generalized.check import check
    from nestedmlm.fits.generalized.check_approximation import check_approximation
    from nestedmlm.fits.generalized.overdispersion import (
        overdispersion,
        simulated_residuals,
        zero_inflation,
    )
    from nestedmlm.fits.generalized.report import report
    from nestedmlm.fits.generalized.residuals import resid, residuals
    from nestedmlm.fits.means.emmeans import emmeans, emtrends
    from nestedmlm.fits.means.joint_tests import joint_tests
    from nestedmlm.fits.model import Model
    from nestedmlm.fits.simulation.simulated_power import power
    from nestedmlm.fits.singularity.diagnose import diagnose
    from nestedmlm.fits.singularity.rank import is_singular, repca
    from nestedmlm.fits.singularity.simplify import simplify
    from nestedmlm.fits.verbs.anova import anova
    from nestedmlm.fits.verbs.bootstrap import bootstrap
    from nestedmlm.fits.verbs.conf_int import conf_int
    from nestedmlm.fits.verbs.contest import contest
    from nestedmlm.fits.verbs.drop1 import drop1
    from nestedmlm.fits.verbs.elimination import elimination
    from nestedmlm.fits.verbs.extend import extend
    from nestedmlm.fits.verbs.fragility import fragility
    from nestedmlm.fits.verbs.glance import glance
    from nestedmlm.fits.verbs.icc import icc
    from nestedmlm.fits.verbs.loo import loo
    from nestedmlm.fits.verbs.model_matrix import model_matrix
    from nestedmlm.fits.verbs.predict import predict
    from nestedmlm.fits.verbs.profile import profile
    from nestedmlm.fits.verbs.r2 import r2
    from nestedmlm.fits.verbs.ranef import coef, ranef
    from nestedmlm.fits.verbs.ranova import ranova
    from nestedmlm.fits.verbs.refit import refit
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
    from nestedmlm.optimum.glmm.solve_glmm import (
        solve_glmm,
        warn_uncertified_glmm,
    )
    from nestedmlm.plots.accessor import FitPlots
    from nestedmlm.views.render.view import View
    from nestedmlm.views.summary import fit_view
else:  # each loads when it is first asked for
    property = late_property
    # fmt: off
    globals().update(
        late_imports(
            "nestedmlm.fits",
            {
                "generalized.augment": "augment",
                "generalized.check": "check",
                "generalized.check_approximation": "check_approximation",
                "generalized.overdispersion": "overdispersion simulated_residuals zero_inflation",
                "generalized.report": "report", "generalized.residuals": "resid residuals",
                "singularity.diagnose": "diagnose", "singularity.simplify": "simplify",
                "singularity.rank": "is_singular repca",
                "verbs.anova": "anova", "verbs.bootstrap": "bootstrap",
                "verbs.conf_int": "conf_int", "verbs.contest": "contest", "verbs.drop1": "drop1",
                "verbs.elimination": "elimination", "verbs.extend": "extend",
                "verbs.fragility": "fragility", "simulation.simulated_power": "power",
                "verbs.glance": "glance",
                "verbs.icc": "icc", "verbs.loo": "loo", "verbs.model_matrix": "model_matrix",
                "verbs.predict": "predict", "verbs.profile": "profile", "verbs.r2": "r2",
                "verbs.ranef": "coef ranef", "verbs.ranova": "ranova",
                "verbs.refit": "refit", "verbs.sample": "sample",
                "verbs.simulate": "simulate", "verbs.smooths": "smooths",
                "verbs.standardized": "standardized",
                "verbs.step": "step", "verbs.summary": "pvalues summary",
                "verbs.tidy": "tidy", "verbs.to_pymc": "to_pymc",
                "verbs.update": "update", "verbs.varcorr": "varcorr",
                "verbs.variance_parameters": "variance_parameters",
                "verbs.variance_partition": "variance_partition",
            },
            wrap=checked,
        )
    )
    globals().update(
        late_imports(
            "nestedmlm", {"plots.accessor": "FitPlots", "views.summary": "fit_view"}, wrap=checked
        )
    )
    globals().update(late_imports(
        "nestedmlm.optimum.glmm",
        {"solve_glmm": "solve_glmm warn_uncertified_glmm"}))
    globals().update(late_imports(
        "nestedmlm.fits.means", {"emmeans": "emmeans emtrends", "joint_tests": "joint_tests"}))
# fmt: on


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class GlmerFit(GeneralizedEstimates):
    """A fitted generalized linear mixed model.

    Attributes
    ----------
    model : Model
        The specification it was fitted from.
    design : Design
        Matrices, grouping factors and the learned schema; of a binomial response ``y`` is the
        proportion and ``weights`` are the numbers of trials.
    solution : GlmmSolution
        The model at the optimum; its ``vcov`` is that given theta.
    solved : GlmmSolved
        How it was found, with the Hessian in all parameters.
    family : Family
        With its link.
    nAGQ : int
        Quadrature points; 1 is the Laplace approximation.
    information : str
        Which information the Laplace approximation takes, as it was asked for.
    certificate : Certificate
        What was checked at the optimum.
    messages : tuple of str
        What there is to say: rows left out, dropped columns, a singular fit.
    penalty : Penalty or None
        Prior, if one was used.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)",
    ...                nm.load_dataset("cbpp"), family="binomial")
    >>> fit.fixef.round(4).to_dict()
    {'(Intercept)': -1.3985, 'period2': -0.9923, 'period3': -1.1287, 'period4': -1.5803}
    >>> round(fit.criterion, 4), fit.converged
    (184.0526, True)
    """

    # --- estimates -----------------------------------------------------------------------------
    varcorr = varcorr
    variance_parameters = variance_parameters
    ranef = ranef
    coef = coef
    pvalues = property(pvalues)

    # --- tables --------------------------------------------------------------------------------
    summary = summary
    report = report
    tidy = tidy
    glance = glance
    augment = augment

    # --- tests ---------------------------------------------------------------------------------
    anova = anova
    contest = contest
    drop1 = drop1
    ranova = ranova
    step = step
    fragility = fragility

    # --- means ---------------------------------------------------------------------------------
    emmeans = emmeans
    emtrends = emtrends
    joint_tests = joint_tests

    conf_int = conf_int
    profile = profile

    # --- shares of variance --------------------------------------------------------------------
    icc = icc
    r2 = r2
    variance_partition = variance_partition
    smooths = smooths

    # --- rows ----------------------------------------------------------------------------------
    predict = predict
    residuals = residuals
    resid = property(resid)
    model_matrix = model_matrix

    # --- is the model right --------------------------------------------------------------------
    overdispersion = overdispersion
    zero_inflation = zero_inflation
    simulated_residuals = simulated_residuals
    check = check
    check_approximation = check_approximation
    loo = loo

    # --- singular fits -------------------------------------------------------------------------
    is_singular = is_singular
    repca = repca
    diagnose = diagnose
    simplify = simplify

    # --- simulation, and how it was computed ---------------------------------------------------
    simulate = simulate
    bootstrap = bootstrap
    extend = extend
    power = power
    elimination = elimination
    # --- further fits --------------------------------------------------------------------------
    refit = refit
    standardized = standardized
    update = update
    to_pymc = to_pymc
    sample = sample

    @checked
    def refitted(
        self,
        design: Design,
        *,
        start: FloatArray | None = None,
        control: Control | None = None,
    ) -> GlmerFit:
        """Fit another design of this model, as this fit was made.

        Parameters
        ----------
        design : Design
            The model's own with another response, other rows or another fixed part.
        start : (n_theta,) array, optional
            Theta to start from; by default this fit's.
        control : Control, optional
            Settings of the optimizer.

        Returns
        -------
        GlmerFit

        Warns
        -----
        ConvergenceWarning
            If the optimum is not certified.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)",
        ...                nm.load_dataset("cbpp"), family="binomial")
        >>> again = fit.refitted(fit.design.with_response(1.0 - fit.design.y))
        >>> bool(abs(again.fixef + fit.fixef).max() < 1e-4)
        True
        """
        return fit_generalized_design(
            self.model,
            design,
            nAGQ=self.nAGQ,
            information=self.information,
            start=self.theta if start is None else start,
            control=control,
            penalty=self.penalty,
        )

    # --- pictures ------------------------------------------------------------------------------
    @property
    def plot(self) -> FitPlots:
        """Pictures: ``fit.plot.caterpillar()``; `fit.plot()` alone draws quantile residuals.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.glmer("TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX)",
        ...                nm.load_dataset("grouseticks"), family="poisson")
        >>> len(fit.plot())
        4
        """
        pictured: Any = self
        return FitPlots(pictured)

    if not TYPE_CHECKING:
        __getattr__ = absent

    def __repr__(self) -> str:
        return str(self._view())

    def _repr_html_(self) -> str:
        return self._view()._repr_html_()

    def _view(self) -> View:
        printed: Any = self  # a generalized fit has no REML criterion and no t values to print
        return fit_view(printed)


def fit_generalized(model: Model, *, REML: Any, method: Any, **options: Any) -> GlmerFit:
    """Fit a model that has a family; options of linear models are refused."""
    if REML:
        raise OptionError("a generalized model is fitted by maximum likelihood: leave REML out")
    if method is not None:
        raise OptionError("method is of linear models; a generalized one has nAGQ and control")
    return fit_generalized_design(model, model.design, **options)


def fit_generalized_design(
    model: Model,
    design: Design,
    *,
    nAGQ: int = 1,
    information: str = "auto",
    start: FloatArray | None = None,
    control: Control | None = None,
    penalty: Any = None,
) -> GlmerFit:
    """Optimise, then report: what every route to a generalized fit goes through."""
    family = model.family
    assert family is not None
    if not family.has_derivatives:
        raise OptionError(
            f"the {family.name} family has no maximum likelihood here: sample its posterior, "
            f"nm.pymc_glmer(formula, data, family={family.name!r})"
        )
    check_quadrature(nAGQ, design)
    found = solve_glmm(
        design, family, nAGQ=nAGQ, information=information, start=start, control=control,
        penalty=penalty,
    )  # fmt: skip
    uncertified = warn_uncertified_glmm(found)
    notes = [*design.messages, *dict.fromkeys((*uncertified, *found.remarks))]
    notes += growing_terms(design, family, found.solution.T)
    solution: Any = found.solution  # what is written for linear models holds: its sigma is 1
    if smallest_singular_value(solution) < SINGULAR:
        notes.append(SINGULAR_MESSAGE)
    for one in confoundings(design, solution, REML=False):
        notes.append(f"{one.message} (see fit.diagnose())")
    few = nAGQ == 1 and family.name == "binomial"
    if few and (rows := few_rows_of_a_group(design)) is not None:
        notes.append(
            f"half of the groups have at most {rows:g} rows of 0 or 1: the Laplace approximation "
            "may be far from the likelihood (see fit.check_approximation())"
        )
    return GlmerFit(
        model=model,
        design=design,
        solution=found.solution,
        solved=found,
        family=family,
        nAGQ=nAGQ,
        information=information,
        certificate=found.certificate,
        messages=tuple(notes),
        penalty=found.penalties,
    )
