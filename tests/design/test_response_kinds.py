"""Responses of each kind: the same numbers however they are written, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.design.frame.response_kinds import KINDS, response_kind
from nestedmlm.errors import DataError, GroupingError, ResponseError, WeightsError

BINOMIAL = nm.families.binomial()
COUNTS = nm.families.poisson()
POSITIVE = nm.families.gamma()
UNIT = nm.families.beta()

DATA = pd.DataFrame(
    {
        "k": [2, 0, 3, 1, 4, 2],
        "n": [5, 4, 3, 2, 8, 9],
        "g": ["a", "a", "b", "b", "c", "c"],
        "id": np.arange(6),
        "yes": [True, False, True, True, False, True],
        "word": ["no", "yes", "no", "yes", "yes", "no"],
        "three": ["x", "y", "z", "x", "y", "z"],
        "code": [1, 2, 1, 2, 2, 1],
        "cost": [0.5, 1.5, 0.2, 3.0, 2.0, 0.7],
    },
    index=list("uvwxyz"),
)  # fmt: skip
DATA["share"] = DATA.k / DATA.n


def design(
    response: str, kind: nm.families.Family | None = BINOMIAL, terms: str = "1 + (1 | g)", **options
):
    data = options.pop("data", DATA)
    return nm.build_design(f"{response} ~ {terms}", data, family=kind, **options)


@pytest.mark.parametrize(
    ("response", "weights"),
    [
        ("cbind(k, n - k)", None),
        ("p(k, n)", None),
        ("proportion(k, n)", None),
        ("share", "n"),
        ("I(k / n)", "n"),
    ],
)
def test_trials_are_weights_and_the_response_a_proportion(response, weights):
    found = design(response, weights=weights)
    np.testing.assert_allclose(found.y, DATA.k / DATA.n)
    np.testing.assert_array_equal(found.weights, DATA.n)


def test_a_number_of_trials_that_is_the_same_for_all():
    np.testing.assert_array_equal(design("p(k, 9)").weights, np.full(6, 9.0))


def test_weights_multiply_trials():
    np.testing.assert_array_equal(design("p(k, n)", weights=np.full(6, 2.0)).weights, 2 * DATA.n)


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("yes", [1, 0, 1, 1, 0, 1]),
        ("I(k > 1)", [1, 0, 1, 0, 1, 1]),
        ("word", [0, 1, 0, 1, 1, 0]),
        ("factor(code)", [0, 1, 0, 1, 1, 0]),
    ],
)
def test_the_first_of_two_levels_is_failure(response, expected):
    found = design(response)
    assert found.weights is None
    np.testing.assert_array_equal(found.y, expected)


def test_levels_in_the_order_of_the_category():
    data = DATA.assign(word=pd.Categorical(DATA.word, ["yes", "no", "never"]))
    np.testing.assert_array_equal(design("word", data=data).y, [1, 0, 1, 0, 0, 1])


def test_rows_without_trials_are_left_out_and_said_so():
    data = DATA.assign(n=[5, 0, 3, 2, 8, 9])
    found = design("p(k, n)", data=data)
    assert list(found.index) == list("uwxyz")
    assert found.messages == ("1 of 6 rows left out for missing values: p(k, n) (1)",)


@pytest.mark.parametrize(
    ("kind", "response", "options", "message"),
    [
        (BINOMIAL, "share", {}, r"share is a proportion \(0.4 in row u\): give the numbers of tri"),
        (BINOMIAL, "k", {}, r"k is 2 in row u, but a binomial .*family=\"poisson\" or"),
        (BINOMIAL, "code", {}, r"code is 2 in row v, .*write I\(code == 2\)"),
        (BINOMIAL, "three", {}, r"three has 3 levels \(x, y, z\); a binomial response has two"),
        (BINOMIAL, "cbind(k, n, k)", {}, r"has 3 columns"),
        (BINOMIAL, "cbind(cost, n)", {}, r"0.5 in row u, but successes are whole numbers"),
        (BINOMIAL, "cbind(k, cost)", {}, r"2.5 in row u, but trials are whole numbers"),
        (BINOMIAL, "p(n, k)", {}, r"2.5 in row u, but a binomial response .*write cbind"),
        (BINOMIAL, "cbind(n, I(-2 * n))", {}, r"-1 in row u, but a binomial response .*write cb"),
        (BINOMIAL, "cbind(n, I(-n))", {}, r"is inf in row u, but a binomial response"),
        (BINOMIAL, "p(I(-k), I(-n))", {}, r"is 0.4 in row u, but a binomial response .*write cb"),
        (BINOMIAL, "share", {"weights": "k"}, "must not be zero"),
        (BINOMIAL, "share", {"weights": np.full(6, 7.0)},
         "0.4 in row u, but times its weight it is 2.8, no whole number of successes"),
        (COUNTS, "cost", {}, r"cost is 0.5 in row u, but the poisson .*family=\"gamma\" takes pos"),
        (COUNTS, "I(-k)", {}, r"-2 in row u, but .* nm.lmer"),
        (COUNTS, "share", {}, r"0.4 in row u, .*shares of trials go as cbind"),
        (COUNTS, "cbind(k, n)", {}, r"is a matrix; .*successes and failures, nm.glmer"),
        (POSITIVE, "k", {}, r"k is 0 in row v, but the gamma family .*takes counts"),
        (UNIT, "share", {}, r"0 in row v, but the beta family takes numbers between 0 and 1"),
        (COUNTS, "word", {}, "response must be numeric; word is not .its levels: "),
        (BINOMIAL, "I(word == word)", {}, "is constant"),
    ],
)  # fmt: skip
def test_what_a_family_does_not_take(kind, response, options, message):
    error = WeightsError if "zero" in message else ResponseError
    with pytest.raises(error, match=message):
        design(response, kind, **options)


def test_a_constant_response_is_refused_unless_it_has_trials():
    data = DATA.assign(half=2 * DATA.n, none=0)
    assert design("p(n, half)", data=data).n == 6
    with pytest.raises(ResponseError, match="constant"):
        design("p(none, n)", data=data)
    with pytest.raises(ResponseError, match="constant"):
        design("none", COUNTS, data=data)


@pytest.mark.parametrize("kind", [BINOMIAL, COUNTS])
def test_an_effect_of_each_row_needs_no_dispersion(kind):
    response = "p(k, n)" if kind is BINOMIAL else "k"
    found = design(response, kind, "1 + (1 | g) + (1 | id)")
    assert [len(f.levels) for f in found.factors] == [6, 3]
    with pytest.raises(GroupingError, match=r"< number of observations .*of the gamma family is"):
        design("cost", POSITIVE, "1 + (1 | g) + (1 | id)")


def test_an_infinite_offset_is_named_by_its_row():
    with pytest.raises(DataError, match=r"infinite values in the offset: -inf in row v"):
        design("n", COUNTS, "1 + offset(log(k)) + (1 | g)")


def test_every_kind_is_tried():
    tried = {response_kind(k).name for k in (BINOMIAL, COUNTS, POSITIVE, UNIT, None)}
    assert tried == set(KINDS)


@pytest.mark.parametrize(
    ("response", "written"),
    [
        ("yes", 'nm.glmer("yes ~ 1 + (1 | g)", data, family="binomial")'),
        ("code", 'nm.glmer("I(code == 2) ~ 1 + (1 | g)", data, family="binomial")'),
    ],
)
def test_a_linear_model_of_two_values_says_how_the_logistic_one_is_written(response, written):
    (line,) = design(response, None).messages
    assert "a logistic model would be usual" in line
    assert written in line
