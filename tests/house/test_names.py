"""Equal file names mean equal subjects: numbers, verb, print and picture of one thing.

A name that stands in two places of the package is listed here with its subject, or one of the two
is named otherwise.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "nestedmlm"

# file name -> its one subject, and the folders where it may stand
SAME: dict[str, tuple[str, set[str]]] = {
    "check": (
        "checks of a model's assumptions",
        {"fits/verbs", "fits/generalized", "fits/posterior_verbs", "plots", "views"},
    ),
    "residual_comparison": ("residual structures beside each other", {"fits", "views"}),
    "allocation": ("a budget over the levels of a design", {"fits/simulation", "plots"}),
    "assurance": ("power over a pilot's posterior", {"fits/simulation", "plots"}),
    "anova": ("comparison of models, F tests of terms", {"views", "fits/verbs"}),
    "autocorrelation": (
        "autocorrelation of residuals",
        {"fits/verbs", "inference/rows", "plots"},
    ),
    "augment": ("rows beside the data", {"fits/verbs", "fits/generalized"}),
    "bootstrap": (
        "`fit.bootstrap()`",
        {"fits/verbs", "fits/simulation", "plots"},
    ),
    "comparison": (
        "REML beside posterior: `nm.compare`",
        {"posterior", "views/posterior", "plots"},
    ),
    "diagnose": ("`fit.diagnose()`", {"fits/singularity", "fits/posterior_verbs"}),
    "diagnosis": (
        "`fit.diagnose()`: of a singular fit, of draws",
        {"fits/singularity", "posterior", "views/posterior"},
    ),
    "joint_tests": (
        "joint tests of terms through means",
        {"fits/means", "inference/means", "views"},
    ),
    "elimination": ("`fit.elimination()`", {"fits/verbs", "views"}),
    "estimates": ("the numbers of a fit, labelled", {"fits", "fits/generalized"}),
    "effect_sizes": ("standardised differences of means", {"fits/means", "inference/means"}),
    "etable": ("models side by side", {"views", "fits"}),
    "extend": (
        "data with more groups or rows",
        {"fits/verbs", "fits/simulation", "fits/posterior_verbs"},
    ),
    "hypothesis": (
        "`BayesFit.hypothesis()`",
        {"posterior", "views/posterior", "fits/posterior_verbs"},
    ),
    "contest": ("contrasts of the fixed effects", {"fits/verbs", "fits/posterior_verbs"}),
    "icc": ("intraclass correlations", {"fits/verbs", "fits/posterior_verbs"}),
    "icc_r2": ("shares of variance", {"inference/variances", "posterior"}),
    "fragility": (
        "how few groups carry a conclusion",
        {"fits/verbs", "inference/rows", "plots", "views"},
    ),
    "influence": (
        "estimates without each case or group",
        {"inference/rows", "fits/verbs", "views", "plots"},
    ),
    "iterative": (
        "iterative elimination of large crossed factors",
        {"likelihood/elimination", "optimum"},
    ),
    "loo": (
        "leave-one-out cross-validation",
        {"fits/verbs", "fits/posterior_verbs", "plots", "views"},
    ),
    "means": ("estimated marginal means", {"views", "plots"}),
    "modes": ("conditional modes", {"inference/rows", "likelihood/glmm", "plots"}),
    "parameters": (
        "what a model's parameters are called and worth",
        {"inference/variances", "views", "fits/posterior_verbs"},
    ),
    "partial_r2": ("partial R-squared of a term", {"fits/verbs", "inference/effects"}),
    "predict": ("`fit.predict()`", {"fits/verbs", "fits/posterior_verbs"}),
    "prior_influence": (
        "what the priors have to do with a posterior",
        {"posterior", "plots", "views/posterior"},
    ),
    "priors": ("priors", {"bayes/model", "views/posterior", "plots"}),
    "profile": (
        "profiles of the deviance",
        {"inference/profile", "fits/verbs", "views", "plots"},
    ),
    "pymc_model": ("the PyMC model of a fit", {"bayes/model", "fits/posterior_verbs"}),
    "r2": ("R-squared", {"fits/verbs", "fits/posterior_verbs"}),
    "ranef": ("random effects", {"fits/verbs", "fits/posterior_verbs"}),
    "report": (
        "`fit.report()`",
        {"views", "fits/verbs", "fits/generalized", "fits/imputation", "fits/posterior_verbs"},
    ),
    "residuals": ("residuals", {"inference/rows", "fits/verbs", "fits/generalized", "plots"}),
    "rlrt": (
        "restricted likelihood ratio test of one variance",
        {"inference/variances", "fits/simulation"},
    ),
    "simulate": (
        "`simulate()`",
        {"fits/verbs", "fits/posterior_verbs"},
    ),
    "summary": (
        "`fit.summary()`",
        {"fits/verbs", "fits/posterior_verbs", "views", "views/posterior"},
    ),
    "smooths": (
        "smooth terms",
        {"formula", "design", "inference/effects", "fits/verbs", "views"},
    ),
    "surface": ("the criterion over two standard deviations", {"inference/profile", "plots"}),
    "tidy": ("broom's `tidy`", {"inference/tidy", "fits/verbs"}),
    "update": ("R's `update`", {"formula", "fits/verbs"}),
    "varcorr": (
        "variance components",
        {"fits/verbs", "fits/posterior_verbs", "views", "views/posterior"},
    ),
    "variance_partition": (
        "the variance of a row by level",
        {"inference/variances", "fits/verbs", "views", "plots"},
    ),
}


def shared_names() -> dict[str, set[str]]:
    """Folders of every file name that stands in several."""
    places: dict[str, set[str]] = defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        if path.stem not in ("__init__", "__main__"):
            places[path.stem].add(path.parent.relative_to(PACKAGE).as_posix())
    return {name: folders for name, folders in places.items() if len(folders) > 1}


def test_equal_names_are_meant():
    meant = {name: folders for name, (_, folders) in SAME.items()}
    found = shared_names()
    new = {name: sorted(where) for name, where in found.items() if where != meant.get(name)}
    assert not new, f"files of one name: add them to SAME with their subject, or rename: {new}"
    assert sorted(meant) == sorted(found)


def first_lines() -> dict[str, str]:
    """First line of the docstring of every module and of every class in it."""
    lines = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in (tree, *(n for n in tree.body if isinstance(n, ast.ClassDef))):
            place = f"{path.relative_to(PACKAGE)}:{getattr(node, 'name', '')}"
            lines[place] = (ast.get_docstring(node) or "").partition("\n")[0]
    return lines


def test_first_lines_name_their_subject():
    """A docstring that starts with a question leaves its reader to guess the noun."""
    riddles = ("What ", "Where ", "Which ", "How ", "Whether ", "The pieces", "Put the pieces")
    found = {place: line for place, line in first_lines().items() if line.startswith(riddles)}
    assert not found
