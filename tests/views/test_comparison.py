"""REML beside posterior: table, plot, refusals; piled-up variances are quoted."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from designs import FORMULAS, data
from fake_posterior import fake_bayesfit

import nestedmlm as nm
from nestedmlm.posterior.diagnosis import boundary_table, sampling_problems

SLEEP = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def pair():
    fit = nm.lmer(SLEEP, nm.load_dataset("sleepstudy"))
    return fit, fake_bayesfit(fit)


def test_table(pair):
    fit, bayes = pair
    table = nm.compare(fit, bayes, level=0.9).table
    assert list(table["variable"]) == [
        "Intercept", "Days", "1|Subject_sigma", "Days|Subject_sigma", "Subject_corr[Days, 1]",
        "sigma",
    ]  # fmt: skip
    np.testing.assert_allclose(table["estimate"][:2], fit.fixef)
    np.testing.assert_allclose(table["std_error"][:2], fit.bse)
    assert table["std_error"][2:].isna().all()
    np.testing.assert_allclose(table["estimate"].iloc[2:4], fit.varcorr().blocks[0].sd)
    assert (
        table.loc["cor_Days.(Intercept)|Subject", "estimate"] == fit.varcorr().blocks[0].corr[1, 0]
    )
    assert table.loc["sigma", "estimate"] == fit.sigma
    assert table.loc["Days", "mean"] == pytest.approx(bayes.fixef["Days"])
    shift = (bayes.fixef["Days"] - fit.fixef["Days"]) / fit.bse["Days"]
    assert table.loc["Days", "shift"] == pytest.approx(shift)
    assert table["inside"].dtype == bool


@pytest.mark.parametrize("kind", ["compound symmetry", "autoregressive", "diag", "no fixed effects",
                                  "several terms on one factor"])  # fmt: skip
def test_every_structure(kind):
    fit = nm.lmer(FORMULAS[kind], data())
    table = nm.compare(fit, fake_bayesfit(fit, chains=2, draws=100)).table
    assert np.isfinite(table[["mean", "sd", "conf_low", "conf_high"]]).all(axis=None)
    # correlations next to a zero standard deviation have no estimate
    assert np.isfinite(table.loc[table["kind"] != "cor", "estimate"]).all()


def test_sums_are_compared_as_rows():
    frame = nm.load_dataset("sleepstudy")
    fit, summed = nm.lmer(SLEEP, frame), nm.summarise(SLEEP, frame).fit()
    draws = {"sampler": "psis", "draws": 50, "seed": 1}
    mine, theirs = (nm.compare(f, f.sample(**draws)).table for f in (summed, fit))
    assert np.allclose(mine["shift"], theirs["shift"], rtol=0, atol=1e-6)
    other = nm.summarise(SLEEP, frame.assign(Reaction=frame["Reaction"] + frame.index)).fit()
    with pytest.raises(nm.errors.ModelComparisonError, match="different responses"):
        nm.compare(other, summed.sample(**draws))


def test_curves_have_one_standard_deviation():
    fit = nm.lmer("Reaction ~ s(Days) + (1 | Subject)", nm.load_dataset("sleepstudy"))
    bayes = fake_bayesfit(fit, chains=2, draws=100)
    comparison = nm.compare(fit, bayes)
    estimate = comparison.table["estimate"]
    varcorr = fit.varcorr().to_frame().set_index("group")["estimate"]
    assert estimate["sd_s(Days)|s(Days)"] == pytest.approx(varcorr["s(Days)"])
    near = bayes.diagnose().table.set_index("group")["threshold"]
    term = next(t for t in fit.design.terms if t.smooth is not None)
    moved = np.sqrt(np.mean(np.sum(term.X**2, axis=1)))  # by a curve whose effects are 1
    sigma = float(bayes.data["posterior"]["sigma"].mean())
    assert near["s(Days)"] == pytest.approx(0.05 * sigma / moved)
    with pytest.raises(nm.errors.NotDefinedError, match="why is not worked out"):
        comparison.why()


def test_view(pair):
    comparison = nm.compare(*pair)
    text = str(comparison)
    assert text.startswith("REML estimates and posterior means\nFormula: " + SLEEP)
    assert "Shift" in text
    assert "<table" in comparison._repr_html_()
    ml = nm.compare(pair[0].refit_ml(), pair[1])
    assert str(ml).startswith("ML estimates")


def test_mismatched_fits(pair):
    fit, bayes = pair
    frame = nm.load_dataset("sleepstudy")
    cases = {
        "numbers of rows": nm.lmer(SLEEP, frame.iloc[:170]),
        "fixed effects": nm.lmer("Reaction ~ 1 + (Days | Subject)", frame),
        "random effects": nm.lmer("Reaction ~ Days + (1 | Subject)", frame),
        "responses": fit.refit(fit.design.y + np.arange(180.0)),
    }
    for what, other in cases.items():
        with pytest.raises(nm.errors.ModelComparisonError, match=f"different {what}"):
            nm.compare(other, bayes)


def test_wrong_arguments(pair):
    fit, bayes = pair
    with pytest.raises(nm.errors.OptionError, match="BayesFit is no LmerFit"):
        nm.compare(bayes, fit)
    with pytest.raises(nm.errors.OptionError, match="or several fits"):
        nm.compare(fit)
    with pytest.raises(nm.errors.OptionError, match="DataFrame is no LmerFit"):
        nm.compare(fit, nm.load_dataset("sleepstudy"))


def test_fits_in_a_list_or_a_dictionary(pair):
    both = str(nm.compare(*pair))
    assert (
        both == str(nm.compare(list(pair))) == str(nm.compare(dict(zip("ab", pair, strict=True))))
    )
    assert "sd_Days|Subject " in both and "_sigma" not in both


def test_plot(pair):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    ax = nm.plots.comparison(*pair)
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == list(nm.compare(*pair).table.index)
    figure, other = matplotlib.pyplot.subplots()
    assert nm.plots.comparison(*pair, ax=other) is other
    sized = nm.plots.comparison(*pair, figsize=(3.0, 2.0)).figure
    assert sized.get_size_inches().tolist() == [3.0, 2.0]
    figure.canvas.draw()
    matplotlib.pyplot.close("all")


def test_plot_without_matplotlib(pair, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(nm.errors.OptionError, match=r"pip install matplotlib"):
        nm.plots.comparison(*pair)


# --- what deserves attention -------------------------------------------------------------------
def with_sd(bayes, name, values):
    tree = bayes.data.copy()
    posterior = tree["posterior"].to_dataset().assign({name: (("chain", "draw"), values)})
    tree["posterior"] = type(tree)(posterior)
    return replace(bayes, data=tree)


def test_piled_up_posterior_is_quoted(pair):
    fit, bayes = pair
    rng = np.random.default_rng(1)
    piled = with_sd(bayes, "Days|Subject_sigma", np.abs(rng.normal(0.0, 1.0, (4, 250))))
    table = boundary_table(piled.data, fit.design).set_index("var1")
    assert table.loc["Days", "at_boundary"]
    assert not table.loc["(Intercept)", "at_boundary"]
    assert table.loc["Days", "ratio_error"] == pytest.approx(
        np.sqrt(2 / (1000 * table.loc["Days", "share_near_zero"])),
        rel=0.3,
    )
    rms = np.sqrt(np.mean(fit.design.terms[0].X[:, 1] ** 2))
    post = piled.data["posterior"]
    below = (post["Days|Subject_sigma"] * rms < 0.05 * post["sigma"]).values.mean()
    assert table.loc["Days", "share_near_zero"] == pytest.approx(below)
    sentence = f"Subject, Days: {100 * below:.0f} % of the draws have a standard deviation below"
    assert sentence in str(piled.diagnose())
    assert sentence in str(nm.compare(fit, piled))
    assert bayes.diagnose().boundary == ()
    assert "No standard deviation is piled up" in str(bayes.diagnose())


@pytest.mark.parametrize(
    ("family", "form", "wanted"),
    [
        (None, "hierarchical", "integrate the random effects out (marginal=True), raise"),
        (None, "marginal", "raise"),
        ("poisson", "hierarchical", "integrate the random effects out (marginal='laplace', appr"),
        ("poisson", "laplace", "raise"),
        ("student_t", "hierarchical", "raise"),  # no other form samples it
    ],
)
def test_advice_against_divergences_can_be_followed(pair, family, form, wanted):
    """It names the form in use, and asks for no other that is in use or refused."""
    table = pair[1].parameters().assign(r_hat=1.0, ess_bulk=1000.0)
    own = None if family is None else getattr(nm.families, family)()
    (said,) = sampling_problems(
        table, chains=4, draws=500, divergences=3, independent=False, form=form, family=own
    )
    assert said.startswith(f"3 divergences of the {form} form: {wanted}")


def test_no_seed_decides_whether_a_posterior_is_piled_up(pair):
    """A density at zero of nearly half the highest is called piled up in no sample of it."""
    fit, bayes = pair
    verdicts, ratios = [], []
    for seed in range(40):
        # |N(m, 1)|: relative to its highest, the density at zero is 0.47 for m = 1.7
        values = np.abs(np.random.default_rng(seed).normal(1.7, 1.0, (4, 250)))
        drawn = with_sd(bayes, "Days|Subject_sigma", values)
        row = boundary_table(drawn.data, fit.design).set_index("var1").loc["Days"]
        verdicts.append(row["at_boundary"])
        ratios.append(row["density_ratio"])
    assert np.mean(np.array(ratios) > 0.5) > 0.2  # the estimate alone would say both
    assert np.mean(verdicts) <= 0.05


def test_units_of_a_predictor_do_not_matter():
    frame = nm.load_dataset("sleepstudy")
    tables = []
    for scale in (1.0, 1e-3):
        fit = nm.lmer(SLEEP, frame.assign(Days=frame["Days"] * scale))
        bayes = fake_bayesfit(fit)
        rng = np.random.default_rng(1)
        bayes = with_sd(bayes, "Days|Subject_sigma", np.abs(rng.normal(0.0, 1 / scale, (4, 250))))
        tables.append(boundary_table(bayes.data, fit.design))
    assert list(tables[0]["share_near_zero"]) == list(tables[1]["share_near_zero"])


def test_problems_of_sampling(pair):
    table = pair[1].parameters()
    table = table.assign(r_hat=1.0, ess_bulk=1000.0)
    options = {"chains": 4, "draws": 500, "divergences": 0, "independent": False,
               "form": "hierarchical"}  # fmt: skip
    assert sampling_problems(table, **options) == ()
    (said,) = sampling_problems(table.assign(r_hat=1.2), **options)
    assert "R-hat of (Intercept) is 1.200" in said
    (said,) = sampling_problems(table.assign(ess_bulk=50.0), **options)
    assert "only 50 effective draws" in said
    # a number beside the limit that it misses is not rounded onto it
    (said,) = sampling_problems(table.assign(r_hat=1.0101), **options)
    assert "is 1.011 (above 1.01)" in said
    (said,) = sampling_problems(table.assign(ess_bulk=399.7), **options)
    assert "only 399 effective draws" in said
    options |= {"independent": True}
    assert sampling_problems(table.assign(r_hat=1.2), **options) == ()
    (said,) = sampling_problems(table.assign(ess_bulk=350.0), **options)
    assert "only 350 effective draws of (Intercept): ask for more draws" in said
    # of 400 that were asked for 350 are no problem
    assert sampling_problems(table.assign(ess_bulk=350.0), **options | {"draws": 100}) == ()
