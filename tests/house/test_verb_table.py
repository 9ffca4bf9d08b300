"""The table of verbs is complete: a row, or a reason, for whatever a fit can be asked."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from situations import SITUATIONS
from verb_row import ASKED, ENGINES
from verbs import VERBS

import nestedmlm as nm
from nestedmlm import lme4, plots
from tools import public_api

ROOT = Path(__file__).parents[2]
# what a fit is made of and called
PARTS = frozenset(
    "model design core solution certificate messages penalty formula data_name weights_name "
    "weights_column "
    "offset_name data run priors given_model solved family source".split()
)
# members that are tested where they are at home
ELSEWHERE = {
    "LmerFit.sample": "tests/bayes/test_bayes_sampled.py",
    "LmerFit.to_pymc": "tests/bayes/test_bayes_hierarchical.py",
    "GlmerFit.sample": "tests/bayes/test_bayes_laplace.py",
    "GlmerFit.to_pymc": "tests/bayes/test_bayes_laplace.py",
    "GlmerFit.check_approximation": "tests/fits/test_glmer_fit.py",
    "GlmerFit.fragility": "tests/inference/rows/test_fragility.py",
    "BayesFit.update": "tests/posterior/test_evidence.py",
    "BayesFit.with_data": "tests/fits/test_posterior_means.py",
    "BayesFit.extend": "tests/fits/test_planned_power.py",
    "BayesFit.from_pymc": "tests/bayes/test_bayes_sampled.py",
    "BayesFit.save": "tests/posterior/test_bayes_storage.py",
    "Model.prior_predictive": "tests/posterior/test_prior_groups.py",
    "Model.sample": "tests/bayes/test_bayes_sampled.py",
    "Model.to_pymc": "tests/bayes/test_bayes_hierarchical.py",
    "Model.pytensor": "nestedmlm/fits/model.py",  # its doctest
    "Model.priors": "tests/bayes/test_bayes_priors.py",
    "Model.plot": "tests/plots/test_accessor.py",
    "Emmeans.plot": "tests/inference/means/test_contrasts_of_means.py",
    "Emmeans.table": "tests/inference/means/test_contrasts_of_means.py",
}


def covered(engine: str | None = None) -> set[str]:
    return {
        name
        for verb in VERBS.values()
        if engine is None or engine in verb.engines
        for name in verb.covers.split()
    }


def test_rows_name_situations_and_engines_that_exist():
    for case, verb in VERBS.items():
        assert set(verb.engines) <= set(ENGINES), case
        for named in (verb.only, verb.refused, verb.empty, verb.unknown, verb.alone):
            assert set(named) <= set(SITUATIONS), case
    for asked in ASKED.values():
        assert set(asked) <= set(SITUATIONS)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_member_has_a_row(engine):
    cls = ENGINES[engine][0]
    wanted = {
        name
        for name in set(public_api.members(cls)) - PARTS
        if f"{cls.__name__}.{name}" not in ELSEWHERE
    }
    assert sorted(wanted - covered(engine)) == [], f"tests/verbs.py has no row of {cls.__name__}"


@pytest.mark.parametrize("owner", [nm.Model, nm.Emmeans])
def test_every_member_of_what_is_behind_a_fit_has_a_row(owner):
    fields = getattr(owner, "__dataclass_fields__", {})
    wanted = {f"{owner.__name__}.{n}" for n in set(public_api.members(owner)) - PARTS - set(fields)}
    assert sorted(wanted - covered() - set(ELSEWHERE)) == []


# methods of results that are tested where they are at home
RESULTS_ELSEWHERE = {
    **dict.fromkeys(
        (
            f"PooledFit.{name}"
            for name in (
                "compare",
                "converged",
                "core",
                "design",
                "engine",
                "formula",
                "model",
                "ngrps",
                "nobs",
                "penalty",
                "REML",
            )
        ),
        "tests/fits/test_pooled_fit.py",
    ),
    "Allocation.plot": "tests/plots/test_plots_images.py",
    "EffectSizes.plot": "tests/inference/means/test_contrasts_of_means.py",
    "LetterDisplay.plot": "tests/inference/means/test_contrasts_of_means.py",
    "PooledFit.emmeans": "tests/inference/means/test_contrasts_of_means.py",
    "PooledFit.emtrends": "tests/inference/means/test_contrasts_of_means.py",
    "PooledFit.joint_tests": "tests/inference/means/test_hypotheses_of_means.py",
    "Allocation.to_frame": "tests/fits/test_planned_power.py",
    "Assurance.estimate": "tests/fits/test_planned_power.py",
    "Assurance.plot": "tests/plots/test_plots_images.py",
    "Assurance.to_frame": "tests/fits/test_planned_power.py",
    "LmList.conf_int": "tests/fits/test_lme4_additions.py",
    "LmList.pooled_sigma": "tests/fits/test_lme4_additions.py",
    "Influence.partial": "tests/ground/test_progress.py",
    "LikelihoodRatios.fragility": "tests/inference/rows/test_fragility.py",
    "Comparison.why": "tests/posterior/test_prior_influence.py",
    "PriorInfluence.sentences": "tests/posterior/test_prior_influence.py",
    "PriorInfluence.to_frame": "tests/posterior/test_prior_influence.py",
    "LooComparison.best": "tests/inference/rows/test_loo_comparison.py",
    "ModelTable.to_gt": "tests/fits/test_etable.py",
    "PriorTable.replace": "tests/posterior/test_bayes_storage.py",
    "Profile.curve": "tests/inference/profile/test_profile.py",
}


def test_every_method_of_a_result_has_a_row():
    wanted = {
        f"{name}.{member}"
        for name, cls in public_api.results().items()
        if name not in ("View", "Viewable")
        for member, raw in public_api.members(cls).items()
        if callable(raw) or isinstance(raw, property)
    }
    assert sorted(wanted - covered() - set(RESULTS_ELSEWHERE)) == []


def test_every_picture_has_a_row():
    wanted = {f"plots.{name}" for name in plots.__all__}
    assert sorted(wanted - covered() - set(PICTURES_ELSEWHERE)) == []


# pictures of something else than one fit
PICTURES_ELSEWHERE = {
    "plots.allocation": "tests/fits/test_planned_power.py",
    "plots.assurance": "tests/plots/test_plots_images.py",
    "plots.bootstrap_densities": "tests/plots/test_plots.py",
    "plots.comparison": "tests/views/test_comparison.py",
    "plots.curves": "tests/plots/test_plots_images.py",
    "plots.fragility": "tests/plots/test_plots_images.py",
    "plots.power_curve": "tests/plots/test_plots_images.py",
    "plots.prior_influence": "tests/posterior/test_prior_influence.py",
    "plots.loo": "tests/inference/rows/test_loo_comparison.py",
    "plots.marginal_means": "tests/plots/test_plots_images.py",
    "plots.profile_pairs": "tests/plots/test_plots.py",
    "plots.profile_zeta": "tests/plots/test_plots.py",
}


def test_functions_of_fits_have_a_row():
    functions = {
        f"nm.{name}"
        for name in nm.__all__
        if inspect.isfunction(getattr(nm, name)) and name not in NO_FITS
    }
    assert sorted(functions - covered()) == []


# functions of the package that take no fit, or two kinds of them
NO_FITS = frozenset(
    "build_design lmer glmer pymc_lmer pymc_glmer list_datasets load_dataset load_bayesfit "
    "scenario simulate power_curve allocation compare pedigree warmup summarise plan load_summary "
    "load_capsule LKJ "
    "show_versions".split()
)

# R's spellings that have no row, with the reason
R_ALONE = {
    "lmList": "least squares by group: tests/fits/test_lme4_additions.py",
    "formula": "reads an attribute",
    "lmer": "makes the fit",
}


def test_every_spelling_of_r_has_a_row():
    named = {name for verb in VERBS.values() for name in verb.r.split()}
    assert named <= set(lme4.__all__)
    assert set(lme4.__all__) - named == set(R_ALONE)


@pytest.mark.parametrize("table", [ELSEWHERE, RESULTS_ELSEWHERE, PICTURES_ELSEWHERE])
def test_what_is_tested_elsewhere_is_there(table):
    for name, path in table.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        assert f".{name.rsplit('.', 1)[-1]}" in text, (name, path)
