"""Arguments of R's functions: the fit that comes first, methods of degrees of freedom."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any

from nestedmlm.arguments import checked
from nestedmlm.errors import OptionError
from nestedmlm.views.effect_tests import StepResult


def of_a_fit[**P, R](called: str, function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: arguments are `checked`; the first is a fit, or what a verb of one has found.

    Raises
    ------
    OptionError
        From the decorated function, for what is no object of the package.
    """
    name, first = next(iter(signature(function).parameters.items()))
    own = checked(function)
    if not str(first.annotation).startswith("LmerFit"):
        return own

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        given: tuple[Any, ...] = args[:1] or ((kwargs[name],) if name in kwargs else ())
        if given and not type(given[0]).__module__.startswith(_PACKAGE):
            raise OptionError(
                f"{called}() takes a fit, as lmer() or glmer() returns it, not {given[0]!r:.60}"
            )
        return own(*args, **kwargs)

    return wrapper


def found_by_step(steps: Any) -> Any:
    """The model that a backward elimination ends with.

    Raises
    ------
    OptionError
        For what is no elimination.
    """
    if isinstance(steps, StepResult):
        return steps.final
    raise OptionError(f"get_model() takes what step() has found, not {steps!r:.60}")


def none_if_na(re_form: Any) -> Any:
    """R's default ``"NA"`` asks for no random effects, which `use_u` does not contradict."""
    return False if isinstance(re_form, str) and re_form == "NA" else re_form


def lmertest_ddf(name: str) -> str:
    """Our name of one of lmerTest's methods; spellings with capitals are the verbs' matter."""
    return "none" if name == "lme4" else name


_PACKAGE = __name__.partition(".")[0]
