"""Checks of arguments: flags, choices, counts, levels, and `checked`, which picks them.

Each function returns the value as plain Python's (a NumPy bool becomes a bool), and refuses what is
of another kind with an `OptionError` that names the argument and what it may be.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt

from nestedmlm.argument_names import current_arguments, df_method_name, wrong_call
from nestedmlm.errors import MemoryLimitError, NestedMLMError, OptionError, RowsNotHereError
from nestedmlm.native_frames import native

# whether errors show the way through the package: NESTEDMLM_TRACEBACK=full in the environment
FULL_TRACEBACK = os.environ.get("NESTEDMLM_TRACEBACK") == "full"


def check_flag(value: Any, name: str) -> bool:
    """Return a flag; only True and False (Python's or NumPy's) are flags.

    Raises
    ------
    OptionError
        For text, numbers, None and all else.
    """
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise OptionError(f"{name} must be True or False, not {value!r:.200}")


def check_choice(value: Any, name: str, known: Iterable[Any]) -> Any:
    """Return a value that is one of the known ones.

    Raises
    ------
    OptionError
        With the known ones, in their order.
    """
    for choice in known:
        flag = isinstance(choice, bool)
        alike = isinstance(value, type(choice)) or (flag and isinstance(value, np.bool_))
        if alike and isinstance(value, bool | np.bool_) == flag and value == choice:
            return choice
    listed = ", ".join(str(choice) for choice in known)
    raise OptionError(f"{name} must be one of {listed}, not {value!r:.200}")


def check_count(value: Any, name: str, *, least: int = 1) -> int:
    """Return a whole number that is not too small.

    Raises
    ------
    OptionError
        For fractions, text, flags, numbers below `least`, and what no array can be as long as.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        kind = "positive integer" if least == 1 else f"whole number of at least {least}"
        shown = "a function: fun= takes it" if name == "nsim" and callable(value) else repr(value)
        raise OptionError(f"{name} must be a {kind}, not {shown}")
    if int(value) > sys.maxsize:
        raise OptionError(f"{name} must be at most {sys.maxsize}, not {value!r:.60}")
    return int(value)


