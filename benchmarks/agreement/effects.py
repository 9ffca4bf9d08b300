"""Tests of effects beside lmerTest and pbkrtest: df, p-values, F tables, ranova, drop1, step.

Where lme4's fit is the same optimum, everything agrees to the accuracy of lmerTest's numerical
derivatives. Left out: Kenward-Roger with weights (pbkrtest ignores them), and types II and III of
``a + a:b`` (lmerTest does not count a as contained in a:b there, SAS and nestedmlm do).
"""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import nestedmlm as nm
from benchmarks.agreement.record import DATA, REFERENCE, Agreement, ask_r, largest_difference
from nestedmlm.lme4 import vcovAdj

Case = dict[str, Any]
SCRIPT = REFERENCE / "effects" / "effects.R"


def _case(id: str, data: str, formula: str, **more: Any) -> Case:
    return {"id": id, "data": data, "formula": formula, "REML": True, **more}


# those whose answers the tests keep, then others
CASES = [
    *json.loads((REFERENCE / "effects" / "cases.json").read_text()),
    _case("cake", "cake", "angle ~ recipe * temperature + (1 | recipe:replicate)", step=True),
    _case("machines nested", "Machines", "score ~ Machine + (1 | Worker/Machine)"),
    _case("bodyweight", "BodyWeight", "weight ~ Time * Diet + (Time | Rat)"),
    _case("two factors", "sleep_ext", "Reaction ~ cond * halves + noise + (1 | Subject)"),
    _case("polynomial", "sleep_ext", "Reaction ~ cond * poly(Days, 2) + (1 | Subject)",
          contrasts={"cond": "sum"}),
    _case("three factors", "sleep_ext", "Reaction ~ cond * halves * noise + (1 | Subject)",
          contrasts={"cond": "sum", "halves": "helmert"}),
    _case("only an interaction", "sleep_ext", "Reaction ~ cond:halves + (1 | Subject)"),
    _case("exam", "Exam", "normexam ~ sex * vr + intake + (standLRT | school)",
          contrasts={"sex": "sum", "vr": "poly", "intake": "sum"}),
    _case("indicators", "Machines", "score ~ Machine + (0 + Machine | Worker)"),
    _case("crossed slopes", "sim", "y ~ x * f + (x | g1) + (1 | g2)"),
    _case("hsb", "Hsb82", "mAch ~ meanses * cses + sector * cses + (cses | school)"),
    _case("ham", "ham", "Informed.liking ~ Gender * Information * Product + (1 | Consumer)",
          package="lmerTest", step=True),
    _case("carrots", "carrots", "Preference ~ sens1 * Homesize + Age + (sens1 | Consumer)",
          package="lmerTest"),
    _case("TVbo", "TVbo", "Sharpnessofmovement ~ TVset * Picture + (1 | Assessor)",
          package="lmerTest"),
]  # fmt: skip


def read_data(name: str) -> pd.DataFrame:
    """A data set of the shared folder, its factors as schema.json has them."""
    frame = pd.read_csv(DATA / f"{name}.csv")
    for column, spec in json.loads((DATA / "schema.json").read_text()).get(name, {}).items():
        frame[column] = _factor(frame[column], spec["levels"], spec["ordered"])
    return frame


def _factor(values: Any, levels: Any, ordered: bool) -> pd.Categorical:
    # a column of whole numbers with missing ones is read as floats
    text = [None if pd.isna(v) else f"{v:g}" if isinstance(v, float) else str(v) for v in values]
    return pd.Categorical(text, categories=[str(v) for v in np.atleast_1d(levels)], ordered=ordered)


def fit_case(case: Case, answer: dict[str, Any]) -> nm.LmerFit:
    if "package" in case:
        frame = pd.DataFrame(answer["columns"])
        for name, levels in answer["levels"].items():
            frame[name] = _factor(frame[name], levels, answer["ordered"][name])
    else:
        frame = read_data(case["data"])
    if case.get("empty_cell"):
        frame = frame[~((frame["cond"] == "a") & (frame["halves"] == "early"))]
    return nm.lmer(
        case["formula"], frame, REML=case["REML"], weights=case.get("weights"),
        contrasts=case.get("contrasts"),
    )  # fmt: skip


def _f_numbers(table: pd.DataFrame) -> np.ndarray:
    # lmerTest lists terms without a test last
    tested = table["F value"].notna()
    ordered = pd.concat([table[tested], table[~tested]])
    return ordered.drop(columns="Mean Sq").to_numpy(dtype=float)


def _coefficients(fit: nm.LmerFit, ddf: str) -> np.ndarray:
    frame = fit.summary(ddf).tables["coefficients"]
    return frame[["std_error", "df", "p_value"]].to_numpy(dtype=float)


def verbs_of(fit: nm.LmerFit, answer: dict[str, Any]) -> dict[str, Any]:
    """The verbs, by what the R script calls their results."""
    L = np.eye(fit.design.p)[1:]
    adjusted = "kenward-roger"
    verbs = {
        "satterthwaite": lambda: _coefficients(fit, "satterthwaite"),
        **{
            f"anova {t}": lambda t=t: _f_numbers(fit.anova(type=t).table)
            for t in ("I", "II", "III")
        },
        "contest": lambda: _f_numbers(fit.contest(L, 0.5).table),
        "contest_rows": lambda: fit.contest(L, 0.5, joint=False).table.to_numpy(),
        "drop1": lambda: _f_numbers(fit.drop1().table),
        "drop1_chisq": lambda: fit.drop1(test="Chisq").table.to_numpy(),
        "kr": lambda: _coefficients(fit, adjusted),
        "kr_anova": lambda: _f_numbers(fit.anova(ddf=adjusted).table),
        "kr_contest": lambda: _f_numbers(fit.contest(L, 0.5, ddf=adjusted).table),
        "vcovAdj": lambda: vcovAdj(fit).to_numpy(),
        "ranova": lambda: fit.ranova().table.to_numpy(),
        "ranova_whole": lambda: fit.ranova(reduce_terms=False).table.to_numpy(),
        "step_random": lambda: fit.step().random.to_numpy(),
        "step_fixed": lambda: fit.step().fixed.to_numpy(),
    }
    return {name: verb() for name, verb in verbs.items() if answer.get(name) is not None}


def compare() -> list[Agreement]:
    """Every verb of every case."""
    logging.getLogger("nestedmlm").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cases.json"
        path.write_text(json.dumps(CASES))
        answers = ask_r(SCRIPT, ("lmerTest", "pbkrtest"), "--print", str(path))
    out = []
    for case, answer in zip(CASES, answers, strict=True):
        fit = fit_case(case, answer)
        for verb, ours in verbs_of(fit, answer).items():
            theirs = np.array(answer[verb], dtype=float)
            out.append(
                Agreement(verb=verb, case=case["id"], difference=largest_difference(ours, theirs))
            )
    return out
