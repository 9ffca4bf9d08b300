"""Smooth terms: numbers against mgcv 1.8-41 (`gam` by REML), new data, what is refused."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.design.smooth_bases import learn_basis
from nestedmlm.inference.effects.curve_coefficients import mean_method
from nestedmlm.inference.effects.ddf import df_method

N = 120


def table() -> pd.DataFrame:
    i = np.arange(N)
    x = np.round(10 * ((i * 0.618034) % 1), 3)
    g = i % 8
    wave = np.sin(7 * i + 1)  # no random numbers: R has the same
    curve = np.where(i % 2 == 0, 2 * np.sin(x), 0.3 * (x - 5) ** 2 / 5)
    return pd.DataFrame({
        "y": np.round(curve + 0.4 * np.cos(3 * g) + 0.5 * wave, 5),
        "x": x,
        "z": np.round(np.cos(2 * i), 3),
        "f": np.where(i % 2 == 0, "A", "B"),
        "g": [f"g{k}" for k in g],
        "w": 1 + 0.5 * np.sin(i),
    })  # fmt: skip


# of each model: sigma, sum of the leverages; of each curve edf, Ref.df, F (where mgcv's is not one
# of two), estimates and standard errors at three values; two predictions with standard errors
MGCV = {
    "y ~ s(x, k=8) + (1 | g)": dict(
        sigma=0.652216222934, total=12.2576440043,
        terms={"s(x)": (6.120247983, 6.739973486)},
        curves=[0.31469823519, -1.41336030604, -0.189733772967],
        errors=[0.277094826073, 0.130681826788, 0.274801377004],
        new=[0.120266239758, -1.26299591197], new_errors=[0.194829559783, 0.992641212131],
    ),
    "y ~ f + s(x, by=f, k=8, bs='cr') + (1 | g)": dict(
        sigma=0.25035556124, total=18.6281795595,
        terms={"s(x):fA": (6.880261692, 6.993971138), "s(x):fB": (4.905475096, 5.797007654)},
        curves=[-0.354055224856, -2.12821774218, -1.62661072305,
                1.11323144911, -0.702878950755, 1.15075125604],
        errors=[0.144674525793, 0.068945017487, 0.161147980293,
                0.146822671504, 0.0617792707891, 0.136494328535],
        new=[0.439000623915, 2.23587132072], new_errors=[0.0933948632785, 0.437818508623],
    ),
    "y ~ s(x, by=z, k=8, bs='ps') + (1 | g)": dict(
        sigma=1.03973509811, total=6.470900791,
        terms={"s(x):z": (2.000000001, 2.000000002)},
        curves=[0.0414227937146, -0.013645953715, -0.0687147013884],
        errors=[0.26655647874, 0.133998011974, 0.256176495448],
        new=[0.511156517067, 0.374213445518], new_errors=[0.25040202977, 0.249651833104],
    ),
    "y ~ s(x, k=8, bs='cr') + s(z, k=6) + (1 | g)": dict(
        sigma=0.640697697175, total=13.3197273148,
        terms={"s(x)": (6.108812514, 6.731462804), "s(z)": (1.000000001, 1.000000002)},
        curves=[0.358742504351, -1.40263432969, -0.294132768623,
                0.0262928797585, 0.000139701556962, -0.0260134766366],
        errors=[0.260251994996, 0.124133349471, 0.274712941523,
                0.0831926961865, 0.000442034633299, 0.0823086431948],
        new=[0.0971997522587, -1.64722370509], new_errors=[0.206253896316, 0.99503593931],
    ),
}  # fmt: skip
WEIGHTED = "y ~ s(x, k=8, bs='cr') + s(z, k=6) + (1 | g)"


@pytest.fixture(scope="module")
def fits() -> dict[str, nm.LmerFit]:
    data = table()
    return {text: nm.lmer(text, data, weights="w" if text == WEIGHTED else None) for text in MGCV}


@pytest.mark.parametrize("text", MGCV)
def test_sizes_and_curves_are_mgcvs(fits, text):
    fit, known = fits[text], MGCV[text]
    assert fit.sigma == pytest.approx(known["sigma"], rel=1e-7)
    assert fit.hatvalues().sum() == pytest.approx(known["total"], rel=1e-6)
    found = fit.smooths(points=3)
    assert list(found.terms.index) == list(known["terms"])
    sizes = np.array(list(known["terms"].values()))
    np.testing.assert_allclose(found.terms[["edf", "ref_df"]], sizes, rtol=1e-6)
    np.testing.assert_allclose(found.curves["estimate"], known["curves"], atol=3e-6)
    np.testing.assert_allclose(found.curves["std_error"], known["errors"], rtol=3e-5, atol=1e-6)


@pytest.mark.parametrize("text", MGCV)
def test_new_values_are_predicted_as_by_mgcv(fits, text):
    new = table().head(2).assign(x=[3.3333, 12.0])  # neither was there; one is outside
    found = fits[text].predict(new, se_fit=True)
    np.testing.assert_allclose(found["estimate"], MGCV[text]["new"], atol=3e-6)
    np.testing.assert_allclose(found["std_error"], MGCV[text]["new_errors"], rtol=1e-6)


def test_f_statistic_and_p_value_are_mgcvs(fits):
    """Where the rank is whole, mgcv's statistic does not depend on the sign of a vector."""
    own = fits["y ~ s(x, by=z, k=8, bs='ps') + (1 | g)"].smooths().terms.loc["s(x):z"]
    assert own["statistic"] == pytest.approx(0.03648095941, rel=1e-6)
    assert own["p_value"] == pytest.approx(0.9641876723, rel=1e-6)


