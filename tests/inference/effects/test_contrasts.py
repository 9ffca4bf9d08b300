"""Contrasts as users write them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from designs import data

from nestedmlm.design.build import build_design
from nestedmlm.errors import OptionError
from nestedmlm.inference.effects.contrasts import read_contrasts


@pytest.fixture(scope="module")
def design():
    frame = data(60).assign(x2=lambda d: 2 * d["x"])
    return build_design("y ~ a * x + I(z^2) + x2 + (1 | f1)", frame)


NAMES = ("(Intercept)", "aq", "ar", "x", "I(z^2)", "aq:x", "ar:x")


def row(**coefficients: float) -> list[float]:
    spelled = {"one": "(Intercept)", "z": "I(z^2)", "aqx": "aq:x", "arx": "ar:x"}
    named = {spelled.get(k, k): v for k, v in coefficients.items()}
    return [named.get(name, 0.0) for name in NAMES]


def test_the_names(design):
    assert design.x_names == NAMES
    assert design.dropped == ("x2",)


@pytest.mark.parametrize(
    ("text", "expected", "rhs"),
    [
        ("x", row(x=1), 0.0),
        ("x = 0", row(x=1), 0.0),
        ("x == 2", row(x=1), 2.0),
        ("aq - ar", row(aq=1, ar=-1), 0.0),
        ("x - 10 = 0.5", row(x=1), 10.5),
        ("2 * x + 3 = aq", row(x=2, aq=-1), -3.0),
        ("(aq + ar) / 2 - x", row(aq=0.5, ar=0.5, x=-1), 0.0),
        ("-(x - 1e-2) * .5", row(x=-0.5), -0.005),
        ("(Intercept) + 5 * x", row(one=1, x=5), 0.0),
        ("Intercept", row(one=1), 0.0),
        ("I(z^2) - 1", row(z=1), 1.0),
        ("`aq:x` - `ar:x` = 1", row(aqx=1, arx=-1), 1.0),
        ("aq:x-ar:x", row(aqx=1, arx=-1), 0.0),
        ("x = aq = 0", None, "something is left over"),
        ("x x", None, "something is left over"),
        ("xx = 0", None, "'xx' is no coefficient"),
        ("x * aq", None, "only be added and multiplied by numbers"),
        ("1 / x", None, "only be added and multiplied by numbers"),
        ("x / 0", None, "division by zero"),
        ("x - ", None, "ends too early"),
        ("(x", None, "parenthesis is not closed"),
        ("`x", None, "backtick is not closed"),
        ("1 = 0", None, "no coefficient is left"),
        ("x - x", None, "no coefficient is left"),
        ("`what` = 0", None, "'what' is no coefficient; there are"),
        ("x2 = 0", None, "'x2' was dropped"),
        ("x & aq", None, "'&' is no coefficient"),
        ("* x", None, "out of place"),
    ],
)
def test_text(design, text, expected, rhs):
    if expected is None:
        with pytest.raises(OptionError, match=rhs):
            read_contrasts(text, design)
        return
    found = read_contrasts(text, design)
    assert found.L.tolist() == [pytest.approx(expected)]
    assert found.rhs.tolist() == pytest.approx([rhs])
    assert found.labels == (text,)


def test_an_error_marks_the_place(design):
    with pytest.raises(OptionError) as caught:
        read_contrasts("2 * x + nothing", design)
    assert str(caught.value).splitlines()[1:] == ["  2 * x + nothing", "          ^"]


def test_other_forms(design):
    eye = np.eye(7)
    assert read_contrasts(eye[3], design).L.tolist() == [eye[3].tolist()]
    assert read_contrasts(eye[2:4].tolist(), design, rhs=[1, 2]).rhs.tolist() == [1.0, 2.0]
    assert read_contrasts(["x", "aq = 1"], design, rhs=1).rhs.tolist() == [1.0, 2.0]
    named = read_contrasts({"slope": "x", "both": ["aq", "ar"], "third": eye[0]}, design)
    assert named.labels == ("slope", "both.1", "both.2", "third")
    table = pd.DataFrame({"x": [1.0, 0.0], "aq": [0.0, 2.0]}, index=["one", "two"])
    found = read_contrasts(table, design)
    assert found.labels == ("one", "two")
    assert found.L[1].tolist() == row(aq=2)
    assert read_contrasts(table.loc["one"], design).labels == ("one",)


@pytest.mark.parametrize(
    ("given", "rhs", "message"),
    [
        (np.eye(3), 0.0, "one number for each of the 7 fixed effects"),
        ([1.0, np.nan, 0, 0, 0, 0, 0], 0.0, "finite"),
        ("x", np.inf, "finite"),
        (["x", "aq"], [1, 2, 3], "rhs holds 3 numbers for 2 contrasts"),
        (object(), 0.0, "text, numbers or a table"),
        (pd.DataFrame({"nobody": [1.0]}), 0.0, "'nobody' is no coefficient"),
    ],
)
def test_what_is_refused(design, given, rhs, message):
    with pytest.raises(OptionError, match=message):
        read_contrasts(given, design, rhs=rhs)


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("`day no`", [0, 1, 0, 0]),
        ("`my cond`b - 2 * `day no`", [0, -2, 1, 0]),
        ("`day no`:`my cond`b = 1", [0, 0, 0, 1]),
    ],
)
def test_odd_names_keep_their_backticks(text: str, row: list[int]) -> None:
    data = pd.DataFrame({
        "y": np.arange(12.0) ** 2, "day no": np.arange(12.0), "my cond": ["a", "b"] * 6,
        "the group": np.repeat(["u", "v", "w"], 4),
    })  # fmt: skip
    design = build_design("y ~ `day no` * `my cond` + (1 | `the group`)", data)
    assert [f.name for f in design.factors] == ["the group"]  # as lme4
    assert read_contrasts(text, design).L.tolist() == [row]
