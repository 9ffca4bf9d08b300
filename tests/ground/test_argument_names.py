"""Other packages' names of arguments are refused with ours, or taken where that was promised."""

from __future__ import annotations

import re

import pytest
from fake_posterior import fake_bayesfit

import nestedmlm as nm
from nestedmlm.argument_names import OLD_ARGUMENTS, df_method_name
from nestedmlm.errors import (
    FormulaError,
    NestedMLMError,
    OldArgumentError,
    OptionError,
    RenamedError,
)
from nestedmlm.fits.old_names import NAMES_ELSEWHERE, POSTERIOR_ELSEWHERE


@pytest.fixture(scope="module")
def fit():
    return nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))


@pytest.mark.parametrize(
    ("verb", "given", "write"),
    [
        ("conf_int", {"alpha": 0.1}, "conf_int has no alpha: write level=0.9"),
        ("icc", {"ci": 0.9}, "icc has no ci: write level=0.9"),
        ("predict", {"prob": 0.5}, "predict has no prob: write level=0.5"),
        ("tidy", {"conf_level": 0.8}, "tidy has no conf_level: write level=0.8"),
        ("power", {"level": 0.95}, "power has no level: write alpha=0.05"),
        ("sample", {"progressbar": False}, "sample has no progressbar: write progress=False"),
        ("bootstrap", {"random_state": 3}, "bootstrap has no random_state: write seed=3"),
        ("predict", {"re_formula": False}, "predict has no re_formula: write re_form=False"),
    ],
)
def test_another_spelling_is_refused_with_ours(verb, given, write, fit):
    with pytest.raises(OldArgumentError) as caught:
        getattr(fit, verb)(**given)
    assert str(caught.value) == write


def test_pictures_and_functions_refuse_it_too(fit):
    with pytest.raises(OldArgumentError, match=r"caterpillar has no prob: write level=0\.9"):
        fit.plot.caterpillar(prob=0.9)
    with pytest.raises(OldArgumentError, match=r"emmeans has no alpha: write level=0\.99"):
        nm.emmeans(fit, "Days", alpha=0.01)


@pytest.mark.parametrize(
    ("function", "given", "write"),
    [
        (nm.lmer, {"family": "binomial"}, r"lmer has no family: write nm\.glmer"),
        (nm.pymc_lmer, {"family": "t"}, r"pymc_lmer has no family: write nm\.pymc_glmer"),
        (nm.lmer, {"groups": "Subject"}, r"stand in the formula"),
        (nm.lmer, {"reml": False}, "write REML=False"),
        (nm.lmer, {"missing": "drop"}, 'na_action="omit"'),
        (nm.lmer, {"optimizer": "bobyqa"}, r"control=nm\.Control\(optimizer="),
        (nm.etable, {"file": "a.docx"}, r"save\(\"table\.docx\"\)"),
        (nm.etable, {"p_values": True}, 'spread="p"'),
    ],
)
def test_what_stands_elsewhere_is_said(function, given, write):
    with pytest.raises(OldArgumentError, match=write):
        function("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"), **given)


def test_posteriors_name_the_fit_by_likelihood(fit):
    posterior = fake_bayesfit(fit, chains=2, draws=50)
    for verb in (posterior.summary, posterior.contest, posterior.cov_params, posterior.report):
        with pytest.raises(OldArgumentError, match=r"has no vcov: .*nm\.lmer\(formula, data\)"):
            verb(vcov="CR2")
    for name, write in POSTERIOR_ELSEWHERE.items():
        with pytest.raises(RenamedError, match=re.escape(write)):
            getattr(posterior, name)


def test_names_of_other_packages_on_a_fit(fit):
    for name, write in NAMES_ELSEWHERE.items():
        with pytest.raises(RenamedError, match=f"LmerFit has no {name}: write "):
            getattr(fit, name)
        assert not hasattr(fit, name)
        own = re.match(r"fit\.(\w+)", write)
        assert own is None or own[1] in dir(fit)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("load", r"pickle\.load\(file\).*nm\.load_bayesfit"),
        ("mixedlm", r"nm\.lmer\("),
        ("icc", r"fit\.icc\(\.\.\.\)"),
        ("brm", r"nm\.pymc_lmer"),
    ],
)
def test_names_of_other_packages_on_the_module(name, write):
    with pytest.raises(RenamedError, match=rf"^nestedmlm has no {name}: write .*{write}"):
        getattr(nm, name)
    assert not hasattr(nm, name) and name not in dir(nm)


