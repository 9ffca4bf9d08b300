"""Posteriors that are really sampled: few, seeded, with tolerances from Monte-Carlo error."""

from __future__ import annotations

import warnings

import arviz as az
import numpy as np
import pytest

import nestedmlm as nm
from nestedmlm.bayes.model.names import parameter_names

SLEEP = "Reaction ~ Days + (Days | Subject)"
PARAMETERS = ["Intercept", "Days", "1|Subject_sigma", "Days|Subject_sigma", "sigma"]


@pytest.fixture(scope="module")
def sleepstudy():
    return nm.load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def fit(sleepstudy):
    return nm.lmer(SLEEP, sleepstudy)


@pytest.fixture(scope="module")
def nuts(fit):
    return fit.sample(draws=1000, chains=2, seed=1, progress=False)


def test_progress_reaches_the_sampler(fit, monkeypatch):
    from nestedmlm.bayes.sampling import sampling

    def stop(*args, progress, **options):
        assert progress is False
        raise InterruptedError

    monkeypatch.setattr(sampling, "sample", stop)
    with pytest.raises(InterruptedError):
        fit.sample(progress=False)


@pytest.fixture(scope="module")
def psis(sleepstudy):
    return nm.pymc_lmer(SLEEP, sleepstudy, sampler="psis", seed=1, progress=False)


def monte_carlo_se(bayes, name):
    table = bayes.parameters().set_index("variable")
    return table.loc[name, "std_error"] / np.sqrt(table.loc[name, "ess_bulk"])


def test_samplers_agree(nuts, psis):
    for name in PARAMETERS:
        one, other = (
            b.parameters().set_index("variable").loc[name, "estimate"] for b in (nuts, psis)
        )
        error = np.hypot(monte_carlo_se(nuts, name), monte_carlo_se(psis, name))
        assert abs(one - other) < 4.0 * error, name


def test_posterior_agrees_with_reml(fit, nuts):
    table = nm.compare(fit, nuts, level=0.9).table.set_index("variable")
    assert (table.loc[["Intercept", "Days"], "shift"].abs() < 0.25).all()
    assert table.loc[PARAMETERS, "inside"].all()


@pytest.mark.filterwarnings("ignore:Estimated shape parameter:UserWarning")  # of an outlier
@pytest.mark.parametrize("which", ["nuts", "psis"])
def test_groups_names_and_dims(which, fit, request):
    bayes = request.getfixturevalue(which)
    names = parameter_names(fit.design)
    posterior = bayes.data["posterior"]
    assert set(posterior.data_vars) == {*names.parameters, *names.effects}
    assert posterior["Days|Subject"].dims == ("chain", "draw", "Subject__factor_dim")
    assert posterior["Subject__factor_dim"].values.tolist() == list(fit.design.factors[0].levels)
    assert {"observed_data", "constant_data", "log_likelihood"} <= set(bayes.data.children)
    assert az.loo(bayes.data).n_data_points == 180


def test_runs_are_described(nuts, psis):
    assert (nuts.run.sampler, nuts.run.form, nuts.run.khat) == ("nutpie", "marginal", None)
    assert nuts.run.tune > 0
    assert nuts.divergences == 0
    assert (nuts.n_chains, nuts.n_draws) == (2, 1000)
    assert psis.run.sampler == "psis"
    assert -1.0 < psis.run.khat < 0.5  # negative where the weights are bounded
    assert 1000 < psis.run.ess < 4000
    assert psis.divergences is None
    assert psis.diagnose().ok
    assert nuts.data_name == psis.data_name == "sleepstudy"


def test_random_effects_are_those_of_the_fit(fit, nuts):
    """Posterior means of b are shrunken by the same amount; they are drawn, not computed."""
    modes, draws = fit.ranef(), nuts.ranef()
    difference = (draws["estimate"] - modes["estimate"]) / modes["std_error"]
    # 1000 draws: Monte-Carlo error 0.03 SD, and theta is averaged over, not plugged in
    assert difference.abs().max() < 0.35
    assert (draws["std_error"] > 0.9 * modes["std_error"]).all()


def test_seed_repeats(fit, psis):
    again = fit.sample(sampler="psis", seed=1, progress=False)
    for name in ("Days", "1|Subject"):
        np.testing.assert_array_equal(
            again.data["posterior"][name].values, psis.data["posterior"][name].values
        )


def test_priors_by_name(sleepstudy):
    tight = {"Days": nm.Prior("Normal", mu=0.0, sigma=0.1)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nm.SamplingWarning)
        bayes = nm.pymc_lmer(SLEEP, sleepstudy, priors=tight, draws=200, chains=2, seed=1,
                             progress=False)  # fmt: skip
    assert abs(bayes.fixef["Days"]) < 0.5
    assert "given by the user" in str(bayes.priors)


def test_refit_is_sampled_with_its_own_response(fit):
    other = fit.refit(fit.design.y + 1000.0)
    bayes = other.sample(sampler="psis", draws=250, seed=1)
    assert bayes.fixef["(Intercept)"] == pytest.approx(other.fixef["(Intercept)"], abs=2.0)
    nm.compare(other, bayes)


def test_few_draws_warn(fit):
    with pytest.warns(nm.SamplingWarning, match="draw more"):
        bayes = fit.sample(draws=20, tune=50, chains=2, seed=1, progress=False)
    assert any("draw more" in message for message in bayes.messages)
    assert "draw more" in str(bayes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 0}, "draws must be a positive integer, not 0"),
        ({"chains": 0}, "chains must be a positive integer, not 0"),
        ({"draws": 10.5}, "draws must be a positive integer, not 10.5"),
        ({"sampler": "gibbs"}, "sampler must be one of auto, nutpie"),
        ({"marginal": "yes"}, "marginal must be one of 'auto', True, False, not 'yes'"),
        ({"priors": {"dayz": nm.Prior("Normal", mu=0, sigma=1)}}, "no parameter 'dayz'"),
    ],
)
def test_bad_options(fit, options, message):
    with pytest.raises(nm.errors.OptionError, match=message):
        fit.sample(**options)


