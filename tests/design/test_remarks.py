"""What a design says of its data: rows left out, dropped columns, two values, ids that restart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f

import nestedmlm as nm
from nestedmlm.design.cell_tests import effect_tests, pieces_of

PARENTS, IDS, ROWS = 30, 4, 6


def frame(seed=1, *, own=0.0, cells=0.8, sizes=None, ids=IDS):
    """Rows of ids in parents; SDs of the ids and of the cells, relative to the residual's."""
    rng = np.random.default_rng(seed)
    a, b = np.repeat(np.indices((PARENTS, ids)).reshape(2, -1), ROWS, axis=1)
    y = 0.5 * rng.normal(size=PARENTS)[a] + own * rng.normal(size=ids)[b]
    y = y + cells * rng.normal(size=(PARENTS, ids))[a, b] + rng.normal(size=len(a))
    data = pd.DataFrame({"y": y, "school": a + 100, "klass": b + 1, "x": rng.normal(size=len(a))})
    return data if sizes is None else data[b < np.resize(sizes, PARENTS)[a]].reset_index(drop=True)


def said(formula, data, **options):
    return nm.build_design(formula, data, **options).messages


CROSSED = "y ~ x + (1 | school) + (1 | klass)"


def advice(formula, data):
    (line,) = said(formula, data)
    return line.partition("write ")[2]


def test_ids_that_restart_are_said_once_with_the_counts():
    text = "level 1 of klass occurs in 30 of the 30 levels of school; if these are different groups"
    assert said(CROSSED, frame()) == (f"{text}, write (1 | school/klass)",)


@pytest.mark.parametrize("label", [str, "c{}".format, lambda k: "ABCD"[k - 1], float])
def test_labels_that_count(label):
    data = frame()
    data["klass"] = data["klass"].map(label)
    assert advice(CROSSED, data) == "(1 | school/klass)"


def test_names_do_not_count():
    data = frame()
    data["klass"] = data["klass"].map(dict(enumerate(("red", "blue", "green", "grey"), 1)))
    assert said(CROSSED, data) == ()


def test_numbers_that_begin_late_do_not_count():
    assert said(CROSSED, frame().assign(klass=lambda d: d["klass"] + 2000)) == ()


def test_parents_of_different_size():
    data = frame(cells=0.35, sizes=[1, 2, 2, 3, 4, 6], ids=6)
    text = "level 1 of klass occurs in 30 of the 30 levels of school"
    assert said(CROSSED, data)[0].startswith(text)


@pytest.mark.parametrize("third", [True, False])
def test_ids_that_restart_in_ids_that_restart(third):
    """Classes of schools of districts; and schools and courses that cross within districts."""
    rng = np.random.default_rng(2)
    d, a, b = np.repeat(np.indices((8, 3, 4)).reshape(3, -1), 6, axis=1)
    cells = rng.normal(size=(8, 3, 4))[d, a, b] if third else rng.normal(size=(8, 4))[d, b]
    y = rng.normal(size=8)[d] + 1.5 * rng.normal(size=(8, 3))[d, a] + cells
    data = pd.DataFrame({"y": y + rng.normal(size=len(d)), "d": d, "school": a, "klass": b})
    lines = [x.partition("write ")[2] for x in said("y ~ (1|d) + (1|klass) + (1|school)", data)]
    inner = "(1 | d/school/klass)" if third else "(1 | d/klass)"
    assert sorted(lines) == sorted(["(1 | d/school)", inner])
    slopes = said("y ~ (y|d) + (y|klass) + (1|school)", data)
    assert any(x.endswith("(y | d:school:klass)") for x in slopes) is third


def test_ids_with_an_effect_of_their_own_are_crossed():
    assert said(CROSSED, frame(own=1.0)) == ()


def test_cells_that_do_not_differ_are_crossed():
    assert said(CROSSED, frame(cells=0.0)) == ()


def test_one_row_for_each_cell_says_nothing():
    assert said(CROSSED, frame(cells=3.0).drop_duplicates(["school", "klass"])) == ()


def test_few_parents_say_nothing():
    data = frame(cells=2.0)
    assert said(CROSSED, data[data["school"] < 104]) == ()


def test_sets_of_ids_that_differ_are_no_ids_that_restart():
    data = frame(ids=8)
    keep = (data["klass"] - 1 - data["school"]) % 8 < 4
    assert said(CROSSED, data[keep]) == ()


