"""The open table of covariance structures, by the names that formulas use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MappingProxyType

from nestedmlm.covariance.ar1 import Autoregressive
from nestedmlm.covariance.cs import CompoundSymmetry
from nestedmlm.covariance.diag import Diagonal
from nestedmlm.covariance.structure import Structure
from nestedmlm.covariance.us import Unstructured
from nestedmlm.errors import OptionError

UNSTRUCTURED, DIAGONAL = Unstructured("us"), Diagonal("diag")
BUILT_IN: tuple[Structure, ...] = (  # those of lme4 2.0
    UNSTRUCTURED,
    DIAGONAL,
    CompoundSymmetry("cs"),
    Autoregressive("ar1", default_hom=True),
)
_TABLE: dict[str, Structure] = {structure.name: structure for structure in BUILT_IN}
STRUCTURES: MappingProxyType[str, Structure] = MappingProxyType(_TABLE)  # for everybody to read


def add_structure(structure: Structure) -> None:
    """Put a structure into the table under its name.

    Raises
    ------
    OptionError
        If another one has that name.
    """
    if _TABLE.setdefault(structure.name, structure) != structure:
        raise OptionError(
            f"a covariance structure named {structure.name!r} exists and is another one: choose a "
            "different name"
        )


@contextmanager
def temporary_structures() -> Iterator[None]:
    """What is added to the table inside is gone afterwards."""
    before = dict(_TABLE)
    try:
        yield
    finally:
        _TABLE.clear()
        _TABLE.update(before)
