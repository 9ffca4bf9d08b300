"""The README's code runs as it is copied, and prints what stands below it."""

from __future__ import annotations

from pathlib import Path

from tools import readme

PAGE = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_examples_print_what_stands_there():
    assert readme.differences(PAGE) == []


def test_a_wrong_output_is_found():
    assert readme.differences("```python\na = 2\na * 3\n```\n\n```text\n7\n```\n")
    assert not readme.differences("```python\na = 2\na * 3\n```\n\n```text\n6\n```\n")


def test_first_sight():
    """What a stranger looks for stands before the first table: p-values, what it is not for."""
    first = PAGE[: PAGE.index("| formula |")]
    for said in ("Pr(>|t|)", "Not for", "pip install", "singular.png", "two_engines.png", "polars"):
        assert said in first, said
    assert ">>>" not in PAGE and PAGE.index("## Speed") > PAGE.index("**Documentation**")
