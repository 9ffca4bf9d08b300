"""The hierarchical model: names, dims, data, and the same posterior as the marginal one."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor
import pytest
from designs import FORMULAS, data, design
from pytensor.compile.mode import Mode
from test_bayes_marginal import dense_parts, some_points

import nestedmlm as nm
from nestedmlm.bayes.model.hierarchical import hierarchical_model
from nestedmlm.bayes.model.marginal import is_marginal, marginal_model
from nestedmlm.bayes.model.names import parameter_names
from nestedmlm.bayes.model.parameterisation import parameterisation
from nestedmlm.bayes.sampling.density import density
from nestedmlm.design.build import build_design
from nestedmlm.errors import OptionError

# one-column, correlated, several terms on a factor, independent and structured terms; the last
# three-column ones are dense enough for the elementwise Cholesky factors
KINDS = ["slope", "several terms on one factor", "nested chain of two", "diag",
         "compound symmetry", "autoregressive"]  # fmt: skip
_PLAIN = Mode(linker="py", optimizer=None)


def effects_given_the_rest(of, values):
    """Mean of the random effects given the parameters, term by term, and the precision of all."""
    mean, Z, G, R = dense_parts(of, values)
    weights = 1.0 / np.diag(R)
    precision = np.linalg.inv(G) + (Z.T * weights) @ Z
    expected = np.linalg.solve(precision, Z.T @ (weights * (of.y - mean)))
    out, at = {}, 0
    for term, own in zip(of.terms, parameter_names(of).terms, strict=True):
        size = len(of.factors[term.factor].levels) * len(own.variables)
        block = expected[at : at + size].reshape(-1, len(own.variables))
        out |= {name: block[:, j] for j, name in enumerate(own.variables)}
        at += size
    return out, precision, G


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("noncentered", [True, False])
def test_integrated_over_its_effects_it_is_the_marginal_model(kind, noncentered):
    """log p(y) = log p(y, b) at b's conditional mean + q/2 log 2 pi - 1/2 log|precision|."""
    of = design(kind, weighted=True, offset=True)
    # other priors of SDs than folded ones, so that both forms have the same free variables
    names = parameter_names(of)
    sds = [sd for t in names.terms for sd in t.sds]
    priors = dict.fromkeys(sds, nm.Prior("Gamma", alpha=2, beta=1))
    marginal = density(marginal_model(of, priors))
    model = hierarchical_model(of, priors, noncentered=noncentered)
    joint = density(model)
    x = some_points(marginal, 1)[0]
    expected, precision, G = effects_given_the_rest(of, marginal.to_values(x))

    point = dict(zip(marginal.names, marginal.split(x), strict=True))
    given = [point.get(name) for name in joint.names]
    if noncentered:  # offsets are b in units of its relative factor
        given = with_offsets(of, joint, given, expected, marginal.to_values(x))
        logdet = np.linalg.slogdet(precision)[1] + np.linalg.slogdet(G)[1]
    else:
        given = [expected[n] if v is None else v for n, v in zip(joint.names, given, strict=True)]
        logdet = np.linalg.slogdet(precision)[1]
    at = np.concatenate([np.ravel(v) for v in given])
    integral = joint.logp_grad(at)[0] + 0.5 * (len(precision) * np.log(2 * np.pi) - logdet)
    assert integral == pytest.approx(marginal.logp_grad(x)[0], rel=1e-9)
    # the mean of the conditional is its mode
    gradient = dict(zip(joint.names, np.split(joint.logp_grad(at)[1], ends(joint)), strict=True))
    for name in joint.names:
        if name not in marginal.names:
            np.testing.assert_allclose(gradient[name], 0.0, atol=1e-6)


def ends(den):
    return np.cumsum([int(np.prod(s, dtype=int)) for s in den.shapes])[:-1]


def with_offsets(of, den, given, expected, values):
    from nestedmlm.bayes.sampling.conditional import covariance_factors

    draws = {k: np.asarray(v)[None] for k, v in values.items()}
    offsets = {}
    for own in parameter_names(of).terms:
        L = covariance_factors(own, draws)[0]
        b = np.array([expected[v] for v in own.variables])
        for name, z in zip(own.variables, np.linalg.solve(L, b), strict=True):
            offsets[f"{name}_offset"] = z
    return [offsets[n] if v is None else v for n, v in zip(den.names, given, strict=True)]


@pytest.mark.parametrize("kind", FORMULAS)
def test_names_and_dims(kind):
    of = design(kind)
    model = hierarchical_model(of)
    names = parameter_names(of)
    assert not is_marginal(model)
    for name in (*names.parameters, *names.effects, "mu"):
        assert name in model.named_vars
    for term, own in zip(of.terms, names.terms, strict=True):
        levels = of.factors[term.factor].levels
        for variable in own.variables:
            assert model.named_vars_to_dims[variable] == (own.factor_dim,)
        assert list(model.coords[own.factor_dim]) == list(levels)
    assert [v.name for v in model.observed_RVs] == ["y"]
    assert len(model.free_RVs) < 30  # nothing per group


