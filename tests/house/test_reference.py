"""The R scripts of tests/reference/ make the numbers and texts that stand beside them."""

from __future__ import annotations

import os
import shutil
import subprocess

import numpy as np
import pytest
from reference import FOLDER

from benchmarks.agreement.record import read_json

PACKAGES = {
    "formulas": ("lme4",),
    "effects": ("lme4", "lmerTest", "pbkrtest"),
    "hypotheses": ("lme4", "lmerTest", "pbkrtest", "emmeans"),
    "imputation": ("lme4", "mice", "mitml", "broom.mixed"),
    "means": ("lme4", "lmerTest", "pbkrtest", "emmeans"),
    "prints": ("lme4",),
    "robust": ("lme4", "clubSandwich"),
    "stops": ("lme4",),
}
SUBJECTS = sorted(path.name for path in FOLDER.iterdir() if (path / f"{path.name}.R").is_file())
CLOSE = 5e-5  # two runs of R differ by up to 2e-5: lmerTest differentiates numerically


@pytest.mark.slow
@pytest.mark.r
@pytest.mark.parametrize("subject", SUBJECTS)
def test_script_makes_what_is_kept(subject, shared_data, tmp_path):
    program = shutil.which("Rscript")
    if program is None:
        pytest.skip("Rscript is not installed")
    wanted = ", ".join(f'"{name}"' for name in (*PACKAGES[subject], "jsonlite"))
    check = f"for (p in c({wanted})) if (!requireNamespace(p, quietly = TRUE)) cat(p, '')"
    missing = subprocess.run([program, "-e", check], capture_output=True, text=True, check=True)
    if missing.stdout.strip():
        pytest.skip(f"R packages are not installed: {missing.stdout.strip()}")
    done = subprocess.run(
        [program, f"{subject}.R", str(tmp_path)],
        cwd=FOLDER / subject,
        # places that lme4's last bits decide depend on the threads of its BLAS
        env={**os.environ, "NESTEDMLM_DATA": str(shared_data), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    made = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert made
    for name, text in made.items():
        kept = (FOLDER / subject / name).read_text(encoding="utf-8")
        if name == "stops.json":
            assert_same_stops(read_json(kept), read_json(text), name)
        elif name.endswith(".json"):
            assert_same(read_json(kept), read_json(text), name)
        else:
            assert text == kept, name


def assert_same_stops(kept, made, where):
    """The same places, of those that R finds again when the last bits of its criterion change.

    Another build of BLAS changes these bits. Of a place that is lost then, the names are compared;
    one that was found again when it was kept, and is not now, is compared all the same.
    """
    assert [one["id"] for one in kept] == [one["id"] for one in made], where
    for own, other in zip(kept, made, strict=True):
        assert list(own) == list(other), own["id"]
        if own["steady"]:
            assert_same(own | {"steady": True}, other | {"steady": True}, f"{where}: {own['id']}")


def test_places_that_r_loses_are_compared_by_name_only():
    kept = [
        {"id": "steady", "steady": True, "feval": 40}, {"id": "lost", "steady": False, "feval": 9},
    ]  # fmt: skip
    assert_same_stops(kept, [kept[0] | {"steady": False}, kept[1] | {"feval": 90}], "")
    with pytest.raises(AssertionError):
        assert_same_stops(kept, [kept[0] | {"feval": 41}, kept[1]], "")
    with pytest.raises(AssertionError):
        assert_same_stops(kept, kept[:1], "")


def assert_same(kept, made, where):
    """The same names and texts, numbers that are close."""
    if isinstance(kept, dict):
        assert list(kept) == list(made), where
        for name, own in kept.items():
            assert_same(own, made[name], f"{where}: {name}")
    elif isinstance(kept, list):
        assert len(kept) == len(made), where
        for i, own in enumerate(kept):
            assert_same(own, made[i], f"{where}[{i}]")
    elif isinstance(kept, float | int) and not isinstance(kept, bool):
        np.testing.assert_allclose(made, kept, rtol=CLOSE, atol=1e-12, err_msg=where)
    else:
        assert made == kept, where