def test_to_pymc(fit):
    model = fit.to_pymc(marginal=True)
    assert "Days" in model.named_vars
    assert model.coords["Subject__pair_dim"] == ("Days, 1",)
    assert fit.model.priors["Days"].rule.startswith("0, 2.5 sd y")


def test_slashes_in_names(sleepstudy):
    """Neither PyMC nor a DataTree takes them in a variable's name."""
    formula = "I(Reaction/100) ~ I(Days/2) + (I(Days/2) | Subject)"
    fit = nm.lmer(formula, sleepstudy)
    bayes = fit.sample(sampler="psis", seed=1)
    assert "I(Days per 2)|Subject" in bayes.data["posterior"]
    assert list(bayes.fixef.index) == list(fit.fixef.index)
    assert bayes.hypothesis("`I(Days per 2)` > 0").table["probability"].iloc[0] > 0.99
    assert "mu" in fit.to_pymc().named_vars


# --- the guide ---------------------------------------------------------------------------------
GUIDE = {
    "M14": "mathscore ~ ses + (ses | schoolid)",
    "M15": "mathscore ~ ses + (ses | schoolid) + (ses | classid)",
    "M16": "mathscore ~ ses + (ses | schoolid) + (ses || classid)",
    "M17": "mathscore ~ ses + (ses | schoolid) + (1 | classid)",
    "M18": "mathscore ~ ses + (1 | schoolid/classid2)",
    "M19": "mathscore ~ ses + (1 | schoolid) + (1 | schoolid:classid2)",
    "M20": "mathscore ~ ses + (1 | schoolid) + (1 | classid)",
}


@pytest.fixture(scope="module")
def classroom(shared_data):
    if not (shared_data / "classroom.csv").is_file():
        pytest.skip(f"{shared_data / 'classroom.csv'} not found")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NESTEDMLM_DATA", str(shared_data))
        return nm.load_dataset("classroom")


@pytest.mark.slow
@pytest.mark.parametrize("name", GUIDE)
def test_guide_agrees_with_reml(classroom, name):
    fit = nm.lmer(GUIDE[name], classroom)
    bayes = fit.sample(seed=1, progress=False)
    comparison = nm.compare(fit, bayes, level=0.9)
    table = comparison.table.set_index("variable")
    assert (table.loc[["Intercept", "ses"], "shift"].abs() < 0.25).all()
    at_boundary = "ses|classid_sigma"
    components = table[table["kind"].isin(["sd", "sigma"])].drop(at_boundary, errors="ignore")
    assert components["inside"].all()
    piled = bayes.diagnose().table.query("at_boundary")
    piled = [f"{row.var1}|{row.group}" for row in piled.itertuples()]
    assert piled == (["ses|classid"] if name in ("M15", "M16") else [])
    if name == "M15":
        assert "classid, ses: " in str(bayes.diagnose())
        assert "classid, ses: " in str(comparison)


def test_an_edited_model_is_sampled_and_answers(fit):
    import pymc as pm

    model = fit.to_pymc(marginal=True)
    with model:
        pm.Potential("near 5", -0.5 * ((model["Days"] - 5.0) / 0.5) ** 2)
    edited = fit.sample(pymc_model=model, draws=800, chains=2, seed=1, progress=False)
    assert edited.model is model and edited.priors is None
    assert 4.5 < edited.fixef["Days"] < 7.0 < fit.fixef["Days"]
    assert "log_likelihood" not in edited.data.children  # the model's own may be another
    assert edited.ranef().shape[0] == 36 and len(edited.predict()) == 180
    with pytest.raises(nm.errors.OptionError, match="when the PyMC model is made"):
        fit.sample(pymc_model=model, priors={"sigma": nm.Prior("HalfNormal", sigma=1)})


@pytest.mark.parametrize("of", ["fit", "model"])
def test_draws_from_elsewhere_become_a_fit(of, fit, psis):
    names = parameter_names(fit.design)
    source = fit if of == "fit" else fit.model
    tree = psis.data.copy()
    whole = nm.BayesFit.from_pymc(tree, source)
    assert whole.run.form == "hierarchical" and whole.fixef.equals(psis.fixef)
    posterior = tree["posterior"].to_dataset()
    tree["posterior"] = type(tree)(posterior.drop_vars(names.effects).assign(more=0.0))
    drawn = nm.BayesFit.from_pymc(tree, source, seed=1)
    assert drawn.run.form == "marginal" and "more" in drawn.data["posterior"]
    np.testing.assert_allclose(drawn.ranef()["estimate"], psis.ranef()["estimate"], atol=2.0)
    tree["posterior"] = type(tree)(posterior.drop_vars(["sigma", "Days"]))
    with pytest.raises(nm.errors.OptionError, match="the draws lack 'Days', 'sigma'"):
        nm.BayesFit.from_pymc(tree, source)
    with pytest.raises(nm.errors.OptionError, match="with a group 'posterior'"):
        nm.BayesFit.from_pymc({}, source)


def test_arviz_summary_does_not_warn(psis):
    """No variable is a constant: each correlation is stored once."""
    table = az.summary(psis.data)
    assert [name for name in table.index if "_corr" in name] == ["Subject_corr[Days, 1]"]
