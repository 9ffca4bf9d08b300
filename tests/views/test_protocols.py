"""The two fits answer what the protocols name, and views read what they name and no more."""

from __future__ import annotations

import inspect

import pytest
from fake_fit import CASES, fake_fit
from fake_posterior import fake_bayesfit

import nestedmlm as nm
from nestedmlm.views import protocols
from nestedmlm.views.posterior.summary import summary_view as posterior_summary_view
from nestedmlm.views.short import fit_view
from nestedmlm.views.summary import summary_view

BOTH = (nm.LmerFit, nm.BayesFit)
# (verb, argument that only one engine has) -> why the other has not
OF_ONE_ENGINE = {
    ("diagnose", "tol"): "of the rank of a covariance; draws are never singular",
    ("icc", "by_group"): "a posterior's table has every group",
    ("contest", "joint"): "an F test of all; draws have the probability of each",
    ("contest", "ddf"): "of t tests, which a posterior has not",
    ("contest", "vcov"): "in the place of the model's; a posterior's spread is its draws'",
    **{
        ("update", name): "of sampling"
        for name in "priors marginal draws tune chains cores sampler backend seed progress "
        "target_accept".split()
    },
    ("icc", "nsim"): "of that bootstrap",
    ("icc", "progress"): "of that bootstrap",
    ("icc", "seed"): "of that bootstrap",
    ("r2", "by_group"): "compares with a model that is fitted anew",
    ("r2", "nsim"): "of that bootstrap",
    ("r2", "progress"): "of that bootstrap",
    ("r2", "seed"): "of that bootstrap",
    ("simulate", "offset"): "of new rows, which a posterior predicts with type='prediction'",
    ("simulate", "weights"): "of new rows, which a posterior predicts with type='prediction'",
    ("ranef", "level"): "of a posterior interval; conditional modes have a standard deviation",
    ("ranef", "postvar"): "as R's attribute postVar; a posterior has draws",
    ("varcorr", "corr"): "as lme4's print(VarCorr(m)); a posterior's covariances are draws",
    ("cov_params", "full"): "as lme4's vcov; a posterior has draws of all effects",
    ("varcorr", "level"): "of a posterior interval; estimates have `conf_int`",
    ("cov_params", "vcov"): "in the place of the model's; a posterior's spread is its draws'",
    ("summary", "vcov"): "in the place of the model's; a posterior's spread is its draws'",
    ("loo", "integrated"): "random effects integrated out of a posterior's rows",
    ("loo", "seed"): "of a posterior's refits",
    ("loo", "max_draws"): "of a posterior's draws",
    ("report", "ddf"): "of t tests, which a posterior has not",
    ("report", "vcov"): "in the place of the model's; a posterior's spread is its draws'",
    ("summary", "level"): "of a posterior interval",
    ("summary", "ddf"): "of t tests, which a posterior has not",
    ("summary", "correlation"): "as lme4's summary; a posterior has `cov_params`",
    ("icc", "scale"): "of the residual variance of a generalized fit",
    ("r2", "scale"): "of the residual variance of a generalized fit",
    ("predict", "interval"): "kind of interval, asked for; a posterior's is always there",
    ("predict", "se_fit"): "asked for; a posterior's spread is always there",
    ("predict", "random_only"): "as lme4's predict",
    ("predict", "use_residuals"): "of residuals that correlate, which a posterior has not yet",
    ("predict", "na_action"): "as lme4's predict",
    ("predict", "draws"): "all draws in place of their summary",
    ("simulate", "re_form"): "as lme4's simulate",
    ("simulate", "use_u"): "as lme4's simulate",
    ("simulate", "newdata"): "as lme4's simulate",
    ("simulate", "new_groups"): "groups are those of the data, unless asked otherwise",
}

# (verb, argument) -> why its default is another for each engine
OF_OTHER_DEFAULT = {
    ("predict", "type"): "a fit's is lme4's, the link's scale; a posterior's expected responses",
    ("loo", "refit"): "how often, of a fit; whether at all, of a posterior that weights its draws",
    ("loo", "unit"): "rows given their random effects are a posterior's; a fit predicts groups",
    ("icc", "level"): "a bootstrap is asked for; a posterior's intervals are always there",
    ("r2", "level"): "a bootstrap is asked for; a posterior's intervals are always there",
}


