"""Reference numbers and printed texts: data that stand beside the R scripts that made them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.agreement.record import read_json

FOLDER = Path(__file__).parent


def numbers(name: str) -> Any:
    """What a script kept as ``<name>.json`` (``"effects/effects"``); NA is nan."""
    return read_json((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def sections(name: str) -> dict[str, str]:
    """Parts of a text ``<name>.txt``, each under its line ``# title``."""
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    parts = text.removeprefix("# ").rstrip("\n").split("\n# ")
    return {title: body for title, _, body in (part.partition("\n") for part in parts)}
