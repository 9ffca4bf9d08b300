"""Pictures: what is on the axes; every one of them can be saved."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fake_posterior import fake_bayesfit

import nestedmlm as nm
from nestedmlm.plots.smoother import bin_means, smoother

plt = pytest.importorskip("matplotlib.pyplot", reason="pictures need matplotlib")
plots = nm.plots
SLEEP = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def sleep():
    return nm.lmer(SLEEP, nm.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def posterior(sleep):
    return fake_bayesfit(sleep)


@pytest.fixture(scope="module")
def pastes():
    return nm.lmer("strength ~ 1 + (1 | batch/cask)", nm.load_dataset("Pastes"))


@pytest.fixture(scope="module")
def cake():
    return nm.lmer("angle ~ recipe * temp + (1 | recipe:replicate)", nm.load_dataset("cake"))


@pytest.fixture(scope="module")
def many():
    """Two thousand groups, twelve thousand rows."""
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(2000), 6)
    x = rng.normal(size=g.size)
    y = rng.normal(size=2000)[g] + x + rng.normal(size=g.size)
    return nm.lmer("y ~ x + (1 | g)", pd.DataFrame({"g": g, "x": x, "y": y}))


def save(drawn, folder):
    """Write the figure; return the axes as a list."""
    cells = list(np.atleast_1d(np.asarray(drawn, dtype=object)).ravel())
    target = folder / "picture.png"
    cells[0].figure.savefig(target)
    assert target.stat().st_size > 3000
    return cells


BOTH = {
    "residuals": lambda fit: plots.residuals(fit),
    "scale_location": lambda fit: plots.scale_location(fit),
    "qq_residuals": lambda fit: plots.qq_residuals(fit),
    "check": lambda fit: plots.check(fit, nsim=5),
    "diagnostics": lambda fit: plots.diagnostics(fit),
    "caterpillar": lambda fit: plots.caterpillar(fit),
    "qq_random_effects": lambda fit: plots.qq_random_effects(fit),
    "shrinkage": lambda fit: plots.shrinkage(fit),
    "spaghetti": lambda fit: plots.spaghetti(fit, points=True),
    "trellis": lambda fit: plots.trellis(fit),
    "forest": lambda fit: plots.forest(fit, random=True, intercept=True),
    "variance_partition": lambda fit: plots.variance_partition(fit),
    "singularity": lambda fit: plots.singularity(fit),
    "effect": lambda fit: plots.effect(fit, "Days", data=nm.load_dataset("sleepstudy")),
}


@pytest.mark.parametrize("name", BOTH)
def test_both_engines(name, sleep, posterior, tmp_path):
    first = save(BOTH[name](sleep), tmp_path)
    second = save(BOTH[name](posterior), tmp_path)
    assert [ax.get_xlabel() for ax in first] == [ax.get_xlabel() for ax in second]
    assert all(ax.has_data() for ax in (*first, *second))


def test_nothing_is_shown(sleep, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *a, **k: pytest.fail("a picture was shown"))
    plots.residuals(sleep)


def test_axes_that_are_given_are_used(sleep):
    figure, (left, right) = plt.subplots(1, 2)
    assert plots.residuals(sleep, ax=left) is left
    drawn = plots.caterpillar(sleep, ax=[left, right])
    assert list(drawn) == [left, right]
    assert plt.get_fignums() == [figure.number]


def test_size_that_is_given_is_used(sleep):
    assert plots.residuals(sleep, figsize=(3.0, 2.0)).figure.get_size_inches().tolist() == [3, 2]
    assert plots.trellis(sleep, figsize=(8.0, 5.0))[0].figure.get_size_inches().tolist() == [8, 5]


def test_wrong_axes_are_refused(sleep):
    _, axes = plt.subplots(1, 3)
    with pytest.raises(nm.NestedMLMError, match="2 panels, ax holds 3"):
        plots.caterpillar(sleep, ax=axes)
    with pytest.raises(nm.NestedMLMError, match="one matplotlib axes"):
        plots.residuals(sleep, ax=axes)


def test_caterpillar_is_sorted_and_labelled(sleep):
    ax = plots.caterpillar(sleep, term="Days")
    modes = sleep.ranef().query("term == 'Days'").sort_values("estimate")
    assert [t.get_text() for t in ax.get_yticklabels()] == modes["level"].astype(str).tolist()
    dots = np.vstack([c.get_offsets() for c in ax.collections if len(c.get_offsets()) > 1])
    assert np.allclose(np.sort(dots[:, 0]), modes["estimate"])
    assert ax.get_title(loc="left") == "Days | Subject"


def test_caterpillar_of_thousands_has_no_labels(many, tmp_path):
    ax = save(plots.caterpillar(many), tmp_path)[0]
    assert len(ax.get_yticks()) == 0
    assert ax.get_ylabel() == "g: 2,000 levels, sorted"


def test_names_that_are_unknown_are_refused(sleep):
    for call, known in (
        (lambda: plots.caterpillar(sleep, term="day"), "Days"),
        (lambda: plots.caterpillar(sleep, group="subject"), "Subject"),
        (lambda: plots.spaghetti(sleep, "day"), "Days"),
        (lambda: plots.shrinkage(sleep, "day"), "Days"),
        (lambda: plots.trellis(sleep, levels=["999"]), "999"),
        (lambda: plots.singularity(sleep, term="x"), "Subject"),
        (lambda: plots.effect(sleep, "day"), "Days"),
        (lambda: plots.likelihood_surface(sleep, ("sd_x", "sigma")), "sd_Days"),
        (lambda: plots.forest(sleep, names=["a", "b"]), "one for each"),
        (lambda: plots.forest([sleep]), "one by one"),
        (lambda: plots.qq_random_effects(sleep, term="x"), "Days"),
    ):
        with pytest.raises(nm.NestedMLMError, match=known):
            call()


def test_residuals_of_many_rows_are_a_density(many, tmp_path):
    ax = save(plots.residuals(many), tmp_path)[0]
    assert type(ax.collections[0]).__name__ == "PolyCollection"
    low, high = ax.get_ylim()
    assert low == -high


def test_residuals_are_pearson_over_sigma(sleep):
    points = plots.residuals(sleep).collections[0].get_offsets()
    assert np.allclose(points[:, 0], sleep.fittedvalues)
    assert np.allclose(points[:, 1], sleep.residuals("pearson", scaled=True))


def test_weights_count_in_residuals():
    data = nm.load_dataset("sleepstudy").assign(w=np.linspace(0.5, 2.0, 180))
    fit = nm.lmer(SLEEP, data, weights="w")
    points = plots.residuals(fit).collections[0].get_offsets()
    assert np.allclose(points[:, 1], fit.residuals("pearson", scaled=True))


def test_rows_left_out_do_not_disturb():
    data = nm.load_dataset("sleepstudy")
    data.loc[3, "Reaction"] = np.nan
    for action in ("omit", "exclude"):
        fit = nm.lmer(SLEEP, data, na_action=action)
        assert len(plots.residuals(fit).collections[0].get_offsets()) == 179
        assert plots.leverage(fit).has_data()


def test_spaghetti_lines_are_the_coefficients(sleep):
    ax = plots.spaghetti(sleep)
    coefficients = sleep.coef()["Subject"]
    lines = ax.collections[0].get_segments()
    for line, (_, row) in zip(lines, coefficients.iterrows(), strict=True):
        assert np.allclose(line[:, 1], row["(Intercept)"] + row["Days"] * line[:, 0])
    population = ax.lines[0]
    expected = sleep.fixef["(Intercept)"] + sleep.fixef["Days"] * population.get_xdata()
    assert np.allclose(population.get_ydata(), expected)


def test_spaghetti_holds_other_predictors_at_their_means():
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(20), 8)
    data = pd.DataFrame({"g": g, "x": rng.normal(size=160), "z": rng.normal(size=160) + 4})
    data["y"] = data.x + 3 * data.z + rng.normal(size=20)[g] + rng.normal(size=160)
    fit = nm.lmer("y ~ x + z + (1 + x | g)", data)
    line = plots.spaghetti(fit, "x").lines[0]
    beta = fit.fixef
    expected = beta["(Intercept)"] + beta["x"] * line.get_xdata() + beta["z"] * data.z.mean()
    assert np.allclose(line.get_ydata(), expected)


def test_shrinkage_starts_at_least_squares(sleep):
    ax = plots.shrinkage(sleep)
    alone = ax.collections[1].get_offsets()
    one = nm.load_dataset("sleepstudy").query("Subject == '308'")
    slope, intercept = np.polyfit(one["Days"], one["Reaction"], 1)
    assert np.allclose(alone[0], [intercept, slope])
    model = ax.collections[2].get_offsets()
    assert np.allclose(model, sleep.coef()["Subject"][["(Intercept)", "Days"]])


def test_shrinkage_of_intercepts_has_one_dimension(pastes, tmp_path):
    ax = save(plots.shrinkage(pastes, group="batch"), tmp_path)[0]
    assert ax.get_xlabel() == "(Intercept)"
    assert len(ax.get_yticklabels()) == 10


def test_shrinkage_is_of_groups_and_not_of_curves(sleep):
    sleepstudy = nm.load_dataset("sleepstudy")
    both = nm.lmer("Reaction ~ s(Days, k=4) + (1 | Subject)", sleepstudy)
    assert "18 levels of Subject" in plots.shrinkage(both).get_title(loc="left")
    with pytest.raises(nm.errors.OptionError, match="is a smooth"):
        plots.shrinkage(nm.lmer("Reaction ~ s(Days, k=4)", sleepstudy))


def test_trellis_has_one_panel_per_group(sleep, many):
    cells = plots.trellis(sleep)
    assert [ax.get_title(loc="left") for ax in cells] == list(
        map(str, sleep.coef()["Subject"].index)
    )
    assert len(plots.trellis(many, "x")) == 24


def test_forest_of_several(sleep, posterior, pastes, tmp_path):
    ax = save(plots.forest(sleep, posterior, names=["a", "b"], random=True), tmp_path)[0]
    names = [t.get_text() for t in ax.get_yticklabels()]
    assert names == ["Days", "sd_(Intercept)|Subject", "sd_Days|Subject", "sigma"]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["a (REML)", "b (posterior)"]
    with pytest.raises(nm.NestedMLMError, match="nothing to draw"):
        plots.forest(pastes)


def test_variance_partition_is_the_icc(sleep):
    bars = plots.variance_partition(sleep).patches
    assert np.allclose([bar.get_width() for bar in bars], 100 * sleep.icc(by_group=True))


def test_singular_term_is_a_line():
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(30), 6)
    x = rng.normal(size=180)
    u = rng.normal(size=30)
    data = pd.DataFrame({"g": g, "x": x, "y": u[g] * (1 + 0.5 * x) + 0.3 * rng.normal(size=180)})
    fit = nm.lmer("y ~ x + (x | g)", data)
    assert fit.is_singular()
    ax = plots.singularity(fit)
    assert ax.get_title(loc="left") == "g: rank 1 of 2"
    outline = ax.lines[0].get_xydata()
    assert np.linalg.matrix_rank(outline - outline.mean(axis=0), tol=1e-3) == 1


def test_likelihood_surface_is_lowest_at_the_estimate(pastes, tmp_path):
    from nestedmlm.inference.profile.surface import criterion_surface
    from nestedmlm.likelihood.solution import results_at
    from nestedmlm.plots.surface import chosen_pair

    surface = criterion_surface(pastes.solution, chosen_pair(pastes, None), REML=True, size=15)
    assert surface.rise.min() >= -1e-9
    assert surface.at == pytest.approx(tuple(pastes.theta))
    theta = np.array([surface.x[3], surface.y[5]])
    there = results_at(pastes.design, theta, REML=True).reml_criterion
    assert surface.rise[5, 3] == pytest.approx(there - pastes.criterion, abs=1e-7)
    ax = save(plots.likelihood_surface(pastes, size=15), tmp_path)[0]
    assert ax.get_xlim()[0] > 0.0  # a cask's variance is not zero
    assert ax.get_ylim()[0] == 0.0


def test_surface_keeps_correlations(sleep):
    from nestedmlm.inference.profile.surface import moved_theta
    from nestedmlm.likelihood.solution import results_at
    from nestedmlm.plots.surface import chosen_pair

    first, second = chosen_pair(sleep, None)
    theta = moved_theta(sleep.solution, {first: 0.5, second: 0.1})
    T = results_at(sleep.design, theta, REML=True).T[0]
    assert np.allclose(np.linalg.norm(T, axis=1), [0.5, 0.1])
    rho = (T[0] @ T[1]) / (0.5 * 0.1)
    assert rho == pytest.approx(sleep.varcorr().blocks[0].corr[0, 1])


def test_leverage_names_the_largest(sleep):
    ax = plots.leverage(sleep, label=3)
    cook = sleep.cooks_distance().sort_values(ascending=False)
    named = [t.get_text() for t in ax.texts]
    assert set(map(str, cook.index[:3])) <= set(named)


def test_cooks_distance_of_groups(sleep, tmp_path):
    influence = sleep.influence("Subject", refit="none")
    ax = save(plots.cooks_distance(influence), tmp_path)[0]
    assert len(ax.get_xticklabels()) == 18
    top = influence.cooks_distance().idxmax()
    assert str(top) in [t.get_text() for t in ax.texts]


def test_profiles(pastes, tmp_path):
    profile = pastes.profile(progress=False)
    cells = save(plots.profile_zeta(profile), tmp_path)
    assert [ax.get_xlabel() for ax in cells] == list(profile.names)
    for i, ax in enumerate(cells):
        x, zeta = ax.lines[-1].get_data()
        assert np.all(np.diff(zeta) >= 0)
        assert np.interp(0.0, zeta, x) == pytest.approx(profile.curves[i].estimate, rel=1e-3)
    cells = save(plots.profile_pairs(profile, list(profile.names[:3])), tmp_path)
    assert len(cells) == 6
    with pytest.raises(nm.NestedMLMError, match="two parameters"):
        plots.profile_pairs(profile, ["sigma"])
    assert len(plots.profile_zeta(profile, "sigma")) == 1
    with pytest.raises(nm.NestedMLMError, match="no profile of x"):
        plots.profile_zeta(profile, ["x"])


def test_region_of_independent_normals_is_a_circle():
    from nestedmlm.inference.profile.regions import region_boundary

    zeta = np.linspace(-4, 4, 9)
    a, b = region_boundary((zeta, 0 * zeta), (zeta, 0 * zeta), 2.0)
    assert np.allclose(a**2 + b**2, 4.0)
    # a correlation of 0.6: the boundary of z' R^{-1} z = 4
    a, b = region_boundary((zeta, 0.6 * zeta), (zeta, 0.6 * zeta), 2.0)
    assert np.allclose((a**2 - 1.2 * a * b + b**2) / (1 - 0.36), 4.0)


def test_bootstrap_densities(pastes, tmp_path):
    boot = pastes.bootstrap(40, seed=2, progress=False)
    cells = save(plots.bootstrap_densities(boot, kind="basic"), tmp_path)
    assert [ax.get_title(loc="left") for ax in cells] == list(boot.t.columns)
    for ax, name in zip(cells, boot.t, strict=True):
        lines = [line for line in ax.lines if line.get_color() == "#d9730d"]
        assert lines[0].get_xdata()[0] == pytest.approx(boot.t0[name])
    assert len(plots.bootstrap_densities(boot, "sigma")) == 1
    with pytest.raises(nm.NestedMLMError, match="no statistic x"):
        plots.bootstrap_densities(boot, ["x"])


def test_effect_is_emmeans(cake, tmp_path):
    ax = save(plots.effect(cake, "recipe"), tmp_path)[0]
    means = nm.emmeans(cake, "recipe", ddf="none").to_frame()
    assert np.allclose(ax.lines[0].get_ydata(), means["estimate"])
    ax = plots.effect(cake, "temp", by="recipe", at={"recipe": ["A", "C"]})
    assert [line.get_label() for line in ax.lines] == ["A", "C"]
    low, high = ax.lines[0].get_xdata()[[0, -1]]
    assert (low, high) == (175.0, 225.0)


def test_effect_of_a_posterior_is_drawn_from_the_data_of_its_model(posterior):
    own = plots.effect(posterior, "Days").lines[0]
    given = plots.effect(posterior, "Days", data=nm.load_dataset("sleepstudy")).lines[0]
    np.testing.assert_allclose(own.get_ydata(), given.get_ydata())


@pytest.mark.parametrize("kind", ["dist", "rank", "trace", "forest", "pair"])
def test_posterior_is_arviz(posterior, kind):
    drawn = plots.posterior(posterior, ["Days", "sigma"], kind=kind, figsize=(6, 5))
    assert tuple(drawn[0].figure.get_size_inches()) == (6, 5)
    assert all(hasattr(ax, "plot") for ax in drawn)
    with pytest.raises(nm.NestedMLMError, match=r"no parameter x; there are: \(Intercept\)"):
        plots.posterior(posterior, "x", kind=kind)
    with pytest.raises(nm.NestedMLMError, match="unknown"):
        plots.posterior(posterior, kind="x")


def test_pictures_of_a_posterior_have_the_names_of_conf_int(posterior, sleep):
    names = [*sleep.conf_int(method="wald").index]
    theirs = [*posterior.parameters()["variable"]]
    for asked in (None, theirs, sorted(names, key=names.index)):
        drawn = plots.prior_posterior(posterior, asked)
        assert {ax.get_title(loc="left") for ax in drawn} == set(names)
    plt.close("all")
    assert plots.posterior(posterior, theirs[-2]).get_title() == "cor_Days.(Intercept)|Subject"


def test_posterior_in_given_axes(posterior):
    _, given = plt.subplots(1, 2)
    drawn = plots.posterior(posterior, ["Days", "sigma"], ax=given)
    assert [ax.get_title() for ax in drawn] == ["Days", "sigma"]
    assert all(a is b and a.has_data() for a, b in zip(drawn, given, strict=True))
    shown = [text.get_text() for text in given[0].texts]
    assert shown == [f"{float(posterior.params['Days']):.4g} mean"]
    with pytest.raises(nm.NestedMLMError, match="figsize, not ax"):
        plots.posterior(posterior, ["Days", "sigma"], kind="pair", ax=given)


def test_only_a_posterior_has_one(sleep):
    with pytest.raises(nm.NestedMLMError, match="BayesFit"):
        plots.posterior(sleep)


@pytest.mark.parametrize("name", ["leverage", "cooks_distance", "likelihood_surface"])
def test_pictures_of_the_likelihood_refuse_a_posterior(name, posterior):
    with pytest.raises(nm.NestedMLMError, match="give an LmerFit"):
        getattr(plots, name)(posterior)


def test_smoother():
    x = np.linspace(0, 6, 400)
    rng = np.random.default_rng(0)
    places, heights = smoother(x, np.sin(x) + 0.3 * rng.normal(size=400))
    assert np.max(np.abs(heights - np.sin(places))) < 0.25
    assert smoother(np.ones(9), np.arange(9.0)) is None
    places, _ = smoother(np.repeat([0.0, 1.0], 20), np.arange(40.0))
    assert places.tolist() == [0.0, 1.0]


def test_bins_do_not_split_ties():
    x = np.repeat(np.arange(5.0), [3, 50, 2, 40, 5])
    places, _, sizes = bin_means(x, x)
    assert sizes.sum() == 100
    assert np.all(np.diff(places) > 0)


def test_band_holds_normal_samples():
    from nestedmlm.plots.quantiles import normal_band

    lower, upper = normal_band(50, 0.9)
    rng = np.random.default_rng(11)
    z = np.sort(rng.normal(size=(800, 50)), axis=1)
    inside = np.mean(np.all((z >= lower) & (z <= upper), axis=1))
    assert 0.86 < inside < 0.94
