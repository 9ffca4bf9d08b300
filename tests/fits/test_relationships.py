"""Known relationships: relatives, against models that say the same."""

from __future__ import annotations

import pickle
from functools import cache

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from situations import rows
from verb_row import EVERYWHERE
from verbs import VERBS

import nestedmlm as nm
from nestedmlm.design.build import build_design
from nestedmlm.design.matrices.zmatrix import z_matrix
from nestedmlm.errors import (
    MemoryLimitError,
    NestedMLMError,
    OptionError,
    RelationshipError,
    ResidualStructureError,
)
from nestedmlm.views.render.view import Viewable

FORMULA = "y ~ x + a + (1 | f1) + (1 | c1)"
LEVELS = list(range(30))
FAMILY = np.arange(30) // 2


def ones_within_families() -> pd.DataFrame:
    """Relationships of clones: the levels of a family have one effect."""
    same = (FAMILY[:, None] == FAMILY).astype(float)
    return pd.DataFrame(same, index=LEVELS, columns=LEVELS)


@cache
def fits() -> dict[str, nm.LmerFit]:
    """Clones and the factor of their families; an identity and independent levels."""
    d = rows()
    one = pd.DataFrame(np.eye(30), index=LEVELS, columns=LEVELS)
    return {
        "clones": nm.lmer(FORMULA, d, relationship={"f1": ones_within_families()}),
        "families": nm.lmer(FORMULA, d.assign(f1=2 * FAMILY[d.f1])),
        "unrelated": nm.lmer(FORMULA, d, relationship={"f1": one}),
        "independent": nm.lmer(FORMULA, d),
    }


def pedigree_table() -> pd.DataFrame:
    """A made pedigree of five generations, with inbreeding."""
    rng = np.random.default_rng(5)
    out = [(f"g{i}", None, None) for i in range(12)]
    for _ in range(4):
        names = [name for name, *_ in out[-12:]]
        out += [(f"g{len(out) + i}", *rng.choice(names, 2, replace=False)) for i in range(12)]
    return pd.DataFrame(out, columns=["id", "sire", "dam"])


@cache
def animals() -> tuple[pd.DataFrame, nm.Pedigree]:
    """Records of the young animals, two each and some of them none."""
    found, rng = nm.pedigree(pedigree_table()), np.random.default_rng(6)
    d = pd.DataFrame({"id": np.repeat(found.labels[20:55], 2), "x": rng.normal(size=70)})
    effects = pd.Series(found.root @ rng.normal(size=60) * 1.5, found.labels)
    d["herd"] = rng.integers(0, 5, 70)
    d["y"] = 3.0 + d.x + effects[d.id].to_numpy() + rng.normal(size=70)
    return d, found


@cache
def animal_fit() -> nm.LmerFit:
    d, found = animals()
    return nm.lmer("y ~ x + (1 | id)", d, relationship={"id": found})


# --- pedigrees ----------------------------------------------------------------------------------


def test_pedigree_by_the_tabular_method():
    found = nm.pedigree(pedigree_table())
    A = np.zeros((60, 60))
    for i, (s, d) in enumerate(zip(found.sire, found.dam, strict=True)):
        A[i, :i] = A[:i, i] = sum((0.5 * A[p, :i] for p in (s, d) if p >= 0), np.zeros(i))
        A[i, i] = 1.0 + (0.5 * A[s, d] if s >= 0 and d >= 0 else 0.0)
    assert found.relationship().to_numpy() == pytest.approx(A, abs=1e-12)
    assert found.inbreeding.to_numpy() == pytest.approx(np.diag(A) - 1.0, abs=1e-12)
    assert found.inbreeding.max() > 0.1


def test_pedigree_in_any_order_and_with_missing_rows():
    table = pedigree_table()
    mixed = nm.pedigree(table.iloc[12:].sample(frac=1.0, random_state=3))
    A, B = nm.pedigree(table).relationship(), mixed.relationship()
    used = [name for name in A.index if name in B.index]
    pd.testing.assert_frame_equal(A.loc[used, used], B.loc[used, used])
    assert all(p < i for ps in (mixed.sire, mixed.dam) for i, p in enumerate(ps))