def test_likelihood_is_mgcvs():
    """`gam(method = "ML")`; its REML differs by a constant, that of the scale of the lines."""
    fit = nm.lmer("y ~ f + s(x, by=f, k=8, bs='cr') + (1 | g)", table(), REML=False)
    assert fit.deviance == pytest.approx(59.4947902741, rel=1e-9)


def test_population_includes_the_curve(fits):
    fit = fits["y ~ s(x, k=8) + (1 | g)"]
    data = table()
    curve = fit.predict(data, re_form=False)
    both = fit.predict(data) - curve
    assert np.ptp(curve - fit.fixef["(Intercept)"]) > 1.0
    # what is left is one number for each group
    assert np.ptp(both.groupby(data.g).transform("mean") - both) < 1e-10


def test_curves_for_each_level_are_one_variance():
    """``(s(x) | g)`` is the basis as columns with one SD, as `diag` has it."""
    data = table()
    fit = nm.lmer("y ~ x + (1 | g) + (s(x, k=5) | g)", data)
    for j, column in enumerate(learn_basis(data.x, k=5)(data.x).T):
        data[f"c{j}"] = column
    twin = nm.lmer("y ~ x + (1 | g) + diag(0 + c0 + c1 + c2 | g, hom=True)", data)
    assert fit.reml_criterion == pytest.approx(twin.reml_criterion, rel=1e-9)
    np.testing.assert_allclose(fit.solution.fitted, twin.solution.fitted, atol=1e-5)
    assert fit.smooths().terms.index.tolist() == ["(s(x, k = 5) | g)"]


def test_bases_are_learned_from_complete_rows():
    """A row without a response moves neither knots nor the constraint, as in mgcv."""
    data = table()
    more = pd.concat([data, data.head(1).assign(x=50.0, y=np.nan)], ignore_index=True)
    one, two = (nm.lmer("y ~ s(x, k=8) + (1 | g)", d) for d in (data, more))
    assert two.reml_criterion == pytest.approx(one.reml_criterion, rel=1e-10)


def test_names_and_places(fits):
    fit = fits["y ~ f + s(x, by=f, k=8, bs='cr') + (1 | g)"]
    components = fit.varcorr().to_frame()
    assert components["term"].tolist()[1:3] == ["sd_s(x):fA|s(x):f", "sd_s(x):fB|s(x):f"]
    assert "Number of obs: 120, groups:  g, 8" in str(fit.summary())
    assert "Smooth terms:" in str(fit.summary())
    assert fit.ngrps.to_dict() == {"g": 8}
    assert fit.formula == 'y ~ f + s(x, by = f, k = 8, bs = "cr") + (1 | g)'
    assert pickle.loads(pickle.dumps(fit)).predict(table().head(1)).iloc[0] == pytest.approx(
        fit.predict(table().head(1)).iloc[0], rel=1e-12
    )


