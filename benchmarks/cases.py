"""The models that are timed: what, on which data, and how long a program may take."""

from __future__ import annotations

from dataclasses import dataclass

SLOPES8 = "a * b * c"
MAXIMAL = f"y ~ {SLOPES8} + ({SLOPES8} | subject) + ({SLOPES8} | item)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One model on one data set.

    Attributes
    ----------
    name, formula, dataset : str
        `dataset` is a key of `benchmarks.data.SOURCES`.
    quick : bool
        Part of the quick run.
    limit : float
        Seconds one fit may take before the program is reported as unfinished.
    defaults : bool
        Timed a second time with every program's own thread settings.
    cold : bool
        Timed in fresh processes too (import, read the data, one fit).
    refits : int
        Number of responses to refit; 0: an ordinary fit.
    """

    name: str
    formula: str
    dataset: str
    quick: bool = False
    limit: float = 300.0
    defaults: bool = False
    cold: bool = False
    refits: int = 0


M17 = "mathscore ~ ses + (ses | schoolid) + (1 | classid)"

CASES = (
    Case(
        name="sleepstudy",
        formula="Reaction ~ Days + (Days | Subject)",
        dataset="sleepstudy",
        quick=True,
        defaults=True,
        cold=True,
    ),
    Case(
        name="M14",
        formula="mathscore ~ ses + (ses | schoolid)",
        dataset="classroom",
        quick=True,
    ),
    Case(
        name="M15",
        formula="mathscore ~ ses + (ses | schoolid) + (ses | classid)",
        dataset="classroom",
        quick=True,
    ),
    Case(
        name="M16",
        formula="mathscore ~ ses + (ses | schoolid) + (ses || classid)",
        dataset="classroom",
        quick=True,
    ),
    Case(name="M17", formula=M17, dataset="classroom", quick=True, defaults=True, cold=True),
    Case(
        name="M18",
        formula="mathscore ~ ses + (1 | schoolid/classid2)",
        dataset="classroom",
        quick=True,
    ),
    Case(
        name="Chem97",
        formula="score ~ gcsecnt + (1 | school) + (1 | lea)",
        dataset="Chem97",
        quick=True,
        defaults=True,
    ),
    Case(
        name="Chem97 slopes",
        formula="score ~ gcsecnt + (gcsecnt | school) + (1 | lea)",
        dataset="Chem97",
        quick=True,
    ),
    Case(
        name="InstEval",
        formula="y ~ service + (1 | s) + (1 | d) + (1 | dept)",
        dataset="InstEval",
        defaults=True,
    ),
    Case(
        name="1e6 rows nested",
        formula="y ~ x + (x | school) + (x | class)",
        dataset="million",
        limit=400.0,
    ),
    Case(
        name="maximal 72 theta",
        formula=MAXIMAL,
        dataset="maximal",
    ),
    Case(
        name="maximal 72 theta, singular",
        formula=MAXIMAL,
        dataset="maximal-singular",
    ),
    Case(
        name="20 theta nested",
        formula="y ~ x1 + x2 + x3 + (x1 + x2 + x3 | school) + (x1 + x2 + x3 | class)",
        dataset="twenty",
        quick=True,
    ),
    Case(
        name="1e5 groups of 2",
        formula="y ~ x + (1 | g)",
        dataset="pairs",
    ),
    Case(
        name="1000 refits of M17",
        formula=M17,
        dataset="classroom",
        quick=True,
        refits=1000,
    ),
)
