"""Default priors, their table, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pymc as pm
import pytest
from designs import data, design
from scipy.stats import norm

import nestedmlm as nm
from nestedmlm.bayes.density.correlations import correlation_matrices
from nestedmlm.bayes.density.marginal_density import marginal_density
from nestedmlm.bayes.model.distributions import FAMILIES, FOLDED, Prior
from nestedmlm.bayes.model.hierarchical import hierarchical_model
from nestedmlm.bayes.model.marginal import marginal_model
from nestedmlm.bayes.model.names import parameter_names
from nestedmlm.bayes.model.priors import resolve_priors
from nestedmlm.design.build import build_design
from nestedmlm.errors import DataError, NestedMLMError, OptionError
from nestedmlm.plots.priors import SCIPY, SYMMETRIC_TWIN


def test_defaults_follow_the_rules():
    of = build_design("y ~ x + (x | f1) + (1 | c1)", data())
    priors = resolve_priors(of)
    sd_y, sd_x = np.std(of.y, ddof=1), np.std(of.X[:, 1], ddof=1)
    rms_x = np.sqrt(np.mean(of.X[:, 1] ** 2))
    expected = {
        "Intercept": Prior("Normal", mu=of.y.mean(), sigma=2.5 * sd_y),
        "x": Prior("Normal", mu=0.0, sigma=2.5 * sd_y / sd_x),
        "1|f1_sigma": Prior("HalfNormal", sigma=sd_y),
        "x|f1_sigma": Prior("HalfNormal", sigma=sd_y / rms_x),
        "f1_corr": Prior("LKJ", eta=2),
        "1|c1_sigma": Prior("HalfNormal", sigma=sd_y),
        "sigma": Prior("HalfNormal", sigma=sd_y),
    }
    assert set(priors) == set(expected)
    for name, prior in expected.items():
        have = priors[name].prior
        assert have.distribution == prior.distribution, name
        np.testing.assert_allclose(
            [v for _, v in have.parameters], [v for _, v in prior.parameters], rtol=1e-12
        )


def test_offset_and_weights_enter_the_rules():
    plain = resolve_priors(design("one factor"))
    shifted = resolve_priors(design("one factor", offset=True))
    assert plain["Intercept"].prior["mu"] != shifted["Intercept"].prior["mu"]
    heavy = data()
    heavy["w"] = 4.0
    of = build_design("y ~ x + (1 | f1)", heavy, weights="w")
    assert resolve_priors(of)["sigma"].prior["sigma"] == pytest.approx(2 * np.std(of.y, ddof=1))
    assert "weight" in resolve_priors(of)["sigma"].rule


def test_rescaling_a_predictor_changes_only_its_units():
    frame = data()
    frame["big"] = frame["x"] * 1e6
    one = resolve_priors(build_design("y ~ x + (x | f1)", frame))
    two = resolve_priors(build_design("y ~ big + (big | f1)", frame))
    for a, b in (("x", "big"), ("x|f1_sigma", "big|f1_sigma")):
        assert two[b].prior["sigma"] == pytest.approx(one[a].prior["sigma"] / 1e6)


def test_the_table():
    model = nm.Model("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    frame = model.priors.to_frame()
    assert list(frame.columns) == ["name", "term", "prior", "rule"]
    assert frame["name"].tolist() == [
        "Intercept", "Days", "1|Subject_sigma", "Days|Subject_sigma", "Subject_corr", "sigma",
    ]  # fmt: skip
    assert all(frame["rule"])
    posterior = model.sample(sampler="psis", draws=50, seed=1, progress=False).parameters()
    shown = frame.set_index("name")["term"].sort_index()
    expected = posterior["variable"].str.replace("[Days, 1]", "")
    assert shown.tolist() == [expected.index[expected == name].item() for name in shown.index]
    text = repr(model.priors)
    assert "Subject_corr" in text and "LKJ(eta=2)" in text
    assert "<table" in model.priors._repr_html_() and "nm-view" in model.priors._repr_html_()
    assert "| LKJ(eta=2) |" in model.priors.to_markdown()
    assert r"\begin{tabular}{llll}" in model.priors.to_latex()


def test_priors_by_the_names_that_tables_print():
    of = build_design("y ~ x + z + (x | f1) + (x + z || f2)", data())
    narrow, lkj = Prior("HalfNormal", sigma=2), Prior("LKJ", eta=4)
    middle = Prior("Normal", mu=1, sigma=2)
    printed = {"sd_x|f1": narrow, "cor_x.(Intercept)|f1": lkj, "(Intercept)": middle, "x": middle}
    own = {"x|f1_sigma": narrow, "f1_corr": lkj, "Intercept": middle, "x": middle}
    found = resolve_priors(of, printed)
    assert found.rows == resolve_priors(of, own).rows
    assert found["x|f1_sigma"].rule == "given by the user" and found["x|f2_sigma"].prior != narrow
    assert found["Intercept"].rule.endswith("at the means of the predictors")
    assert resolve_priors(of, {"sd_z|f2": narrow})["z|f2_sigma"].prior == narrow
    with pytest.raises(OptionError, match=r"two priors of one parameter: 'sd_x.f1' and 'x.f1_sig"):
        resolve_priors(of, {"sd_x|f1": narrow, "x|f1_sigma": narrow})
    with pytest.raises(OptionError, match=r"nearest: sd_x\|f1, "):
        resolve_priors(of, {"sd_x|f_1": narrow})


def test_one_correlation_of_several_has_no_prior_of_its_own():
    of = build_design("y ~ x + z + (x + z | f1)", data())
    assert "cor_x.(Intercept)|f1, ..., cor_z.x|f1" in repr(resolve_priors(of))
    with pytest.raises(OptionError, match="'f1_corr' is the prior of all 3 correlations"):
        resolve_priors(of, {"cor_z.x|f1": Prior("LKJ", eta=4)})


def test_a_ratio_of_standard_deviations_has_its_prior_as_a_logarithm():
    frame = data().assign(half=lambda d: np.where(d["x"] > d["x"].median(), "up", "down"))
    of = nm.Model("y ~ x + (1 | f1)", frame, dispersion="~ half").design
    wide = Prior("Normal", mu=0, sigma=2)
    assert resolve_priors(of, {"log sd_ratio[up]": wide})["sigma_half[up]"].prior == wide
    with pytest.raises(OptionError, match=r"nearest: log sd_ratio\[up\]"):
        resolve_priors(of, {"sd_ratio[up]": wide})


def test_a_set_is_frozen_and_can_be_given_again():
    priors = resolve_priors(design("slope"))
    with pytest.raises(TypeError):
        priors.rows["x"] = None
    with pytest.raises(AttributeError):
        priors.rows = {}
    own = resolve_priors(design("slope"), {"x": Prior("Cauchy", alpha=0, beta=1)})
    assert own["x"].rule == "given by the user"
    assert resolve_priors(design("slope"), own)["x"].prior == own["x"].prior
    assert own["z"].prior == priors["z"].prior


@pytest.mark.parametrize("distribution", FAMILIES["standard deviation"])
def test_every_prior_of_a_standard_deviation_is_the_distribution_it_names(distribution):
    """Folded or not: the density of |r| is that of the distribution asked for."""
    family = FAMILIES["standard deviation"][distribution]
    signature = family.signatures[0]
    values = {"lower": 0.0, "upper": 50.0}
    prior = Prior(distribution, **{p: values.get(p, 1.5) for p in signature})
    of = design("one factor")
    den = marginal_density(of, {"1|f1_sigma": prior})
    base = marginal_density(of, {"1|f1_sigma": Prior("Uniform", lower=0.0, upper=50.0)})
    change = []
    for sd in (0.7, 2.0):
        folded = distribution in FOLDED
        name = "1|f1_sigma_raw" if folded else "1|f1_sigma"
        # the Jacobian of the log or interval transform, which a folded scale does not have
        at, reference = den.at({name: sd}), base.at({"1|f1_sigma": sd})
        value = den.logp_grad(at)[0] - jacobian(den, at, "1|f1_sigma")
        value -= base.logp_grad(reference)[0] - jacobian(base, reference, "1|f1_sigma")
        change.append(value)
    if distribution in ("HalfFlat", "Uniform"):
        expected = 0.0
    else:
        made = getattr(pm, distribution).dist(**dict(prior.parameters))
        logp = [pm.logp(made, sd).eval(mode="FAST_COMPILE") for sd in (0.7, 2.0)]
        expected = logp[1] - logp[0]
    assert change[1] - change[0] == pytest.approx(expected, abs=1e-6)


def jacobian(den, x, name):
    """Log-derivative of a standard deviation by its unconstrained variable."""
    if name not in den.names:
        return 0.0
    i = den.names.index(name)
    e = np.zeros(len(x))
    e[i] = 1e-5
    step = den.to_values(x + e)[name] - den.to_values(x - e)[name]
    return np.log(step / 2e-5)


def test_lkj_is_the_lkj_density():
    """Three columns: the density of the correlation matrix is |R|^(eta - 1), up to a constant."""
    of = build_design("y ~ x + (x + z | f1)", data())
    for eta in (1.0, 3.5):
        own = marginal_density(of, {"f1_corr": Prior("LKJ", eta=eta)})
        flat = marginal_density(of, {"f1_corr": Prior("LKJ", eta=1.0)})
        rng = np.random.default_rng(2)
        found = []
        for _ in range(3):
            x = own.initial + 0.3 * rng.normal(size=own.ndim)
            R = correlation_matrices(own.to_values(x)["f1_corr"], 3)
            ratio = own.logp_grad(x)[0] - flat.logp_grad(x)[0]
            found.append(ratio - (eta - 1.0) * np.linalg.slogdet(R)[1])
        np.testing.assert_allclose(found, found[0], atol=1e-9)


def test_a_callable_makes_the_variable():
    def horseshoe(name):
        return pm.Normal(name, 0.0, pm.HalfCauchy(f"{name}_width", 1.0))

    of = design("slope")
    for make in (marginal_model, hierarchical_model):
        model = make(of, {"z": horseshoe})
        assert {"z", "z_width"} <= {v.name for v in model.free_RVs}
    assert "horseshoe()" in repr(resolve_priors(of, {"z": horseshoe}))


@pytest.mark.parametrize(
    ("priors", "message"),
    [
        (
            {"schoolid_sd": Prior("HalfNormal", sigma=1)},
            "the names are: Intercept, x, z, ",
        ),
        (
            {"x": Prior("HalfNormal", sigma=1)},
            "not a prior for .x., a fixed effect; use",
        ),
        ({"sigma": Prior("Normal", mu=0, sigma=1)}, "a standard deviation; use one of HalfNormal"),
        ({"f1_corr": Prior("Normal", mu=0, sigma=1)}, "a correlation matrix; use one of LKJ"),
        ({"sigma": Prior("HalfNormal", sigma=0)}, "sigma of HalfNormal must be positive, got 0"),
        ({"sigma": Prior("HalfNormal", sigma=-2)}, "must be positive, got -2"),
        ({"x": Prior("Normal", mu=0, sd=1)}, "Normal takes .mu, sigma., got .mu, sd."),
        ({"x": Prior("Normal")}, "got .nothing."),
        ({"f1_corr": Prior("LKJ", eta=-1)}, "eta of LKJ must be positive"),
        ({"sigma": Prior("Uniform", lower=-1, upper=2)}, "lower >= 0"),
        ({"x": Prior("Uniform", lower=2, upper=1)}, "lower < upper"),
        ({"x": "3"}, "must be nm.Prior"),
        ([("x", 1)], "priors must map parameter names"),
    ],
)
def test_what_does_not_suit_is_refused(priors, message):
    with pytest.raises(OptionError, match=message):
        resolve_priors(design("slope"), priors)


def whole_numbers(role):
    """Every distribution of a role with parameters that are whole numbers."""
    return [
        (distribution, {p: {"lower": 0, "upper": 126}.get(p, 127) for p in signature})
        for distribution, family in FAMILIES[role].items()
        for signature in family.signatures
    ]


@pytest.mark.parametrize(
    "number", [int, np.int8, np.uint8, np.float32, np.array, Fraction, Decimal]
)
def test_the_type_of_a_number_does_not_change_a_prior(number):
    for role in FAMILIES:
        for distribution, values in whole_numbers(role):
            given = Prior(distribution, **{p: number(v) for p, v in values.items()})
            assert given == Prior(distribution, **{p: float(v) for p, v in values.items()})
            assert all(type(v) is float for _, v in given.parameters)


@pytest.mark.parametrize("role", ["fixed effect", "standard deviation", "common correlation"])
def test_priors_of_whole_numbers_have_the_density_they_name(role):
    """PyTensor computes with 8-bit integers where it is given small ints: 127 squared is 1."""
    at = np.array([0.3, 0.6]) if role == "common correlation" else np.array([0.5, 20.0, 90.0])
    for distribution, values in whole_numbers(role):
        half = distribution in SYMMETRIC_TWIN
        scipys = {**SCIPY, **SYMMETRIC_TWIN}.get(distribution)
        if scipys is None:
            continue
        with pm.Model():
            logp = pm.logp(Prior(distribution, **values).variable("v"), at)
        expected = scipys(values).logpdf(at) + half * np.log(2.0)
        found = logp.eval(mode="FAST_COMPILE")
        np.testing.assert_allclose(found, expected, rtol=1e-9, err_msg=distribution)


@pytest.mark.parametrize("distribution", FOLDED)
def test_a_folded_prior_of_whole_numbers_is_that_of_floats(distribution):
    of, values = design("one factor"), []
    signature = FAMILIES["standard deviation"][distribution].signatures[0]
    for number in (int, float):
        prior = Prior(distribution, **{p: number(127) for p in signature})
        den = marginal_density(of, {"1|f1_sigma": prior})
        values.append([den.logp(den.at({"1|f1_sigma_raw": sd})) for sd in (0.7, 20.0)])
    np.testing.assert_array_equal(*values)


def test_a_prior_as_wide_as_large_units_need():
    with pm.Model():
        logp = pm.logp(Prior("Normal", mu=0, sigma=1e30).variable("v"), 1e30)
    assert logp.eval(mode="FAST_COMPILE") == pytest.approx(norm(0, 1e30).logpdf(1e30), rel=1e-12)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), "wide", [1.0, 2.0], [3.0], None, True, 10**400, 1j]
)
def test_parameters_are_finite_numbers(value):
    with pytest.raises(OptionError, match="must be"):
        Prior("HalfNormal", sigma=value)


def test_a_prior_needs_a_name():
    with pytest.raises(OptionError, match="name of a distribution"):
        Prior(pm.Normal, mu=0, sigma=1)
    assert issubclass(OptionError, NestedMLMError)


@pytest.mark.parametrize("name", ["x", "sigma", "f1_corr"])
def test_a_callable_of_the_wrong_shape_is_refused(name):
    def vector(name, **options):
        return pm.Normal(name, 0.0, 1.0, shape=3)

    with pytest.raises(OptionError, match="returned a variable"):
        marginal_model(design("slope"), {name: vector})


def test_priors_are_equal_and_hashable():
    assert Prior("Normal", mu=0, sigma=1) == Prior("Normal", mu=0, sigma=1)
    assert len({Prior("Normal", mu=0, sigma=1), Prior("Normal", mu=0, sigma=2)}) == 2


def test_structures_with_a_common_correlation():
    names = parameter_names(design("compound symmetry"))
    priors = resolve_priors(design("compound symmetry"))
    assert [t.rho for t in names.terms] == ["f1_rho", "f2_rho"]
    assert priors["f1_rho"].prior == Prior("Beta", alpha=2, beta=2)
    assert names.terms[1].sds == ("f2_sigma",)
    assert "f1_corr" not in priors


def test_plot_draws_every_prior():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    def own(name):
        return pm.Normal(name, 0.0, 1.0)

    model = nm.Model("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    drawn = model.plot.priors({"Days": own, "sigma": Prior("HalfFlat")}, figsize=(9, 5))
    assert [panel.get_title(loc="left") for panel in drawn] == list(model.priors)
    assert tuple(drawn[0].figure.get_size_inches()) == (9, 5)
    given = plt.figure().subplots(len(drawn))
    assert all(a is b for a, b in zip(model.plot.priors(ax=given), given, strict=True))
    plt.close("all")


@pytest.mark.parametrize("role", FAMILIES)
def test_every_prior_but_the_flat_ones_has_a_curve(role):
    from nestedmlm.plots.priors import prior_curve

    for distribution, family in FAMILIES[role].items():
        for signature in family.signatures:
            values = {"lower": 0.5, "upper": 3.0}
            prior = Prior(distribution, **{p: values.get(p, 2.0) for p in signature})
            curve = prior_curve(prior)
            assert (curve is None) == (distribution in ("Flat", "HalfFlat"))
            if curve is not None:
                x, density = curve
                # all but the tails that are cut off
                assert 0.9 < np.trapezoid(density, x) < 1.001, prior


def test_priors_of_classes():
    of = build_design("y ~ x + z + (x | f1) + (1 | f2)", data())
    slope, narrow = Prior("Normal", mu=0, sigma=1), Prior("HalfNormal", sigma=2)
    lkj, own = Prior("LKJ", eta=4), Prior("Exponential", lam=1)
    given = {"x|f1_sigma": own, "slopes": slope, "sds": narrow, "correlations": lkj}
    found = resolve_priors(of, given)
    changed = {n: row.prior for n, row in found.items() if n not in ("Intercept", "sigma")}
    assert changed == {
        "x": slope, "z": slope, "1|f1_sigma": narrow, "x|f1_sigma": own, "f1_corr": lkj,
        "1|f2_sigma": narrow,
    }  # fmt: skip
    default = resolve_priors(of)
    assert found["sigma"] == default["sigma"] and found["Intercept"] == default["Intercept"]
    assert found["z"].rule == "given by the user for all slopes"
    assert resolve_priors(of, found)["z"].prior == slope  # as `update` hands them on
    twice = found.replace({"slopes": Prior("Normal", mu=0, sigma=3)})
    assert twice["x"].prior == twice["z"].prior == Prior("Normal", mu=0, sigma=3)
    with pytest.raises(OptionError, match="no correlations to give"):
        resolve_priors(build_design("y ~ x + (1 | f1)", data()), {"correlations": lkj})
    with pytest.raises(OptionError, match="is not a prior for 'x', a fixed effect"):
        resolve_priors(of, {"slopes": narrow})


def test_lkj_is_the_prior_by_its_name():
    assert nm.LKJ(4) == nm.Prior("LKJ", eta=4) and repr(nm.LKJ(1.5)) == "LKJ(eta=1.5)"
    for eta in (0, -1.0):
        with pytest.raises(OptionError, match="eta of LKJ must be positive"):
            nm.LKJ(eta)
    with pytest.raises(OptionError, match="must be one number"):
        nm.LKJ([1, 2])


def test_a_distribution_that_pymc_does_not_have():
    with pm.Model(), pytest.raises(OptionError, match="PyMC has no distribution 'Nosuch'"):
        Prior("Nosuch", mu=0).variable("x")


def test_predictors_whose_squares_are_zero_to_the_computer():
    data = nm.load_dataset("sleepstudy")
    for tiny in (1e-200, 1e-320):
        model = nm.Model("Reaction ~ Days + (1 | Subject)", data.assign(Days=data.Days * tiny))
        with pytest.raises(DataError, match=r"predictor Days is so small.*other units"):
            model.priors  # noqa: B018
