"""nestedmlm: linear mixed models from one lme4-style formula.

>>> import nestedmlm as nm
>>> fit = nm.lmer("strength ~ 1 + (1 | batch/cask)", nm.load_dataset("Pastes"))
>>> round(fit.criterion, 4)
246.9907
"""

from __future__ import annotations

import sys
from types import MethodType
from typing import TYPE_CHECKING, Any

from nestedmlm.deprecations import renamed
from nestedmlm.errors import (
    ConvergenceWarning,
    DataError,
    FormulaError,
    NestedMLMError,
    NestedMLMWarning,
    SamplingError,
    SamplingWarning,
)
from nestedmlm.late import late_name

if TYPE_CHECKING:
    from nestedmlm import families, plots
    from nestedmlm.api import lmer, pymc_lmer
    from nestedmlm.bayes.model.distributions import Prior
    from nestedmlm.bayes.model.joint_priors import R2D2, Horseshoe
    from nestedmlm.bayes.model.lkj import LKJ
    from nestedmlm.datasets import list_datasets, load_dataset
    from nestedmlm.design.build import build_design
    from nestedmlm.design.design import Design
    from nestedmlm.design.pedigree import Pedigree, pedigree
    from nestedmlm.fits.bayes_fit import BayesFit
    from nestedmlm.fits.capsule.capsule import Capsule, load_capsule
    from nestedmlm.fits.etable import etable
    from nestedmlm.fits.fit_comparison import anova
    from nestedmlm.fits.generalized.glmer import glmer
    from nestedmlm.fits.generalized.pymc_glmer import pymc_glmer
    from nestedmlm.fits.glmer_fit import GlmerFit
    from nestedmlm.fits.imputation.pool import pool
    from nestedmlm.fits.imputation.pooled_fit import PooledFit
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.fits.load_bayesfit import load_bayesfit
    from nestedmlm.fits.means.emmeans import emmeans, emtrends
    from nestedmlm.fits.means.joint_tests import joint_tests
    from nestedmlm.fits.means.marginal_means import Emmeans
    from nestedmlm.fits.model import Model
    from nestedmlm.fits.residual_comparison import compare_residuals
    from nestedmlm.fits.simulation.allocation import Allocation, allocation
    from nestedmlm.fits.simulation.assurance import Assurance
    from nestedmlm.fits.simulation.bootstrap import Bootstrap
    from nestedmlm.fits.simulation.from_formula import scenario, simulate
    from nestedmlm.fits.simulation.planned_power import PlannedPower, planned_power
    from nestedmlm.fits.simulation.power import Power, PowerCurve
    from nestedmlm.fits.simulation.rlrt import rlrt
    from nestedmlm.fits.simulation.scenario import Scenario
    from nestedmlm.fits.simulation.simulated_power import power, power_curve
    from nestedmlm.fits.summaries.data_summary import Summary
    from nestedmlm.fits.summaries.saved import load_summary
    from nestedmlm.fits.summaries.summarise import summarise
    from nestedmlm.fits.summaries.summary_plan import SummaryPlan, plan
    from nestedmlm.formula import Formula
    from nestedmlm.inference.effects.df_record import ClusterRobust
    from nestedmlm.optimum.control import Control
    from nestedmlm.optimum.penalty import Penalty
    from nestedmlm.optimum.warmup import warmup
    from nestedmlm.views.posterior.comparison import compare
    from nestedmlm.views.versions import show_versions

__version__ = "0.1.0a1"

__all__ = [
    "LKJ",
    "R2D2",
    "Allocation",
    "Assurance",
    "BayesFit",
    "Bootstrap",
    "Capsule",
    "ClusterRobust",
    "Control",
    "ConvergenceWarning",
    "DataError",
    "Design",
    "Emmeans",
    "Formula",
    "FormulaError",
    "GlmerFit",
    "Horseshoe",
    "LmerFit",
    "Model",
    "NestedMLMError",
    "NestedMLMWarning",
    "Pedigree",
    "Penalty",
    "PlannedPower",
    "PooledFit",
    "Power",
    "PowerCurve",
    "Prior",
    "SamplingError",
    "SamplingWarning",
    "Scenario",
    "Summary",
    "SummaryPlan",
    "allocation",
    "anova",
    "build_design",
    "compare",
    "compare_residuals",
    "emmeans",
    "emtrends",
    "etable",
    "families",
    "glmer",
    "joint_tests",
    "list_datasets",
    "lmer",
    "load_bayesfit",
    "load_capsule",
    "load_dataset",
    "load_summary",
    "pedigree",
    "plan",
    "planned_power",
    "plots",
    "pool",
    "power",
    "power_curve",
    "pymc_glmer",
    "pymc_lmer",
    "rlrt",
    "scenario",
    "show_versions",
    "simulate",
    "summarise",
    "warmup",
]

