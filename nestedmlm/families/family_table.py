"""The open table of families, by the names that `family=` takes."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from nestedmlm.errors import OptionError
from nestedmlm.families import constructors as c
from nestedmlm.families.family import Family
from nestedmlm.families.links import Link

type Constructor = Callable[..., Family]

_TABLE: dict[str, Constructor] = {
    "binomial": c.binomial,
    "poisson": c.poisson,
    "negativebinomial": c.negative_binomial,
    "gamma": c.gamma,
    "inverse_gaussian": c.inverse_gaussian,
    "beta": c.beta,
    "gaussian": c.gaussian,
    "t": c.student_t,
}
FAMILIES: MappingProxyType[str, Constructor] = MappingProxyType(_TABLE)  # for everybody to read

# other spellings, R's and Bambi's among them
_SPELLINGS = {
    "bernoulli": "binomial",
    "logistic": "binomial",
    "logit": "binomial",
    "negative_binomial": "negativebinomial",
    "nbinom2": "negativebinomial",
    "nbinom": "negativebinomial",
    "nb": "negativebinomial",
    "inverse.gaussian": "inverse_gaussian",
    "wald": "inverse_gaussian",
    "beta_family": "beta",
    "normal": "gaussian",
    "student_t": "t",
    "student": "t",
    "studentt": "t",
}


def resolve_family(family: Any, link: str | Link | None = None) -> Family:
    """A family by its name, by its constructor, or as it is.

    Parameters
    ----------
    family : str, Family or callable
    link : str or Link, optional
        Of a name or constructor; without it, the usual one.

    Returns
    -------
    Family

    Raises
    ------
    OptionError
        For an unknown family or link; lists all and the nearest. For a link beside a `Family`,
        which has one. For quasi-families.

    Examples
    --------
    >>> from nestedmlm.families import resolve_family
    >>> resolve_family("binomial", "cloglog").link.name
    'cloglog'
    """
    if isinstance(family, Family):
        if link is None or link in (family.link, family.link.name):
            return family
        raise OptionError(
            f"link={link!r} beside a family that has the link {family.link.name}: give one of them "
            f"(family={family.name!r}, link=…)"
        )
    make = _constructor(family)
    try:
        made = make() if link is None else make(link=link)
    except TypeError as error:  # a distribution of another package, for one
        if make in _TABLE.values():
            raise
        raise OptionError(f"{_no_family(family)} ({error})") from error
    if isinstance(made, Family):
        return made
    raise OptionError(_no_family(family))


def _no_family(family: Any) -> str:
    return f"family={family!r:.80} makes no nestedmlm.families.Family; names: {', '.join(_TABLE)}"


def _constructor(family: Any) -> Constructor:
    if callable(family):
        return family  # type: ignore[no-any-return]
    if not isinstance(family, str):
        raise OptionError(
            f"family must be a name ({', '.join(_TABLE)}) or a nestedmlm.families.Family, not "
            f"{'None' if family is None else type(family).__name__}"
        )
    name = family.casefold()
    name = _SPELLINGS.get(name, name)
    if name in _TABLE:
        return _TABLE[name]
    if name.startswith("quasi"):
        raise OptionError(
            f"family={family!r} has no likelihood: model overdispersion by "
            'family="negativebinomial" (counts), or by one random intercept for each row'
        )
    near = difflib.get_close_matches(name, [*_TABLE, *_SPELLINGS], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise OptionError(f"family={family!r} is unknown; known: {', '.join(_TABLE)}{hint}")


def register_family(name: str, make: Constructor) -> None:
    """Put a family into the table, for `family=` to find it by name.

    Parameters
    ----------
    name : str
        In lower case.
    make : callable
        ``make(link=...)`` gives a `Family`; without arguments, with its usual link.

    Raises
    ------
    OptionError
        If another family has that name.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> from nestedmlm.families.family_table import temporary_families
    >>> with temporary_families():
    ...     nm.families.register_family("counts", nm.families.poisson)
    ...     nm.families.resolve_family("counts").name
    'poisson'
    """
    if not isinstance(name, str) or name != name.casefold() or not name:
        raise OptionError(f"a family's name is text in lower case, not {name!r}")
    if name in _SPELLINGS or _TABLE.setdefault(name, make) is not make:
        raise OptionError(f"a family named {name!r} exists: choose another name")


@contextmanager
def temporary_families() -> Iterator[None]:
    """What is registered inside is gone afterwards."""
    before = dict(_TABLE)
    try:
        yield
    finally:
        _TABLE.clear()
        _TABLE.update(before)
