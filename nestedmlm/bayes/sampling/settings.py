"""Settings of a sampler's run, and what is written beside its draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of a sampler: what was asked for, checked."""

    sampler: str
    backend: str
    draws: int
    tune: int
    chains: int
    cores: int | None
    seed: int | None
    progress: bool
    target_accept: float
    start: Mapping[str, Any]


def attributes(settings: Settings, form: str) -> dict[str, Any]:
    """How the draws were made: ``marginal`` or ``hierarchical``, by what, after which warm-up."""
    return {
        "sampler": settings.sampler,
        "backend": settings.backend,
        "form": form,
        "tune": settings.tune,
    }
