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
    "means": ("lme4", "lmerTest", "pbkrtest", "emmeans"),
    "prints": ("lme4",),
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
        if name.endswith(".json"):
            assert_same(read_json(kept), read_json(text), name)
        else:
            assert text == kept, name


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