# where each name stands: it loads when it is first asked for
_PLACES = {
    name: f"{__name__}.{module}"
    for module, names in {
        "api": "lmer pymc_lmer",
        "bayes.model.distributions": "Prior",
        "bayes.model.lkj": "LKJ",
        "bayes.model.joint_priors": "Horseshoe R2D2",
        "datasets": "list_datasets load_dataset",
        "design.build": "build_design",
        "design.design": "Design",
        "design.pedigree": "Pedigree pedigree",
        "fits.bayes_fit": "BayesFit",
        "fits.capsule.capsule": "Capsule load_capsule",
        "fits.etable": "etable",
        "fits.fit_comparison": "anova",
        "fits.generalized.glmer": "glmer",
        "fits.generalized.pymc_glmer": "pymc_glmer",
        "fits.glmer_fit": "GlmerFit",
        "fits.imputation.pool": "pool",
        "fits.imputation.pooled_fit": "PooledFit",
        "fits.lmer_fit": "LmerFit",
        "fits.load_bayesfit": "load_bayesfit",
        "fits.means.emmeans": "emmeans emtrends",
        "fits.means.joint_tests": "joint_tests",
        "fits.means.marginal_means": "Emmeans",
        "fits.model": "Model",
        "fits.simulation.bootstrap": "Bootstrap",
        "fits.simulation.from_formula": "scenario simulate",
        "fits.simulation.allocation": "Allocation allocation",
        "fits.simulation.assurance": "Assurance",
        "fits.simulation.planned_power": "PlannedPower planned_power",
        "fits.simulation.power": "Power PowerCurve",
        "fits.residual_comparison": "compare_residuals",
        "fits.simulation.rlrt": "rlrt",
        "fits.simulation.scenario": "Scenario",
        "fits.simulation.simulated_power": "power power_curve",
        "fits.summaries.saved": "load_summary",
        "fits.summaries.summarise": "summarise",
        "fits.summaries.summary_plan": "plan SummaryPlan",
        "fits.summaries.data_summary": "Summary",
        "formula": "Formula",
        "inference.effects.df_record": "ClusterRobust",
        "optimum.control": "Control",
        "optimum.penalty": "Penalty",
        "optimum.warmup": "warmup",
        "views.posterior.comparison": "compare",
        "views.versions": "show_versions",
    }.items()
    for name in names.split()
}

if "ipykernel" in sys.modules:
    from nestedmlm.notebook import plain_notices

    plain_notices()

if not TYPE_CHECKING:
    _GONE = {"plot_compare": "fit.plot.comparison(posterior)"}
    _ELSEWHERE = {
        "brm": "nm.pymc_lmer(formula, data)",
        "glmmTMB": "nm.glmer(formula, data, family=...), or nm.lmer(formula, data, dispersion=...)",
        "lme": 'nm.lmer("y ~ x + (x | group)", data)',
        "load": "pickle.load(file), or joblib.load(path); of posteriors nm.load_bayesfit(path)",
        "mixedlm": 'nm.lmer("y ~ x + (x | group)", data)',
    }
    _ELSEWHERE |= {name: f"fit.{name}(...)" for name in "icc r2 ranef summary tidy glance".split()}
    _ELSEWHERE |= dict.fromkeys(("plot_model", "plot"), "fit.plot.forest(), fit.plot.effect(...)")
    _old = MethodType(renamed(_GONE, _ELSEWHERE), sys.modules[__name__])

    def __getattr__(name: str) -> Any:
        if name.startswith("__") or name in _GONE or name in _ELSEWHERE:
            return _old(name)
        found = globals()[name] = late_name(__name__, _PLACES, name)
        return found

    def __dir__() -> list[str]:
        return sorted([*__all__, "__version__"])
