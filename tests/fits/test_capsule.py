"""Capsules: recomputed without the data and without the library."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.errors import DataError, OptionError
from nestedmlm.fits.capsule import verifier

FOLDER = Path(verifier.__file__).parent
SLEEP = nm.load_dataset("sleepstudy").assign(w=lambda d: 1.0 + d["Days"] % 3)
MODELS = {
    "slopes": ("Reaction ~ Days + (Days | Subject)", SLEEP, {}),
    "ML, weights": ("Reaction ~ Days + (Days || Subject)", SLEEP, {"REML": False, "weights": "w"}),
    "nested": ("strength ~ 1 + (1 | batch/cask)", nm.load_dataset("Pastes"), {}),
    "crossed": (
        "diameter ~ 1 + (1 | plate) + (1 | sample)", nm.load_dataset("Penicillin"), {},
    ),
    "structured": ("Reaction ~ Days + cs(Days | Subject)", SLEEP, {}),
    "no intercept": ("Reaction ~ 0 + Days + (1 | Subject)", SLEEP, {}),
    "offset": ("Reaction ~ Days + offset(10 * Days) + (1 | Subject)", SLEEP, {}),
    "no fixed effects": ("Reaction ~ 0 + (1 | Subject)", SLEEP, {}),
}  # fmt: skip


@pytest.fixture(scope="module", params=MODELS)
def capsule(request):
    formula, data, options = MODELS[request.param]
    return nm.lmer(formula, data, **options).capsule()


def test_all_numbers_are_recomputed(capsule):
    checked = capsule.verify()
    size = checked["estimate"].abs().clip(lower=1.0)
    assert (checked["difference"].abs() / size).max() < 1e-10
    assert checked.attrs["gradient"] < 1e-4


@pytest.mark.skipif(shutil.which("node") is None, reason="no node")
def test_the_page_recomputes_the_same(capsule, tmp_path):
    page = tmp_path / "fit.html"
    capsule.save(page)
    text = page.read_text("utf-8")
    script = re.findall(r"<script>(.*?)const text = ", text, re.S)[0]
    data = re.findall(r'<script type="application/json" id="capsule">(.*?)</script>', text, re.S)[0]
    (tmp_path / "run.js").write_text(
        f"{script}\nconsole.log(JSON.stringify(recompute({data})))", "utf-8"
    )
    done = subprocess.run(
        ["node", tmp_path / "run.js"], capture_output=True, text=True, check=True, timeout=120
    )
    found, expected = json.loads(done.stdout), verifier.recompute(dict(capsule.contents))
    assert np.isclose(found["criterion"], expected["criterion"], rtol=0, atol=1e-8)
    assert np.isclose(found["sigma"], expected["sigma"], rtol=1e-10)
    assert np.allclose(list(found["beta"]), expected["beta"], rtol=1e-9)
    assert np.allclose(list(found["stdError"]), expected["std_error"], rtol=1e-9)
    assert np.isclose(found["steepest"], max(map(abs, expected["gradient"])), atol=1e-7)


STUB = """
const cells = Array.from({length: count}, () => ({})), other = {};
globalThis.document = {
  getElementById: (id) => (id === "capsule" ? {textContent: json} : other),
  querySelectorAll: () => cells,
};
globalThis.setTimeout = (f) => f();
eval(script);
console.log(JSON.stringify(cells.map((cell) => cell.textContent)));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="no node")
def test_each_number_stands_beside_its_own(tmp_path):
    """The page's own script, in the place of a browser."""
    fit = nm.lmer("Reaction ~ Days + I(Days^2) + (Days | Subject)", SLEEP)
    fit.capsule(tmp_path / "fit.html")
    text = (tmp_path / "fit.html").read_text("utf-8")
    shown = re.findall(r"<tr><th>(.+?)</th><td>(.+?)</td>", text)
    script = text.partition("<script>")[2].partition("</script>")[0]
    data = re.findall(r'id="capsule">(.*?)</script>', text, re.S)[0]
    given = f"count = {len(shown)}, json = {json.dumps(data)}, script = {json.dumps(script)}"
    (tmp_path / "run.js").write_text(f"const {given};{STUB}", "utf-8")
    done = subprocess.run(
        ["node", tmp_path / "run.js"], capture_output=True, text=True, check=True, timeout=120
    )
    again = [float(value) for value in json.loads(done.stdout)]
    assert np.allclose(again, [float(value) for _, value in shown], rtol=1e-8)
    assert dict(shown)["Days std_error"] == f"{fit.bse['Days']:.10g}"


def test_the_verifier_needs_numpy_alone(capsule, tmp_path):
    path = tmp_path / "fit.json"
    capsule.save(path)
    alone = tmp_path / "verifier.py"
    alone.write_text((FOLDER / "verifier.py").read_text("utf-8"), "utf-8")
    done = subprocess.run(
        [sys.executable, alone, path], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("criterion"))
    assert line.split()[1] == line.split()[2]
    imported = re.findall(r"^(?:import|from) (\S+)", alone.read_text("utf-8"), re.M)
    assert set(imported) <= {"__future__", "json", "sys", "pathlib", "typing", "numpy"}


