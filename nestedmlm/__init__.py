"""nestedmlm: linear mixed models from one lme4-style formula.

>>> import nestedmlm as nm
>>> fit = nm.lmer("strength ~ 1 + (1 | batch/cask)", nm.load_dataset("Pastes"))
>>> round(fit.criterion, 4)
246.9907
"""

from __future__ import annotations

import sys
from types import MethodType
from typing import TYPE_CHECKING

from nestedmlm import plots
from nestedmlm.api import anova, lmer, pymc_lmer
from nestedmlm.bayes.model.distributions import Prior
from nestedmlm.datasets import list_datasets, load_dataset
from nestedmlm.deprecations import renamed
from nestedmlm.design.build import build_design
from nestedmlm.design.design import Design
from nestedmlm.errors import (
    ConvergenceWarning,
    DataError,
    FormulaError,
    NestedMLMError,
    NestedMLMWarning,
    SamplingError,
    SamplingWarning,
)
from nestedmlm.fits.bayes_fit import BayesFit
from nestedmlm.fits.etable import etable
from nestedmlm.fits.lmer_fit import LmerFit
from nestedmlm.fits.load_bayesfit import load_bayesfit
from nestedmlm.fits.means.emmeans import emmeans, emtrends
from nestedmlm.fits.means.marginal_means import Emmeans
from nestedmlm.fits.model import Model
from nestedmlm.fits.simulation.bootstrap import Bootstrap
from nestedmlm.fits.simulation.from_formula import scenario, simulate
from nestedmlm.fits.simulation.power import Power, PowerCurve
from nestedmlm.fits.simulation.rlrt import rlrt
from nestedmlm.fits.simulation.scenario import Scenario
from nestedmlm.fits.verbs.power import power, power_curve
from nestedmlm.formula import Formula
from nestedmlm.optimum.control import Control
from nestedmlm.optimum.penalty import Penalty
from nestedmlm.optimum.warmup import warmup
from nestedmlm.views.posterior.comparison import compare

__version__ = "0.1.0a1"

__all__ = [
    "BayesFit",
    "Bootstrap",
    "Control",
    "ConvergenceWarning",
    "DataError",
    "Design",
    "Emmeans",
    "Formula",
    "FormulaError",
    "LmerFit",
    "Model",
    "NestedMLMError",
    "NestedMLMWarning",
    "Penalty",
    "Power",
    "PowerCurve",
    "Prior",
    "SamplingError",
    "SamplingWarning",
    "Scenario",
    "anova",
    "build_design",
    "compare",
    "emmeans",
    "emtrends",
    "etable",
    "list_datasets",
    "lmer",
    "load_bayesfit",
    "load_dataset",
    "plots",
    "power",
    "power_curve",
    "pymc_lmer",
    "rlrt",
    "scenario",
    "simulate",
    "warmup",
]

if not TYPE_CHECKING:
    __getattr__ = MethodType(
        renamed({"plot_compare": "fit.plot.comparison(posterior)"}), sys.modules[__name__]
    )
