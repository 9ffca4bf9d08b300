"""`LmerFit` as a class: a record whose verbs are plain functions, bound under their own names."""

from __future__ import annotations

import inspect
import pickle
import pkgutil
from importlib import import_module

import numpy as np
import pytest

import nestedmlm as nm
from nestedmlm.fits import verbs
from nestedmlm.fits.estimates import Estimates, LinearEstimates
from nestedmlm.fits.for_maketables import ForMaketables

FILES = [module.name for module in pkgutil.iter_modules(verbs.__path__)]
# files that are named after what their verbs are about
NAMED_AFTER_THE_SUBJECT = {"leverage": "hatvalues", "pytensor_graph": "pytensor"}
BOUND = {
    name: raw
    for name, raw in inspect.getmembers(nm.LmerFit)  # verbs that load late load here
    if inspect.isfunction(raw) and raw.__module__.startswith(verbs.__name__)
}


@pytest.fixture(scope="module")
def fit():
    return nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))


def test_verbs_are_found():
    assert len(BOUND) > 35


def test_there_are_no_mixins():
    chain = (nm.LmerFit, LinearEstimates, Estimates, ForMaketables, object)  # one base each
    assert nm.LmerFit.__mro__ == chain


def test_a_fit_has_slots_and_cannot_be_changed(fit):
    assert not hasattr(fit, "__dict__")
    with pytest.raises((AttributeError, TypeError)):
        fit.REML = False


@pytest.mark.parametrize("file", FILES)
def test_a_file_of_verbs_holds_the_verb_it_is_named_after(file):
    function = getattr(import_module(f"{verbs.__name__}.{file}"),
                       NAMED_AFTER_THE_SUBJECT.get(file, file))  # fmt: skip
    assert inspect.isfunction(function)
    assert function.__module__ == f"{verbs.__name__}.{file}"
    assert next(iter(inspect.signature(function).parameters)) in ("fit", "source", "model")


@pytest.mark.parametrize("name", BOUND)
def test_a_verb_is_bound_under_its_own_name_and_says_what_it_takes(name):
    function = BOUND[name]
    own = getattr(import_module(function.__module__), name)
    assert inspect.unwrap(own) is inspect.unwrap(function)
    document = inspect.getdoc(function)
    assert "Returns\n-------\n" in document
    assert "Examples\n--------\n>>> " in document
    _, *arguments = inspect.signature(function).parameters
    described = document.partition("Parameters\n----------\n")[2].partition("\n\n")[0]
    heads = [line.partition(" :")[0] for line in described.splitlines() if line[:1].strip()]
    missing = set(arguments) - {word.strip() for head in heads for word in head.split(",")}
    assert not missing


def test_fits_and_their_verbs_can_be_pickled(fit):
    again = pickle.loads(pickle.dumps(fit))
    assert again.icc().equals(fit.icc())
    assert pickle.loads(pickle.dumps(fit.icc))().equals(fit.icc())


def test_a_fit_makes_fits(fit):
    doubled = fit.design.with_response(2.0 * fit.design.y)
    again = fit.refitted(doubled)
    assert isinstance(again, nm.LmerFit)
    assert again.REML
    assert again.sigma == pytest.approx(2.0 * fit.sigma, rel=1e-8)
    assert not fit.refitted(doubled, REML=False).REML
    penalised = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff2"), penalty="wishart")
    refitted = penalised.refitted(penalised.design)
    assert refitted.penalty == penalised.penalty
    np.testing.assert_allclose(refitted.theta, penalised.theta, rtol=1e-6)
