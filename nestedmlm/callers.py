"""What the caller's frame knows: variables a formula uses, and the names of objects."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

# what ``warnings.warn`` skips, so that a warning names the user's line
PACKAGE = (str(Path(__file__).parent) + os.sep,)


def caller_names(names: tuple[str, ...], *, depth: int) -> dict[str, Any]:
    """Objects called `names` (or their roots) in the frame `depth` calls up."""
    frame = sys._getframe(depth)
    found = {}
    for root in {name.split(".")[0] for name in names}:
        for scope in (frame.f_locals, frame.f_globals):
            if root in scope:
                found[root] = scope[root]
                break
    return found


def caller_name(obj: Any, *, depth: int) -> str | None:
    """The name under which the frame `depth` calls up knows an object, if it does."""
    frame = sys._getframe(depth)
    for scope in (frame.f_locals, frame.f_globals):
        for name, value in scope.items():
            if value is obj and not name.startswith("_"):
                return name
    return None