def test_an_edited_file_is_noticed(capsule):
    contents = deepcopy(dict(capsule.contents))
    contents["terms"][0]["T"][0][0] *= 1.05  # another theta
    moved = verifier.recompute(contents)
    assert moved["criterion"] > capsule.contents["criterion"] + 1e-4
    assert max(map(abs, moved["gradient"])) > 1e-2
    contents = deepcopy(dict(capsule.contents))
    contents["statistics"]["total"][-1][-1] *= 1.01  # other data
    assert abs(verifier.recompute(contents)["sigma"] - capsule.contents["sigma"]) > 1e-4


def test_gradient_is_that_of_the_criterion(capsule):
    """By differences, away from the optimum."""
    contents = deepcopy(dict(capsule.contents))
    term = contents["terms"][-1]
    T, slope = np.array(term["T"]), np.array(term["slopes"][0])
    values = []
    for step in (0.1 + 1e-5, 0.1 - 1e-5, 0.1):
        term["T"] = (T + step * slope).tolist()
        values.append(verifier.recompute(contents))
    first = sum(len(t["slopes"]) for t in contents["terms"][:-1])
    difference = (values[0]["criterion"] - values[1]["criterion"]) / 2e-5
    assert np.isclose(values[2]["gradient"][first], difference, rtol=1e-5, atol=1e-6)


def test_other_models_are_fitted_from_it(tmp_path):
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", SLEEP)
    fit.capsule(tmp_path / "fit.json")
    summary = nm.load_capsule(tmp_path / "fit.json").summary
    assert np.isclose(summary.fit().criterion, fit.criterion, rtol=0, atol=1e-9)
    small = nm.lmer("Reaction ~ Days + (1 | Subject)", SLEEP, REML=False)
    again = summary.fit("Reaction ~ Days + (1 | Subject)", REML=False)
    assert np.isclose(again.criterion, small.criterion, rtol=0, atol=1e-9)


def test_groups_are_not_named_and_small_cells_are_counted(tmp_path):
    pastes = nm.load_dataset("Pastes")
    fit = nm.lmer("strength ~ 1 + (1 | batch/cask)", pastes)
    made = fit.capsule(tmp_path / "pastes.json")
    assert "30 of 30 cells" in made.contents["disclosure"]
    written = (tmp_path / "pastes.json").read_text("utf-8")
    assert not any(f'"{level}"' in written for level in pastes["batch"].unique())
    with pytest.raises(DataError, match="fewer than 10 rows"):
        fit.capsule(tmp_path / "no.json", min_rows=10)
    assert not (tmp_path / "no.json").exists()


def test_a_singular_fit_has_no_slope_left():
    fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff2"))
    assert fit.is_singular()
    assert fit.capsule().verify().attrs["gradient"] < 1e-6


def test_what_is_refused(tmp_path):
    fit = nm.lmer("Reaction ~ Days + (1 | Subject)", SLEEP)
    with pytest.raises(OptionError, match="json or"):
        fit.capsule(tmp_path / "fit.csv")
    with pytest.raises(OptionError, match="penalty"):
        nm.lmer("Reaction ~ Days + (1 | Subject)", SLEEP, penalty="wishart").capsule()
    with pytest.raises(DataError, match="weights"):
        nm.lmer("Reaction ~ Days + (1 | Subject)", SLEEP, weights=SLEEP["w"]).capsule()
    with pytest.raises(nm.NestedMLMError):
        nm.lmer("Reaction ~ Days + (1 | Subject)", SLEEP, residual="ar1(Days | Subject)").capsule()
    related = pd.DataFrame(np.eye(18) + 0.1, *[SLEEP["Subject"].unique()] * 2)
    fit = nm.lmer("Reaction ~ Days + (1 | Subject)", SLEEP, relationship={"Subject": related})
    with pytest.raises(nm.NestedMLMError, match="independent"):
        fit.capsule()
    (tmp_path / "other.json").write_text("{}", "utf-8")
    with pytest.raises(DataError, match="no capsule"):
        nm.load_capsule(tmp_path / "other.json")
    (tmp_path / "other.json").write_text("[", "utf-8")
    with pytest.raises(DataError, match="no capsule"):
        nm.load_capsule(tmp_path / "other.json")


def test_rows_that_were_left_out_stay_out():
    holed = SLEEP.assign(Days=SLEEP["Days"].where(SLEEP.index != 3))
    checked = nm.lmer("Reaction ~ Days + (1 | Subject)", holed).capsule()
    assert checked.contents["statistics"]["n"] == len(SLEEP) - 1
    assert checked.verify()["difference"].abs().max() < 1e-7


def test_a_fit_from_sums_has_one_too():
    s = nm.summarise("Reaction ~ Days + (Days | Subject)", pd.DataFrame(SLEEP))
    checked = s.fit().capsule().verify()
    assert checked["difference"].abs().max() < 1e-7


def test_a_part_of_what_was_summed_has_its_own():
    pastes = nm.load_dataset("Pastes").assign(x=np.arange(60) % 7)
    s = nm.summarise("strength ~ x + (x | batch) + (1 | sample)", pastes)
    for formula in ("strength ~ x + (1 | batch)", "strength ~ 1 + (1 | batch) + (1 | sample)"):
        fit = s.fit(formula)
        made = fit.capsule()
        assert made.verify()["difference"].abs().max() < 1e-7
        assert made.summary.fit().formula == fit.formula  # and no group that it has not
        assert made.contents["statistics"]["cells"]["groups"].keys() == set(fit.ngrps.index)