def test_pedigrees_that_cannot_be():
    with pytest.raises(nm.DataError, match="cannot descend from itself"):
        nm.pedigree({"id": ["a", "b", "c"], "sire": ["b", "c", "a"], "dam": ["", "", ""]})
    with pytest.raises(nm.DataError, match="different parents"):
        nm.pedigree({"id": ["a", "a"], "sire": ["b", "c"], "dam": ["", ""]})
    with pytest.raises(nm.DataError, match="has no column 'mother'"):
        nm.pedigree({"id": ["a"], "sire": [""]}, dam="mother")


# --- models that say the same -------------------------------------------------------------------


def test_relatives_without_records():
    """Their effects are the regressions on those of the others; all have standard errors."""
    fit, (_, found) = animal_fit(), animals()
    modes = fit.ranef().set_index("level")
    A = found.relationship().to_numpy()
    with_rows, without = np.arange(20, 55), np.r_[:20, 55:60]
    seen, own = modes.estimate.to_numpy()[with_rows], A[np.ix_(with_rows, with_rows)]
    expected = A[np.ix_(without, with_rows)] @ np.linalg.solve(own, seen)
    assert modes.estimate.to_numpy()[without] == pytest.approx(expected, abs=1e-8)
    ZA, s2 = z_matrix(fit.design).toarray() @ A, fit.varcorr().blocks[0].cov[0, 0]
    V = s2 * ZA @ z_matrix(fit.design).toarray().T + fit.sigma**2 * np.eye(70)
    given = s2 * A - s2**2 * ZA.T @ np.linalg.solve(V, ZA)
    assert modes.std_error.to_numpy() == pytest.approx(np.sqrt(np.diag(given)), rel=1e-8)
    assert modes.std_error.iloc[55] > modes.std_error.iloc[30]


@pytest.mark.parametrize(
    "made",
    [
        lambda p: p.relationship(),
        lambda p: p.relationship().sample(frac=1.0, random_state=1),
        lambda p: (scipy.sparse.csr_array(p.relationship().to_numpy()), p.labels),
    ],
    ids=["DataFrame", "in another order", "sparse"],
)
def test_forms_of_a_relationship(made):
    d, found = animals()
    fit = nm.lmer("y ~ x + (1 | id)", d, relationship={"id": made(found)})
    assert fit.criterion == pytest.approx(animal_fit().criterion, rel=1e-10)


def test_clones_are_one_animal_and_said():
    a, b = fits()["clones"], fits()["families"]
    assert any("15 of its 30 eigenvectors" in m for m in a.messages)
    assert a.criterion == pytest.approx(b.criterion, rel=1e-10)
    modes = [f.ranef().query("group == 'f1'").estimate.to_numpy() for f in (a, b)]
    assert modes[0][::2] == pytest.approx(modes[1], abs=1e-7)
    assert modes[0][1::2] == pytest.approx(modes[1], abs=1e-7)
    assert a.predict(rows().head(9)).tolist() == pytest.approx(a.fittedvalues.head(9).tolist())


def test_slopes_of_relatives():
    """A term of two columns on relatives: its covariance is A times the term's."""
    d, found = animals()
    fit = nm.lmer("y ~ x + (x | id) + (1 | herd)", d, relationship={"id": found})
    X, A = np.column_stack([np.ones(70), d.x]), found.relationship().loc[d.id, d.id].to_numpy()
    G, h = (block.cov for block in fit.varcorr().blocks)
    V = A * (X @ G @ X.T) + h * np.equal.outer(d.herd.to_numpy(), d.herd.to_numpy())
    V = V + fit.sigma**2 * np.eye(70)
    W = np.linalg.inv(V)
    beta = np.linalg.solve(X.T @ W @ X, X.T @ W @ d.y.to_numpy())
    rest = d.y.to_numpy() - X @ beta
    expected = np.linalg.slogdet(V)[1] + np.linalg.slogdet(X.T @ W @ X)[1] + rest @ W @ rest
    assert fit.criterion == pytest.approx(expected + 68 * np.log(2 * np.pi), rel=1e-9)


# --- verbs --------------------------------------------------------------------------------------

