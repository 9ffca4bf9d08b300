"""Arguments of public functions are checked by their annotations, before anything is computed."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import pytest

import nestedmlm as nm
from nestedmlm.arguments import KINDS, check_choice, check_kinds, checked, kinds_of
from nestedmlm.errors import MemoryLimitError, OptionError
from nestedmlm.views.render.view import Viewable

NONSENSE = {  # values that are of none of the kinds but their own
    "bool": ["False", "ML", 1, 0, np.int64(1), [True]],
    "int": ["a", "1", 1.5, -1, 0, True, [1]],
    "float": ["a", "0.95", float("nan"), float("inf"), True, [0.5]],
    "str": [3, True, ["a"]],
    "Seed": ["a", -1, 1.5, True],
    "Mapping": ["a", 3, [1]],
    "Sequence": ["a", 3, {"a": 1}],
    "Iterable": ["a", 3, {"a": 1}],
    "Names": [3, b"a", [1, "a"], np.zeros((2, 2, 2)), {"a": 1}, [None]],
    "NamedMapping": ["a", 3, [1], {1: "a"}, {"a": 1, None: 2}],
    "Pair": ["ab", 3, [1.0], (1.0, "a"), (float("nan"), 1.0), np.zeros(0)],
    "Path": [3, b"a", ["a"]],
    "Callable": ["a", 3],
    "Fun": ["a", 3],
}
ZERO = {"seed", "tune", "parameter", "nAGQ"}  # whole numbers that may be zero


def all_results() -> list[type]:
    """Every class of results that has been loaded."""
    stack, found = [Viewable], []
    while stack:
        stack += (below := stack.pop().__subclasses__())
        found += below
    return [c for c in found if c.__module__.startswith("nestedmlm")]


def public_functions() -> dict[str, Callable[..., object]]:
    """Functions of the package, and methods of every class that results and doors are."""
    found = {}
    owners = [nm, nm.LmerFit, nm.BayesFit, nm.Model, nm.Scenario, *all_results()]
    for owner in owners:
        for name in nm.__all__ if owner is nm else dir(owner):
            member = getattr(owner, name, None)
            member = getattr(member, "__func__", member)
            own = inspect.isfunction(member) and member.__module__.startswith("nestedmlm")
            if own and not name.startswith("_"):
                found[f"{getattr(owner, '__name__', owner)}.{name}"] = member
    found["nestedmlm.Model"] = nm.Model.__init__
    return found


SCENARIO = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff")).extend(
    n=7, along="Batch"
)
FUNCTIONS = public_functions()
CASES = [
    (place, name, kinds)
    for place, function in FUNCTIONS.items()
    for name, parameter in inspect.signature(function).parameters.items()
    if (kinds := kinds_of(parameter.annotation)) and not parameter.kind.name.startswith("VAR")
]


def wrong_values(name, kinds):
    """What an argument of these kinds must refuse: what each of them refuses."""
    own = [NONSENSE[kind] for kind in kinds if kind != "None"]
    values = list(own[0]) if len(own) == 1 else [object()]
    if name in ZERO:
        values = [v for v in values if v != 0 or isinstance(v, bool)]
    if name not in {"level", "alpha"}:
        return values if {"None", "Seed"} & set(kinds) else [*values, None]
    return [*values, 0.0, 1.0, 95] + ([] if "None" in kinds else [None])


@pytest.mark.parametrize(("place", "name", "kinds"), CASES)
def test_every_public_argument_is_checked(place, name, kinds):
    function = FUNCTIONS[place]
    signature = inspect.signature(function)
    # arguments that others need do not matter: a check comes before anything else
    others = {
        p.name: None
        for p in signature.parameters.values()
        if p.default is p.empty and not p.kind.name.startswith("VAR") and p.name != name
        and not kinds_of(p.annotation)
    }  # fmt: skip
    if "source" in others and place.startswith(
        ("nestedmlm.power", "nestedmlm.planned_power")
    ):  # they ask a scenario
        others["source"] = SCENARIO
    known = {"effect": "x", "formula": "y ~ 1", "breaks": [1], "beta": [1.0], "theta": [1.0],
             "sigma": 1.0, "hypothesis": "x", "path": "x", "var": "x", "name": "x",
             "parameter": "x", "method": "x", "group": "x", "n": 1, "specs": "x",
             "params": {}, "hypotheses": "x", "budget": 1.0, "costs": {"g": 1.0},
             "varies": {"x": "g"}}  # fmt: skip
    if place == "nestedmlm.allocation":
        known["beta"] = {"x": 1.0}
    for p in signature.parameters.values():
        if p.default is p.empty and p.name in known and p.name != name:
            others[p.name] = known[p.name]
    for value in wrong_values(name, kinds):
        with pytest.raises(OptionError, match=name):
            function(**others, **{name: value})


def test_most_arguments_are_walked():
    assert len(CASES) > 150
    assert {"nestedmlm.lmer", "LmerFit.conf_int", "BayesFit.predict"} <= {c[0] for c in CASES}
    assert ("nestedmlm.lmer", "REML", ("bool",)) in CASES
    assert set(NONSENSE) == set(KINDS) - {"None"}


@pytest.mark.parametrize("value", ["ML", "False", 0, 1, None])
def test_reml_is_a_flag(value):
    data = nm.load_dataset("Dyestuff")
    calls = [lambda: nm.lmer("Yield ~ 1 + (1 | Batch)", data, REML=value)]
    if value is not None:  # of a model: what goes with its family
        calls.append(lambda: nm.Model("Yield ~ 1 + (1 | Batch)", data).fit(value))
    for call in calls:
        with pytest.raises(OptionError, match=f"REML must be True or False, not {value!r}"):
            call()


def test_numpy_scalars_are_as_good_as_pythons():
    fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"), REML=np.False_)
    assert fit.REML is False
    drawn = fit.simulate(np.int64(2), seed=np.int32(1))
    assert drawn.equals(fit.simulate(2, seed=1))
    assert fit.conf_int(level=np.float64(0.9), method="wald").equals(
        fit.conf_int(level=0.9, method="wald")
    )


@checked
def example(a: int, /, b: str | float = "x", *, flags: list[bool] | None = None, **rest: bool):
    return a, b, flags, rest


def test_the_decorator_says_what_is_missing_and_leaves_what_it_does_not_know():
    assert example(np.int64(2), 3, flags="anything", c="no flag") == (
        2, 3.0, "anything", {"c": "no flag"},
    )  # fmt: skip
    with pytest.raises(TypeError, match="example needs a; it takes a, b, flags"):
        example()
    with pytest.raises(OptionError, match="b must be text or a number, not None"):
        example(1, None)
    with pytest.raises(OptionError, match="a must be a positive integer, not 0"):
        example(0)
    assert example.__name__ == "example"


@pytest.mark.parametrize(
    ("annotation", "kinds"),
    [
        ("bool", ("bool",)),
        ("int | None", ("int", "None")),
        ("str | Mapping[str, Sequence[float]]", ("str", "NamedMapping")),
        ("str | Sequence[str] | None", ("str", "Names", "None")),
        ("tuple[float, float] | None", ("Pair", "None")),
        (
            "Mapping[str, float] | Sequence[float] | None",
            ("NamedMapping", "Sequence", "None"),
        ),
        ("Any", ()),
        ("str | Any", ()),
        ("FloatArray | None", ()),
    ],
)
def test_kinds_of_annotations(annotation, kinds):
    assert kinds_of(annotation) == kinds


def test_choices():
    known = ("auto", True, False)
    assert check_choice("auto", "marginal", known) == "auto"
    assert check_choice(np.str_("auto"), "marginal", known) == "auto"
    assert check_choice(np.True_, "marginal", known) is True
    for value in (1, 0, "True", None, ["auto"]):
        with pytest.raises(OptionError, match="marginal must be one of auto, True, False"):
            check_choice(value, "marginal", known)


def test_kinds_are_tried_in_turn():
    assert check_kinds({"a": 1}, "beta", ("Mapping", "Sequence")) == {"a": 1}
    with pytest.raises(OptionError, match="beta must be a mapping or a list, not 'a'"):
        check_kinds("a", "beta", ("Mapping", "Sequence"))


def test_bootstrap_options_are_checked_before_the_work():
    fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    for options in ({"kind": "junk"}, {"kind": None}, {"nsim": 0}, {"seed": -1}, {"level": 95}):
        with pytest.raises(OptionError):
            fit.conf_int(method="boot", **({"nsim": 10**7} | options))

    def never(refitted):
        raise AssertionError("nothing is computed before the options are known to be good")

    for options in ({"type": "junk"}, {"workers": 0}, {"nsim": 1.5}, {"use_u": "yes"}):
        with pytest.raises(OptionError):
            fit.bootstrap(**({"nsim": 10**7, "fun": never} | options))


def test_memory_that_ran_out_is_an_error_of_ours():
    @checked
    def greedy(n: int = 1):
        raise MemoryError("Unable to allocate 7.45 GiB")

    with pytest.raises(MemoryLimitError, match="greedy needs more memory"):
        greedy()
