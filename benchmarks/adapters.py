"""How each Python package is asked for a REML fit. Packages are imported where they are used.

An adapter imports its package when it is made, so a worker pays for one package only.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class NotExpressibleError(Exception):
    """The package has no way to say this model."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a fit reached: REML criterion, evaluations (None: not told), and what it says of it."""

    criterion: float
    evaluations: int | None
    converged: bool


Refits = Callable[[Any], list[Answer]]  # (m, n) responses -> m answers


@dataclass(frozen=True, slots=True)
class Adapter:
    """One package: data as it wants them, a fit, and a series of refits."""

    prepare: Callable[[Any, tuple[str, ...]], Any]
    fit: Callable[[str, Any], Answer]
    refits: Callable[[str, Any], Refits] | None = None


def _as_is(frame: Any, factors: tuple[str, ...]) -> Any:
    return frame


def _text(frame: Any, factors: tuple[str, ...]) -> Any:
    return frame.assign(**{name: frame[name].astype(str) for name in factors})


def uncompiled() -> Adapter:
    """nestedmlm as a process begins: nothing is compiled, however many fits it makes."""
    from nestedmlm.likelihood.elimination.speed import Speed, held

    made = nestedmlm(warm=False)

    def fit(formula: str, frame: Any) -> Answer:
        with held(choice=Speed.NUMPY):
            return made.fit(formula, frame)

    return Adapter(_as_is, fit)


def glmm() -> Adapter:
    import glmm as package

    def fit(formula: str, frame: Any) -> Answer:
        result = package.fit(frame, formula, reml=True)
        return Answer(-2.0 * float(result.loglik), int(result.n_eval), bool(result.converged))

    return Adapter(_as_is, fit)


def nestedmlm(*, warm: bool = True) -> Adapter:
    import nestedmlm as nm

    if warm:
        nm.warmup()  # loads what is compiled, for small fits too
    logging.getLogger("nestedmlm").setLevel(logging.ERROR)  # singular fits are part of the game

    def answer(fit: Any) -> Answer:
        return Answer(fit.reml_criterion, fit.certificate.evaluations, fit.converged)

    def refits(formula: str, frame: Any) -> Refits:
        base = nm.lmer(formula, frame)

        def more(responses: Any) -> list[Answer]:
            batch = base.refit_many(responses.T)
            return list(map(Answer, batch.criterion, batch.evaluations, batch.converged))

        return more

    return Adapter(_as_is, lambda formula, frame: answer(nm.lmer(formula, frame)), refits)


def mixedlm() -> Adapter:
    import mixedlm as package

    lmer = package.lmer  # the package is imported at the first look at a name

    def answer(fit: Any) -> Answer:
        return Answer(fit.REMLcrit(), fit.function_evals, bool(fit.converged))

    def refits(formula: str, frame: Any) -> Refits:
        base = lmer(formula, frame)
        return lambda responses: [answer(base.refit(y)) for y in responses]

    return Adapter(_as_is, lambda formula, frame: answer(lmer(formula, frame)), refits)


def lme_python() -> Adapter:
    import lme_python as package

    def answer(fit: Any) -> Answer:
        return Answer(fit.reml_criterion, fit.iterations, bool(fit.converged))

    def refits(formula: str, frame: Any) -> Refits:
        prepared = package.prepare_lmer(formula, frame)
        return lambda responses: [
            answer(package.fit_prepared(prepared, y=y.tolist())) for y in responses
        ]

    return Adapter(_text, lambda formula, frame: answer(package.lmer(formula, frame)), refits)


def mixedlm_rs() -> Adapter:
    import mixedlm_rs as package

    def fit(formula: str, frame: Any) -> Answer:
        fixed, terms = split_formula(formula)
        (slopes, group) = _only_one(terms)
        result = package.mixedlm(fixed, frame, groups=group, re_formula=f"~{slopes}").fit(reml=True)
        told = result.diagnostics
        return Answer(-2.0 * result.llf, told["n_objective_evaluations"], bool(result.converged))

    return Adapter(_text, fit)


def statsmodels() -> Adapter:
    import statsmodels.formula.api as smf

    def fit(formula: str, frame: Any) -> Answer:
        fixed, terms = split_formula(formula)
        (slopes, group), *others = terms
        if any(slope != "1" or "/" in name for slope, name in [*others, ("1", group)]):
            raise NotExpressibleError("only intercepts below the first grouping factor")
        inner = {name: f"0 + C({name})" for _, name in others}
        if any((frame.groupby(name)[group].nunique() > 1).any() for name in inner):
            raise NotExpressibleError("crossed factors")
        model = smf.mixedlm(
            fixed, frame, groups=group, re_formula=f"~{slopes}", vc_formula=inner or None
        )
        result = model.fit(reml=True)
        return Answer(-2.0 * result.llf, None, bool(result.converged))

    return Adapter(_text, fit)


def interlace() -> Adapter:
    import interlace as package

    def fit(formula: str, frame: Any) -> Answer:
        fixed, terms = split_formula(formula)
        if any("/" in group for _, group in terms):
            raise NotExpressibleError("no `/` in grouping factors")
        random = [
            f"({'' if slopes == '1' else '1 + '}{slopes} | {group})" for slopes, group in terms
        ]
        result = package.fit(fixed, frame, random=random)
        return Answer(-2.0 * result.llf, None, bool(result.converged))

    return Adapter(_text, fit)


ADAPTERS: dict[str, Callable[[], Adapter]] = {
    "nestedmlm": nestedmlm,
    "nestedmlm uncompiled": uncompiled,
    "glmm": glmm,
    "mixedlm": mixedlm,
    "lme-python": lme_python,
    "mixedlm-rs": mixedlm_rs,
    "interlace-lme": interlace,
    "statsmodels": statsmodels,
}


def load(name: str, *, cold: bool = False) -> Adapter:
    """Import the package `name`; whatever it warns of while it works is not our business."""
    warnings.simplefilter("ignore")
    return nestedmlm(warm=False) if cold and name == "nestedmlm" else ADAPTERS[name]()


def split_formula(formula: str) -> tuple[str, list[tuple[str, str]]]:
    """Fixed part and ``(slopes, group)`` of each random term."""
    terms = re.findall(r"\(([^|()]+)\|(\|?)([^()]+)\)", formula)
    if any(double for _, double, _ in terms):
        raise NotExpressibleError("no `||`")
    fixed = re.sub(r"\s*\+\s*\([^()]*\|[^()]*\)", "", formula)
    return fixed, [(slopes.strip(), group.strip()) for slopes, _, group in terms]


def _only_one(terms: list[tuple[str, str]]) -> tuple[str, str]:
    if len(terms) != 1 or "/" in terms[0][1]:
        raise NotExpressibleError("one grouping factor only")
    return terms[0]