CASES = [case for case, verb in VERBS.items() if "lmer" in verb.engines]
QUICK = [c for c in CASES if VERBS[c].only == EVERYWHERE and VERBS[c].question != "pictures"]
# rows that say something of the levels, draw, or name groups that only one of the fits has
LEVELS_DIFFER = frozenset(
    {"ngrps", "ranef", "coef", "elimination", "influence held", "tidy everything", "simulate",
     "simulate partial", "simulate new", "variance_partition", "diagnose", "fragility",
     "bootstrap fun", "predict new", "predict new sample", "predict new lower",
     "predict new random only", "icc interval", "autocorrelation",
     # other draws: of as many effects as there are levels
     "bootstrap", "bootstrap conditional", "conf_int boot", "tidy boot", "power lrt", "power z",
     "power satterthwaite", "power random", "bootstrap bca", "anova bootstrap"}
)  # fmt: skip
REFUSED = frozenset(
    {"r_code", "cov_params CR2", "extend", "capsule", "bootstrap residual",
     "bootstrap cases"}
)  # fmt: skip
DRAWN_IN_ANOTHER_ORDER = frozenset({"extend power"})


def answer(case: str, fit: nm.LmerFit):
    found = VERBS[case].call(fit)
    return found.to_frame() if isinstance(found, Viewable) else found


def numbers(answer) -> np.ndarray:
    if isinstance(answer, tuple):
        return np.concatenate([numbers(part) for part in answer])
    if isinstance(answer, str):
        return np.zeros(0)
    return pd.DataFrame(answer).select_dtypes("number").to_numpy(float).ravel()


@pytest.mark.parametrize("case", [
    pytest.param(case, marks=() if case in QUICK else pytest.mark.slow) for case in CASES
])  # fmt: skip
def test_every_verb_knows_relatives_or_says_that_it_does_not(case):
    """Clones answer as their families, and unrelated relatives as independent levels."""
    f = fits()
    for one, other in (("clones", "families"), ("unrelated", "independent")):
        try:
            found = answer(case, f[one])
        except (RelationshipError, OptionError, ResidualStructureError) as error:
            assert case in REFUSED or not answered(case, f[other]), repr(error)
            continue
        except NestedMLMError as error:
            assert not answered(case, f[other]), repr(error)
            continue
        if VERBS[case].question == "pictures" or (one == "clones" and case in LEVELS_DIFFER):
            continue
        if case not in DRAWN_IN_ANOTHER_ORDER | {"elimination"}:
            a, b = numbers(found), numbers(answer(case, f[other]))
            assert a == pytest.approx(b, rel=1e-5, abs=1e-7, nan_ok=True)


def answered(case: str, fit: nm.LmerFit) -> bool:
    try:
        answer(case, fit)
    except NestedMLMError:
        return False
    return True


def test_draws_have_the_covariance_of_relatives():
    d, found = animals()
    fit = animal_fit()
    draws = fit.simulate(4000, seed=1).to_numpy() - fit.predict(re_form=False).to_numpy()[:, None]
    A = found.relationship().loc[d.id, d.id].to_numpy()
    V = fit.varcorr().blocks[0].cov[0, 0] * A + fit.sigma**2 * np.eye(70)
    error = draws @ draws.T / 4000 - V
    assert np.abs(error).max() < 6 * V.max() / np.sqrt(4000)
    new = fit.simulate(4000, newdata=d.head(4), seed=2).to_numpy()
    new = new - fit.predict(d.head(4), re_form=False).to_numpy()[:, None]
    assert np.abs(new @ new.T / 4000 - V[:4, :4]).max() < 6 * V.max() / np.sqrt(4000)


def test_prediction_of_relatives():
    fit, (d, found) = animal_fit(), animals()
    unseen = pd.DataFrame({"id": [found.labels[0], found.labels[57]], "x": [0.0, 0.0]})
    modes = fit.ranef().set_index("level").estimate
    expected = fit.fixef.iloc[0] + modes[unseen.id].to_numpy()
    assert fit.predict(unseen).tolist() == pytest.approx(expected)
    with pytest.raises(nm.DataError, match="stranger"):
        fit.predict(unseen.assign(id="stranger"))
    whole = fit.predict(re_form=False, interval="prediction")
    size = np.sqrt(found.inbreeding[d.id].to_numpy() + 1.0)
    spread = (fit.varcorr().blocks[0].cov[0, 0] * size**2 + fit.sigma**2
              + fit.predict(re_form=False, se_fit=True).std_error.to_numpy() ** 2)  # fmt: skip
    assert (whole.conf_high - whole.estimate).to_numpy() == pytest.approx(
        1.959963985 * np.sqrt(spread), rel=1e-6
    )


