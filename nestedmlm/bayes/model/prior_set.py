"""`PriorSet`: the priors of a model, what the user puts in their place, and their table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import takewhile
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.model.distributions import COMBINATION, CONSTANT, Prior
from nestedmlm.bayes.model.joint_priors import Joint
from nestedmlm.bayes.model.names import INTERCEPT, SCALE_SUFFIX
from nestedmlm.bayes.model.prior_checks import check_prior
from nestedmlm.design.linear_combination import parse_combination
from nestedmlm.errors import OptionError

if TYPE_CHECKING:
    import pandas as pd

_USER = "given by the user"
_IMPROPER = ("Flat", "HalfFlat")
_NEAR = 0.6  # similarity of names that are shown to whoever mistypes one
CENTRED = ", at the means of the predictors"


@dataclass(frozen=True, slots=True)
class PriorRow:
    """One prior, its role, and the rule that set it.

    Attributes
    ----------
    prior : Prior, Horseshoe, R2D2 or callable
    role, rule : str
    group : str
        The class that it was given for, whose members share its hyperparameters.
    units : tuple of float, or None
        Of a slope: the unit of the response, and the spread of the predictor.
    terms : tuple of str
        What tables of fits print for it (``sd_Days|Subject``); a matrix has those of its entries.
    """

    prior: Prior | Joint | Callable[..., Any]
    role: str
    rule: str
    group: str = ""
    units: tuple[float, float] | None = None
    terms: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class PriorSet(Mapping[str, PriorRow]):
    """The priors of a model by parameter name: a frozen mapping, printed as a table.

    Attributes
    ----------
    rows : mapping of str to PriorRow
    """

    rows: Mapping[str, PriorRow]

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", MappingProxyType(dict(self.rows)))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self.rows),)  # a mapping proxy does not pickle

    def __getitem__(self, name: str) -> PriorRow:
        return self.rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def to_frame(self) -> pd.DataFrame:
        """The table: columns ``name, term`` (what tables of fits print for it), ``prior, rule``."""
        import pandas as pd

        return pd.DataFrame(
            {
                "name": list(self.rows),
                "term": [shown_terms(row) for row in self.rows.values()],
                "prior": [shown(row.prior) for row in self.rows.values()],
                "rule": [row.rule for row in self.rows.values()],
            }
        )

    def replace(self, priors: Mapping[str, Any] | None) -> PriorSet:
        """Return a copy with some priors replaced, checked.

        Parameters
        ----------
        priors : mapping of str to Prior, number or callable, or None
            A number holds a parameter at it. By parameter, under either of its names in the table
            (``Days|Subject_sigma`` or ``sd_Days|Subject``), or by class: ``"slopes"`` (fixed
            effects but for the intercept), ``"sds"`` (standard deviations of random effects),
            ``"correlations"``. What is given for one parameter goes before what is given for its
            class. By a linear combination of fixed effects (``"treatB - treatA"``): a factor of the
            density besides the priors of its coefficients. ``nm.Horseshoe`` and ``nm.R2D2`` are
            for ``"slopes"``.

        Raises
        ------
        OptionError
            For unknown names and for priors that do not suit the parameter.
        """
        if priors is None:
            return self
        if not isinstance(priors, Mapping):
            raise OptionError(
                "priors must map parameter names to nm.Prior(...) or functions, got "
                f"{type(priors).__name__}"
            )
        priors = _by_own_names(priors, self.rows)
        changed = dict(self.rows)
        classes = [name for name in priors if name in CLASSES and name not in self.rows]
        for name in classes:  # a prior of one parameter goes before that of its class
            members = CLASSES[name](self.rows)
            if not members:
                raise OptionError(f"this model has no {name} to give a prior")
            for own in members:
                changed[own] = _checked(own, priors[name], self.rows, group=name)
        for name, prior in priors.items():
            if name in classes:
                continue
            combined = name not in self.rows and isinstance(name, str) and _is_sum(name)
            make = _combined if combined else _checked
            changed[name] = make(name, prior, self.rows)
        return PriorSet(changed)

    def __repr__(self) -> str:
        frame = self.to_frame()
        widths = {c: max(len(c), *frame[c].map(len)) for c in frame}
        lines = ["  ".join(c.ljust(w) for c, w in widths.items()).rstrip()]
        for row in frame.itertuples(index=False):
            cells = zip(row, widths.values(), strict=True)
            lines.append("  ".join(cell.ljust(w) for cell, w in cells).rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html(index=False, border=0, justify="left"))


def _fixed(rows: Mapping[str, PriorRow]) -> list[str]:
    own = takewhile(lambda item: item[1].role == "fixed effect", rows.items())
    return [name for name, _ in own]


def _with_role(role: str) -> Callable[[Mapping[str, PriorRow]], list[str]]:
    return lambda rows: [name for name, row in rows.items() if row.role == role]


# classes of parameters that can be given one prior, and the names of their members
CLASSES: Mapping[str, Callable[[Mapping[str, PriorRow]], list[str]]] = MappingProxyType(
    {
        "slopes": lambda rows: [name for name in _fixed(rows) if name != INTERCEPT],
        "sds": lambda rows: [
            name for name in _with_role("standard deviation")(rows) if name.endswith(SCALE_SUFFIX)
        ],
        "correlations": _with_role("correlation matrix"),
    }
)


def has_name(priors: PriorSet, name: str) -> bool:
    """Whether a name is of a parameter, a class with members, or a combination of fixed effects."""
    if name in priors.rows:
        return True
    if name in CLASSES:
        return bool(CLASSES[name](priors.rows))
    try:
        parse_combination(name, _fixed(priors.rows))
    except OptionError:
        return False
    return True


def given_priors(priors: PriorSet) -> dict[str, Any]:
    """What the user gave: priors by the names of classes, parameters and combinations."""
    return {row.group or name: row.prior for name, row in priors.items() if is_given(row)}


def combinations(priors: PriorSet) -> dict[str, tuple[FloatArray, float]]:
    """Coefficients and constant of each linear combination that has a prior."""
    found = {
        name: parse_combination(name, _fixed(priors.rows))
        for name, row in priors.items()
        if row.role == COMBINATION
    }
    return {name: (L, -rhs) for name, (L, rhs) in found.items()}


def is_held(row: PriorRow) -> bool:
    """Whether a parameter is held at a value."""
    return isinstance(row.prior, Prior) and row.prior.constant


def is_given(row: PriorRow) -> bool:
    """Whether a prior was given by the user."""
    return row.rule.startswith(_USER)


def is_conditional(row: PriorRow) -> bool:
    """Whether a prior is one given other variables: hyperparameters, which are sampled along."""
    return isinstance(row.prior, Joint) or (
        isinstance(row.prior, Prior) and bool(row.prior.hyperpriors)
    )


def is_single(row: PriorRow) -> bool:
    """Whether a prior is the density of a parameter by itself, or a function."""
    return not is_conditional(row) and row.role != COMBINATION


def refuse_conditional(priors: PriorSet, where: str) -> None:
    """Refuse priors that have hyperparameters.

    Raises
    ------
    OptionError
    """
    for name, row in priors.items():
        if is_conditional(row):
            raise OptionError(
                f"the prior of {name!r} is {row.prior}, whose hyperparameters are not worked out "
                f"for {where}: sample them with the random effects (marginal=False, "
                "sampler='nutpie')"
            )


def require_single(priors: PriorSet, what: str) -> None:
    """Refuse priors that are more than the density of each parameter by itself, or functions.

    Parameters
    ----------
    priors : PriorSet
    what : str
        What does not work with them.

    Raises
    ------
    OptionError
    """
    require_known(priors)
    for name, row in priors.items():
        if not is_single(row):
            raise OptionError(
                f"{what} needs priors of each parameter by itself, and that of {name!r} is "
                f"{row.prior}"
                + (" of a combination" if row.role == COMBINATION else ", given others")
                + ": with_prior() has draws from all priors"
            )


def require_known(priors: PriorSet) -> None:
    """Refuse priors that are functions, whose densities are not known here.

    Raises
    ------
    OptionError
    """
    for name, row in priors.items():
        if not isinstance(row.prior, Prior | Joint):
            raise OptionError(f"the prior of {name!r} is a function: its density is not known here")


def require_proper(priors: PriorSet, otherwise: str) -> None:
    """Refuse priors that are no probabilities, or functions.

    Parameters
    ----------
    priors : PriorSet
    otherwise : str
        What does not work with one.

    Raises
    ------
    OptionError
    """
    require_known(priors)
    for name, row in priors.items():
        if isinstance(row.prior, Prior) and row.prior.distribution in _IMPROPER:
            raise OptionError(
                f"the prior of {name!r} is {row.prior}, which is no probability: {otherwise}; "
                "give a proper prior"
            )


def _by_own_names(priors: Mapping[str, Any], rows: Mapping[str, PriorRow]) -> dict[str, Any]:
    """Priors by the names of the posterior's variables, where names that tables print are given.

    Raises
    ------
    OptionError
        For two priors of one parameter, and for one entry of a matrix that has more.
    """
    printed = {term: name for name, row in rows.items() for term in row.terms if term not in rows}
    out: dict[str, Any] = {}
    texts: dict[str, Any] = {}
    for given, prior in priors.items():
        text = given.strip() if isinstance(given, str) else given
        own = printed.get(text, text)
        if own != text and len(rows[own].terms) > 1:
            raise OptionError(
                f"{text!r} has no prior of its own: {own!r} is the prior of all "
                f"{len(rows[own].terms)} correlations ({', '.join(rows[own].terms)})"
            )
        if own in out:
            raise OptionError(f"two priors of one parameter: {texts[own]!r} and {given!r}")
        out[own], texts[own] = prior, given
    return out


def _nearest(name: Any, rows: Mapping[str, PriorRow]) -> str:
    """The names a prior can be given by, nearest first, or all of them."""
    known = [*rows, *(t for row in rows.values() if len(row.terms) == 1 for t in row.terms)]
    near = get_close_matches(str(name), list(dict.fromkeys(known)), n=3, cutoff=_NEAR)
    return (f"nearest: {', '.join(near)}; " if near else "") + f"the names are: {', '.join(rows)}"


def _is_sum(name: str) -> bool:
    """Whether a name that no parameter has can be meant as a linear combination."""
    return any(sign in name for sign in "+-*/=")


def _combined(name: str, prior: Any, rows: Mapping[str, PriorRow]) -> PriorRow:
    """The prior of a linear combination."""
    try:
        if "=" in name:
            raise OptionError("write the value into the prior (mu=)")
        parse_combination(name, _fixed(rows))
    except OptionError as problem:
        raise OptionError(
            f"no parameter {name!r} to give a prior, and no linear combination of fixed effects: "
            f"{problem}; {_nearest(name, rows)}"
        ) from None
    if not isinstance(prior, Prior):
        raise OptionError(f"the prior of {name!r}, a combination, must be nm.Prior, got {prior!r}")
    check_prior(name, prior, COMBINATION)
    return PriorRow(prior, COMBINATION, f"{_USER}, a factor besides those of its coefficients")


def _checked(name: Any, prior: Any, rows: Mapping[str, PriorRow], *, group: str = "") -> PriorRow:
    if name not in rows:
        raise OptionError(f"no parameter {name!r} to give a prior; {_nearest(name, rows)}")
    row, centred = rows[name], rows[name].rule.endswith(CENTRED)
    if isinstance(prior, int | float | np.number) and not isinstance(prior, bool):
        prior = Prior(CONSTANT, value=float(prior))
    if isinstance(prior, Joint):
        if group != "slopes":
            raise OptionError(
                f"{prior} is a joint prior of all slopes: give it for 'slopes' (what is given for "
                f"one parameter goes before it), not for {group or name!r}"
            )
    elif isinstance(prior, Prior):
        check_prior(name, prior, row.role)
        if prior.constant and centred:
            raise OptionError(
                f"{name!r} has its prior at the means of the predictors and cannot be held at a "
                "value: write the formula without it (0 + ...) and give the value as an offset"
            )
    elif not callable(prior):
        raise OptionError(
            f"the prior of {name!r} must be nm.Prior(...), a number to hold it at, or a function "
            f"that makes the PyMC variable, got {prior!r}"
        )
    rule = f"{_USER} for all {group}" if group else _USER
    return replace(row, prior=prior, rule=rule + CENTRED if centred else rule, group=group)


def shown_terms(row: PriorRow) -> str:
    """What tables print for a parameter, or for the first and last entry of a matrix."""
    ends = row.terms if len(row.terms) < 3 else (row.terms[0], "...", row.terms[-1])
    return ", ".join(ends)


def shown(prior: Any) -> str:
    """A prior as the table shows it."""
    if isinstance(prior, Prior | Joint):
        return repr(prior)
    return f"{getattr(prior, '__name__', 'function')}()"
