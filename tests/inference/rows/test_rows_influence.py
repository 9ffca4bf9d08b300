"""Residuals, leverages and influence: lme4's numbers (reference/lme4.md 2.8 and 3.1) and refits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from designs import FORMULAS, data, design

import nestedmlm as nm
from nestedmlm import lme4
from nestedmlm.design.build import build_design
from nestedmlm.errors import ColumnNotFoundError, DataError, GroupingError, OptionError
from nestedmlm.fits.simulation import leave_out_elsewhere
from nestedmlm.inference.resampling import resampling
from nestedmlm.inference.rows import deletion, subset
from nestedmlm.inference.rows.residuals import hat_values
from nestedmlm.likelihood.plan import make_plan, theta_of_phi
from nestedmlm.likelihood.solution import results_at
from nestedmlm.statistics.crossproducts import cross_products
from nestedmlm.views.influence import Influence

REFITS = ("full", "one-step", "none")


@pytest.fixture(scope="module")
def sleepstudy() -> pd.DataFrame:
    return nm.load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def intercepts(sleepstudy: pd.DataFrame) -> nm.LmerFit:
    return nm.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy)


@pytest.fixture(scope="module")
def slopes(sleepstudy: pd.DataFrame) -> nm.LmerFit:
    return nm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)


@pytest.fixture(scope="module")
def weighted(sleepstudy: pd.DataFrame) -> nm.LmerFit:
    rows = sleepstudy.assign(w=np.arange(1, 181) % 4 + 1.0)
    return nm.lmer("Reaction ~ Days + (Days | Subject)", rows, weights="w")


@pytest.fixture(scope="module")
def m17(shared_data) -> nm.LmerFit:
    return nm.lmer(
        "mathscore ~ ses + (ses | schoolid) + (1 | classid)",
        pd.read_csv(shared_data / "classroom.csv"),
    )


@pytest.fixture(scope="module")
def penicillin() -> nm.LmerFit:
    return nm.lmer("diameter ~ (1 | plate) + (1 | sample)", nm.load_dataset("Penicillin"))


# --- lme4 1.1-31's numbers: hatvalues(fit), cooks.distance(fit), rstudent(fit), first three -------
HAT = {
    "35-sleep_int": ("intercepts", [0.1074833110872, 0.1020961057, 0.0980557016596], 17.8924505411),
    "sleep_corr": ("slopes", [0.22930403774, 0.169729993799, 0.126823715020], 29.0221239506),
    "weighted": ("weighted", [0.200760321483, 0.220163336363, 0.215356150207], 30.658467066),
    "M17": ("m17", [0.125586930419, 0.106594497260, 0.108179632673], 125.28832848),
    "penicillin": ("penicillin", [0.190780273374, 0.190780273374, 0.190780273374], 27.4723593659),
}
COOK = {
    "35-sleep_int": ("intercepts", [0.127645976010, 0.127346547403, 0.243724625910]),
    "sleep_corr": ("slopes", [0.00496313251482, 0.04020620185561, 0.22609918475812]),
    "weighted": ("weighted", [0.00736644405758, 0.02547185319999, 0.75982990621272]),
    "M17": ("m17", [0.163243651695, 0.150300209458, 0.128059448574]),
}
RSTUDENT = {
    "35-sleep_int": ("intercepts", [-1.45598270597, -1.49664543180, -2.11747424637]),
    "sleep_corr": ("slopes", [-0.182653763074, -0.627179564318, -1.764473851177]),
    "weighted": ("weighted", [0.242182926235, -0.424790303925, -2.353048275570]),
}


@pytest.mark.parametrize("case", HAT)
def test_hatvalues(case: str, request: pytest.FixtureRequest) -> None:
    name, first, total = HAT[case]
    found = request.getfixturevalue(name).hatvalues()
    assert found.head(3).to_numpy() == pytest.approx(first, rel=2e-3 if name == "m17" else 1e-4)
    assert found.sum() == pytest.approx(total, rel=1e-3 if name == "m17" else 1e-4)


@pytest.mark.parametrize("case", COOK)
def test_cooks_distance_of_rows(case: str, request: pytest.FixtureRequest) -> None:
    name, first = COOK[case]
    found = request.getfixturevalue(name).cooks_distance().head(3).to_numpy()
    assert found == pytest.approx(first, rel=2e-3 if name == "m17" else 2e-4)


@pytest.mark.parametrize("case", RSTUDENT)
def test_rstudent(case: str, request: pytest.FixtureRequest) -> None:
    name, first = RSTUDENT[case]
    fit = request.getfixturevalue(name)
    assert fit.rstudent().head(3).to_numpy() == pytest.approx(first, rel=1e-4)
    assert fit.residuals(standardized=True).equals(fit.rstudent().rename("resid"))


def test_28_residuals(slopes: nm.LmerFit, weighted: nm.LmerFit) -> None:
    e, scaled = slopes.residuals(), slopes.residuals("pearson", scaled=True)
    assert [e.min(), e.max()] == pytest.approx([-101.17996, 132.54664], rel=2e-5)
    assert [scaled.min(), scaled.max()] == pytest.approx([-3.9536067, 5.1792598], rel=2e-5)
    assert slopes.resid.equals(e) and slopes.residuals("working").equals(e)
    # residuals(fit, type) of the weighted fit in R
    deviance = [8.09645414732, -14.02778949156, -77.94350741862]
    working = [5.72505763114, -8.09894803909, -38.97175370931]
    assert weighted.residuals("deviance").head(3).to_numpy() == pytest.approx(deviance, rel=1e-4)
    assert weighted.residuals("working").head(3).to_numpy() == pytest.approx(working, rel=1e-4)
    scaled = [0.216512034305, -0.375125355416, -2.084333097556]
    found = weighted.residuals("pearson", scaled=True).head(3)
    assert found.to_numpy() == pytest.approx(scaled, rel=1e-4)


def test_28_refused_residuals(slopes: nm.LmerFit) -> None:
    with pytest.raises(OptionError, match="partial residuals are not implemented"):
        slopes.residuals("partial")
    with pytest.raises(OptionError, match="response, working, pearson, deviance"):
        slopes.residuals("raw")
    with pytest.raises(OptionError, match="conditional, marginal"):
        slopes.residuals(which="both")


def test_28_rows_left_out_are_padded(sleepstudy: pd.DataFrame) -> None:
    holes = sleepstudy.copy()
    holes.loc[[0, 7], "Reaction"] = np.nan
    for action, length in (("omit", 178), ("exclude", 180)):
        fit = nm.lmer("Reaction ~ Days + (1 | Subject)", holes, na_action=action)
        for found in (
            fit.resid,
            fit.hatvalues(),
            fit.cooks_distance(),
            fit.rstudent(),
            fit.dfbeta(),
        ):
            assert len(found) == length
            assert found.dropna().index.equals(sleepstudy.index.delete([0, 7]))


def test_marginal_residuals(weighted: nm.LmerFit) -> None:
    e = weighted.residuals(which="marginal")
    assert (e + weighted.predict(re_form=False)).to_numpy() == pytest.approx(weighted.design.y)
    V, C, X = marginal_covariance(weighted)
    sd = weighted.sigma * np.sqrt(np.diag(V) - np.einsum("ij,jk,ik->i", X, C, X))
    found = weighted.residuals(which="marginal", standardized=True)
    assert found.to_numpy() == pytest.approx((e / sd).to_numpy())


def test_conditional_residuals_have_the_variance_that_divides_them(weighted: nm.LmerFit) -> None:
    V, C, X = marginal_covariance(weighted)
    Vi = np.linalg.inv(V)
    P = Vi - Vi @ X @ C @ X.T @ Vi
    w = weighted.design.weights
    variance = weighted.sigma**2 * np.diag(P) / w**2  # e = W^-1 P y
    found = weighted.residuals(standardized=True)
    assert found.to_numpy() == pytest.approx(weighted.resid.to_numpy() / np.sqrt(variance))


def marginal_covariance(fit: nm.LmerFit) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    Z = fit.model_matrix("random").toarray()
    L = np.kron(np.eye(18), fit.solution.T[0])
    V = np.diag(1.0 / fit.design.weights) + Z @ L @ L.T @ Z.T
    X = fit.design.X
    return V, np.linalg.inv(X.T @ np.linalg.solve(V, X)), X


@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize(
    "kind", ["nested chain of two", "crossed", "nested within crossed", "diag"]
)
def test_59_leverage_is_the_slope_of_its_own_response(kind: str, weights: str | None) -> None:
    rows = data().sample(150, replace=True, random_state=1, ignore_index=True)  # repeated rows
    of = build_design(FORMULAS[kind], rows, weights=weights)
    theta = np.full(make_plan(of, cross_products(of)).n_theta, 0.6)
    solution = results_at(of, theta)
    found = hat_values(solution, of)
    for i in (0, 70, 149):
        y = of.y.copy()
        y[i] += 1.0
        moved = results_at(replaced(of, y), theta).fitted[i] - solution.fitted[i]
        assert found[i] == pytest.approx(moved, rel=1e-8)


def replaced(of, y: np.ndarray):

    return of.with_response(y)


def test_36_without_group_variance_all_is_as_in_lm() -> None:
    rows = nm.load_dataset("Dyestuff2")
    fit = nm.lmer("Yield ~ 1 + (1 | Batch)", rows)
    assert fit.theta[0] == 0.0
    e, h = rows.Yield - rows.Yield.mean(), 1.0 / 30.0
    s2 = (e**2).sum() / 29
    without = np.sqrt((29 * s2 - e**2 / (1 - h)) / 28)
    assert fit.hatvalues().to_numpy() == pytest.approx(np.full(30, h))
    assert fit.rstudent(external=True).to_numpy() == pytest.approx(e / without / np.sqrt(1 - h))
    assert fit.cooks_distance().to_numpy() == pytest.approx(e**2 * h / (s2 * (1 - h) ** 2))


def same(one: Influence, two: Influence) -> None:
    pd.testing.assert_frame_equal(one.to_frame(), two.to_frame(), check_exact=True)
    assert np.array_equal(one.vcov_without, two.vcov_without)


@pytest.mark.parametrize("refit", ["full", "one-step"])
def test_results_do_not_depend_on_chunks(slopes, refit, monkeypatch):
    """What processes are handed, done here: the same bits, in the same order."""
    handed = []

    def here(task, chunks, workers, chosen):
        handed.append([len(chunk) for chunk in chunks])
        return map(task, chunks)

    monkeypatch.setattr(leave_out_elsewhere, "elsewhere", here)
    options = {"refit": refit, "progress": False}
    same(slopes.influence("Subject", workers=2, **options), slopes.influence("Subject", **options))
    assert handed == [[3, 3, 3, 3, 3, 3]]


@pytest.mark.slow
def test_results_do_not_depend_on_processes(slopes):
    options = {"progress": False}
    same(slopes.influence("Subject", workers=2, **options), slopes.influence("Subject", **options))
    two = nm.lmer(
        "Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff").query("Batch in ['A', 'B']")
    )
    with pytest.raises(GroupingError, match="one level left"):
        two.influence("Batch", workers=2, **options)


# --- what is left out: lme4's influence() ------------------------------------------------------
# R: i <- influence(fit, "Subject"); cooks.distance(i); dfbetas(i); dfbeta(i, "var.cov")
def test_35_cooks_distance_of_subjects(intercepts: nm.LmerFit) -> None:
    found = intercepts.influence("Subject")
    cook = [0.33921460, 0.29030906, 0.13061256]
    assert found.cooks_distance().head(3).to_numpy() == pytest.approx(cook, rel=1e-6)
    dfbetas = [[0.0431606648, -0.8670902475], [0.3063380253, 0.5790548592]]
    assert found.dfbetas().head(2).to_numpy() == pytest.approx(np.array(dfbetas), rel=1e-5)
    assert found.sigma_without.iloc[0] ** 2 == pytest.approx(823.824496440, rel=1e-6)
    assert found.varcorr_without.iloc[0, 0] == pytest.approx(1358.0323, rel=1e-5)
    assert list(found.varcorr.index) == ["var_(Intercept)|Subject", "sigma^2"]


def test_cooks_distance_of_subjects_with_slopes(slopes: nm.LmerFit) -> None:
    found = slopes.influence("Subject")
    cook = [0.0821484050694, 0.1320207979578, 0.0982407442918]
    assert found.cooks_distance().head(3).to_numpy() == pytest.approx(cook, rel=1e-3)
    dfbetas = [[0.0587248823, -0.4489274387], [0.4108749216, 0.3098968980]]
    assert found.dfbetas().head(2).to_numpy() == pytest.approx(np.array(dfbetas), rel=1e-3)
    moved = [82.02989865081, -1.45823285098, -4.59698177549, -95.76265721559]
    assert found.dfbeta("varcorr").iloc[0].to_numpy() == pytest.approx(moved, rel=5e-3)


def test_cooks_distance_of_cases_by_refits(slopes: nm.LmerFit) -> None:
    found = slopes.influence(progress=False)
    cook = [0.000156087751192, 0.001132246356579, 0.005474652613232]
    assert found.cooks_distance().iloc[[0, 1, 56]].to_numpy() == pytest.approx(cook, rel=2e-3)
    dfbetas = [-0.0224204018401, -0.0979345783464]
    assert found.dfbetas().iloc[56].to_numpy() == pytest.approx(dfbetas, rel=2e-3)
    assert found.converged.all() and len(found) == 180


def test_cooks_distance_of_crossed_groups(penicillin: nm.LmerFit) -> None:
    found = penicillin.influence("sample").cooks_distance()
    expected = [
        0.24550787942,
        0.0524079269895,
        0.192755745737,
        4.81889364e-4,
        9.8344768e-6,
        0.463095679,
    ]
    assert found.to_numpy() == pytest.approx(expected, rel=1e-4)


def test_m17_without_three_schools(m17: nm.LmerFit) -> None:
    # R: fixef(update(m17, data = subset(classroom, schoolid != k))) for k = 1, 2, 76
    found = m17.influence("schoolid", progress=False).fixef_without
    expected = [
        [522.8759270680, 11.2848870550],
        [522.5641468928, 11.1694893211],
        [523.1222311743, 11.1316721344],
    ]
    assert found.loc[[1, 2, 76]].to_numpy() == pytest.approx(np.array(expected), rel=2e-5)


def test_m17_subset_by_school(shared_data) -> None:
    rows = pd.read_csv(shared_data / "classroom.csv")
    rows = rows[rows.schoolid <= 20]
    fit = nm.lmer("mathscore ~ ses + (1 | schoolid) + (1 | classid)", rows)
    found = fit.influence("schoolid")
    cook = [0.00280380375893, 0.05222498464818, 0.0984311966146, 0.03993059987057, 0.00402360695052]
    assert found.cooks_distance().head(5).to_numpy() == pytest.approx(cook, rel=1e-3)
    dfbetas = [[0.0307644308, 0.0729206741], [-0.3409822909, 0.0352272878]]
    assert found.dfbetas().head(2).to_numpy() == pytest.approx(np.array(dfbetas), rel=2e-3)


# --- exactness ---------------------------------------------------------------------------------
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", FORMULAS)
def test_downdating_is_solving_without_the_rows(kind: str, weighted: bool) -> None:
    of = design(kind, weighted=weighted, offset=weighted)
    stats = cross_products(of)
    plan = make_plan(of, stats)
    theta = theta_of_phi(0.7 * np.random.default_rng(5).normal(size=plan.n_theta), plan, stats)
    solution = results_at(of, theta, stats=stats)
    REML = of.p > 0
    cases = [np.array([i]) for i in range(0, of.n, 29)]
    groups = [resampling.row_sets(f.codes, len(f.levels)) for f in of.factors]
    for sets in (cases, *groups):
        fast = deletion.delete_held(solution, of, sets, REML=REML)
        slow = deletion.empty_estimates(of, len(theta), len(sets))
        for g, gone in enumerate(sets):
            deletion.write_estimates(slow, g, of, subset.without_rows(of, gone), theta, REML)
        assert fast.beta == pytest.approx(slow.beta, rel=1e-9)
        assert fast.sigma == pytest.approx(slow.sigma, rel=1e-10)
        scale = np.abs(slow.vcov).max(initial=0.0)
        assert fast.vcov == pytest.approx(slow.vcov, rel=1e-8, abs=1e-10 * scale)


def test_large_groups_are_solved_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    of = design("nested chain of two")
    theta = np.full(make_plan(of, cross_products(of)).n_theta, 0.4)
    solution = results_at(of, theta)
    sets = resampling.row_sets(of.factors[1].codes, 6)
    small = deletion.delete_held(solution, of, sets, REML=True)
    monkeypatch.setattr(deletion, "_MANY_EFFECTS", 2)
    large = deletion.delete_held(solution, of, sets, REML=True)
    assert large.beta == pytest.approx(small.beta) and large.sigma == pytest.approx(small.sigma)


def test_full_refits_are_fits_of_fewer_rows() -> None:
    rows = data()
    fit = nm.lmer("y ~ x + (1 | f2) + (z | c1)", rows, weights="w", offset="off")
    found = fit.influence("c1")
    for level in (0, 4):
        alone = nm.lmer(
            "y ~ x + (1 | f2) + (z | c1)", rows[rows.c1 != level], weights="w", offset="off"
        )
        assert found.fixef_without.loc[level].to_numpy() == pytest.approx(alone.fixef, rel=1e-6)
        assert found.sigma_without[level] == pytest.approx(alone.sigma, rel=1e-6)
        assert found.vcov_without[list(found.converged.index).index(level)] == pytest.approx(
            alone.cov_params().to_numpy(), rel=1e-4
        )


def test_one_step_is_close_to_a_refit(m17: nm.LmerFit) -> None:
    by = {refit: m17.influence("schoolid", refit=refit) for refit in REFITS}
    full = by["full"].theta_without - by["full"].theta
    step = by["one-step"].theta_without - by["one-step"].theta
    moved = np.linalg.norm(full, axis=1) > 0.02
    assert moved.sum() > 5
    error = np.linalg.norm(step - full, axis=1)[moved] / np.linalg.norm(full, axis=1)[moved]
    assert np.median(error) < 0.1 and error.max() < 0.8
    assert (by["none"].theta_without == by["none"].theta).all(axis=None)
    near = np.abs(by["one-step"].cooks_distance() - by["full"].cooks_distance())
    far = np.abs(by["none"].cooks_distance() - by["full"].cooks_distance())
    assert near.sum() < 0.3 * far.sum()


def test_dfbeta_of_rows_holds_theta(slopes: nm.LmerFit) -> None:
    held = slopes.influence(refit="none")
    assert slopes.dfbeta().equals(held.dfbeta()) and slopes.dfbetas().equals(held.dfbetas())
    # sigma without a row is the one that external studentised residuals divide by
    outside = slopes.rstudent(external=True) * held.sigma_without
    assert outside.to_numpy() == pytest.approx((slopes.rstudent() * slopes.sigma).to_numpy())


def test_an_effect_that_needs_the_group_is_missing_without_it() -> None:
    rows = data().assign(rare=lambda d: (d.f2 == 3).astype(float))
    fit = nm.lmer("y ~ x + rare + (1 | f2) + (1 | f1)", rows)
    for refit in REFITS:
        found = fit.influence("f2", refit=refit)
        assert found.fixef_without.loc[3].isna().tolist() == [False, False, True]
        assert found.fixef_without.drop(index=3).notna().all(axis=None)
        assert np.isnan(found.cooks_distance()[3]) and np.isnan(found.dfbetas().loc[3, "rare"])


@pytest.mark.filterwarnings("ignore::nestedmlm.errors.ConvergenceWarning")
def test_rows_without_which_there_is_no_criterion_are_named() -> None:
    rng = np.random.default_rng(0)  # the response is the group: the residuals vanish without some
    rows = pd.DataFrame({"g": rng.integers(0, 6, 30), "x": rng.normal(size=30)})
    rows = rows.assign(f=rng.choice(list("abc"), 30), y=rows.g.astype(float))
    fit = nm.lmer("y ~ x * f + (x || g)", rows, REML=False)
    for refit, told in (("one-step", r"set \d of 6 \(rows: \d\)"), ("none", "one of the sets")):
        with pytest.raises(DataError, match=f"without {told} the criterion"):
            fit.influence("g", refit=refit)


def test_a_row_with_a_coefficient_of_its_own_has_no_standardized_residual() -> None:
    rows = data().assign(own=lambda d: (np.arange(len(d)) == 3).astype(float))
    fit = nm.lmer("y ~ own:x - 1 + (1 | f1)", rows)
    found = fit.residuals("pearson", standardized=True)
    assert np.flatnonzero(found.isna()).tolist() == [3]


def test_without_fixed_effects_there_are_none_to_move(sleepstudy: pd.DataFrame) -> None:
    fit = nm.lmer("Reaction ~ 0 + (Days | Subject)", sleepstudy)
    found = fit.influence("Subject")
    assert found.fixef_without.shape == (18, 0) and found.dfbeta("varcorr").shape == (18, 4)
    assert found.cooks_distance().isna().all() and fit.cooks_distance().isna().all()
    assert fit.dfbeta().shape == fit.dfbetas().shape == (180, 0)
    assert (fit.predict(se_fit=True).std_error > 0).all() and "Cook's D" in str(found)


# --- groups ------------------------------------------------------------------------------------
def test_groups_can_be_named_in_many_ways(slopes: nm.LmerFit, sleepstudy: pd.DataFrame) -> None:
    by_name = slopes.influence("Subject", refit="none")
    labels = slopes.influence(sleepstudy.Subject.astype(str), refit="none")
    assert labels.by == "Subject"
    assert labels.dfbeta().to_numpy() == pytest.approx(by_name.dfbeta().to_numpy())
    days = slopes.influence("Days", refit="none")
    assert list(days.fixef_without.index) == list(range(10))
    both = slopes.influence(["Subject", "Days"], refit="none")
    assert both.by == "Subject:Days" and both.fixef_without.index[11] == "309:1"
    cases = slopes.influence(refit="none")
    assert both.dfbeta().to_numpy() == pytest.approx(cases.dfbeta().to_numpy())


def test_bad_groups(slopes: nm.LmerFit, sleepstudy: pd.DataFrame) -> None:
    with pytest.raises(ColumnNotFoundError, match="neither a grouping factor"):
        slopes.influence("school")
    with pytest.raises(DataError, match="180 labels"):
        slopes.influence(np.zeros(7))
    holes = sleepstudy.Subject.astype(object).where(sleepstudy.index > 3)
    with pytest.raises(DataError, match="missing values"):
        slopes.influence(holes)
    with pytest.raises(OptionError, match="refit='half' is unknown; known: full, one-step, none"):
        slopes.influence("Subject", refit="half")
    with pytest.raises(DataError, match="leaves too few"):
        slopes.influence(np.where(np.arange(180) < 179, "a", "b"))
    two = nm.lmer("Reaction ~ 1 + (1 | g)", sleepstudy.assign(g=sleepstudy.index % 2))
    with pytest.raises(GroupingError, match="one level left"):
        two.influence("g")
    assert two.influence("g", refit="none").fixef_without.notna().all(axis=None)
    with pytest.raises(OptionError, match="fixed, varcorr"):
        slopes.influence("Subject", refit="none").dfbeta("theta")


# --- the object --------------------------------------------------------------------------------
def test_influence_prints(intercepts: nm.LmerFit) -> None:
    found = intercepts.influence("Subject")
    lines = str(found).splitlines()
    assert lines[0] == "Influence of leaving out each Subject (each by a full refit)"
    assert lines[2].split() == ["Cook's", "D", "(Intercept)", "Days"]
    assert lines[3].split() == ["335", "0.46772", "-0.06978", "0.9758"]
    assert "The 10 most influential of 18" in lines[-1]
    assert list(found.tables) == ["influence"] and len(found.tables["influence"]) == 18
    frame = found.to_frame()
    assert list(frame) == [
        "cooks_distance", "(Intercept)", "Days", "var_(Intercept)|Subject", "sigma^2", "sigma",
        "converged",
    ]  # fmt: skip
    assert "<table" in found.to_html()


def test_long_work_shows_progress(
    intercepts: nm.LmerFit, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    intercepts.influence("Subject")
    assert capsys.readouterr().err == ""  # short work says nothing
    monkeypatch.setattr("nestedmlm.progress._FIRST_SECONDS", 0.0)
    intercepts.influence("Subject")
    assert "18/18" in capsys.readouterr().err
    intercepts.influence("Subject", progress=False)
    assert capsys.readouterr().err == ""


def test_r_spellings(slopes: nm.LmerFit) -> None:
    assert lme4.hatvalues(slopes).equals(slopes.hatvalues())
    assert lme4.rstudent(slopes).equals(slopes.rstudent())
    assert lme4.cooks_distance(slopes).equals(slopes.cooks_distance())
    found = lme4.influence(slopes, "Subject")
    assert lme4.cooks_distance(found).equals(found.cooks_distance())
    assert lme4.dfbeta(found).equals(found.dfbeta()) and lme4.dfbetas(found).equals(found.dfbetas())
