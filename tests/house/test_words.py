"""Words that were replaced by the field's do not come back."""

from __future__ import annotations

import runpy
from pathlib import Path

TOOL = Path(__file__).parents[2] / "tools" / "words.py"


def test_words_are_the_fields():
    rows = runpy.run_path(str(TOOL))["found"]()
    assert [f"{r.path}:{r.line} {r.word!r}: write {r.instead}" for r in rows] == []