def test_curve_without_the_penalised_part_is_a_line(fits):
    """A response on a line: no SD, one degree of freedom, the straight line's test."""
    data = table().assign(y=lambda d: d.x + 0.1 * np.cos(5 * np.arange(N)))
    fit = nm.lmer("y ~ s(x, k=6) + (1 | g)", data)
    line = nm.lmer("y ~ x + (1 | g)", data)
    own = fit.smooths().terms.loc["s(x)"]
    if own["sd"] == 0.0:
        assert own["edf"] == 1.0
        assert own["statistic"] == pytest.approx(line.tvalues["x"] ** 2, rel=1e-6)


def test_several_curves_beside_crossed_factors_are_the_dense_model(fits):
    """The engine against generalized least squares with V written out."""
    data = table().assign(h=lambda d: [f"h{i % 5}" for i in range(N)])
    fit = nm.lmer("y ~ s(x, k=6) + s(z, k=5, bs='cr') + (1 | g) + (1 | h)", data)
    V, design = np.eye(N), fit.design
    for term, T in zip(design.terms, fit.solution.T, strict=True):
        codes = design.factors[term.factor].codes
        Z = (codes[:, None] == np.arange(codes.max() + 1))[:, :, None] * term.X[:, None, :]
        Z = (Z @ T).reshape(N, -1)
        V += Z @ Z.T
    X, W = design.X, np.linalg.inv(V)
    beta = np.linalg.solve(X.T @ W @ X, X.T @ W @ design.y)
    np.testing.assert_allclose(fit.solution.beta, beta, rtol=1e-7, atol=1e-8)
    r = design.y - X @ beta
    assert fit.sigma == pytest.approx(np.sqrt(r @ W @ r / (N - X.shape[1])), rel=1e-8)


REFUSED = {
    "icc": lambda f: f.icc(),
    "r2": lambda f: f.r2(),
    "variance_partition": lambda f: f.variance_partition(),
    "means by Kenward and Roger": lambda f: nm.emmeans(f, "x", ddf="kenward-roger"),
    "means by clusters": lambda f: nm.emmeans(f, "x", vcov="CR2"),
    "capsule": lambda f: f.capsule("never.json"),
    "cluster-robust": lambda f: f.cov_params("CR2"),
    "power": lambda f: f.power("x", nsim=5, progress=False),
    "planned_power": lambda f: nm.planned_power(f, "x"),
    "fragility": lambda f: f.fragility("x", by="g", progress=False),
}


# emmeans 1.8.4 of mgcv's gam with s(g, bs="re"): means, standard errors, residual df
MEANS = [-1.4113796723, -0.5156971304], [0.10274507189, 0.09707645358]


def curved_means(fit, **options):
    found = nm.emmeans(fit, "f", **options).to_frame()
    return found["estimate"], found["std_error"]


def test_means_are_emmeans_of_gam(fits):
    fit = fits["y ~ f + s(x, by=f, k=8, bs='cr') + (1 | g)"]
    for found, known in zip(curved_means(fit), MEANS, strict=True):
        np.testing.assert_allclose(found, known, rtol=1e-6)
    df = nm.emmeans(fit, "f", ddf="residual").to_frame()["df"]
    np.testing.assert_allclose(df, N - 18.6281795595, rtol=1e-6)


