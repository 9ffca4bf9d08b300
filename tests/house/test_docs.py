"""The documentation names what exists: verbs, pages, pictures; its notebooks have a place."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

import nestedmlm as nm
from tools.golden_table import KEPT, row, stop_row

FILES = ("cases", "stops")
ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *(p for p in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in p.parts),
]
OWNERS = {
    "nm": nm,
    "fit": nm.LmerFit,
    "m": nm.LmerFit,
    "posterior": nm.BayesFit,
    "model": nm.Model,
}
NAMED = re.compile(rf"(?<![\w.`|/])({'|'.join(OWNERS)})\.([a-z]\w*)")
CODE = re.compile(r"```.*?```|`[^`]+`", re.DOTALL)
R_CODE = re.compile(r"```r\n.*?```", re.DOTALL)
# a plain pymc.Model and Bambi's model are called `model` too
NOT_OURS = {("model", name) for name in ("free_RVs", "predict", "backend", "plot_priors")}


def name_of(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_verbs_exist(page):
    text = R_CODE.sub("", page.read_text(encoding="utf-8"))
    named = {pair for code in CODE.findall(text) for pair in NAMED.findall(code.strip("`"))}
    unknown = sorted(
        f"{owner}.{verb}"
        for owner, verb in named - NOT_OURS
        if not hasattr(OWNERS[owner], verb)
        and verb not in getattr(OWNERS[owner], "__dataclass_fields__", {})
    )
    assert unknown == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pictures_exist(page):
    code = " ".join(CODE.findall(page.read_text(encoding="utf-8")))
    drawn = set(re.findall(r"(?:\.plot|\bnm\.plots)\.(\w+)", code))
    assert drawn <= set(nm.plots.__all__)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    for target in targets:
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path = (page.parent / target).resolve()
        notebook = ROOT / "examples" / path.name  # `make docs` copies them beside the pages
        made_later = path == ROOT / "docs" / "benchmarks.md"
        assert path.exists() or (path.suffix == ".ipynb" and notebook.exists()) or made_later, (
            f"{name_of(page)} links to {target}"
        )


def test_extras_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    known = extras["project"]["optional-dependencies"]
    pages = [*PAGES, *(ROOT / "docs").rglob("reference/*.rst")]
    named = {e for p in pages for e in re.findall(r"nestedmlm\[(\w+)\]", p.read_text("utf-8"))}
    assert named <= set(known)


def test_every_notebook_has_a_page():
    conf = (ROOT / "docs" / "conf.py").read_text(encoding="utf-8")
    listed = set(re.findall(r'^    "(\w+)": "[\w-]+",$', conf, re.MULTILINE))
    assert {path.stem for path in (ROOT / "examples").glob("*.ipynb")} <= listed


def test_golden_table_is_that_of_today(shared_data, reference, monkeypatch):
    """A few lines of the table that `tools/golden_table.py` wrote, made again."""
    if not (reference / "goldens.json").is_file():
        pytest.skip(f"{reference / 'goldens.json'} not found")
    monkeypatch.setenv("NESTEDMLM_DATA", str(shared_data))
    entries = json.loads((reference / "goldens.json").read_text(encoding="utf-8"))["fits"]
    chosen = [e for e in entries if e["id"] in {"sleep_corr", "dyestuff2_singular", "class_M15"}]
    assert len(chosen) == 3
    written = (ROOT / "docs" / "explanation" / "_goldens.md").read_text(encoding="utf-8")
    for entry in chosen:
        data, formula, criterion = row(entry).split(" | ")[:3]
        assert f"{data} | {formula} | {criterion}" in written


def test_table_of_stops_is_that_of_today():
    """Two of its lines, of data that are shipped."""
    written = (ROOT / "docs" / "explanation" / "_stops.md").read_text(encoding="utf-8")
    cases, kept = (json.loads((KEPT / f"{name}.json").read_text("utf-8")) for name in FILES)
    assert len(cases) == len(kept) == written.count("\n") - 2
    for case, place in zip(cases, kept, strict=True):
        if case["id"] in {"sleep_corr", "penicillin"}:
            line = stop_row(case, place)
            assert line.rpartition(" | ")[0] in written
