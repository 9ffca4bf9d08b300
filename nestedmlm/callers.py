"""The user's frame: values of variables that a formula uses, and names of objects."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# what ``warnings.warn`` skips, so that a warning names the user's line
PACKAGE = (str(Path(__file__).parent) + os.sep,)


@dataclass(frozen=True, slots=True, eq=False)
class Caller:
    """The frame from which the package was called. Made at an entry point, passed down, not kept.

    Attributes
    ----------
    scopes : tuple of mapping
        Where names are looked up: local variables, then global ones.
    """

    scopes: tuple[Mapping[str, Any], ...]

    @classmethod
    def here(cls) -> Caller:
        """The nearest frame outside the package, however deep inside it this is asked."""
        frame = sys._getframe(1)
        while frame.f_code.co_filename.startswith(PACKAGE) and frame.f_back is not None:
            frame = frame.f_back
        return cls((frame.f_locals, frame.f_globals))

    def values(self, names: Iterable[str]) -> dict[str, Any]:
        """Objects called `names`, where there are any."""
        wanted = set(names)
        return {
            name: scope[name] for scope in reversed(self.scopes) for name in wanted if name in scope
        }

    def name_of(self, obj: Any) -> str | None:
        """The variable that holds an object, if there is one: as `names_of` finds it."""
        for scope in self.scopes:
            for name, value in scope.items():
                if value is obj and not name.startswith("_"):
                    return name
        return None

    def names_of(self, objects: Sequence[Any]) -> list[str | None]:
        """The variable that holds each object, by identity; names with an underscore do not count.

        Parameters
        ----------
        objects : sequence

        Returns
        -------
        list of str or None
        """
        known: dict[int, str] = {}
        for scope in self.scopes:
            for name, value in scope.items():
                if not name.startswith("_"):
                    known.setdefault(id(value), name)
        return [known.get(id(obj)) for obj in objects]

    def distinct_names_of(self, objects: Sequence[Any]) -> list[str] | None:
        """As `names_of`; None unless every object has a name and all are different."""
        names = [name for name in self.names_of(objects) if name is not None]
        return names if len(set(names)) == len(objects) else None
