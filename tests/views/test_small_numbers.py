"""Numbers of any size are printed: a response in amperes or moles, in every format."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.views.posterior.cells import by_spread, to_decimal

SCALE = 1e-10
NOUGHT = re.compile(r"(?<![\d.])-?0\.0{4,}(?!\d)")


@pytest.fixture(scope="module")
def views():
    data = nm.load_dataset("sleepstudy")
    data["y"] = data["Reaction"] * SCALE
    fit = nm.lmer("y ~ Days + (Days | Subject)", data)
    posterior = fit.sample(sampler="psis", draws=100, seed=1, progress=False)
    return {
        "etable": nm.etable(fit, posterior),
        "etable with intervals": nm.etable(fit, posterior, spread="ci"),
        "etable alone": nm.etable(fit, spread="none"),
        "compare": nm.compare(fit, posterior),
        "summary of a posterior": posterior.summary(),
        "varcorr of a posterior": posterior.varcorr(),
        "hypothesis": posterior.hypothesis("Days > 0"),
        "diagnose": posterior.diagnose(),
        "summary": fit.summary(),
        "varcorr": fit.varcorr(),
        "contest": fit.contest("Days = 0"),
        "anova": fit.anova(),
        "partition": fit.variance_partition(),
    }


@pytest.mark.parametrize("form", ["__str__", "_repr_html_", "to_markdown", "to_latex"])
def test_no_number_is_printed_as_nought(views, form):
    for name, view in views.items():
        text = getattr(view, form)()
        assert not NOUGHT.search(text), name


def test_numbers_are_those_of_the_unit(views):
    text = str(views["etable"])
    assert "1.047e-09" in text
    assert "(1.55e-10)" in text


def test_numbers_without_a_spread_are_printed_in_their_unit(views):
    """Standard deviations have no standard error; what is held at a value has no spread at all."""
    assert re.search(r"sd_\(Intercept\)\|Subject +2\.474e-09 ", str(views["compare"]))
    frame = pd.DataFrame({"estimate": [2.5e-9, 2.5, 0.0, -40.0], "std_error": [0, 0, 0, np.nan]})
    assert by_spread(frame, ["estimate"])["estimate"].tolist() == [
        "2.50e-09", "2.50", "0.00", "-40.00",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "decimals", "text"),
    [
        (10.467, 2, "10.47"),
        (1.0467e-9, 12, "1.047e-09"),
        (-1.0467e-9, 12, "-1.047e-09"),
        (1.6e-13, 12, "2e-13"),
        (0.0, 12, "0e+00"),
        (2.6e-8, 8, "0.00000003"),
        (float("nan"), 12, ""),
    ],
)
def test_to_decimal(number, decimals, text):
    assert to_decimal(number, decimals) == text


def test_profiles_do_not_depend_on_the_unit():
    data = nm.load_dataset("sleepstudy")
    data["y"] = data["Reaction"] * SCALE
    one = nm.lmer("Reaction ~ Days + (1 | Subject)", data).conf_int(progress=False)
    small = nm.lmer("y ~ Days + (1 | Subject)", data).conf_int(progress=False)
    np.testing.assert_allclose(small / SCALE, one, rtol=1e-5)