def test_heritability():
    fit = animal_fit()
    ratio = fit.varcorr().blocks[0].cov[0, 0] / fit.sigma**2
    assert fit.icc()["adjusted"] == pytest.approx(ratio / (1.0 + ratio))
    found = fit.icc(level=0.9, nsim=20, seed=1, progress=False).loc["adjusted"]
    assert 0.0 <= found.conf_low < found.conf_high <= 1.0


def test_models_keep_their_relatives():
    d, found = animals()
    fit = animal_fit()
    again = pickle.loads(pickle.dumps(fit))
    assert again.refit(d.y).criterion == pytest.approx(fit.criterion)
    assert again.update(". ~ . - x").update(". ~ . + x").criterion == pytest.approx(fit.criterion)
    assert fit.model.with_data(d.sample(frac=1.0, random_state=1)).fit().criterion == pytest.approx(
        fit.criterion
    )
    both = nm.lmer("y ~ x + (1 | id) + (1 | herd)", d, relationship={"id": found})
    left = both.update(". ~ . - (1 | id)")
    assert left.criterion == pytest.approx(nm.lmer("y ~ x + (1 | herd)", d).criterion)
    assert "relationship = id" in str(nm.anova(left, both, refit=False))


def test_printed():
    assert "Levels of id are related (pedigree): 60, 35 with rows" in str(animal_fit())
    assert "are related" in str(animal_fit().summary())
    assert "are related" in str(animal_fit().varcorr())


def test_known_sigma_of_relatives():
    """Phylogenetic meta-analysis: known variances of the rows, related levels."""
    d, found = animals()
    fit = nm.lmer("y ~ x + (1 | id)", d.assign(w=2.0), weights="w", fixed={"sigma": 1.0},
                  relationship={"id": found}, REML=False)  # fmt: skip
    A, X = found.relationship().loc[d.id, d.id].to_numpy(), np.column_stack([np.ones(70), d.x])
    V = fit.varcorr().blocks[0].cov[0, 0] * A + 0.5 * np.eye(70)
    rest = d.y.to_numpy() - X @ fit.fixef.to_numpy()
    expected = np.linalg.slogdet(V)[1] + rest @ np.linalg.solve(V, rest) + 70 * np.log(2 * np.pi)
    assert fit.criterion == pytest.approx(expected, rel=1e-9)


# --- what is refused ----------------------------------------------------------------------------


def test_labels_that_are_missing():
    d, found = animals()
    A = found.relationship().iloc[:30, :30]
    with pytest.raises(RelationshipError, match=r"g30, g31, g32, g33, g34 and 20 more"):
        nm.lmer("y ~ x + (1 | id)", d, relationship={"id": A})


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda A: {"cow": A}, OptionError, "no grouping factor of the formula; they are id"),
        (lambda A: A, OptionError, "is a mapping"),
        (lambda A: {"id": A.to_numpy()}, OptionError, "labels"),
        (lambda A: {"id": (A.to_numpy(), list(A.index[:-1]))}, RelationshipError, "square"),
        (lambda A: {"id": A.rename({"g1": "g0"}, axis=0).rename({"g1": "g0"}, axis=1)},
         RelationshipError, "more than once"),
        (lambda A: {"id": A + np.triu(np.ones(A.shape), 1)}, RelationshipError, "symmetric"),
        (lambda A: {"id": A.rename({"g1": "h1"}, axis=1)}, RelationshipError, "other labels"),
        (lambda A: {"id": A * np.nan}, RelationshipError, "missing or infinite"),
        (lambda A: {"id": 0.0 * A}, RelationshipError, "diagonal"),
    ],
)  # fmt: skip
def test_relationships_that_cannot_be(change, error, words):
    d, found = animals()
    with pytest.raises(error, match=words):
        nm.lmer("y ~ x + (1 | id)", d, relationship=change(found.relationship()))


def test_a_second_residual_is_refused():
    d, _ = animals()
    d = d.drop_duplicates("id")
    one = pd.DataFrame(np.eye(35), index=d.id, columns=d.id)
    with pytest.raises(RelationshipError, match="none are related"):
        nm.lmer("y ~ x + (1 | id)", d, relationship={"id": one})


