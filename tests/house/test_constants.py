"""Numbers with names: each says what it means, where `tools/constants.py` finds it."""

from __future__ import annotations

import importlib.util
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]

# words that say nothing of what is measured, or in which unit
BARE = {"_FLAT", "_ZERO", "_STEP", "_TINY", "_SMALL", "_LARGE", "_EPS", "_TOL"}


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("constants", ROOT / "tools" / "constants.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["constants"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_every_constant_says_what_it_means(tool: ModuleType) -> None:
    found = tool.constants()
    assert len(found) > 100
    assert not [f"{c.file}: {c.name}" for c in found if not c.meaning]


def test_names_say_what_is_measured(tool: ModuleType) -> None:
    assert not [f"{c.file}: {c.name}" for c in tool.constants() if c.name in BARE]


def test_one_private_name_with_two_values_has_two_meanings(tool: ModuleType) -> None:
    by_name = defaultdict(list)
    for c in tool.constants():
        if c.name.startswith("_"):
            by_name[c.name, c.meaning].append(c)
    assert not [same for same in by_name.values() if len({c.value for c in same}) > 1]


def test_meaning_is_found_beside_above_and_below(tool: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "room.py").write_text(
        "A = 1e-3  # beside\n\n# above\nB = 2**4\nC: int = 5\n\nD = (1, 2.0)\n"
        '"""below"""\nE = "no number"\nf = 3\n'
    )
    found = [(c.name, c.value, c.meaning) for c in tool.constants(tmp_path)]
    assert found == [
        ("A", "1e-3", "beside"),
        ("B", "2**4", "above"),
        ("C", "5", "above"),
        ("D", "(1, 2.0)", "below"),
    ]
