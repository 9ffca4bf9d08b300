"""`Formula`: what one formula text means, without any data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from nestedmlm.errors import FormulaError, OptionError
from nestedmlm.formula.bars import (
    Bar,
    covariance_names,
    expand_bar,
    expand_double_bars,
    split_bars,
)
from nestedmlm.formula.deparse import deparse
from nestedmlm.formula.nodes import Binary, Name, Node, names_in, strip_groups, variables_in, walk
from nestedmlm.formula.terms import Terms, Variable, expand_terms

DOUBLE_BAR = ("split", "diag")


def find_place(text: str, name: str, pos: int) -> int | None:
    """Return where `name` stands in `text`: at `pos` if it does, else where it first does.

    Terms are cached, so a node may carry its position in another formula.
    """
    if text.startswith(name, max(pos, 0)):
        return max(pos, 0)
    found = text.find(name)
    return found if found >= 0 else None


@contextmanager
def located(text: str) -> Iterator[None]:
    """Give every `FormulaError` raised inside the formula's text, so that it can mark the place."""
    try:
        yield
    except FormulaError as error:
        if error.formula is not None:
            raise
        raise FormulaError(error.message, text, error.position) from None


@dataclass(frozen=True, slots=True)
class Formula:
    """A parsed formula: frozen, hashable, picklable; knows nothing of data.

    Attributes
    ----------
    text : str
        What the user wrote, on one line and stripped; positions count from its start.
    tree : Node
        The whole formula, ``response ~ rhs``.
    response : Node
        Left of the tilde.
    fixed : Node or None
        The right-hand side without random-effects terms; None when nothing else is there.
    bars : tuple of Bar
        The random-effects terms in formula order, ``||`` and ``/`` expanded.
    double_bar : str
        How ``||`` was read: ``"split"`` or ``"diag"``.

    Examples
    --------
    >>> from nestedmlm.formula import parse_formula
    >>> formula = parse_formula("y ~ x * f + (x || school/klass)")
    >>> formula.display
    'y ~ x * f + ((1 | school/klass) + (0 + x | school/klass))'
    >>> formula.fixed_terms().labels
    ('x', 'f', 'x:f')
    >>> formula.names
    ('y', 'x', 'f', 'school', 'klass')
    """

    text: str
    tree: Binary
    response: Node
    fixed: Node | None
    bars: tuple[Bar, ...]
    double_bar: str

    @property
    def display(self) -> str:
        """The formula as lme4 prints it: R's spacing, ``||`` written out."""
        rhs = expand_double_bars(self.tree.right, double_bar=self.double_bar)
        return f"{self.response_text} ~ {deparse(rhs)}"

    @property
    def response_text(self) -> str:
        """R's text of the response."""
        return deparse(self.response)

    @property
    def fixed_text(self) -> str:
        """The fixed part as a one-sided formula: ``~ ses``; ``~ 1`` when there is none."""
        return f"~ {'1' if self.fixed is None else deparse(self.fixed)}"

    @property
    def has_dot(self) -> bool:
        """Whether the fixed part uses ``.``, so that its terms depend on the data's columns."""
        return self.fixed is not None and any(
            isinstance(node, Name) and node.name == "." for node in walk(self.fixed)
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Every name used (columns, variables, functions), without repetition.

        Names of covariance structures are none of them: they are no variables of the caller.
        """
        return names_in(self.tree, without=covariance_names(self.tree))

    @property
    def offsets(self) -> tuple[Variable, ...]:
        """Arguments of ``offset()`` inside bars, which lme4 counts as offsets of the model."""
        return tuple(offset for bar in self.bars for offset in bar.terms.offsets)

    def fixed_terms(self, columns: tuple[str, ...] = ()) -> Terms:
        """Expand the fixed part.

        Parameters
        ----------
        columns : tuple of str
            The data's columns, needed when `has_dot`; those in the response are left out.
        """
        response = strip_groups(self.response)
        used = variables_in(response)
        dot = tuple(name for name in columns if name not in used)
        with located(self.text):
            return expand_terms(self.fixed, dot=dot, response=deparse(response))

    def __str__(self) -> str:
        return self.display


def parse_formula(text: str, *, double_bar: str = "split") -> Formula:
    """Parse a model formula.

    Parameters
    ----------
    text : str
        For example ``"mathscore ~ ses + (ses | schoolid) + (1 | classid)"``.
    double_bar : {"split", "diag"}
        What ``(x || g)`` means: independent terms for each term of `x`, as lme4 has it, or one
        block with a diagonal covariance.

    Returns
    -------
    Formula

    Raises
    ------
    FormulaError
        With the place marked, when the text cannot be understood.
    OptionError
        For an unknown `double_bar`.

    Examples
    --------
    >>> parse_formula("y ~ x + (x || g)").display
    'y ~ x + ((1 | g) + (0 + x | g))'
    """
    if not isinstance(text, str):
        raise FormulaError(f"a formula is a string, not {type(text).__name__}")
    if double_bar not in DOUBLE_BAR:
        raise OptionError(f"double_bar={double_bar!r} is unknown; known: {', '.join(DOUBLE_BAR)}")
    return _parse(text, double_bar)


@lru_cache(maxsize=512)
def _parse(text: str, double_bar: str) -> Formula:
    from nestedmlm.formula.parser import parse_text  # imports formulae, which is slow to import

    flat = "".join(" " if char.isspace() else char for char in text).strip()
    with located(flat):
        tree = parse_text(flat)
        if not isinstance(tree, Binary) or tree.op != "~":
            raise FormulaError("a formula needs a response and a tilde: y ~ ...", None, 0)
        fixed, raw_bars = split_bars(tree.right)
        bars = tuple(b for bar in raw_bars for b in expand_bar(bar, double_bar=double_bar))
        formula = Formula(flat, tree, tree.left, fixed, bars, double_bar)
        if not formula.has_dot:
            expand_terms(fixed)  # says now what is wrong with it, not when data arrive
    return formula


def build_formula(response: str, fixed: str, bars: Iterable[Bar | str]) -> str:
    """Write a formula from its parts, for example with one bar changed or left out.

    Parameters
    ----------
    response : str
    fixed : str
        With or without the leading tilde (as `Formula.fixed_text`).
    bars : iterable of Bar or str
        Texts are taken as they are, ``"(ses | schoolid)"``.

    Returns
    -------
    str
        The text, which `parse_formula` reads.

    Examples
    --------
    >>> build_formula("y", "~ x", ["(1 | g)"])
    'y ~ x + (1 | g)'
    """
    terms = [fixed.lstrip("~ ")]
    terms += [bar if isinstance(bar, str) else bar.call_text for bar in bars]
    return f"{response} ~ {' + '.join(terms)}"
