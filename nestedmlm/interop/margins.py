"""marginaleffects for a fit: predictions, comparisons, slopes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from nestedmlm.errors import OptionError
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.fits.estimates import Estimates
from nestedmlm.inference.fitted import require_linear
from nestedmlm.interop.adapter import adapter_class

if TYPE_CHECKING:
    from nestedmlm.fits.bayes_fit import BayesFit
    from nestedmlm.fits.lmer_fit import LmerFit

PACKAGE = "marginaleffects"
_SLOPES = ("slopes", "avg_slopes")
# Steps of the derivatives of slopes in the coefficients. They are linear, so a wide step is exact;
# marginaleffects' own is so small that standard errors lose all but one or two digits.
_WIDE, _NARROW = 1.0, 1e-5


def marginaleffects_model(fit: LmerFit | BayesFit, *, re_form: Any = False) -> Any:
    """Wrap a fit as a model of marginaleffects, to be given to any of its functions.

    Parameters
    ----------
    fit : LmerFit or BayesFit
        Of a posterior, its means and covariance: estimates and standard errors of linear
        functions are the posterior's means and standard deviations, intervals normal ones
        (`nestedmlm.emmeans` has quantiles).
    re_form : False or None
        False: the population's mean, random effects at zero. None: each row's group, its random
        effects as known numbers (their uncertainty does not count); unknown groups are at zero.

    Returns
    -------
    marginaleffects ModelAbstract

    Raises
    ------
    OptionError
        If marginaleffects is not installed, `re_form` is another one, the model is a generalized
        one, or the fit has an offset that was given as an array.

    Notes
    -----
    Standard errors are by the delta method from the covariance matrix of the fixed effects;
    ``vcov="kenward-roger"`` takes the adjusted one, ``"CR2"`` a
    cluster-robust one. Tests and intervals are normal ones, as those
    of R's marginaleffects; see `nestedmlm.emmeans` for degrees of freedom.

    marginaleffects 0.6.1 works with polars below 2 only, where factors are concerned.
    """
    require_linear(fit.design.family, "the adapter to marginaleffects")
    _package()
    return adapter_class()(fit, re_form=re_form)


def _package() -> ModuleType:
    try:
        import marginaleffects
    except ImportError as problem:
        raise OptionError(
            "marginaleffects is not installed: pip install marginaleffects"
        ) from problem
    return marginaleffects  # type: ignore[no-any-return]


def _through(name: str) -> Callable[..., Any]:
    """The function of marginaleffects that also takes a fit."""

    def call(model: Any, *args: Any, re_form: Any = False, **options: Any) -> Any:
        adapted = _adapted(model, re_form)
        found = getattr(_package(), name)
        if name in _SLOPES and _is_fit(model) and options.get("slope", "dydx") == "dydx":
            linear = options.get("hypothesis") is None
            options.setdefault("eps_vcov", _WIDE if linear else _NARROW)
        return found(adapted, *args, **options)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"""Call ``marginaleffects.{name}`` with a fit.

    Parameters
    ----------
    model : LmerFit or BayesFit
    *args, **options
        Those of ``marginaleffects.{name}``.
    re_form : False or None
        False: random effects count as zero, for the population's mean; None: each row's group
        counts with its own.

    Returns
    -------
    marginaleffects result
        A polars DataFrame with estimates, standard errors and intervals.

    Examples
    --------
    ``{name}(fit)``
    """
    return call


def _adapted(model: Any, re_form: Any) -> Any:
    return marginaleffects_model(model, re_form=re_form) if _is_fit(model) else model


def _is_fit(model: Any) -> bool:
    return isinstance(model, Estimates | BayesEstimates)  # generalized ones: refused by name


predictions = _through("predictions")
avg_predictions = _through("avg_predictions")
comparisons = _through("comparisons")
avg_comparisons = _through("avg_comparisons")
slopes = _through("slopes")
avg_slopes = _through("avg_slopes")


def register_marginaleffects() -> None:
    """Make marginaleffects' own functions take an `LmerFit`.

    marginaleffects recognises models in one function, ``sanitize_model``, and has no place where
    other packages could announce theirs. This puts another function before it, in this process;
    models that are no `LmerFit` reach the original. Calling it again changes nothing. Give
    marginaleffects' own ``slopes`` the option ``eps_vcov=1.0``: its steps are too small for
    interactions (`nestedmlm.interop.slopes` does it by itself).

    Raises
    ------
    OptionError
        If marginaleffects is not installed, or no longer has that function.
    """
    _package()
    from marginaleffects import sanitize

    original = getattr(sanitize, "sanitize_model", None)
    if original is None:
        raise OptionError(
            "this version of marginaleffects cannot be taught new models; use the functions of "
            "nestedmlm.interop"
        )
    if getattr(original, "knows_nestedmlm", False):
        return

    def sanitize_model(model: Any) -> Any:
        return original(_adapted(model, False))

    sanitize_model.knows_nestedmlm = True  # type: ignore[attr-defined]
    for name, module in list(sys.modules.items()):
        known = name.split(".")[0] == PACKAGE
        if known and getattr(module, "sanitize_model", None) is original:
            module.sanitize_model = sanitize_model  # type: ignore[attr-defined]