def test_formula_comes_first():
    with pytest.raises(FormulaError, match="comes first; not DataFrame"):
        nm.lmer(nm.load_dataset("sleepstudy"), "Reaction ~ Days + (1 | Subject)")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda fit: fit.conf_int(foo=1), "conf_int has no foo; it takes parm, level, method"),
        (lambda fit: fit.bootstrap(nsin=9), r"bootstrap has no nsin; did you mean nsim\?"),
        (lambda fit: fit.bootstrap(n=9), "bootstrap has no n: write nsim=9"),
        (lambda fit: fit.bootstrap(statistic=len), r"bootstrap has no statistic: write fun=\.\.\."),
        (lambda fit: fit.extend("Subject", 9), "extend takes no arguments without their names"),
        (lambda fit: fit.extend(along="Subject"), "extend needs n; it takes along, within, n"),
        (
            lambda fit: fit.predict(kind="mean"),
            'no kind: write type="response".* type="prediction"',
        ),
        (lambda fit: fit.conf_int(vcov="CR2"), r"write fit\.tidy\("),
        (lambda fit: fit.emmeans("Days", adjust="holm"), r"write nm\.emmeans\("),
        (lambda fit: nm.glmer("y ~ x + (1 | g)", {}), r"needs family; it takes formula, data"),
        (lambda fit: nm.scenario("y ~ x", {}, effects={"x": 1}), r"write beta=\{'x': 1\}"),
        (lambda fit: nm.scenario("y ~ x", {}, effect=1), "scenario has no effect"),
        (lambda fit: nm.power(fit, effct="Days"), r"power has no effct; did you mean effect\?"),
        (lambda fit: nm.power_curve(fit, "Days", sizes=[9]), r"write breaks=\[9\]"),
        (lambda fit: fit.plot.caterpillar(colour=1), "caterpillar has no colour"),
    ],
)
def test_a_call_that_does_not_fit_says_what_would(call, says, fit):
    with pytest.raises(TypeError, match=says) as caught:  # Python's kind of error, and ours
        call(fit)
    assert isinstance(caught.value, NestedMLMError)


def test_a_type_error_of_the_work_itself_is_left_alone(fit):
    def broken(fit):
        raise TypeError("of the user's function")

    with pytest.raises(TypeError, match="of the user's function") as caught:
        fit.bootstrap(2, broken, seed=1, progress=False)
    assert not isinstance(caught.value, NestedMLMError)


def test_random_seed_is_seed(fit):
    assert fit.simulate(random_seed=3).equals(fit.simulate(seed=3))
    with pytest.raises(OptionError, match="seed must be"):
        fit.simulate(random_seed="a")
    with pytest.raises(TypeError, match="random_seed"):  # both: which one is meant?
        fit.simulate(seed=1, random_seed=3)


@pytest.mark.parametrize("text", ["KR", "kr", "Kenward-Roger", "kenward_roger", "Kenward Roger"])
def test_degrees_of_freedom_in_any_spelling(text, fit):
    assert df_method_name(text) == "kenward-roger"
    assert str(fit.summary(ddf=text)) == str(fit.summary("kenward-roger"))


def test_every_old_name_leads_to_a_name_that_is_no_old_name():
    for names in OLD_ARGUMENTS.values():
        assert not set(names) & (set(OLD_ARGUMENTS) - {"alpha", "level"})


def test_models_one_by_one_in_a_list_or_in_a_dictionary(fit):
    less = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
    for compare in (lambda *f, **o: nm.anova(*f, refit=False, **o), nm.etable):
        expected = str(compare(less, fit, names=["less", "more"]))
        assert str(compare([less, fit], names=["less", "more"])) == expected
        assert str(compare({"less": less, "more": fit})) == expected
        with pytest.raises(OptionError, match="leave out names="):
            compare({"less": less, "more": fit}, names=["a", "b"])


def test_a_statistic_in_the_place_of_nsim_says_where_it_goes(fit):
    with pytest.raises(
        OptionError, match=r"nsim .* not a function: fun= takes it"
    ):  # boot(data, statistic)
        fit.bootstrap(lambda again: again.sigma)


def test_names_of_pictures_in_other_packages(fit):
    with pytest.raises(RenamedError, match=r"FitPlots has no ranef: write fit\.plot\.caterpillar"):
        fit.plot.ranef()
    with pytest.raises(AttributeError, match="no attribute 'caterpilar'"):
        fit.plot.caterpilar()
