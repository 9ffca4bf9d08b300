"""The report of a generalized fit: what it says, and that its numbers are the fit's."""

from __future__ import annotations

import numpy as np
import pytest

import nestedmlm as nm

TICKS = "TICKS ~ YEAR + cHEIGHT + (1 | BROOD)"


def ticks(**options: str) -> nm.GlmerFit:
    return nm.glmer(TICKS, nm.load_dataset("grouseticks"), **options)


def test_numbers_are_those_of_the_fit() -> None:
    fit = ticks(family="negativebinomial")
    report, tidy = fit.report(), fit.tidy("fixed", conf_int=True, level=0.95)
    table = report.to_frame()
    for name in ("estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high"):
        np.testing.assert_allclose(table[name], tidy[name])
    odds = fit.tidy("fixed", conf_int=True, exponentiate=True)
    np.testing.assert_allclose(table["ratio"], odds["estimate"])
    np.testing.assert_allclose(table[["ratio_low", "ratio_high"]], odds[["conf_low", "conf_high"]])
    text = " ".join(str(report).split())
    assert f"The family's theta was {fit.dispersion:.2f}." in text
    assert f"YEAR96 {np.exp(fit.params['YEAR96']):.3f} [" in text
    assert f"SD = {fit.varcorr().to_frame()['estimate'][0]:.3f} (BROOD, (Intercept)). " in text
    assert "R² = .57 (marginal)" in text


@pytest.mark.parametrize(
    ("options", "said", "unsaid"),
    [
        ({"family": "poisson"}, "the Poisson family with the log link", "odds"),
        ({"family": "poisson", "link": "sqrt"}, "with the sqrt link", "ratios of"),
        ({"family": "poisson", "nAGQ": 5}, "adaptive Gauss-Hermite quadrature, 5 nodes", "Laplace"),
        ({"family": "negativebinomial"}, "the negative binomial family", "residual"),
    ],
)  # fmt: skip
def test_what_it_says_of_the_model(options: dict[str, str], said: str, unsaid: str) -> None:
    text = " ".join(str(ticks(**options).report()).split())
    assert said in text
    assert unsaid not in text


def test_weights_offsets_and_penalties_are_said() -> None:
    data = nm.load_dataset("grouseticks").assign(w=2.0, o=0.1)
    fit = nm.glmer(TICKS, data, family="poisson", weights="w", offset="o", penalty="normal")
    text = " ".join(str(fit.report()).split())
    assert ", with prior weights w, with the offset o, penalised (normal). The optimum" in text


def test_a_singular_fit_says_so() -> None:
    data = nm.load_dataset("grouseticks").assign(half=lambda d: np.arange(len(d)) % 2)
    fit = nm.glmer("TICKS ~ YEAR + (1 | BROOD) + (1 | half)", data, family="negativebinomial")
    text = " ".join(str(fit.report()).split())
    assert fit.is_singular() == ("The fit is singular" in text)
    assert fit.is_singular()
