"""Order, sizes and memory of an elimination, against counts made from the data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.likelihood.block_sizes import BlockSizes, block_sizes
from nestedmlm.statistics import crossproducts
from nestedmlm.statistics.memory import DenseBlock, written_bytes


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    n = 240
    made = pd.DataFrame({"c": np.arange(n) // 8, "item": rng.integers(0, 7, n)})
    made["s"] = made.c // 5
    made["x"] = rng.normal(size=n)
    effects = rng.normal(size=30)[made.c] + rng.normal(size=7)[made["item"]]
    made["y"] = effects + 0.5 * made.x + rng.normal(size=n)
    return made


def sizes(formula: str, rows: pd.DataFrame) -> BlockSizes:
    fit = nm.lmer(formula, rows)
    return block_sizes(fit.solution, fit.design)


def test_chain(rows: pd.DataFrame) -> None:
    found = sizes("y ~ x + (x | s) + (1 | c)", rows)
    expected = {"block": ["chain"] * 2, "levels": [30, 6], "columns": [1, 2], "above": [2, 0]}
    assert found.factors.index.tolist() == ["c", "s"]
    assert found.factors[list(expected)].to_dict("list") == expected
    assert found.factors["met"].tolist() == [0.0, 0.0]
    assert found.dense is None
    assert found.pieces == 1
    # panels: k (k + above + p + 1) numbers for each level
    panels = 30 * 1 * (1 + 2 + 3) + 6 * 2 * (2 + 0 + 3)
    assert found.statistics >= 8 * panels


def test_crossed(rows: pd.DataFrame) -> None:
    found = sizes("y ~ x + (1 | c) + (x | item)", rows)
    expected = {"block": ["chain", "dense"], "levels": [30, 7], "columns": [1, 2], "above": [0, 0]}
    assert found.factors[list(expected)].to_dict("list") == expected
    met = rows.groupby("c")["item"].nunique().mean() * 2  # two columns for each item
    assert found.factors["met"].tolist() == [pytest.approx(met), 0.0]
    assert found.dense == DenseBlock(factors=("item",), columns=14)
    assert found.dense.needed == 5 * 8 * 14**2
    assert found.evaluation >= 8 * 2 * 14**2  # the block and its inverse


def test_relatives_have_a_dense_block_and_no_chain(rows: pd.DataFrame) -> None:
    relatives = pd.DataFrame(np.eye(6) + 0.2, range(6), range(6))
    fit = nm.lmer("y ~ x + (x | s)", rows, relationship={"s": relatives})
    found = block_sizes(fit.solution, fit.design)
    assert found.factors[["block", "above"]].to_numpy().tolist() == [["dense", 0]]
    assert "Chain" not in str(fit.elimination())


def test_pieces(rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crossproducts, "LEVELS", 10)
    assert sizes("y ~ x + (1 | s) + (1 | c)", rows).pieces == 3


def test_the_view_and_the_refusal_say_the_same(rows: pd.DataFrame) -> None:
    fit = nm.lmer("y ~ x + (1 | c) + (x | item)", rows)
    found = block_sizes(fit.solution, fit.design)
    assert f"The {found.dense}." in str(fit.elimination())
    assert "crossed grouping factors (item) need a dense block of 14 x 14 numbers" in str(
        found.dense
    )


SIZES = {0: "0.0 KiB", 2048: "2.0 KiB", 3 * 2**20: "3.0 MiB", 2**50: "1,024.0 TiB"}


@pytest.mark.parametrize(("size", "text"), SIZES.items())
def test_written_bytes(size: int, text: str) -> None:
    assert written_bytes(size) == text
