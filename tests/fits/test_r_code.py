"""R code of a fit: lme4's deviance function has our criterion at our theta."""

from __future__ import annotations

import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.errors import OptionError


def lme4_is_there() -> bool:
    if shutil.which("Rscript") is None:
        return False
    code = "quit(status = !requireNamespace('lme4', quietly = TRUE))"
    return subprocess.run(["Rscript", "-e", code], check=False).returncode == 0


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    frame = nm.load_dataset("sleepstudy").assign(w=rng.uniform(0.5, 2, 180))
    return frame.assign(batch=np.arange(180) % 7)


FORMULAS = {
    "Reaction ~ Days + (Days | Subject) + (1 | batch)": {},
    "Reaction ~ between(w, Subject) + within(w, Subject) + (1 | Subject)": {},
    "Reaction ~ lag(w, Subject, Days) + lag(w, Subject, Days, 2) + (1 | Subject)": {},
    "Reaction ~ poly(Days, 2) + (Days || Subject)": {"REML": False, "weights": "w"},
}


def test_code_holds_theta_and_criterion_to_the_last_digit(table):
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", table, weights="w")
    code = fit.r_code()
    theta = re.search(r"theta <- c\((.*)\)", code)[1]
    assert [float(value) for value in theta.split(", ")] == fit.theta.tolist()
    assert float(code.rsplit(" ", 1)[1]) == fit.criterion
    assert "data = table, REML = TRUE, weights = w," in code


def test_functions_that_r_has_not_are_defined(table):
    code = nm.lmer("Reaction ~ within(w, Subject) + (1 | Subject)", table).r_code()
    assert "\nwithin <- function(x, g)" in code and "between <- " not in code
    half = 0.5
    with pytest.raises(OptionError, match="R does not know half of Python"):
        nm.lmer("Reaction ~ I(w * half) + (1 | Subject)", table).r_code()
    assert half


@pytest.mark.slow
@pytest.mark.parametrize("formula", FORMULAS)
def test_lme4_agrees(table, formula, tmp_path):
    if not lme4_is_there():
        pytest.skip("R with lme4 is not here")
    fit = nm.lmer(formula, table, **FORMULAS[formula])
    table.to_csv(tmp_path / "table.csv", index=False)
    code = f"table <- read.csv('{tmp_path / 'table.csv'}')\n{fit.r_code()}"
    lines = code.replace("devfun(theta)", "cat(format(devfun(theta), digits = 15))")
    script = tmp_path / "check.R"
    script.write_text(lines, encoding="utf-8")
    done = subprocess.run(["Rscript", str(script)], capture_output=True, text=True, check=True)
    assert float(done.stdout.split()[-1]) == pytest.approx(fit.criterion, rel=1e-10)


@pytest.mark.parametrize(
    ("formula", "options", "said"),
    [
        ("Reaction ~ Days + cs(Days | Subject)", {}, "no structure like that"),
        ("Reaction ~ Days + (1 | Subject)", {"penalty": "wishart"}, "knows no penalties"),
        ("Reaction ~ Days + (1 | Subject)", {"weights": np.ones(180)}, "came as an array"),
    ],
)
def test_what_lme4_has_not(table, formula, options, said):
    with pytest.raises(OptionError, match=said):
        nm.lmer(formula, table, **options).r_code()