def test_names_are_bambis(shared_data):
    import pandas as pd

    frame = pd.read_csv(shared_data / "classroom.csv", dtype={"classid": str, "schoolid": str})
    model = nm.Model("mathscore ~ ses + (ses | schoolid) + (1 | classid)", frame).to_pymc()
    expected = {
        "Intercept", "ses", "1|schoolid", "ses|schoolid", "1|classid", "1|schoolid_sigma",
        "ses|schoolid_sigma", "1|classid_sigma", "schoolid_corr", "sigma", "mu", "mathscore",
    }  # fmt: skip
    assert expected <= set(model.named_vars)
    assert model.named_vars_to_dims["ses|schoolid"] == ("schoolid__factor_dim",)
    assert "1" in model.coords["schoolid__factor_dim"]


def test_both_forms_report_the_same_names():
    of = design("several terms on one factor")
    hierarchical = {v.name for v in density(hierarchical_model(of)).variables}
    marginal = {v.name for v in density(marginal_model(of)).variables}
    effects = set(parameter_names(of).effects)
    assert hierarchical == marginal | effects


def test_clashing_names_are_kept_apart():
    of = build_design("y ~ x + (x | f1) + (z | f1)", data())
    names = parameter_names(of)
    assert len(set(names.effects)) == 4
    assert [t.correlation for t in names.terms] == ["f1_corr", "f1.1_corr"]
    density(hierarchical_model(of))


def test_predictors_may_have_any_name():
    frame = data().rename(columns={"x": "sigma", "z": "X"})
    frame["mu"] = np.arange(len(frame)) / 100
    of = build_design("y ~ sigma + X + mu + (X | f1)", frame)
    assert parameter_names(of).fixed == ("Intercept", "sigma_", "X", "mu_")
    for make in (hierarchical_model, marginal_model):
        value, _ = density(make(of)).logp_grad(density(make(of)).initial)
        assert np.isfinite(value)


def test_new_data_can_be_set():
    of = design("slope", offset=True)
    model = hierarchical_model(of)
    values = {
        "Intercept_centred": 1.0, "x": 2.0, "z": -1.0,
        "1|f1_sigma_raw": 1.0, "x|f1_sigma_raw": 1.0, "f1_corr_partial": 0.5,
        "1|f1_offset": np.arange(30.0), "x|f1_offset": np.ones(30),
    }  # fmt: skip
    rows = [5, 17, 3]
    with model:
        pm.set_data(
            {
                "X": of.X[rows],
                "f1_code": of.factors[0].codes[rows],
                "f1_columns": of.terms[0].X[rows],
                "offset": of.offset[rows],
            },
            coords={"__obs__": ["a", "b", "c"]},
        )
    givens = [(model[k], np.asarray(v, dtype=float)) for k, v in values.items()]
    mu = pytensor.function([], model["mu"], givens=givens, mode=_PLAIN)()
    intercept = 1.0 - of.X[:, 1:].mean(axis=0) @ [2.0, -1.0]
    b = np.arange(30.0)[of.factors[0].codes] + of.terms[0].X[:, 1]
    expected = of.X @ [intercept, 2.0, -1.0] + b + of.offset
    np.testing.assert_allclose(mu, expected[rows], rtol=1e-12)


def test_parameterisation_is_decided_by_the_observations_per_level():
    of = build_design("y ~ x + (x | f1) + (1 | c2)", data(400))
    few, many = parameterisation(of)
    assert (few.term, few.centred) == ("f1", False)
    assert (many.term, many.centred) == ("c2", True)
    assert "observations per level" in many.reason
    free = {v.name for v in hierarchical_model(of).free_RVs}
    assert "1|c2" in free and "1|f1_offset" in free and "1|c2_offset" not in free


def test_parameterisation_can_be_asked_for():
    of = design("nested chain of two")
    assert all(p.centred for p in parameterisation(of, False))
    assert not any(p.centred for p in parameterisation(of, True))
    mixed = {p.term: p.centred for p in parameterisation(of, {"f2": False})}
    assert mixed == {"f1": False, "f2": True}
    with pytest.raises(OptionError, match="no random-effects term 'school'"):
        parameterisation(of, {"school": True})
    with pytest.raises(OptionError, match="noncentered must be"):
        parameterisation(of, "sometimes")


def test_a_users_own_structure_works_in_the_hierarchical_form():
    import pytensor.tensor as pt

    def equal_correlation(name, n):
        rho = pm.Beta("rho", 2, 2)
        return pt.linalg.cholesky((1 - rho) * pt.eye(n) + rho * pt.ones((n, n)))

    of = build_design("y ~ x + (x + z | f1)", data())
    den = density(hierarchical_model(of, {"f1_corr": equal_correlation}))
    assert np.isfinite(den.logp_grad(den.initial)[0])
    values = den.to_values(den.initial)
    np.testing.assert_allclose(values["f1_corr"], values["rho"])
