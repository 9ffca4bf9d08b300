"""nestedmlm: linear mixed models from one lme4-style formula.

>>> import nestedmlm as nm
>>> fit = nm.lmer("strength ~ 1 + (1 | batch/cask)", nm.load_dataset("Pastes"))
>>> round(fit.criterion, 4)
246.9907
"""

from __future__ import annotations

from nestedmlm import plots
from nestedmlm.api import anova, lmer, pymc_lmer
from nestedmlm.bayes.distributions import Prior
from nestedmlm.bayesfit import BayesFit, load_bayesfit
from nestedmlm.datasets import list_datasets, load_dataset
from nestedmlm.design import Design, build_design
from nestedmlm.errors import (
    ConvergenceWarning,
    DataError,
    FormulaError,
    NestedMLMError,
    NestedMLMWarning,
    SamplingError,
    SamplingWarning,
)
from nestedmlm.fit import LmerFit
from nestedmlm.formula import Formula
from nestedmlm.marginal.doors import emmeans, emtrends
from nestedmlm.marginal.estimates import Emmeans
from nestedmlm.model import Model
from nestedmlm.modeltable import etable
from nestedmlm.reml.optimize import Control
from nestedmlm.reml.penalty import Penalty
from nestedmlm.sidebyside import compare, plot_compare
from nestedmlm.simulation.bootstrap import Bootstrap
from nestedmlm.simulation.power import Power, PowerCurve, power, power_curve
from nestedmlm.simulation.rlrt import rlrt
from nestedmlm.simulation.scenario import Scenario, scenario, simulate

__version__ = "0.1.0"

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
    "plot_compare",
    "plots",
    "power",
    "power_curve",
    "pymc_lmer",
    "rlrt",
    "scenario",
    "simulate",
]
