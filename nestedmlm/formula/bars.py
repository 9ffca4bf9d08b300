"""`Bar`: a random-effects term after all expansion, and how one writes it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from nestedmlm.formula.deparse import deparse
from nestedmlm.formula.nodes import (
    Arg,
    Binary,
    Call,
    Group,
    Literal,
    Name,
    Node,
    joined,
    strip_groups,
)
from nestedmlm.formula.smooths import Smooth
from nestedmlm.formula.structures import (
    DOUBLE_BAR,
    UNSTRUCTURED,
    default_hom,
)
from nestedmlm.formula.terms import Terms, Variable, is_bar


@dataclass(frozen=True, slots=True)
class Bar:
    """One random-effects term after all expansion: one covariance block on one factor.

    Attributes
    ----------
    lhs : Node
        Left of the bar.
    group : Node
        Right of the bar, expanded: a variable or variables joined by ``:``.
    structure : str
        ``us``, ``diag``, ``cs``, ``ar1``, or one that was added.
    hom : bool
        Whether the structure has a single SD.
    terms : Terms
        The expanded left side.
    lhs_text : str
        R's text of the left side: ``ses``, ``0 + ses``.
    group_text : str
        R's text of the grouping factor: ``b:a`` for the inner one of ``a/b``.
    parts : tuple of Variable
        The variables whose combination is the grouping factor, in order.
    pos : int
        Where the bar stands in the formula's text.
    smooth : Smooth or None
        Whose penalised part this is; of one curve if there are no `parts`.
    """

    lhs: Node
    group: Node
    structure: str
    hom: bool
    terms: Terms
    lhs_text: str
    group_text: str
    parts: tuple[Variable, ...]
    pos: int
    smooth: Smooth | None = None

    @property
    def group_name(self) -> str:
        """lme4's name of the grouping factor: its text, but a single odd name has no backticks."""
        group = strip_groups(self.group)
        return group.name if isinstance(group, Name) else self.group_text

    @property
    def text(self) -> str:
        """The bar without parentheses: ``ses | schoolid``; a smooth as it was written."""
        if not self.parts:
            return self.lhs_text
        return f"{self.lhs_text} | {self.group_text}"

    @property
    def node(self) -> Node:
        """The term's syntax, as `random_term` makes it."""
        if self.smooth is not None:
            own = self.smooth.node
            return random_term(own, self.group) if self.parts else own
        return random_term(self.lhs, self.group, self.structure, self.hom)

    @property
    def call_text(self) -> str:
        """The term as one writes it in a formula: ``(ses | schoolid)``, ``cs(x | g)``."""
        return deparse(written(self.node))

    def keeping(self, labels: Collection[str], structure: str, hom: bool | None = None) -> Node:
        """Make the term's syntax with some of its effects only, besides the intercept."""
        products = [node for label, node in term_nodes(self.terms).items() if label in labels]
        return random_term(left_side(self.terms.intercept, products), self.group, structure, hom)


def random_term(
    lhs: Node, group: Node, structure: str = UNSTRUCTURED, hom: bool | None = None
) -> Binary | Call:
    """Make the syntax of a random-effects term.

    Parameters
    ----------
    lhs, group : Node
        Left and right of the bar.
    structure : str
        The structure ``||`` is the double bar.
    hom : bool, optional
        Whether the structure has a single SD; by default what it has unless told otherwise.

    Returns
    -------
    Binary or Call
        Without parentheses, as `split_bars` gives them and `expand_bar` takes them.

    Examples
    --------
    >>> deparse(random_term(Name("x"), Name("g"), "cs", True))
    'cs(x | g, hom = TRUE)'
    """
    if structure in (UNSTRUCTURED, DOUBLE_BAR):
        return Binary(DOUBLE_BAR if structure == DOUBLE_BAR else "|", lhs, group)
    option = () if hom in (None, default_hom(structure)) else (Arg("hom", Literal(hom)),)
    return Call(Name(structure), (Arg(None, Binary("|", lhs, group)), *option))


def written(term: Node) -> Node:
    """Put a bar in parentheses, as it stands in a formula."""
    return Group(term) if is_bar(term) else term


def left_side(intercept: bool, products: Iterable[Node]) -> Node:
    """Make the left side of a bar: ``1``, ``x + z``, ``0 + x``.

    Parameters
    ----------
    intercept : bool
    products : iterable of Node
        Its terms (`term_nodes`).
    """
    first: list[Node] = [] if intercept else [Literal(0)]
    return joined("+", [*first, *products] or [Literal(1)])


def term_nodes(terms: Terms) -> dict[str, Node]:
    """Syntax of each term by its label."""
    products = ([terms.variables[i].node for i in term] for term in terms.terms)
    return {label: joined(":", nodes) for label, nodes in zip(terms.labels, products, strict=True)}