@pytest.mark.parametrize(
    "random",
    [
        "(1 | school/klass)",
        "(1 | school) + (1 | klass) + (1 | school:klass)",
        "(1 | school) + (1 | klass) + (1 | cell)",
    ],
)
def test_a_model_that_tells_the_cells_apart(random):
    data = frame().assign(cell=lambda d: 10 * d["school"] + d["klass"])
    assert said(f"y ~ x + {random}", data) == ()


@pytest.mark.parametrize(
    ("random", "instead"),
    [
        ("(1 | klass) + (1 | school)", "(1 | school/klass)"),
        ("(x | school) + (1 | klass)", "(1 | school:klass)"),
        ("(1 | school) + (x || klass)", "(1 | school:klass) + (0 + x | school:klass)"),
        ("(1 | school) + cs(x | klass)", "cs(x | school:klass)"),
    ],
)
def test_the_advice_is_written_in_the_form_in_use(random, instead):
    data = frame()
    assert advice(f"y ~ x + {random}", data) == instead
    (reread,) = nm.lmer(f"y ~ x + {random}", data).diagnose().reread
    better = nm.build_design(reread.formula, data)
    assert [len(f.levels) for f in better.factors] == [120, 30]
    assert better.messages == ()


def test_weights_and_offsets_count():
    crossed = frame(own=1.0)
    data = crossed.assign(o=crossed["y"] - frame()["y"])  # what is left restarts
    assert advice("y ~ x + offset(o) + (1 | school) + (1 | klass)", data) == "(1 | school/klass)"
    both = pd.concat([frame(), frame(own=3.0)], ignore_index=True)
    assert said(CROSSED, both) == ()
    light = both.assign(w=np.repeat([1.0, 1e-6], PARENTS * IDS * ROWS))
    assert said(CROSSED, light, weights="w") != ()