def check_seed(value: Any, name: str = "seed") -> int | None:
    """Return a seed or None.

    Raises
    ------
    OptionError
        For anything but a whole number from 0 on.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
        raise OptionError(f"{name} must be a non-negative integer or None, not {value!r:.200}")
    return int(value)


def check_number(value: Any, name: str, *, positive: bool = False) -> float:
    """Return a finite number.

    Raises
    ------
    OptionError
        For text, flags, NaN and infinities; for what is not above zero if `positive`.
    """
    numeric = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    number = _float(value) if numeric else np.nan
    if not np.isfinite(number) or (positive and number <= 0):
        kind = "positive number" if positive else "finite number"
        raise OptionError(f"{name} must be a {kind}, not {value!r:.60}")
    return number


def _float(value: Any) -> float:
    """A real number; infinity where it is too large for one."""
    try:
        return float(value)
    except OverflowError:
        return np.inf


def real_array(values: Any) -> npt.NDArray[np.float64]:
    """Return an array of real numbers; masked ones are NaN.

    Raises
    ------
    TypeError, ValueError
        For text, dates and complex numbers, which NumPy would turn into numbers without a word, for
        numbers that are too large, and for what is no array.
    """
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(float), np.nan)
    raw = np.asarray(values)
    entries = raw.ravel().tolist() if raw.dtype.kind == "O" else ()
    if raw.dtype.kind not in "buifO" or any(isinstance(v, str | bytes) for v in entries):
        raise TypeError(f"{raw.dtype} values are no real numbers")
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError as error:
        raise ValueError(str(error)) from None


def check_level(level: Any, name: str = "level") -> float:
    """Return a confidence level; refuse what is no probability.

    Raises
    ------
    OptionError
        If it is not a number strictly between 0 and 1.
    """
    if not isinstance(level, Real) or not 0.0 < _float(level) < 1.0:
        raise OptionError(f"{name} must be between 0 and 1, not {level!r:.200}")
    return float(level)


def check_instance[T](value: Any, kind: type[T], name: str) -> T:
    """Return an object of a class.

    Raises
    ------
    OptionError
    """
    if isinstance(value, kind):
        return value
    raise OptionError(f"{name} must be a {kind.__name__}, not {value!r:.200}")


def checked[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Decorator of a public function: its arguments are checked by their annotations.

    Errors of our own are raised with a short traceback: the user's line and the message
    (`FULL_TRACEBACK` shows where they come from).

    Before anything is computed. Flags, whole numbers, numbers, text, mappings and sequences are
    told apart as `KINDS` does; a float called `level` or `alpha` is a level, an int called `seed` a
    seed, a text called `ddf` a method of degrees of freedom, other ints are counts from `LEAST` on.
    What an annotation does not spell out (``Any``, classes) is left to the function.

    Raises
    ------
    OptionError
        From the decorated function.
    OldArgumentError
        From the decorated function, for an argument that has another name here.
    CallError
        From the decorated function, for arguments that it does not have, or needs.
    MemoryLimitError
        From the decorated function, where memory ran out.
    """
    if function in _CHECKED:
        return _CHECKED[function]  # type: ignore[no-any-return]
    signature = inspect.signature(function)
    kinds = {
        name: accepted
        for name, parameter in signature.parameters.items()
        if (accepted := kinds_of(parameter.annotation))
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    names = signature.parameters.keys()
    places = [
        name
        for name, parameter in signature.parameters.items()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    plain = {name: _types_taken(name, accepted) for name, accepted in kinds.items()}
    optional = {name for name in names if name not in kinds or type(None) in plain[name]}

    def checked_value(name: str, value: Any) -> Any:
        known = name not in kinds or type(value) in plain[name]
        return value if known else check_kinds(value, name, kinds[name])

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            # what is missing or too much, `wrong_call` says once the call has failed
            first = [checked_value(n, v) for n, v in zip(places, args, strict=False)]
            if not kwargs.keys() <= names:
                kwargs = current_arguments(function.__name__, kwargs, names)  # type: ignore[assignment]
            rest = {
                name: value if value is None and name in optional else checked_value(name, value)
                for name, value in kwargs.items()
            }
            found = function(*first, *args[len(places) :], **rest)  # type: ignore[arg-type]
            return native(found, args, kwargs)  # type: ignore[no-any-return]
        except NestedMLMError as error:
            if isinstance(error, RowsNotHereError):
                error.verb = function.__name__  # the outermost, which the user wrote, comes last
            if FULL_TRACEBACK:
                raise
            # the user's line and the message: what is wrong is not in our code
            raise error.with_traceback(None) from error.__cause__
        except MemoryError as error:
            raise MemoryLimitError(
                f"{function.__name__} needs more memory than is free ({error or 'out of memory'}): "
                "fewer rows, columns, groups or random-effects terms at once need less"
            ) from error
        except TypeError:
            own = len(args) > 0 and hasattr(type(args[0]), function.__name__)  # a method
            if (wrong := wrong_call(signature, function.__name__, args, kwargs, own)) is None:
                raise
            raise wrong from None

    _CHECKED[function] = _CHECKED[wrapper] = wrapper
    return wrapper


def check_kinds(value: Any, name: str, accepted: Sequence[str]) -> Any:
    """Return a value of one of some kinds.

    Raises
    ------
    OptionError
        If it is of none of them.
    """
    if len(accepted) == 1 or (len(accepted) == 2 and "None" in accepted and value is not None):
        kind = next(kind for kind in accepted if kind != "None")
        return KINDS[kind](value, name)
    for kind in accepted:
        try:
            return KINDS[kind](value, name)
        except OptionError:
            continue
    listed = " or ".join(_WORDS.get(kind, kind) for kind in accepted)
    if name in POSITIVE:
        listed = listed.replace("a number", "a positive number")
    raise OptionError(f"{name} must be {listed}, not {value!r:.200}")


def _types_taken(name: str, accepted: Sequence[str]) -> frozenset[type]:
    """Types of which every value is taken as it is, so that most calls check nothing twice."""
    types = {"None": type(None), "bool": bool, **({} if name == "ddf" else {"str": str})}
    return frozenset(types[kind] for kind in accepted if kind in types)


def kinds_of(annotation: Any) -> tuple[str, ...]:
    """Kinds that an annotation (text) spells out; none if some part of it is no kind."""
    bare = str(annotation)
    for container, kind in _CONTAINERS:
        bare = re.sub(container, kind, bare)
    while "[" in bare:  # what a container holds is left to the function
        bare, found = re.subn(r"\[[^\[\]]*\]", "", bare)
        if not found:
            return ()
    parts = tuple(part.strip() for part in bare.split("|"))
    return parts if all(part in KINDS for part in parts) else ()


def _whole(value: Any, name: str) -> int | None:
    return (
        check_seed(value, name)
        if name == "seed"
        else check_count(value, name, least=LEAST.get(name, 1))
    )


def _real(value: Any, name: str) -> float:
    if name in LEVELS:
        return check_level(value, name)
    return check_number(value, name, positive=name in POSITIVE)


def _seed(value: Any, name: str) -> Any:
    return value if isinstance(value, np.random.SeedSequence) else check_seed(value, name)


def _text(value: Any, name: str) -> str:
    if isinstance(value, str):
        return df_method_name(value) if name == "ddf" else value
    raise OptionError(f"{name} must be text, not {value!r:.200}")


def _mapping(value: Any, name: str) -> Any:
    if hasattr(value, "items") and hasattr(value, "keys"):  # a Series is one, too
        return value
    raise OptionError(f"{name} must be a mapping of names to values, not {value!r:.200}")


def _sequence(value: Any, name: str) -> Any:
    no_list = isinstance(value, str | bytes | Mapping) or getattr(value, "ndim", 1) == 0
    if isinstance(value, Iterable) and not no_list:
        return value
    raise OptionError(f"{name} must be a list, not {value!r:.200}")


def _names(value: Any, name: str) -> Any:
    names = value if isinstance(value, list | tuple) else list(_sequence(value, name))
    if all(isinstance(one, str) for one in names):
        return names
    raise OptionError(f"{name} must be a list of names, not {value!r:.60}")


def _named(value: Any, name: str) -> Any:
    known = dict(_mapping(value, name).items())
    if all(isinstance(key, str) for key in known):
        table = getattr(value, "ndim", 1) != 1  # whoever takes it says what it is not
        return value if table or isinstance(value, Mapping) else known
    raise OptionError(f"{name} must be a mapping of names to values, not {value!r:.60}")


def _pair(value: Any, name: str) -> tuple[float, ...]:
    pair = tuple(_sequence(value, name))
    if len(pair) == 2:
        return tuple(check_number(one, name, positive=name in POSITIVE) for one in pair)
    raise OptionError(f"{name} must be two numbers, not {value!r:.60}")


def _path(value: Any, name: str) -> Any:
    if isinstance(value, os.PathLike):
        return value
    raise OptionError(f"{name} must be a path, not {value!r:.60}")


def _function(value: Any, name: str) -> Any:
    if callable(value):
        return value
    raise OptionError(f"{name} must be a function, not {value!r:.200}")


def _none(value: Any, name: str) -> None:
    if value is not None:
        raise OptionError(f"{name} must be None, not {value!r:.200}")


KINDS: Mapping[str, Callable[[Any, str], Any]] = {
    "None": _none,
    "bool": check_flag,
    "int": _whole,
    "float": _real,
    "Seed": _seed,
    "str": _text,
    "Mapping": _mapping,
    "Sequence": _sequence,
    "Iterable": _sequence,
    "Names": _names,
    "NamedMapping": _named,
    "Pair": _pair,
    "Path": _path,
    "Callable": _function,
    "Fun": _function,
}
_WORDS = {
    "bool": "True or False",
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "Mapping": "a mapping",
    "Sequence": "a list",
    "Iterable": "a list",
    "Names": "a list of names",
    "NamedMapping": "a mapping",
    "Pair": "two numbers",
    "Path": "a path",
}
# containers whose contents are checked, too
_CONTAINERS = (
    (r"(Sequence|list)\[str\]|tuple\[str, str\]", "Names"),
    (r"Mapping\[str, ", "NamedMapping["),
    (r"tuple\[float, float\]", "Pair"),
    (r"os\.PathLike\[str\]", "Path"),
)
_CHECKED: dict[Any, Any] = {}  # so that a function is decorated once, wherever it is bound
LEVELS = frozenset({"level", "alpha"})  # floats that are probabilities
POSITIVE = frozenset({"sigma", "figsize"})  # floats above zero
# smallest whole number, where it is not 1
LEAST: Mapping[str, int] = {"tune": 0, "parameter": 0, "nAGQ": 0}
