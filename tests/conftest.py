"""Fixtures for files that are not part of the repository (missing ones skip with a reason), and
which tests stay in one process.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

_SHARED = Path(__file__).parents[2] / "shared"


def _folder(candidates: list[Path], what: str) -> Path:
    for path in candidates:
        if path.is_dir():
            return path
    looked_in = " or ".join(map(str, candidates))
    pytest.skip(f"{what} not found: looked in {looked_in}")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with classroom.csv, schema.json and the other data sets that are not shipped."""
    given = os.environ.get("NESTEDMLM_DATA")
    return _folder([Path(given)] if given else [_SHARED / "data"], "the shared data sets")


@pytest.fixture(scope="session")
def reference(shared_data: Path) -> Path:
    """Folder with lme4's reference results (goldens.json, formula_cases/)."""
    return _folder([shared_data.parent / "reference", _SHARED / "reference"], "reference results")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep a file in one process, whose tests share what they made and noticed.

    But for the table of verbs, which is half of all work: its cells need nothing of one another.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid if "/test_verbs.py::" in nodeid else nodeid.partition("::")[0]

    return ByFile(config, log)