@pytest.mark.parametrize(
    ("made", "random"),
    [
        ({}, "(1 | klass) + (1 | school)"),
        ({}, "(x | school) + (1 | klass)"),
        ({}, "(0 + f | school) + (0 + f | klass)"),
        ({"cells": 0.35, "sizes": [1, 2, 2, 3, 4, 6], "ids": 6}, "(1 | klass) + (1 | school)"),
        ({"own": 1.0}, "(1 | klass) + (1 | school)"),
        ({"cells": 0.0}, "(1 | klass) + (1 | school)"),
        ({}, "(1 | school/klass)"),
    ],
)
def test_sums_say_of_ids_what_rows_say(made, random):
    data = frame(**made).assign(f=lambda d: np.where(d["x"] > 0, "up", "down"))
    formula = f"y ~ x + {random}"
    rows = nm.build_design(formula, data)
    half = nm.summarise(formula, data[: len(data) // 2], label="first")
    rest = nm.summarise(formula, data[len(data) // 2 :], like=half, label="rest")
    fit = (half + rest).fit()
    assert tuple(m for m in fit.messages if "boundary" not in m) == rows.messages
    assert len(fit.diagnose().restarting) == len(rows.messages)


def test_sums_that_do_not_count_rows_say_nothing():
    fit = nm.summarise("y ~ x + (0 + x | school) + (0 + x | klass)", frame()).fit()
    assert fit.diagnose().restarting == ()


def test_diagnosis_and_path_name_the_model_to_fit():
    fit = nm.lmer(CROSSED, frame())
    assert fit.messages[0] in str(fit.summary())
    diagnosis = fit.diagnose()
    assert diagnosis.next[0].formula == "y ~ x + (1 | school/klass)"
    assert fit.messages[0] in str(diagnosis)
    assert fit.messages[0] in str(fit.simplify())
    posterior = fit.sample(sampler="psis", draws=100, seed=1, progress=False)
    assert fit.messages[0] in str(posterior.diagnose())


def test_rows_left_out_are_counted_by_variable():
    data = frame(cells=0.0).assign(w=1.0, o=0.0)
    data.loc[[1, 2, 3], "x"] = np.nan
    data.loc[[3, 4], "y"] = np.nan
    data.loc[[3, 7], "w"] = np.nan
    data.loc[[8], "o"] = np.nan
    fit = nm.lmer(CROSSED, data, weights="w", offset="o")
    text = "6 of 720 rows left out for missing values: "
    counts = "y (2), x (3), the offset (1), the weights (2)"
    assert fit.messages[0] == text + counts
    assert fit.nobs == 714
    assert text + counts in str(fit.summary())
    assert text + counts in repr(fit)
    one = data.assign(x=0.1).loc[:4]
    assert said("x + y ~ 1 + (1 | klass)", one.assign(klass=[1, 1, 2, 2, 2], x=range(5)))[0] == (
        "2 of 5 rows left out for missing values: x + y (2)"
    )


def test_a_column_called_weights_is_not_hidden_by_the_argument():
    data = frame(cells=0.0).assign(weights=lambda d: d["x"], offset=1.0, w=1.0)
    data.loc[5, "weights"] = np.nan
    data.loc[6, "offset"] = np.nan
    design = nm.build_design(
        "y ~ weights + offset + (1 | school)", data, weights="w", offset=np.zeros(len(data))
    )
    assert design.n == 718


def test_dropped_columns_are_named():
    data = frame(cells=0.0).assign(x2=lambda d: 2 * d["x"])
    (line,) = said("y ~ x + x2 + (1 | school)", data)
    start = "fixed-effect model matrix is rank deficient so dropping 1 column / coefficient"
    assert line == f"{start}: x2"
    many = data.assign(**{f"z{i}": data["x"] * i for i in range(2, 13)})
    names = " + ".join(f"z{i}" for i in range(2, 13))
    (line,) = said(f"y ~ x + {names} + (1 | school)", many)
    assert line.endswith(
        "dropping 11 columns / coefficients: z2, z3, z4, z5, z6, z7, z8, z9 and 3 more"
    )


@pytest.mark.parametrize(("low", "high"), [(0, 1), (False, True), (1, 2)])
def test_a_response_of_two_values(low, high):
    data = frame(cells=0.0)
    data["y"] = np.where(data["y"] > 0, high, low)
    (line,) = said("y ~ x + (1 | school)", data)
    assert line.startswith(f"the response has only two values, {int(low)} and {int(high)}: a logi")


# The two F tests ---------------------------------------------------------------------------------


def dense(columns, y, w):
    """Residual sum of squares and rank of a weighted regression on dummies and all."""
    A, b = columns * np.sqrt(w)[:, None], y * np.sqrt(w)
    found, _, rank, _ = np.linalg.lstsq(A, b, rcond=1e-10)
    return float(np.sum((b - A @ found) ** 2)), int(rank)


@pytest.mark.parametrize("summed", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sizes", [None, [1, 2, 2, 3, 4, 4]])
def test_f_tests_are_those_of_least_squares(sizes, weighted, summed):
    data = frame(own=0.3, cells=0.3, sizes=sizes).assign(z=lambda d: d["school"] % 7)
    data = data.assign(
        h=lambda d: d.index % 3, w=np.linspace(0.5, 2, len(data)) if weighted else 1.0
    )
    formula = "y ~ x + z + (1 | school) + (1 | klass) + (1 | h)"  # the cells of sums are finer
    whole = design = nm.build_design(formula, data, weights="w")
    if summed:
        design = nm.summarise(formula, data, weights="w").fit().design
    school, klass = (
        next(g for g in design.factors if g.name == name) for name in ("school", "klass")
    )
    parents = pd.get_dummies(data["school"]).to_numpy(float)
    ids = pd.get_dummies(data["klass"]).to_numpy(float)
    cells = pd.get_dummies(10 * data["school"] + data["klass"]).to_numpy(float)
    w, y = data["w"].to_numpy(), data["y"].to_numpy()
    steps = [parents, np.column_stack([parents, ids]), cells]
    fits = [dense(np.column_stack([whole.X, more]), y, w) for more in steps]
    (rss0, r0), (rss1, r1), (rss2, r2) = fits
    between = (rss1 - rss2) / (r2 - r1)
    own = f.sf((rss0 - rss1) / (r1 - r0) / between, r1 - r0, r2 - r1)
    differ = f.sf(between / (rss2 / (len(y) - r2)), r2 - r1, len(y) - r2)
    found = effect_tests(school.combinations, klass.combinations, pieces_of(design))
    assert found == pytest.approx((own, differ), rel=1e-7)


@pytest.mark.parametrize("kind, said", [("float64", True), ("int64", False), ("str", False)])
def test_ids_that_floats_have_merged_are_said(kind: str, said: bool) -> None:
    rng, ids = np.random.default_rng(1), 10**17 + 50 * (np.arange(90) % 9)
    d = pd.DataFrame({"s": pd.Series(ids).astype(kind), "y": rng.normal(size=90)})
    fit = nm.lmer("y ~ 1 + (1 | s)", d)
    summed = nm.summarise("y ~ 1 + (1 | s)", d).fit()
    for messages in (fit.messages, summed.messages):
        assert any("s has ids beyond 2^53" in m for m in messages) == said
