"""``fit.plot`` and ``model.plot``: the functions of `nestedmlm.plots` as methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, overload

from nestedmlm import plots
from nestedmlm.deprecations import renamed
from nestedmlm.views.protocols import EitherFit, Specified


class Picture[**P, R]:
    """A function of `nestedmlm.plots` as a method of an accessor, which calls it on its fit.

    ``fit.plot.trellis`` is the function itself, bound to the fit: signature, docstring and
    completion are the function's own.

    Parameters
    ----------
    function : callable
        Its first argument is what is drawn.
    """

    __slots__ = ("__func__",)  # named as those of Python's own methods

    def __init__(self, function: Callable[Concatenate[Any, P], R]) -> None:
        self.__func__ = function

    @overload
    def __get__(self, accessor: None, owner: type) -> Callable[Concatenate[Any, P], R]: ...
    @overload
    def __get__(self, accessor: FitPlots | ModelPlots, owner: type) -> Callable[P, R]: ...
    def __get__(self, accessor: FitPlots | ModelPlots | None, owner: type) -> Callable[..., R]:
        return self.__func__ if accessor is None else MethodType(self.__func__, accessor._of)


# what others call a picture, and what it is called here
_ELSEWHERE = {
    "coefficients": "fit.plot.forest()",
    "dotplot": "fit.plot.caterpillar()",
    "fitted": "fit.plot.residuals()",
    "fixef": "fit.plot.forest()",
    "predictions": 'fit.plot.effect("x")',
    "profile": "fit.plot.profile_zeta()",
    "qq": "fit.plot.qq_residuals()",
    "ranef": "fit.plot.caterpillar()",
    "slopes": "fit.plot.spaghetti()",
}


@dataclass(frozen=True, slots=True, repr=False)
class FitPlots:
    """Pictures of a fit: ``fit.plot.trellis()`` is ``nm.plots.trellis(fit)``.

    Called itself, ``fit.plot()``, it draws `nestedmlm.plots.diagnostics`, as R's ``plot(fit)``
    draws residuals. The fits of both engines have all pictures; one that makes no sense for an
    engine (leverages of a posterior) says so.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> len(fit.plot.trellis(levels=["308", "309"]))
    2
    >>> fit.plot.posterior()
    Traceback (most recent call last):
    ...
    nestedmlm.errors.OptionError: only a BayesFit has a posterior; make one with fit.sample()
    """

    _of: EitherFit

    acf = Picture(plots.acf)
    caterpillar = Picture(plots.caterpillar)
    check = Picture(plots.check)
    comparison = Picture(plots.comparison)
    cooks_distance = Picture(plots.cooks_distance)
    curves = Picture(plots.curves)
    diagnostics = Picture(plots.diagnostics)
    effect = Picture(plots.effect)
    forest = Picture(plots.forest)
    leverage = Picture(plots.leverage)
    likelihood_surface = Picture(plots.likelihood_surface)
    posterior = Picture(plots.posterior)
    ppc = Picture(plots.ppc)
    prior_posterior = Picture(plots.prior_posterior)
    priors = Picture(plots.priors)
    profile_pairs = Picture(plots.profile_pairs)
    profile_zeta = Picture(plots.profile_zeta)
    qq_random_effects = Picture(plots.qq_random_effects)
    qq_residuals = Picture(plots.qq_residuals)
    residuals = Picture(plots.residuals)
    scale_location = Picture(plots.scale_location)
    shrinkage = Picture(plots.shrinkage)
    simulated_residuals = Picture(plots.simulated_residuals)
    singularity = Picture(plots.singularity)
    spaghetti = Picture(plots.spaghetti)
    trellis = Picture(plots.trellis)
    variance_partition = Picture(plots.variance_partition)

    if not TYPE_CHECKING:
        __getattr__ = renamed({}, _ELSEWHERE)

    __call__ = diagnostics

    def __repr__(self) -> str:
        return _listed(self)


@dataclass(frozen=True, slots=True, repr=False)
class ModelPlots:
    """Pictures of a model before it is fitted: ``model.plot.priors()``.

    Called itself, ``model.plot()``, it draws the priors.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> len(model.plot.priors({"sigma": nm.Prior("HalfNormal", sigma=20.0)}))
    3
    """

    _of: Specified

    ppc = Picture(plots.ppc)
    priors = Picture(plots.priors)

    __call__ = priors

    def __repr__(self) -> str:
        return _listed(self)


def _listed(accessor: FitPlots | ModelPlots) -> str:
    names = sorted(name for name in vars(type(accessor)) if not name.startswith("_"))
    return f"Pictures, each a method: {', '.join(names)}"
