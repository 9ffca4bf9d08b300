"""`fit.plot`: the functions of `nestedmlm.plots` as methods, and the names that they replaced."""

from __future__ import annotations

import copy
import inspect
import pickle

import numpy as np
import pytest
from fake_posterior import fake_bayesfit

import nestedmlm as nm
from nestedmlm.errors import OptionError, RenamedError
from nestedmlm.fits.old_names import OLD_NAMES
from nestedmlm.plots.accessor import FitPlots, ModelPlots

pytest.importorskip("matplotlib", reason="pictures need matplotlib")
SLEEP = "Reaction ~ Days + (Days | Subject)"


def members(accessor):
    return {name for name in vars(accessor) if not name.startswith("_")}


@pytest.fixture(scope="module")
def sleep():
    return nm.lmer(SLEEP, nm.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def posterior(sleep):
    return fake_bayesfit(sleep)


# --- the methods are the functions -------------------------------------------------------------
@pytest.mark.parametrize("name", sorted(members(FitPlots)))
def test_method_is_the_function(name, sleep, posterior):
    function = getattr(nm.plots, name)
    assert getattr(FitPlots, name) is function
    whole = inspect.signature(function)
    first = next(iter(whole.parameters.values()))
    several = first.kind is first.VAR_POSITIONAL  # `*fits`: more may follow
    expected = [p for p in whole.parameters.values() if several or p is not first]
    for fit in (sleep, posterior):
        method = getattr(fit.plot, name)
        assert method.__func__ is function
        assert method.__self__ is fit
        assert list(inspect.signature(method).parameters.values()) == expected
        assert inspect.getdoc(method) == inspect.getdoc(function)


def test_model_draws_what_needs_no_fit(sleep):
    assert members(ModelPlots) == {"ppc", "priors"}
    assert sleep.model.plot.priors.__func__ is nm.plots.priors


def test_several_fits(sleep):
    ax = sleep.plot.forest(sleep.refit_ml(), names=["a", "b"])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a (REML)", "b (ML)"]


def test_accessor_alone_draws(sleep, posterior):
    for fit in (sleep, posterior):
        four = fit.plot(figsize=(8, 6))
        assert [ax.get_title(loc="left") for ax in four] == [
            ax.get_title(loc="left") for ax in fit.plot.diagnostics()
        ]
        assert four[0].figure.get_size_inches().tolist() == [8, 6]
    assert len(sleep.model.plot()) == len(sleep.model.priors)


def test_accessor_lists_its_pictures(sleep):
    assert repr(sleep.plot).endswith("spaghetti, trellis, variance_partition")
    assert repr(sleep.model.plot) == "Pictures, each a method: ppc, priors"
    assert members(FitPlots) <= set(dir(sleep.plot))


def test_accessor_is_frozen(sleep):
    with pytest.raises((AttributeError, TypeError)):  # which one is Python's affair
        sleep.plot.trellis = None


# --- what an engine cannot draw ----------------------------------------------------------------
OF_A_LIKELIHOOD = ("leverage", "cooks_distance", "likelihood_surface", "profile_zeta",
                   "profile_pairs")  # fmt: skip


@pytest.mark.parametrize("name", OF_A_LIKELIHOOD)
def test_posterior_says_what_it_cannot_draw(name, posterior):
    with pytest.raises(OptionError, match="give an LmerFit"):
        getattr(posterior.plot, name)()


def test_fit_says_what_it_cannot_draw(sleep, posterior):
    with pytest.raises(OptionError, match="only a BayesFit has a posterior"):
        sleep.plot.posterior()
    with pytest.raises(OptionError, match="BayesFit is no LmerFit"):
        posterior.plot.comparison(sleep)


def test_priors_are_those_of_the_fit(sleep, posterior):
    own = {"sigma": nm.Prior("HalfNormal", sigma=20.0)}
    changed = fake_bayesfit(sleep, priors=own)
    for fit, sigma in ((sleep, "56.3288"), (posterior, "56.3288"), (changed, "20")):
        assert fit.plot.priors()[-1].get_xlabel().startswith(f"HalfNormal(sigma={sigma})")
    assert sleep.plot.priors(own)[-1].get_xlabel().startswith("HalfNormal(sigma=20)")
    assert changed.plot.priors({"sigma": nm.Prior("HalfNormal", sigma=9.0)})[-1].get_xlabel() == (
        "HalfNormal(sigma=9)\ngiven by the user"
    )
    with pytest.raises(OptionError, match="PyMC model of your own"):
        fake_bayesfit(sleep, priors=None).plot.priors()


def test_profile_of_a_fit_is_the_one_it_makes(sleep):
    drawn = sleep.plot.profile_zeta("sigma", progress=False)[0].lines[-1].get_xydata()
    again = nm.plots.profile_zeta(sleep.profile("sigma", progress=False))[0].lines[-1]
    assert np.array_equal(drawn, again.get_xydata())
    names = [ax.get_xlabel() for ax in sleep.plot.profile_zeta("beta_", progress=False)]
    assert names == ["(Intercept)", "Days"]


# --- what there was before ---------------------------------------------------------------------
@pytest.mark.parametrize("old", OLD_NAMES)
def test_old_name_says_the_new_one(old, sleep, posterior):
    for fit in (sleep, posterior, sleep.model):
        with pytest.raises(RenamedError, match=rf"{old} is gone: write \w+\.plot\.\w+\(\)"):
            getattr(fit, old)
        assert not hasattr(fit, old)
    new = OLD_NAMES[old].split(".")[-1].removesuffix("()")
    assert new in members(FitPlots)


def test_old_function_says_the_new_one():
    with pytest.raises(RenamedError, match=r"fit\.plot\.comparison\(posterior\)"):
        nm.plot_compare  # noqa: B018
    with pytest.raises(ImportError):
        from nestedmlm import plot_compare  # noqa: F401


def test_other_names_are_missing_as_ever(sleep):
    with pytest.raises(AttributeError, match="'LmerFit' object has no attribute 'plott'") as caught:
        sleep.plott  # noqa: B018
    assert (caught.value.name, caught.value.obj) == ("plott", sleep)
    for thing in (sleep, sleep.model):
        assert type(copy.copy(thing)) is type(pickle.loads(pickle.dumps(thing))) is type(thing)