def members(protocol):
    """Names that a protocol and those it extends declare."""
    declared = [c for c in protocol.__mro__ if c.__module__ == protocols.__name__]
    return {name for c in declared for name in vars(c) if not name.startswith("_")}


def public(cls):
    return {name for name in dir(cls) if not name.startswith("_")} | set(cls.__dataclass_fields__)


@pytest.mark.parametrize("protocol", [protocols.LikelihoodFit, protocols.PosteriorFit])
def test_the_classes_have_every_member(protocol):
    cls = nm.LmerFit if protocol is protocols.LikelihoodFit else nm.BayesFit
    assert members(protocol) <= public(cls)


def test_fit_names_everything_that_both_engines_answer():
    shared = public(nm.LmerFit) & public(nm.BayesFit)
    assert members(protocols.Fit) == shared - {"plot"}  # pictures stand above


def arguments(cls, verb):
    """Names of a verb's arguments, without what it is called on."""
    return list(inspect.signature(getattr(cls, verb)).parameters)[1:]


VERBS = sorted(name for name in members(protocols.Fit) if inspect.isfunction(
    getattr(nm.LmerFit, name)))  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_shared_verbs_take_the_same_arguments(verb):
    own = [set(arguments(cls, verb)) for cls in BOTH]
    known = {argument for name, argument in OF_ONE_ENGINE if name == verb}
    assert own[0] ^ own[1] == known
    declared = arguments(protocols.Fit, verb)
    assert set(declared) == own[0] & own[1]
    for cls in BOTH:  # the same defaults, too
        found = inspect.signature(getattr(cls, verb)).parameters
        expected = inspect.signature(getattr(protocols.Fit, verb)).parameters
        same = [a for a in declared if (verb, a) not in OF_OTHER_DEFAULT]
        assert {a: found[a].default for a in same} == {a: expected[a].default for a in same}


def test_exceptions_are_of_shared_verbs():
    assert {verb for verb, _ in OF_ONE_ENGINE} <= set(VERBS)


# --- what is read ------------------------------------------------------------------------------
class Recorder:
    """A fit that keeps the names of the members that are read."""

    def __init__(self, fit):
        self.fit, self.read = fit, set()

    def __getattr__(self, name):
        self.read.add(name)
        return getattr(self.fit, name)


def test_summary_and_repr_read_what_printed_names():
    read = set()
    for name in ("M17", "sleep_ml"):  # by REML and by ML
        for view in (summary_view, fit_view):
            recorder = Recorder(fake_fit(name, messages=("singular",)))
            view(recorder)
            read |= recorder.read
    assert read == members(protocols.Printed)


def test_the_summary_of_a_posterior_reads_what_its_protocol_names():
    fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    bayes = fake_bayesfit(fit, chains=2, draws=50)
    recorder = Recorder(bayes)
    posterior_summary_view(recorder, bayes.parameters(), 0.95)
    assert recorder.read == members(protocols.PrintedPosterior)


@pytest.mark.parametrize("name", CASES)
def test_the_fake_fit_is_one_that_can_be_printed(name):
    assert members(protocols.Printed) <= set(vars(fake_fit(name)))


# --- engine ------------------------------------------------------------------------------------
def test_engine():
    fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    assert (fit.engine, fit.refit_ml().engine) == ("REML", "ML")
    assert fake_bayesfit(fit, chains=2, draws=20).engine == "posterior"


def test_sample_takes_the_same_options_everywhere():
    assert nm.Model.sample is nm.LmerFit.sample
    own = inspect.signature(nm.LmerFit.sample).parameters
    door = inspect.signature(nm.pymc_lmer).parameters
    shared = [name for name in own if name not in ("source", "pymc_model")]
    assert shared == [name for name in door if name in own]
    assert [own[name].default for name in shared] == [door[name].default for name in shared]
