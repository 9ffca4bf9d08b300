"""Effects whose test has power: fixed effects, or a random-effects term."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.errors import NotDefinedError, OptionError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TestedEffect:
    """The effect that is tested.

    Attributes
    ----------
    name : str
    design : Design
        With the effect.
    columns : tuple of int
        Its columns of X; empty for a random effect.
    term : int or None
        Index of the random-effects term; None for fixed effects.
    """

    name: str
    design: Design
    columns: tuple[int, ...]
    term: int | None

    def coefficient(self) -> str:
        """Name of the only coefficient.

        Raises
        ------
        OptionError
            If there are several, or none.
        """
        if len(self.columns) != 1:
            raise OptionError(
                f"effect_size is for a single fixed effect, and {self.name} has "
                f"{len(self.columns)} coefficients; set them with "
                "fit.extend(...).with_params(beta={...}) or nm.scenario"
            )
        return self.design.x_names[self.columns[0]]

    def size(self, beta: FloatArray) -> float | None:
        """The true coefficient, where there is a single one."""
        return float(beta[self.columns[0]]) if len(self.columns) == 1 else None

    @property
    def null(self) -> Design | None:
        """The design without the effect; None where no random effects would be left."""
        if self.term is None:
            return _without_columns(self.design, self.columns)
        return _without_term(self.design, self.term) if len(self.design.terms) > 1 else None


def find_effect(design: Design, effect: str) -> TestedEffect:
    """Find an effect by name.

    Raises
    ------
    OptionError
        If the model has no such effect.
    NotDefinedError
        If it is a part of a smooth curve.
    """
    found = _find_effect(design, effect)
    refuse_lines_of_curves(design, found.columns, "power")
    return found


def refuse_lines_of_curves(design: Design, columns: Iterable[int], what: str) -> None:
    """Refuse a test of a curve's straight part alone, which says little of the curve.

    Parameters
    ----------
    design : Design
    columns : iterable of int
        Columns of X that are tested.
    what : str
        What the test is for.

    Raises
    ------
    NotDefinedError
    """
    curves = [
        term.smooth
        for term in design.terms
        if term.smooth is not None and design.factors[term.factor].is_whole
    ]
    for j in columns:
        label = design.x_terms[design.x_assign[j] - 1] if design.x_assign[j] else ""
        for curve in curves:
            if curve.x in label.split(":"):
                raise NotDefinedError(
                    f"{design.x_names[j]} is the straight part of the curve {curve.label}, and "
                    f"{what} is not worked out for curves: fit.smooths() tests all of it"
                )


def _find_effect(design: Design, effect: str) -> TestedEffect:
    names, terms = list(design.x_names), list(design.x_terms)
    texts = [_plain(t.text) for t in design.terms]
    if effect in names:
        return TestedEffect(name=effect, design=design, columns=(names.index(effect),), term=None)
    if effect in terms:
        number = terms.index(effect) + 1
        columns = tuple(j for j, a in enumerate(design.x_assign) if a == number)
        return TestedEffect(name=effect, design=design, columns=columns, term=None)
    if _plain(effect) in texts:
        term = texts.index(_plain(effect))
        return TestedEffect(
            name=f"({design.terms[term].text})", design=design, columns=(), term=term
        )
    known = [*names, *(t for t in terms if t not in names), *(f"({t.text})" for t in design.terms)]
    raise OptionError(f"the model has no effect {effect!r}; it has {', '.join(known)}")


def _plain(text: str) -> str:
    return "".join(text.split()).strip("()")


def _without_columns(design: Design, columns: tuple[int, ...]) -> Design:
    return design.with_columns([j for j in range(design.p) if j not in columns])


def _without_term(design: Design, term: int) -> Design:
    return design.with_terms([t for t in range(len(design.terms)) if t != term])
