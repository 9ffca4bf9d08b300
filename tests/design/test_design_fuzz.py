"""Models and tables made at random (seeded): a fit, or an error of ours, and nothing else."""

from __future__ import annotations

import pytest
from random_models import untyped


def test_nothing_but_fits_and_errors_of_ours() -> None:
    assert list(untyped(1, 60)) == []


def test_nothing_but_fits_and_errors_of_ours_at_any_door() -> None:
    assert list(untyped(2, 40, doors=True)) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("doors", [False, True])
def test_nothing_but_fits_and_errors_of_ours_in_many(seed: int, doors: bool) -> None:
    assert list(untyped(100 + seed, 500, doors=doors)) == []