def test_too_many_relatives():
    d, _ = animals()
    many = nm.Pedigree(labels=np.arange(50_000).astype(object), sire=-np.ones(50_000, dtype=int),
                       dam=-np.ones(50_000, dtype=int))  # fmt: skip
    with pytest.raises(MemoryLimitError, match=r"GiB of memory and .* hours"):
        nm.lmer("y ~ x + (1 | id)", d, relationship={"id": many})


def test_what_is_not_worked_out(tmp_path):
    d, found = animals()
    related = {"id": found}
    with pytest.raises(OptionError, match="linear models"):
        nm.Model("herd ~ x + (1 | id)", d, relationship=related, family="poisson")
    with pytest.raises(RelationshipError, match="lme4's optimizer"):
        nm.lmer("y ~ x + (1 | id)", d, relationship=related, method="lme4")
    with pytest.raises(RelationshipError, match="a bootstrap of cases"):
        animal_fit().bootstrap(2, type="cases", seed=1)
    with pytest.raises(RelationshipError, match="leaving one group out"):
        animal_fit().loo()
    with pytest.raises(RelationshipError, match="cluster-robust"):
        animal_fit().cov_params("CR2")
    with pytest.raises(OptionError, match="rows in memory"):
        nm.lmer("y ~ x + (1 | id)", tmp_path / "d.parquet", relationship=related)


