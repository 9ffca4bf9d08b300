"""What a row of the table of verbs (`verbs.py`) says, and the engines and situations it names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from fake_posterior import fake_bayesfit
from situations import SITUATIONS

import nestedmlm as nm


def generalized(fit: nm.LmerFit) -> nm.GlmerFit:
    """The same terms, weights and offset with a response of two values."""
    options = fit.model.source.options
    response, _, terms = fit.design.formula.text.partition("~")
    return nm.glmer(
        f"I({response.strip()} + 2.5 * sin(1000 * x) > 5) ~ {terms}",  # not separated by groups
        fit.model.data, family="binomial",
        weights=options.weights, offset=options.offset, double_bar=options.double_bar,
    )  # fmt: skip


# what makes a fit of an engine out of the REML fit of a situation, and its class; a further
# engine is a line here, and its name in the rows that serve it
ENGINES: dict[str, tuple[type, Callable[[nm.LmerFit], Any]]] = {
    "lmer": (nm.LmerFit, lambda fit: fit),
    "bayes": (nm.BayesFit, lambda fit: fake_bayesfit(fit, chains=2, draws=50)),
    "glmer": (nm.GlmerFit, generalized),
}
LMER, BAYES, BOTH, GLMER = ("lmer",), ("bayes",), ("lmer", "bayes"), ("glmer",)
EVERYWHERE = tuple(SITUATIONS)
# where a posterior is asked: its numbers are draws, a few kinds of model are enough
POSTERIORS = ("plain", "equal weights", "offset array", "double bar", "compound symmetry",
              "rank deficient", "no fixed effects")  # fmt: skip
GENERALIZED = ("plain", "equal weights", "offset array", "double bar", "rank deficient")
# where an engine is asked; the others everywhere
ASKED = {"bayes": POSTERIORS, "glmer": GENERALIZED}
# where dear verbs are asked
REFITTED = ("pickled", "ML", "equal weights", "offset column", "offset formula", "offset array",
            "zero variance", "rank deficient", "missing rows", "diagonal", "autoregressive",
            "symmetric, three", "no fixed effects", "penalised", "from sums",
            "large table")  # fmt: skip
PROFILED = ("pickled", "permuted", "equal weights", "offset column", "offset formula",
            "zero variance", "rank deficient", "compound symmetry", "penalised", "from sums",
            "large table")  # fmt: skip
DRAWN = ("plain", "pickled", "ML", "weights array", "offset column", "offset array",
         "degenerate slopes", "rank deficient", "missing rows", "double bar", "diagonal",
         "no intercept", "no fixed effects", "polars", "from sums", "large table")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """A call on a fit.

    Attributes
    ----------
    covers : str
        The public names that it goes through, parted by blanks: members of the fit, or
        ``Class.member``, ``nm.function``, ``plots.function``.
    call : callable
        Fit to frame, series, array, text, view or axes.
    question : str
    engines : tuple of str
    r : str
        Functions of `nestedmlm.lme4` that say the same, parted by blanks.
    only : tuple of str
        Situations in which it is asked; fewer for dear calls.
    refused : mapping
        Situation to the error and its words: ``"DataError: give offset="``.
    empty, unknown, alone : mapping
        Situation to the reason why nothing comes, NaN is an answer, or the twin says otherwise.
    moved : callable or None
        For numbers that an offset is added to: fit and index to the offset.
    sigma : tuple of str
        Rows or columns in the unit of sigma, which is that of the weights.
    sparse : bool
        Whether columns that do not apply to a row are NaN.
    close : float
        Relative to the largest number: both fits optimise, refits do so again.
    """

    covers: str
    call: Callable[[Any], Any]
    question: str
    engines: tuple[str, ...] = LMER
    r: str = ""
    only: tuple[str, ...] = EVERYWHERE
    refused: Mapping[str, str] = field(default_factory=dict)
    empty: Mapping[str, str] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)
    alone: Mapping[str, str] = field(default_factory=dict)
    moved: Callable[[Any, pd.Index], np.ndarray] | None = None
    sigma: tuple[str, ...] = ()
    sparse: bool = False
    close: float = 1e-6


VERBS: dict[str, Verb] = {}


def row(case: str, call: Callable[[Any], Any], covers: str = "", **more: Any) -> None:
    """Add a row; `covers` is the first word of `case` unless given."""
    assert case not in VERBS, case
    VERBS[case] = Verb(covers=covers or case.split()[0], call=call, **more)


def where(situations: Iterable[str], reason: str) -> dict[str, str]:
    return dict.fromkeys(situations, reason)


def by(frame: pd.DataFrame, *keys: str) -> pd.DataFrame:
    """Rows named by some columns, so that they can be found in another frame."""
    own = [key for key in keys if key in frame]
    names = frame[own].map(str).agg("|".join, axis=1)
    return frame.drop(columns=own).set_axis(names, axis=0)


def attribute(fit: Any, name: str) -> pd.Series | pd.DataFrame:
    found = getattr(fit, name)
    return found if isinstance(found, pd.Series | pd.DataFrame) else pd.Series({name: found})
