"""Checks of a model's assumptions: what `fit.check()` returns."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

import pandas as pd

from nestedmlm.views.render.blocks import Block, Text
from nestedmlm.views.render.view import View, Viewable, blank, note

WIDTH = 88  # characters of a printed line
MARKS = {"fine": "ok  ", "look": "look", "act": "act "}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check: what was found, what it means, what to do.

    Attributes
    ----------
    check : str
        Its name, such as ``linearity``.
    verdict : {"fine", "look", "act"}
    found : str
        A sentence with the numbers.
    advice : str
        What it means and what to do; empty where nothing is to be done.
    """

    check: str
    verdict: str
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Check(Viewable):
    """Checks of a fit's assumptions, in words; ``fit.plot.check()`` is the picture.

    Attributes
    ----------
    formula : str
    findings : tuple of Finding
    numbers : DataFrame
        ``check, term, group, statistic, value, p_value, verdict``.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> found = fit.check()
    >>> [finding.check for finding in found.findings if finding.verdict == "fine"][:2]
    ['linearity', 'collinearity']
    """

    formula: str
    findings: tuple[Finding, ...]
    numbers: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """Every number: ``check, term, group, statistic, value, p_value, verdict``.

        Returns
        -------
        DataFrame
            A row for each number of each check; a copy of `numbers`.
        """
        return self.numbers.copy()

    def view(self) -> View:
        """Build the document: a sentence for each check, and what to do."""
        bad = sum(finding.verdict != "fine" for finding in self.findings)
        count = (
            f"{bad} of {len(self.findings)} checks deserve a look" if bad else "Nothing stands out"
        )
        blocks: list[Block] = [Text((f"Checks of {self.formula}",), role="title"), blank()]
        for finding in self.findings:
            mark = MARKS[finding.verdict]
            said = f"[{mark.strip()}] {finding.check}: {finding.found} {finding.advice}".strip()
            lines = textwrap.wrap(
                f"{mark} {finding.check}: {finding.found} {finding.advice}".rstrip(),
                WIDTH,
                subsequent_indent=" " * 5,
            )
            blocks.append(Text((said,), wrapped=tuple(lines)))
        return View((*blocks, blank(), note(f"{count}. The picture: fit.plot.check().")))