def test_means_and_slopes_are_predictions(fits):
    fit = fits["y ~ f + s(x, by=f, k=8, bs='cr') + (1 | g)"]
    grid = pd.DataFrame({"x": [1.0, 6.0, 1.0, 6.0], "f": ["A", "A", "B", "B"]})
    means = nm.emmeans(fit, ["f", "x"], at={"x": [1.0, 6.0]}).to_frame()
    means = means.sort_values(["f", "x"]).reset_index()
    np.testing.assert_allclose(means["estimate"], fit.predict(grid, re_form=False), rtol=1e-10)
    known = fit.predict(grid, re_form=False, se_fit=True)
    np.testing.assert_allclose(means["std_error"], known["std_error"], rtol=1e-8)
    h = 1e-4
    up, down = (fit.predict(grid.assign(x=grid.x + s), re_form=False) for s in (h, -h))
    trends = nm.emtrends(fit, ["f", "x"], var="x", at={"x": [1.0, 6.0]}).to_frame()
    trends = trends.sort_values(["f", "x"])
    np.testing.assert_allclose(trends["estimate"], (up - down) / (2 * h), rtol=1e-4)


@pytest.mark.parametrize("options", [{}, {"residual": "ar1(t | g)"}, {"dispersion": "~ f"}])
def test_satterthwaite_with_curves_is_that_of_fixed_effects(options):
    data = table().sort_values(["g", "x"]).assign(t=np.tile(np.arange(N // 8), 8))
    fit = nm.lmer("y ~ f + s(x, k=6, bs='cr') + (1 | g)", data, **options)
    whole = mean_method(fit.core, "satterthwaite")
    own = df_method(fit.core, "satterthwaite")
    p, q = fit.design.p, len(whole.beta)
    L = np.eye(q)[:p]
    np.testing.assert_allclose(whole.cov[:p, :p], own.cov, rtol=1e-9)
    np.testing.assert_allclose(whole.rows(L), own.rows(np.eye(p)), rtol=1e-5)
    # and of a curve's own coefficient, the dense inverse of Henderson's equations
    if not options:
        s = fit.solution
        Z = [t.X if fit.design.factors[t.factor].is_whole else
             (fit.design.factors[t.factor].codes[:, None] == np.arange(8)) * 1.0
             for t in fit.design.terms]  # fmt: skip
        W = np.hstack([fit.design.X, *Z])
        ridge = [np.full(z.shape[1], float(T[0, 0]) ** -2) for z, T in zip(Z, s.T, strict=True)]
        C = s.sigma**2 * np.linalg.inv(W.T @ W + np.diag(np.concatenate([np.zeros(p), *ridge])))
        first = p + (0 if fit.design.factors[fit.design.terms[0].factor].is_whole else 8)
        at = [*range(p), *range(first, first + q - p)]
        np.testing.assert_allclose(whole.cov, C[np.ix_(at, at)], rtol=1e-7, atol=1e-9)


def test_means_of_posteriors_and_generalized_models(fits):
    fit = fits["y ~ f + s(x, by=f, k=8, bs='cr') + (1 | g)"]
    posterior = fit.sample(sampler="psis", draws=250, seed=1)
    for found, known in zip(curved_means(posterior), curved_means(fit), strict=True):
        np.testing.assert_allclose(found, known, rtol=0.4, atol=0.05)
    ax = posterior.plot.effect("x", by="f")
    line = ax.lines[0]
    new = pd.DataFrame({"x": line.get_xdata(), "f": "A"})
    known = posterior.predict(new, re_form=False)["estimate"]
    np.testing.assert_allclose(line.get_ydata(), known, rtol=1e-9)
    counts = table().assign(y=lambda d: np.round(np.exp(1.0 + d.y / 2.0)))
    counted = nm.glmer("y ~ f + s(x, k=6) + (1 | g)", counts, family="poisson")
    means = nm.emmeans(counted, "f", type="response").to_frame()
    new = pd.DataFrame({"x": counts.x.mean(), "f": ["A", "B"]})
    known = counted.predict(new, re_form=False, type="response")
    np.testing.assert_allclose(means["estimate"], known, rtol=1e-9)


@pytest.mark.parametrize("verb", REFUSED)
def test_what_is_not_worked_out_is_refused(fits, verb):
    with pytest.raises(nm.errors.NestedMLMError, match=r"smooths|curve"):
        REFUSED[verb](fits["y ~ s(x, k=8) + (1 | g)"])


@pytest.mark.parametrize(
    "text, said",
    [
        ("y ~ s(x, m=2)", "no option m"),
        ("y ~ s(x, z)", "one variable"),
        ("y ~ s(x, bs='re')", "no basis"),
        ("y ~ s(x, k=2)", "too small"),
        ("y ~ s(x, k=500)", "different values"),
        ("y ~ s(f)", "categorical|numeric|numbers"),
        ("y ~ z:s(x)", "only be added"),
        ("y ~ x - s(x)", "cannot be taken out"),
        ("y ~ (x + s(x) | g)", "stands alone"),
        ("y ~ log(s(x)) + (1 | g)", "term of its own"),
    ],
)
def test_formulas_that_are_refused(text, said):
    with pytest.raises(nm.errors.NestedMLMError, match=said):
        nm.lmer(text, table())


def test_data_without_rows_are_refused():
    with pytest.raises(nm.errors.PartitionError, match="learns from all rows"):
        nm.summarise("y ~ s(x) + (1 | g)", table())


def test_no_smooths_are_said(fits):
    with pytest.raises(nm.errors.OptionError, match="no smooth terms"):
        nm.lmer("y ~ x + (1 | g)", table()).smooths()


def test_posterior_has_the_same_curve(fits):
    """The same terms with priors: names, and predictions of new values near those of REML."""
    fit = fits["y ~ s(x, k=8) + (1 | g)"]
    posterior = fit.sample(sampler="psis", draws=300, seed=1)
    assert "sd_s(x)|s(x)" in posterior.parameters().index
    new = table().head(2).assign(x=[3.3333, 12.0])
    found, likely = posterior.predict(new), fit.predict(new, se_fit=True)
    np.testing.assert_allclose(found["std_error"], likely["std_error"], rtol=0.2)
    assert (abs(found["estimate"] - likely["estimate"]) < 0.3 * likely["std_error"]).all()
    both = posterior.predict(new, re_form=False)["estimate"]
    assert abs(both - fit.predict(new, re_form=False)).max() < 0.3


def test_other_models_have_curves():
    """A generalized model; a model of nothing else; residuals that differ."""
    data = table().assign(c=lambda d: (d.y > d.y.median()).astype(int))
    counts = nm.glmer("c ~ s(x, k=6) + (1 | g)", data, family="binomial")
    assert counts.predict(data.head(2).assign(x=[3.3333, 12.0])).notna().all()
    alone = nm.lmer("y ~ s(x, k=8)", data)
    assert alone.ngrps.empty
    differ = nm.lmer("y ~ s(x, k=8) + (1 | g)", data, dispersion="~ f")
    assert differ.reml_criterion < nm.lmer("y ~ s(x, k=8) + (1 | g)", data).reml_criterion


def test_singular_curves_are_diagnosed():
    fit = nm.lmer("y ~ s(z, k=6) + (1 | g)", table())
    assert fit.simplify().final.formula == "y ~ z + (1 | g)"
    assert "s(z): the standard deviation of s(z) is zero" in str(fit.diagnose())
    assert "R²" not in str(nm.etable(fit))


def test_line_that_other_columns_hold_is_not_counted():
    data = table()
    nothing = nm.lmer("y ~ poly(z, 2) + s(z, k=6) + (1 | g)", data).smooths().to_frame()
    assert nothing["edf"].item() == 0.0
    assert np.isnan(nothing[["statistic", "p_value"]].to_numpy(float)).all()
    fit = nm.lmer("y ~ poly(x, 2) + s(x, k=8)", data)
    edf = fit.smooths().to_frame()["edf"].item()
    assert edf == pytest.approx(fit.hatvalues().sum() - 3, abs=1e-8)


def test_bands_of_points_are_standard_errors_wide(fits):
    fit = next(iter(fits.values()))
    band = fit.smooths(points=5, level=0.9).curves
    half = 1.6448536269514722 * band["std_error"]
    np.testing.assert_allclose(band["conf_low"], band["estimate"] - half, rtol=1e-12)
    np.testing.assert_allclose(band["conf_high"], band["estimate"] + half, rtol=1e-12)
    with pytest.raises(nm.errors.OptionError, match="level"):
        fit.smooths(level=1.5)


def test_simultaneous_bands_hold_whole_curves():
    """The width is the quantile of the largest of the curve's statistics, drawn from scratch."""
    d = table().head(60)
    fit = nm.lmer("y ~ s(x, k=6) + (1 | g)", d)
    points, wide = fit.smooths(points=15).curves, fit.smooths(points=15, simultaneous=True).curves
    ratio = (wide["conf_high"] - wide["estimate"]) / wide["std_error"]
    assert ratio.to_numpy() == pytest.approx(ratio.iloc[0])
    pd.testing.assert_series_equal(points["std_error"], wide["std_error"])
    new = d.head(1).drop(columns="x").merge(pd.DataFrame({"x": points["x"]}), how="cross")
    t = next(i for i, term in enumerate(fit.design.terms) if term.smooth is not None)
    place = fit.design.terms[t]
    Z = fit.design.schema.states[fit.design.schema.bars[t].terms.variables[0].name](
        new["x"].to_numpy()
    )
    names = [n for n in fit.cov_params(full=True).index if f"{place.name}" in n]
    C = fit.cov_params(full=True).loc[["x", *names], ["x", *names]].to_numpy()
    A = np.column_stack([new["x"] - d["x"].mean(), Z])
    cov = A @ C @ A.T
    assert np.sqrt(np.diag(cov)) == pytest.approx(points["std_error"].to_numpy(), rel=1e-6)
    drawn = np.random.default_rng(1).multivariate_normal(np.zeros(15), cov, 20_000)
    largest = np.abs(drawn / np.sqrt(np.diag(cov))).max(axis=1)
    assert ratio.iloc[0] == pytest.approx(np.quantile(largest, 0.95), rel=0.02)
    assert ratio.iloc[0] > 2.2


def test_summary_says_where_a_curve_is_tested(fits):
    said = str(nm.lmer("y ~ s(x, k=6) + (1 | g)", table()).summary())
    assert "x: the straight part of s(x" in said and "under Smooth terms" in said
    assert "straight part" not in str(nm.lmer("y ~ x + (1 | g)", table()).summary())


# --- other residuals, other families --------------------------------------------------------------
# of mgcv's gamm: sigma, edf, the curve at three values and its standard errors
GAMM = {
    "autoregressive": (0.7262509, 6.26387855731,
        [0.3821357549, -1.3319324255, -0.1458809189], [0.2296765908, 0.1672437984, 0.2299394548]),
    "strata": (1.17676, 4.98090128029,
        [1.0460404848, -0.7531678452, 1.0046918445], [0.1461272807, 0.0614494757, 0.1357355638]),
}  # fmt: skip


@pytest.fixture(scope="module")
def structured() -> dict[str, nm.LmerFit]:
    d = table().assign(t=np.arange(N) // 8)
    return {
        "autoregressive": nm.lmer("y ~ s(x, k=8, bs='cr') + (1 | g)", d, residual="ar1(t | g)"),
        "strata": nm.lmer("y ~ f + s(x, k=8, bs='cr')", d, dispersion="~ f"),
    }


@pytest.mark.parametrize("name", GAMM)
def test_curves_beside_residual_structures_are_gamms(structured, name):
    sigma, edf, curve, error = GAMM[name]
    fit = structured[name]
    found = fit.smooths(points=3)
    assert fit.sigma == pytest.approx(sigma, rel=2e-6)
    assert found.terms["edf"].iloc[0] == pytest.approx(edf, rel=3e-6)
    np.testing.assert_allclose(found.curves["estimate"], curve, atol=2e-6)
    np.testing.assert_allclose(found.curves["std_error"], error, rtol=1e-6)
    assert "Smooth terms:" in str(fit.summary())


def test_known_strata_are_weights(structured):
    """The test of a curve too, whose rows are whitened by either."""
    fit = structured["strata"]
    ratio = fit.dispersion["estimate"].iloc[1]
    d = table().assign(w=lambda d: np.where(d.f == "B", ratio**-2.0, 1.0))
    one, other = (f.smooths().terms.loc["s(x)"] for f in
                  (fit, nm.lmer("y ~ f + s(x, k=8, bs='cr')", d, weights="w")))  # fmt: skip
    np.testing.assert_allclose(one, other, rtol=1e-4)
    assert one["ref_df"] != pytest.approx(one["edf"], rel=0.05)


def test_the_test_beside_correlated_residuals_is_of_whitened_rows(structured):
    """Wald's statistic, where the rank is whole: with a curve of numbers that is a line."""
    fit = nm.lmer("y ~ s(x, by=z, k=5, bs='cr')", table().assign(t=np.arange(N) // 8),
                  residual="ar1(t | g)")  # fmt: skip
    own = fit.smooths().terms.loc["s(x):z"]
    assert own["sd"] == 0.0
    names = [n for n in fit.params.index if "z" in n]
    b, V = fit.params[names], fit.cov_params().loc[names, names]
    assert own["statistic"] == pytest.approx(b @ np.linalg.solve(V, b) / 2.0, rel=1e-6)


def counts() -> pd.DataFrame:
    i, d = np.arange(N), table()
    d["count"] = np.floor(np.exp(0.25 * d.y + 1) + (np.sin(11 * i) + 1)).astype(int)
    d["yes"] = (np.sin(13 * i + 2) < np.tanh(0.5 * d.y)).astype(int)
    d["size"] = np.exp(0.3 * d.y + 0.3 * np.sin(17 * i))
    return d


def test_curves_of_counts_are_gamm4s():
    """`gamm4(..., family = poisson)`: glmer by Laplace's approximation."""
    fit = nm.glmer("count ~ s(x, k=8) + (1 | g)", counts(), family="poisson")
    found = fit.smooths(points=3)
    assert fit.criterion == pytest.approx(414.911784837, abs=1e-8)
    assert found.terms["edf"].iloc[0] == pytest.approx(1.94917114707, rel=1e-5)
    curve, error = [0.169660, -0.0985322, 0.0796187], [0.11970553, 0.05078078, 0.12095906]
    np.testing.assert_allclose(found.curves["estimate"], curve, atol=5e-6)
    np.testing.assert_allclose(found.curves["std_error"], error, rtol=1e-5)
    assert "Chi.sq" in str(found) and "Chi.sq" in str(fit.summary())


def test_curves_of_each_level_are_gamm4s():
    fit = nm.glmer("yes ~ f + s(x, by=f, k=6, bs='cr') + (1 | g)", counts(), family="binomial")
    found = fit.smooths(points=3)
    np.testing.assert_allclose(found.terms["edf"], [1.90231769143, 1.67181175676], rtol=1e-4)
    curves = [0.6307415, -0.3708758, 0.2706462, 0.4682881, -0.2710298, 0.3898219]
    errors = [0.7003012, 0.2727742, 0.6754591, 0.6224493, 0.2352560, 0.6135764]
    np.testing.assert_allclose(found.curves["estimate"], curves, atol=1e-4)
    np.testing.assert_allclose(found.curves["std_error"], errors, rtol=1e-4)
    assert fit.plot.curves()[0].get_ylabel() == "s(x):fA"


def test_tests_of_generalized_curves_are_mgcvs():
    """`gam(method = "ML")`, whose fixed effects are at the joint mode: chi-squared, or F."""
    fit = nm.glmer("count ~ s(x, k=8) + (1 | g)", counts(), family="poisson", nAGQ=0)
    own = fit.smooths().terms.loc["s(x)"]
    assert own["edf"] == pytest.approx(1.94888503917, rel=1e-4)
    assert own["ref_df"] == pytest.approx(2.42561526093, rel=1e-4)
    assert own["p_value"] == pytest.approx(0.22289203373675, rel=1e-4)
    fit = nm.glmer("size ~ s(x, k=8, bs='cr') + (1 | g)", counts(), family="gamma", nAGQ=0)
    own = fit.smooths(points=3)
    assert own.statistic == "F"
    assert own.terms["edf"].iloc[0] == pytest.approx(5.62970734873, rel=1e-6)
    assert own.terms["ref_df"].iloc[0] == pytest.approx(6.41643975113, rel=1e-6)
    curve = [0.1348611763, -0.4314869193, -0.1444682470]
    np.testing.assert_allclose(own.curves["estimate"], curve, atol=1e-6)
