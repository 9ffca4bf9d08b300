"""`Formula`: what one formula text means, without any data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache

from nestedmlm.errors import FormulaError, OptionError
from nestedmlm.formula.bar_expansion import (
    covariance_names,
    expand_bar,
    expand_double_bars,
    split_bars,
)
from nestedmlm.formula.bars import Bar, written
from nestedmlm.formula.deparse import deparse
from nestedmlm.formula.nodes import (
    Binary,
    Literal,
    Name,
    Node,
    joined,
    names_in,
    strip_groups,
    variables_in,
    walk,
)
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


@dataclass(frozen=True)  # no slots: what follows from the text is worked out once
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

    @cached_property
    def display(self) -> str:
        """The formula as lme4 prints it: R's spacing, ``||`` written out."""
        rhs = expand_double_bars(self.tree.right, double_bar=self.double_bar)
        return f"{self.response_text} ~ {deparse(rhs)}"

    @cached_property
    def written(self) -> str:
        """The formula as glmer prints it: R's spacing, ``||`` left as it is."""
        return f"{self.response_text} ~ {deparse(self.tree.right)}"

    @cached_property
    def response_text(self) -> str:
        """R's text of the response."""
        return deparse(self.response)

    @property
    def fixed_text(self) -> str:
        """The fixed part as a one-sided formula: ``~ ses``; ``~ 1`` when there is none."""
        return f"~ {'1' if self.fixed is None else deparse(self.fixed)}"

    @cached_property
    def has_dot(self) -> bool:
        """Whether the fixed part uses ``.``, so that its terms depend on the data's columns."""
        return self.fixed is not None and any(
            isinstance(node, Name) and node.name == "." for node in walk(self.fixed)
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every name used (columns, variables, functions), without repetition.

        Names of covariance structures are none of them: they are no variables of the caller.
        """
        return names_in(self.tree, without=covariance_names(self.tree))

    @cached_property
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
        return self._expanded(columns) if self.has_dot else self._fixed_terms

    @cached_property
    def _fixed_terms(self) -> Terms:
        return self._expanded(())

    def _expanded(self, columns: tuple[str, ...]) -> Terms:
        response = strip_groups(self.response)
        used = variables_in(response)
        dot = tuple(name for name in columns if name not in used)
        with located(self.text):
            return expand_terms(self.fixed, dot=dot, response=deparse(response))

    def replacing(self, bar: Bar, terms: Iterable[Node]) -> Formula:
        """Put other random-effects terms in the place of one.

        Parameters
        ----------
        bar : Bar
            One of `bars`.
        terms : iterable of Node
            What stands in its place, as `random_term` makes it; may be empty.

        Returns
        -------
        Formula
            Fixed part first; terms that are not concerned keep the user's spelling, and none is
            written twice.

        Raises
        ------
        FormulaError
            If the formula with them cannot be read: a term with two bars, or outside parentheses.

        Examples
        --------
        >>> from nestedmlm.formula import parse_formula, random_term
        >>> formula = parse_formula("y ~ (x | a/b) + z")
        >>> outer = formula.bars[1]
        >>> formula.replacing(outer, [random_term(outer.lhs, outer.group, "diag")]).text
        'y ~ z + (x | b:a) + diag(x | a)'
        """
        present = {other.call_text for other in self.bars if other != bar}
        new = [term for term in terms if deparse(written(term)) not in present]
        random: list[Node] = []
        for term in split_bars(self.tree.right)[1]:
            own = expand_bar(term, double_bar=self.double_bar)
            if bar not in own:
                random.append(term)
                continue
            for other in own:
                random += new if other == bar else [other.node]
        fixed = Literal(1) if self.fixed is None else self.fixed
        right = joined("+", [fixed, *map(written, random)])
        tree = Binary("~", self.response, right)
        return _read(tree, deparse(tree), self.double_bar)

    def without(self, bar: Bar) -> Formula:
        """Leave out one random-effects term.

        Parameters
        ----------
        bar : Bar
            One of `bars`.

        Returns
        -------
        Formula

        Examples
        --------
        >>> from nestedmlm.formula import parse_formula
        >>> formula = parse_formula("y ~ x + (x || g)")
        >>> formula.without(formula.bars[1]).text
        'y ~ x + (1 | g)'
        """
        return self.replacing(bar, ())

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
        raise FormulaError(
            f'the formula is text, "y ~ x + (1 | g)", and comes first; not {type(text).__name__}'
        )
    if double_bar not in DOUBLE_BAR:
        raise OptionError(f"double_bar={double_bar!r} is unknown; known: {', '.join(DOUBLE_BAR)}")
    return _parse(text, double_bar)


def as_formula(formula: Formula | str, double_bar: str) -> Formula:
    """A formula, or its text, read with this meaning of ``||``.

    Raises
    ------
    FormulaError, OptionError
        As `parse_formula`.

    Examples
    --------
    >>> from nestedmlm.formula.formula import as_formula, parse_formula
    >>> as_formula(parse_formula("y ~ x + (x || g)"), "diag").display
    'y ~ x + diag(x | g)'
    """
    if not isinstance(formula, Formula):
        return parse_formula(formula, double_bar=double_bar)
    if formula.double_bar == double_bar:
        return formula
    return parse_formula(formula.text, double_bar=double_bar)


@lru_cache(maxsize=512)
def _parse(text: str, double_bar: str) -> Formula:
    flat = _on_one_line(text)
    with located(flat):
        tree = _tree(flat)
        if not isinstance(tree, Binary) or tree.op != "~":
            raise FormulaError("a formula needs a response and a tilde: y ~ ...", None, 0)
        formula = _read(tree, flat, double_bar)
        if not formula.has_dot:
            expand_terms(formula.fixed)  # says now what is wrong, not when data arrive
    return formula


def parse_right_side(
    text: str, *, double_bar: str = "split"
) -> tuple[Node | None, tuple[Bar, ...]]:
    """Parse terms without a response.

    Parameters
    ----------
    text : str
        With or without a tilde; a lone bar needs no parentheses.
    double_bar : {"split", "diag"}

    Returns
    -------
    fixed : Node or None
        What stands there besides random-effects terms.
    bars : tuple of Bar

    Raises
    ------
    FormulaError

    Examples
    --------
    >>> fixed, bars = parse_right_side("~ (x | g) + (1 | h)")
    >>> fixed, [bar.text for bar in bars]
    (None, ['x | g', '1 | h'])
    """
    flat = _on_one_line(text).removeprefix("~").strip()
    with located(flat):
        return _sides(written(_tree(flat)), double_bar)


def _on_one_line(text: str) -> str:
    return "".join(" " if char.isspace() else char for char in text).strip()


def _tree(text: str) -> Node:
    from nestedmlm.formula.parser import parse_text  # imports formulae, which is slow to import

    return parse_text(text)


def _sides(right: Node, double_bar: str) -> tuple[Node | None, tuple[Bar, ...]]:
    """Fixed part and expanded random-effects terms of a right-hand side."""
    fixed, terms = split_bars(right)
    return fixed, tuple(b for term in terms for b in expand_bar(term, double_bar=double_bar))


def _read(tree: Binary, text: str, double_bar: str) -> Formula:
    return Formula(text, tree, tree.left, *_sides(tree.right, double_bar), double_bar)