def test_families_are_the_whole_matrix():
    """Roots of families of two sizes as columns, beside herds: one model, written twice."""
    rng, sizes = np.random.default_rng(4), np.tile([5, 3], 15)
    family = np.repeat(np.arange(30), sizes)
    member = np.concatenate([np.arange(size) for size in sizes])
    A = 0.5 * (np.eye(5) + 1.0)
    A[0, 1] = A[1, 0] = 0.0
    wide, ids = np.zeros((len(family), 5)), np.arange(len(family))
    whole = np.zeros((len(ids), len(ids)))
    for f, size in enumerate(sizes):
        own = np.flatnonzero(family == f)
        wide[own, :size] = np.linalg.cholesky(A[:size, :size])
        whole[np.ix_(own, own)] = A[:size, :size]
    d = pd.DataFrame(wide, columns=list("abcde")).assign(family=family, id=ids, herd=family // 5)
    d = pd.concat([d, d[member > 0]], ignore_index=True)
    u = np.linalg.cholesky(whole) @ rng.normal(size=len(ids))
    herd = rng.normal(size=6)
    d["x"] = rng.normal(size=len(d))
    d["y"] = d["x"] + u[d["id"]] + herd[d["herd"]] + rng.normal(size=len(d))
    dense = nm.lmer("y ~ x + (1 | herd) + (1 | id)", d, relationship={"id": (whole, list(ids))})
    families = nm.lmer("y ~ x + (1 | herd) + diag(0 + a + b + c + d + e | family, hom=True)", d)
    assert families.criterion == pytest.approx(dense.criterion, abs=1e-9)
    np.testing.assert_allclose(families.theta[0], dense.theta[0], rtol=1e-5)
    np.testing.assert_allclose(families.bse, dense.bse, rtol=1e-6)
    np.testing.assert_allclose(
        families.icc(by_group=True)["family"], dense.icc(by_group=True)["id"], rtol=1e-5
    )
    modes = families.ranef().query("group == 'family'")
    own = modes.pivot(index="level", columns="term", values="estimate").loc[range(30)]
    predicted = (wide * own.to_numpy()[family]).sum(axis=1)
    known = dense.ranef().query("group == 'id'").set_index("level")["estimate"]
    np.testing.assert_allclose(predicted, known.loc[list(ids)], atol=1e-5)


@pytest.mark.parametrize(("families", "size", "said"), [(250, 4, True), (4, 250, False)])
def test_many_members_in_small_families_are_told_the_faster_spelling(families, size, said):
    q = families * size
    A = np.kron(np.eye(families), np.full((size, size), 0.5) + 0.5 * np.eye(size))
    d = pd.DataFrame({"id": np.repeat(np.arange(q), 2), "y": np.arange(2.0 * q) % 7})
    design = build_design("y ~ 1 + (1 | id)", d, relationship={"id": (A, list(range(q)))})
    found = [m for m in design.messages if "fall into 250 families of 4 at most" in m]
    assert len(found) == said


# --- beside residuals that differ or correlate --------------------------------------------------

CORRELATED = {"residual": "ar1(t | f0)", "dispersion": "~ half"}
BESIDE_RESIDUALS = ("ranef", "predict new lower", "predict se", "residuals scaled", "resid", "tidy",
                    "conf_int wald", "hatvalues", "cooks_distance", "icc",
                    "emmeans", "anova kenward-roger", "tidy kenward-roger", "refit",
                    "simulate new", "partial_r2")  # fmt: skip


@cache
def fits_beside_residuals() -> dict[str, nm.LmerFit]:
    """The same four, of rows whose residuals differ and correlate; families differ."""
    d = rows()
    d = d.assign(f0=d.f1, t=d.groupby("f1").cumcount())
    d["y"] += 1.5 * np.random.default_rng(3).normal(size=15)[FAMILY[d.f1]]
    one = pd.DataFrame(np.eye(30), index=LEVELS, columns=LEVELS)
    return {
        "clones": nm.lmer(FORMULA, d, relationship={"f1": ones_within_families()}, **CORRELATED),
        "families": nm.lmer(FORMULA, d.assign(f1=2 * FAMILY[d.f1]), **CORRELATED),
        "unrelated": nm.lmer(FORMULA, d, relationship={"f1": one}, **CORRELATED),
        "independent": nm.lmer(FORMULA, d, **CORRELATED),
    }


@pytest.mark.parametrize("case", [
    pytest.param(case, marks=() if case in BESIDE_RESIDUALS else pytest.mark.slow)
    for case in CASES if VERBS[case].question != "pictures"
])  # fmt: skip
def test_every_verb_of_relatives_beside_residuals_that_correlate(case):
    """Clones answer as their families, and unrelated relatives as independent levels."""
    f = fits_beside_residuals()
    for one, other in (("clones", "families"), ("unrelated", "independent")):
        try:
            found = answer(case, f[one])
        except NestedMLMError as error:
            # a compound symmetric block and an effect of it say the same, unless it has relatives
            assert case in REFUSED or not answered(case, f[other]), repr(error)
            continue
        if case == "compare_residuals" or (one == "clones" and case in LEVELS_DIFFER):
            continue
        if case not in DRAWN_IN_ANOTHER_ORDER | {"elimination"}:
            a, b = numbers(found), numbers(answer(case, f[other]))
            assert a == pytest.approx(b, rel=1e-5, abs=1e-7, nan_ok=True)


def test_optimum_and_modes_beside_correlated_residuals():
    """Where the fit is: generalized least squares, by matrices of rows; and a test of R."""
    d, found = animals()
    d = d.assign(t=d.groupby("id").cumcount())
    fit = nm.lmer("y ~ x + (1 | id)", d, relationship={"id": found}, residual="ar1(t | id)")
    A = found.relationship().loc[:, d.id]
    s2 = fit.varcorr().blocks[0].cov[0, 0]
    rho = float(fit.dispersion.set_index("term").estimate["rho"])
    same = d.id.to_numpy()[:, None] == d.id.to_numpy()
    gaps = np.abs(np.subtract.outer(d.t.to_numpy(), d.t.to_numpy()))
    V = s2 * A.loc[d.id].to_numpy() + fit.sigma**2 * np.where(same, rho**gaps, 0.0)
    X = fit.model_matrix().to_numpy()
    W = np.linalg.inv(V)
    beta = np.linalg.solve(X.T @ W @ X, X.T @ W @ d.y)
    assert fit.params.to_numpy() == pytest.approx(beta, rel=1e-9)
    modes = s2 * A.to_numpy() @ W @ (d.y - X @ beta)
    assert fit.ranef().estimate.to_numpy() == pytest.approx(modes, abs=1e-9)
    cov = fit.cov_params().to_numpy()
    assert cov == pytest.approx(np.linalg.inv(X.T @ W @ X), rel=1e-9)
    next_visit = d.head(1).assign(t=2)
    forecast = fit.predict(next_visit, use_residuals=True)
    last = fit.resid.to_numpy()[1]
    assert float(forecast.iloc[0] - fit.predict(next_visit).iloc[0]) == pytest.approx(rho * last)


def test_pedigrees_are_read_from_tables():
    for columns in ((1, 2, 3), (np.arange(3), np.zeros(3), np.zeros(3, int)), ([], [], [])):
        with pytest.raises(OptionError, match=r"nm\.pedigree\(data\)"):
            nm.Pedigree(**dict(zip(("labels", "sire", "dam"), columns, strict=True)))
