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


def cases(name: str) -> dict[str, list[list[str]]]:
    """Cases of a text: the formula, and a list of what stands behind each ``=>``."""
    lines = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    rows = (line.split(" =>") for line in lines if line and not line.startswith("#"))
    return {given: [listed(part) for part in parts] for given, *parts in rows}


def listed(text: str) -> list[str]:
    return [item.strip() for item in text.split(";") if item.strip()]
