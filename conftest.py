"""For tests and doctests alike: pictures need no screen, and what one test adds goes with it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("NESTEDMLM_TRACEBACK", "full")  # a failing test shows where


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(autouse=True)
def _forget_structures() -> Iterator[None]:
    """Covariance structures that a test or an example registers are gone after it."""
    from nestedmlm.covariance import temporary_structures

    with temporary_structures():
        yield
