"""Group densities of generalized models against the likelihood by quadrature."""

from __future__ import annotations

import numpy as np
import pytest
from glmm_designs import FORMS, table

import nestedmlm as nm
from nestedmlm.bayes.model.names import sampled_parameters
from nestedmlm.errors import OptionError
from nestedmlm.posterior.generalized_group_density import group_log_densities, group_rows
from nestedmlm.posterior.row_responses import FamilyResponses

# family, link, random effects, its dispersion, and that as the posterior's parameter
CASES = {
    "logit": ("binomial", "logit", "intercept", None, None),
    "slopes": ("poisson", "log", "slopes", None, None),
    "theta": ("negativebinomial", "log", "slopes", 1.5, lambda theta: theta),
    "gamma": ("gamma", "log", "diagonal", 0.3, lambda phi: 1.0 / phi),
    "beta": ("beta", "logit", "intercept", 8.0, lambda phi: phi),
}


@pytest.mark.parametrize("case", CASES)
def test_groups_add_up_to_the_likelihood(case):
    name, link, form, dispersion, named = CASES[case]
    rng, data = np.random.default_rng(1), table(n=180, seed=3)
    family = nm.families.resolve_family(name, link)
    g = np.unique(data["g"], return_inverse=True)[1]
    eta = 0.3 + 0.7 * rng.normal(size=12)[g] + (0.4 + 0.5 * rng.normal(size=12)[g]) * data["x"]
    data["y"] = family.random(family.link.mu(eta), np.ones(180), dispersion, rng)
    fit = nm.glmer(FORMS[form], data, family=name, link=link, nAGQ=11)
    values = {p.name: np.full((2, 1), named(fit.dispersion)) for p in sampled_parameters(family)}
    each = group_log_densities(
        group_rows(fit.design),
        FamilyResponses(family=fit.family, values=values, weights=None),
        np.tile(fit.fixef, (2, 1)),
        tuple(np.tile(T @ T.T, (2, 1, 1)) for T in fit.solution.T),
    )
    assert each.shape == (2, 12)
    assert each.sum(axis=1) == pytest.approx(fit.llf, abs=5e-6)


def test_one_grouping_factor_is_needed():
    fit = nm.glmer("TICKS ~ 1 + (1 | BROOD) + (1 | LOCATION)", nm.load_dataset("grouseticks"),
                   family="poisson")  # fmt: skip
    with pytest.raises(OptionError, match="takes one grouping factor"):
        group_rows(fit.design)


def test_groups_of_a_posterior():
    """Beside the fit without each group, whose estimates are plugged in."""
    fit = nm.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)",
                   nm.load_dataset("cbpp"), family="binomial")  # fmt: skip
    posterior = fit.sample(sampler="psis", draws=250, seed=1)
    found = posterior.loo("group")
    assert found.n_data_points == 15
    assert found.elpd == pytest.approx(fit.loo("herd").elpd, abs=1.5)
