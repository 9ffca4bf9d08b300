"""The field's words: `python tools/words.py` finds words that a statistician would not look for.

Exit status 1 where one stands in code, docstrings or pages. A word is listed once it has been
replaced everywhere, so that it does not come back.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PLACES = ("nestedmlm/**/*.py", "docs/**/*.md", "README.md", "CONTRIBUTING.md")

# what not to write -> what to write
WORDS = {
    r"\blayer \d": "nothing: the folder says it",
    r"\bsettled?\(": "fit_constrained",
    r"\bnests\b": "nesting",
    r"\bFitParts\b|\bPrepared\b": "Fitted, DfMethod",
    r"\bResponseLaw\b|\blaw_of\b": "ResponseDistribution, response_distribution",
    r"\breform\b": "re_form",
    r"\bmended\b": "repaired",
    r"\bchart\b": "coordinates, or picture",
    r"\bdoors?\b": "entry point, adapter",
    r"\bblups?\b": "conditional modes",
    r"random coefficients?\b": "random slopes, random effects",
    r"cluster(?:ing)? variable": "grouping factor",
}
# a page may explain a word that readers bring along
EXPLAINED = {r"\bblups?\b": ("docs/", "nestedmlm/fits/")}


class Found(NamedTuple):
    """A word at a place."""

    path: str
    line: int
    word: str
    instead: str


def found() -> list[Found]:
    """Every listed word in the package and its pages."""
    paths = sorted(p for place in PLACES for p in ROOT.glob(place) if "_build" not in p.parts)
    return [
        Found(str(path.relative_to(ROOT)), number, match[0], instead)
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        for word, instead in WORDS.items()
        if (match := re.search(word, line, re.IGNORECASE))
        and not str(path.relative_to(ROOT)).startswith(EXPLAINED.get(word, "-"))
    ]


if __name__ == "__main__":
    rows = found()
    for row in rows:
        print(f"{row.path}:{row.line}: {row.word!r}: write {row.instead}")
    sys.exit(bool(rows))
