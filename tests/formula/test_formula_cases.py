"""Every case of reference/formula_cases: R's model.matrix and lme4's Z."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nestedmlm.design.build import build_design
from nestedmlm.design.design import Design
from nestedmlm.design.frame.frames import Frame
from nestedmlm.design.matrices.modelmatrix import build_matrix
from nestedmlm.design.matrices.zmatrix import z_matrix
from nestedmlm.design.schema import matrix_values
from nestedmlm.errors import NestedMLMError
from nestedmlm.formula import parse_formula

ENV = {"SIZ": ["lo", "mid", "hi", "vhi"]}
# refused on purpose although R takes them (or takes something else)
REFUSED = {
    "y ~ x z",
    "y ~ x | g",
    "~ x",
    "cbind(cnt, ig) ~ x",
    "y ~ 1|g",
    "y ~ x + 1|g",
    "y ~ x*(1|g)",
    "y ~ (1|g)*a",
    "y ~ x + (1|g) - (1|g)",
}
# taken although lme4 1.1-31 cannot
TAKEN = {
    "y ~ x + (1|g*h)",
    "y ~ x + (1|I(x>0))",
    "y ~ x + (1|np.floor(z))",
    "y ~ x + (1|C(g))",
    "y ~ x + (1|C(ig))",
    "y ~ x + us(x|g)",
    "y ~ x + diag(x|g)",
}


def _cases(reference: Path, kind: str) -> list[dict[str, Any]]:
    path = reference / "formula_cases" / f"{kind}.json"
    if not path.is_file():
        pytest.skip(f"{path} not found")
    cases: list[dict[str, Any]] = json.loads(path.read_text())["cases"]
    return cases


@pytest.fixture(scope="module")
def data(reference: Path) -> pd.DataFrame:
    return pd.read_csv(reference / "formula_cases" / "data.csv")


def _design(formula: str, data: pd.DataFrame) -> Design:
    return build_design(formula, data, env=ENV, require_random=False, check=False)


def _full_matrix(design: Design, data: pd.DataFrame) -> np.ndarray:
    """The matrix before columns are dropped for rank: what `model.matrix` gives."""
    values = matrix_values((design.schema.fixed,), design.schema.evaluator(Frame(data)))
    return build_matrix(design.schema.fixed, values, len(data))


def test_fixed(reference: Path, data: pd.DataFrame) -> None:
    for case in _cases(reference, "fixed"):
        formula = case["formula"]
        if "err" in case or formula in REFUSED:
            with pytest.raises(NestedMLMError):
                _design(formula, data)
            continue
        design = _design(formula, data)
        X = _full_matrix(design, data)
        expected = np.array(case["X"], dtype=float).reshape(len(data), -1)
        np.testing.assert_allclose(X, expected, atol=1e-10, err_msg=formula)
        text = parse_formula(formula).display
        if text == parse_formula(case["r_formula"]).display:  # else R's call has another name
            assert list(design.schema.fixed.names) == case["cols"], formula
        np.testing.assert_array_equal(design.new(data).X, design.X)


def test_random(reference: Path, data: pd.DataFrame) -> None:
    for case in _cases(reference, "random"):
        formula = case["formula"]
        if formula in REFUSED or ("err" in case and formula not in TAKEN):
            with pytest.raises(NestedMLMError):
                _design(formula, data)
            continue
        design = _design(formula, data)
        if "err" in case:
            continue
        expected = np.array(case["Z"], dtype=float).reshape(len(data), -1)
        np.testing.assert_allclose(z_matrix(design).toarray(), expected, atol=1e-10,
                                   err_msg=formula)  # fmt: skip
        widths = [term.X.shape[1] for term in design.terms]
        assert widths == [k for k in np.atleast_1d(case["k"]) if k], formula
        new = design.new(data)
        for term, (X, codes) in zip(design.terms, new.terms, strict=True):
            np.testing.assert_array_equal(X, term.X)
            np.testing.assert_array_equal(codes, design.factors[term.factor].codes)
