"""`BayesFit` answers from draws: names, shapes, identities; posteriors without a sampler."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import arviz as az
import numpy as np
import pandas as pd
import pytest
from designs import FORMULAS, data
from fake_posterior import fake_bayesfit, fake_posterior

import nestedmlm as nm
from nestedmlm.bayes.model.names import parameter_names
from nestedmlm.design.matrices.zmatrix import z_matrix
from nestedmlm.posterior.draws import covariance_draws, effect_draws, fixed_draws
from nestedmlm.posterior.row_draws import all_draws, fitted_rows

KINDS = [
    "slope", "several terms on one factor", "nested chain of two", "crossed", "diag",
    "compound symmetry", "autoregressive", "no fixed effects",
]  # fmt: skip


@pytest.fixture(scope="module")
def sleep():
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    return fit, fake_bayesfit(fit)


@pytest.fixture(scope="module", params=KINDS)
def any_fit(request):
    fit = nm.lmer(FORMULAS[request.param], data(), weights="w", offset="off")
    return fit, fake_bayesfit(fit, chains=2, draws=50)


# --- the same verbs as LmerFit -----------------------------------------------------------------
def test_verbs_have_the_shapes_of_lmerfit(any_fit):
    fit, bayes = any_fit
    pd.testing.assert_index_equal(bayes.params.index, fit.params.index, exact=False)
    pd.testing.assert_index_equal(bayes.bse.index, fit.bse.index, exact=False)
    assert bayes.cov_params().shape == fit.cov_params().shape
    assert list(bayes.ranef().columns[:5]) == list(fit.ranef().columns)
    pd.testing.assert_frame_equal(
        bayes.ranef()[["group", "term", "level"]], fit.ranef()[["group", "term", "level"]]
    )
    assert bayes.coef().keys() == fit.coef().keys()
    for name, table in fit.coef().items():
        assert list(bayes.coef()[name].columns) == list(table.columns)
        assert list(bayes.coef()[name].index) == list(table.index)
    pd.testing.assert_index_equal(bayes.fittedvalues.index, fit.fittedvalues.index)
    pd.testing.assert_series_equal(bayes.ngrps, fit.ngrps)
    assert bayes.nobs == fit.nobs
    assert bayes.formula == fit.formula


def test_varcorr_has_the_rows_of_lmerfit(any_fit):
    fit, bayes = any_fit
    given, found = fit.varcorr().to_frame(), bayes.varcorr().to_frame()
    assert list(found.columns[:6]) == list(given.columns)
    structured = [t for t in fit.design.terms if t.hom or t.structure.name in ("cs", "ar1")]
    if not structured:  # those have fewer parameters than lme4's table has rows
        keys = ["group", "var1", "var2"]
        pd.testing.assert_frame_equal(found[keys], given[keys])
    assert (found["conf_low"] <= found["estimate"]).all()
    assert (found["estimate"] <= found["conf_high"]).all()
    assert bayes.varcorr().sigma == pytest.approx(bayes.sigma)


def test_expected_values_are_the_design_times_the_draws(any_fit):
    fit, bayes = any_fit
    design = fit.design
    effects = effect_draws(bayes.data, design)
    b = np.concatenate([e.reshape(len(e), -1) for e in effects], axis=1)
    Z = z_matrix(design).toarray()
    dense = fixed_draws(bayes.data, design) @ design.X.T + b @ Z.T + design.offset
    rows = fitted_rows(bayes.data, design)
    rng = np.random.default_rng(0)
    np.testing.assert_allclose(all_draws(rows, type="response", rng=rng), dense, atol=1e-9)
    np.testing.assert_allclose(bayes.fittedvalues, dense.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(bayes.resid, design.y - dense.mean(axis=0), atol=1e-9)
    predicted = bayes.predict()
    np.testing.assert_allclose(predicted["estimate"], bayes.fittedvalues, atol=1e-9)
    np.testing.assert_allclose(predicted["conf_high"], np.quantile(dense, 0.975, axis=0), atol=1e-9)


def test_covariances_are_positive_semidefinite_and_in_the_units_of_the_table(any_fit):
    fit, bayes = any_fit
    for term, cov in zip(fit.design.terms, covariance_draws(bayes.data, fit.design), strict=True):
        assert cov.shape == (100, len(term.columns), len(term.columns))
        assert np.linalg.eigvalsh(cov).min() > -1e-9
    table = bayes.varcorr().table
    sds = table[table["kind"] == "sd"]
    first = covariance_draws(bayes.data, fit.design)[0][:, 0, 0]
    assert sds["vcov"].iloc[0] == pytest.approx(first.mean())


def test_log_likelihood_is_the_normal_density(any_fit):
    from scipy.stats import norm

    fit, bayes = any_fit
    design = fit.design
    mu = all_draws(fitted_rows(bayes.data, design), type="response", rng=np.random.default_rng(0))
    sigma = np.asarray(bayes.data["posterior"]["sigma"]).reshape(-1, 1) / np.sqrt(design.weights)
    expected = norm(mu, sigma).logpdf(design.y)
    found = bayes.data["log_likelihood"]["y"].values.reshape(100, -1)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_draws_have_no_level(any_fit):
    with pytest.raises(nm.errors.OptionError, match="draws=True"):
        any_fit[1].predict(draws=True, level=0.9)


def test_estimates_are_means_and_spreads_of_the_draws(sleep):
    _, bayes = sleep
    draws = bayes.data["posterior"]["Days"].values.ravel()
    assert bayes.fixef["Days"] == pytest.approx(draws.mean())
    assert bayes.bse["Days"] == pytest.approx(draws.std(ddof=1))
    table = bayes.parameters(level=0.9)
    assert table.loc["Days", "conf_low"] == pytest.approx(np.quantile(draws, 0.05))
    b = bayes.data["posterior"]["Days|Subject"].sel({"Subject__factor_dim": "309"}).values
    row = bayes.ranef().query("term == 'Days' and level == '309'").iloc[0]
    assert row.estimate == pytest.approx(b.mean())
    assert bayes.coef()["Subject"].loc["309", "Days"] == pytest.approx(b.mean() + draws.mean())
    assert list(bayes.ranef(condvar=False).columns) == ["group", "term", "level", "estimate"]


def test_parameters_agree_with_arviz(sleep):
    _, bayes = sleep
    names = ["Intercept", "Days", "1|Subject_sigma", "sigma"]
    theirs = az.summary(bayes.data, var_names=names, ci_prob=0.95, ci_kind="eti", round_to="none")
    ours = bayes.parameters().set_index("variable").loc[names]
    for mine, column in {"estimate": "mean", "std_error": "sd", "conf_low": "eti95_lb",
                         "r_hat": "r_hat",
                         "ess_bulk": "ess_bulk", "ess_tail": "ess_tail"}.items():  # fmt: skip
        np.testing.assert_allclose(ours[mine], theirs[column].astype(float), rtol=1e-3)


def test_importance_draws_have_no_r_hat(sleep):
    """Their effective draws are those of the weights, for each parameter its own."""
    from dataclasses import replace

    from xarray import Dataset, DataTree

    _, bayes = sleep
    rng = np.random.default_rng(1)
    shape = bayes.n_chains, bayes.n_draws
    variance = rng.gamma(2.0, 0.5, shape) / np.prod(shape)
    data = bayes.data.copy()
    stats = Dataset({"importance_variance": (("chain", "draw"), variance)})
    data["sample_stats"] = DataTree(stats)
    run = replace(bayes.run, sampler="psis", khat=0.3, ess=321.0)
    bayes = replace(bayes, run=run, data=data)
    table = bayes.parameters()
    assert table["r_hat"].isna().all() and bayes.divergences is None

    def effective(values):
        away = (values - values.mean()) ** 2
        return away.sum() / (variance * away).sum()

    for name in ("Days", "sigma"):
        draws = data["posterior"][name].values
        assert table.loc[name, "ess_bulk"] == pytest.approx(effective(draws))
        tails = min(effective(draws <= np.quantile(draws, q)) for q in (0.05, 0.95))
        assert table.loc[name, "ess_tail"] == pytest.approx(tails)
    assert f"Pareto k 0.30; smallest ESS {table['ess_bulk'].min():.0f}" in str(bayes)
    own = bayes.hypothesis("Days > 10").table.iloc[0]
    holds = data["posterior"]["Days"].values > 10
    p = holds.mean()
    assert own["mcse"] == pytest.approx(np.sqrt(p * (1 - p) / effective(holds)))


def test_na_exclude_pads_rows():
    frame = nm.load_dataset("sleepstudy").copy()
    frame.loc[3, "Reaction"] = np.nan
    fit = nm.lmer("Reaction ~ Days + (1 | Subject)", frame, na_action="exclude")
    bayes = fake_bayesfit(fit)
    for values in (
        bayes.fittedvalues,
        bayes.resid,
        bayes.predict()["std_error"],
        bayes.simulate()["sim_1"],
    ):
        assert len(values) == 180
        assert np.isnan(values.iloc[3])
        assert values.notna().sum() == 179


# --- predictions -------------------------------------------------------------------------------
def test_known_groups_are_predicted_as_at_the_fit(sleep):
    _, bayes = sleep
    frame = nm.load_dataset("sleepstudy")
    new = frame[["Days", "Subject"]].iloc[[5, 100]]
    pd.testing.assert_frame_equal(bayes.predict(new), bayes.predict().iloc[[5, 100]])
    assert list(bayes.predict(new).index) == [5, 100]


def test_new_groups(sleep):
    _, bayes = sleep
    new = pd.DataFrame({"Days": [0.0, 5.0, 9.0, 9.0], "Subject": ["308", "new", "new", "other"]})
    with pytest.raises(nm.errors.NewLevelsError, match="new"):
        bayes.predict(new)
    population = bayes.predict(new, new_levels="population", draws=True)
    fixed = fixed_draws(bayes.data, bayes.design)
    np.testing.assert_allclose(
        population.values[..., 2].ravel(), fixed[:, 0] + 9.0 * fixed[:, 1], atol=1e-9
    )
    sampled = bayes.predict(new, new_levels="sample", seed=1, draws=True)
    np.testing.assert_array_equal(sampled.values[..., 0], population.values[..., 0])
    extra = (sampled - population).values.reshape(-1, 4)
    # one intercept and one slope per draw and group: known from two rows of the same group
    slope = (extra[:, 2] - extra[:, 1]) / 4.0
    sd = bayes.data["posterior"]["Days|Subject_sigma"].values.ravel()
    z = slope / sd
    assert abs(z.std() - 1.0) < 4.0 / np.sqrt(2 * z.size)
    assert abs(np.corrcoef(extra[:, 2], extra[:, 3])[0, 1]) < 4.0 / np.sqrt(z.size)
    again = bayes.predict(new, new_levels="sample", seed=1, draws=True)
    np.testing.assert_array_equal(again.values, sampled.values)


def test_rows_with_missing_values_are_missing(sleep):
    _, bayes = sleep
    new = pd.DataFrame({"Days": [np.nan, 1.0], "Subject": ["308", None]})
    found = bayes.predict(new, new_levels="sample", seed=1)
    assert found.iloc[0].isna().all()
    assert found.iloc[1].notna().all()


def test_responses_are_wider_than_means_by_sigma(sleep):
    _, bayes = sleep
    mean = bayes.predict()
    response = bayes.predict(type="prediction", seed=3)
    noise = np.sqrt(response["std_error"] ** 2 - mean["std_error"] ** 2)
    assert noise.mean() == pytest.approx(bayes.sigma, rel=0.05)
    assert bayes.predict(re_form=False)["estimate"].nunique() == 10


# --- prior weights -----------------------------------------------------------------------------
@pytest.fixture(scope="module")
def weighted():
    fit = nm.lmer("y ~ x + (1 | f1)", data(), weights="w")
    return fit, fake_bayesfit(fit, weights_column="w")


@pytest.mark.parametrize("given", [{}, {"weights": "w"}, {"weights": data()["w"].to_numpy()}])
def test_new_responses_spread_by_their_weights(weighted, given):
    _, bayes = weighted
    options = {"type": "prediction", "seed": 1}
    # the rows of the fit as new data
    again = bayes.predict(data(), **options, **given)
    pd.testing.assert_frame_equal(again, bayes.predict(**options), check_index_type=False)
    ten = data().head(1).assign(w=1e-4).loc[[0, 0]].assign(w=[1e-4, 1e4])
    few, many = bayes.predict(ten, type="prediction", draws=True, seed=1).values.reshape(-1, 2).T
    mean = bayes.predict(ten, draws=True).values.reshape(-1, 2)
    sigma = bayes.data["posterior"]["sigma"].values.ravel()
    np.testing.assert_allclose(np.std((few - mean[:, 0]) / sigma), 100.0, rtol=0.1)
    np.testing.assert_allclose(np.std((many - mean[:, 1]) / sigma), 0.01, rtol=0.1)


def test_weights_of_new_rows_are_asked_for(weighted):
    fit, bayes = weighted
    new = data()[["x", "f1"]].head(3)
    assert bayes.predict(new).shape == (3, 4)  # means need none
    with pytest.raises(nm.errors.ColumnNotFoundError, match="'w' is neither a column"):
        bayes.predict(new, type="prediction")
    array = fake_bayesfit(fit)
    with pytest.raises(nm.DataError, match="give weights="):
        array.predict(new, type="prediction")
    assert array.predict(new, type="prediction", weights=[1.0, 2.0, 3.0], seed=1).shape == (3, 4)
    with pytest.raises(nm.errors.WeightsError, match="must not be negative"):
        array.predict(new, type="prediction", weights=[1.0, 2.0, -3.0])
    with pytest.raises(nm.errors.OptionError, match="weights= belongs to new data"):
        bayes.predict(weights="w")


def test_a_sampled_fit_remembers_its_column_of_weights():
    model = nm.Model("y ~ x + (1 | f1)", data(), weights="w")
    assert model.sample(sampler="psis", draws=100, seed=1).weights_column == "w"
    fit = nm.lmer("y ~ x + (1 | f1)", data(), weights="w")
    assert fit.sample(sampler="psis", draws=100, seed=1).weights_column == "w"


def test_population_needs_no_groups(sleep):
    _, bayes = sleep
    new = pd.DataFrame({"Days": [2.0], "Subject": ["nobody"]})
    found = bayes.predict(new, re_form=False)
    assert found["estimate"].iloc[0] == pytest.approx(bayes.fixef @ [1.0, 2.0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"type": "median"}, "type='median' is unknown; known: response, link, prediction"),
        ({"new_levels": "guess"}, "new_levels='guess' is unknown"),
        ({"new_levels": "guess", "re_form": False}, "new_levels='guess' is unknown"),
        ({"level": 95}, "level must be between 0 and 1"),
    ],
)
def test_bad_options_of_predict(sleep, options, message):
    _, bayes = sleep
    with pytest.raises(nm.errors.OptionError, match=message):
        bayes.predict(nm.load_dataset("sleepstudy"), **options)


# --- replicates --------------------------------------------------------------------------------
def test_simulate(sleep):
    _, bayes = sleep
    found = bayes.simulate(50, seed=2)
    assert list(found.columns[:2]) == ["sim_1", "sim_2"]
    assert found.shape == (180, 50)
    pd.testing.assert_frame_equal(found, bayes.simulate(50, seed=2))
    # within groups replicates follow the fitted values; new groups do not
    near = (found.sub(bayes.fittedvalues, axis=0) ** 2).to_numpy().mean()
    fresh = bayes.simulate(50, seed=2, new_groups=True)
    assert near < 0.5 * (fresh.sub(bayes.fittedvalues, axis=0) ** 2).to_numpy().mean()
    assert bayes.simulate(1500, seed=1).shape == (180, 1500)  # more than there are draws


@pytest.mark.parametrize("nsim", [0, -1, 2.5, True])
def test_simulate_wants_a_number(sleep, nsim):
    with pytest.raises(nm.errors.OptionError, match="nsim must be a positive integer"):
        sleep[1].simulate(nsim)


def test_posterior_predictive_on_request(sleep):
    _, bayes = sleep
    assert "posterior_predictive" not in bayes.data.children
    more = bayes.with_posterior_predictive(seed=1)
    assert more.data["posterior_predictive"]["Reaction"].dims == ("chain", "draw", "__obs__")
    assert "posterior_predictive" not in bayes.data.children


# --- variance shares ---------------------------------------------------------------------------
def test_icc_of_random_intercepts_is_the_textbook_ratio():
    fit = nm.lmer("strength ~ 1 + (1 | batch/cask)", nm.load_dataset("Pastes"))
    bayes = fake_bayesfit(fit)
    post = {name: bayes.data["posterior"][name].values.ravel() for name in
            ("1|batch_sigma", "1|cask:batch_sigma", "sigma")}  # fmt: skip
    total = sum(x**2 for x in post.values())
    found = bayes.icc()
    assert list(found.index) == ["cask:batch", "batch", "Residual"]
    assert found.loc["batch", "estimate"] == pytest.approx(
        (post["1|batch_sigma"] ** 2 / total).mean()
    )
    assert found["estimate"].sum() == pytest.approx(1.0)


def test_r2(any_fit):
    fit, bayes = any_fit
    found = bayes.r2()
    assert list(found.index) == ["bayes", "marginal", "conditional"]
    assert found["estimate"].between(0.0, 1.0).all()
    assert found.loc["marginal", "estimate"] <= found.loc["conditional", "estimate"]
    rng = np.random.default_rng(0)
    mu = all_draws(fitted_rows(bayes.data, fit.design), type="response", rng=rng)
    explained = (mu - fit.design.offset).var(axis=1)
    sigma2 = bayes.data["posterior"]["sigma"].values.ravel() ** 2 * np.mean(1 / fit.design.weights)
    assert found.loc["bayes", "estimate"] == pytest.approx(
        (explained / (explained + sigma2)).mean()
    )


# --- ArviZ takes the data unchanged ------------------------------------------------------------
def test_arviz_takes_the_data(sleep):
    _, bayes = sleep
    # the diagonal of a correlation matrix never moves: ArviZ divides zero by zero there
    with np.errstate(invalid="ignore"):
        table = az.summary(bayes.data)
    assert {"Days", "1|Subject[308]", "Subject_corr[Days, 1]"} <= set(table.index)
    with pytest.warns(UserWarning, match="Pareto"):  # the draws are not a posterior's
        mine, theirs = bayes.loo(), az.loo(bayes.data)
    assert mine.elpd == theirs.elpd
    assert list(az.compare({"a": mine, "b": theirs}).index) == ["a", "b"]
    assert bayes.data["observed_data"]["Reaction"].shape == (180,)
    assert bayes.data["posterior"]["1|Subject"].dims == ("chain", "draw", "Subject__factor_dim")


def test_plots_of_arviz_take_the_data(sleep):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    az.plot_trace_dist(sleep[1].data, var_names=["Days", "sigma"], backend="matplotlib")
    matplotlib.pyplot.close("all")


def test_no_log_likelihood_where_it_would_be_huge(sleep, monkeypatch):
    from nestedmlm.posterior import datatree, loglik

    fit, _ = sleep
    monkeypatch.setattr(loglik, "LARGEST", 1000)
    found = datatree.complete(fake_posterior(fit), fit.design)
    assert "log_likelihood" not in found.children
    assert "observed_data" in found.children


# --- the record --------------------------------------------------------------------------------
def test_frozen_and_model_built_on_demand(sleep):
    fit, bayes = sleep
    with pytest.raises(FrozenInstanceError):
        bayes.design = None
    assert bayes.given_model is None
    assert bayes.model is bayes.model
    names = {v.name for v in bayes.model.unobserved_RVs}
    assert set(parameter_names(fit.design).parameters) <= names


def test_a_warning_about_the_draws_names_the_users_line(sleep):
    fit, _ = sleep
    with pytest.warns(nm.errors.SamplingWarning, match="only .* effective draws") as caught:
        found = nm.BayesFit.from_pymc(fake_posterior(fit, chains=2, draws=20), fit)
    (warning,) = caught
    assert warning.filename == __file__
    assert str(warning.message) in "; ".join(found.messages)


def test_summary_is_a_view(sleep):
    _, bayes = sleep
    view = bayes.summary(level=0.9)
    assert {"varcorr", "coefficients"} <= view.tables.keys()
    text = str(view)
    assert "Formula: Reaction ~ Days + (Days | Subject)" in text
    assert "4 chains of 250 draws by normal" in text
    assert "5 %" in text
    assert "corr((Intercept), Days)" in text
    assert "Number of obs: 180, groups:  Subject, 18" in text
    assert "<table" in bayes._repr_html_()
    assert "| Groups |" in view.to_markdown()
    assert str(bayes) == str(bayes.summary())


def test_a_report_opens_as_that_of_the_fit():
    """Same rows, groups, weights and offset; only how it was fitted differs."""
    frame = nm.load_dataset("Dyestuff").assign(w=[1.0, 2.0, 0.5] * 10, o=[1.0, -1.0] * 15)
    fit = nm.lmer("Yield ~ 1 + (1 | Batch)", frame, weights="w", offset="o")
    posterior = fit.sample(sampler="psis", draws=250, seed=1)
    told, own = (" ".join(str(one.report()).split()) for one in (fit, posterior))
    how = ("restricted maximum likelihood", "sampling from its posterior")
    opening = told.partition(". ")[0]
    assert "weights w" in opening and "offset o" in opening
    assert own.startswith(f"{opening.replace(*how)}. Priors: Intercept ~ ")
