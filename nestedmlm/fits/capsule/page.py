"""The page of a capsule: one HTML file that needs no server and recomputes the fit."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from nestedmlm.fits.capsule.verifier import in_the_file

_HERE = Path(__file__).parent


def page(contents: Mapping[str, Any], text: str) -> str:
    """Write a capsule as a page.

    Parameters
    ----------
    contents : mapping
        Of the capsule.
    text : str
        The same as JSON.

    Returns
    -------
    str
        HTML, with the capsule, the verifier in Python, and the same in JavaScript, which the page
        runs.
    """
    cells = "\n".join(
        f'<tr><th>{escape(name)}</th><td>{value:.10g}</td><td class="recomputed"></td></tr>'
        for name, value in in_the_file(dict(contents)).items()
    )
    said = contents["certificate"]["message"]
    return Template((_HERE / "page.html").read_text("utf-8")).substitute(
        formula=escape(contents["formula"]),
        how="REML" if contents["REML"] else "maximum likelihood",
        certificate=escape(said[:1].upper() + said[1:]),
        disclosure=escape(contents["disclosure"]),
        versions=escape(
            ", ".join(f"{name} {version}" for name, version in contents["versions"].items())
        ),
        made=escape(contents["made"]),
        rows=cells,
        verifier=escape((_HERE / "verifier.py").read_text("utf-8")),
        script=(_HERE / "verifier.js").read_text("utf-8"),
        capsule=text.replace("</", "<\\/"),
    )
