"""Joint shrinkage priors of the slopes: regularised horseshoe, and R2D2.

Both are normal given scales that are sampled along. The slopes are those of predictors in units of
their standard deviations, so that one prior suits all of them, whatever they are counted in; sigma
is the residual standard deviation (one unit of the link's scale where there is none), u the unit of
the response that default priors have (its standard deviation).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from nestedmlm.bayes.model.distributions import Prior
from nestedmlm.errors import OptionError


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameter:
    """A variable that scales of slopes are made of.

    Attributes
    ----------
    name : str
    priors : tuple of Prior
        One for each of its elements.
    scalar : bool
        Whether it is one number, not a vector.
    """

    name: str
    priors: tuple[Prior, ...]
    scalar: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Horseshoe:
    """Regularised horseshoe: a few slopes are large, most are next to nothing.

    Slope j, of its predictor in standard deviations, is normal with mean zero and standard
    deviation ``tau lambda_j / sqrt(1 + tau^2 lambda_j^2 / c^2)``: tau pulls all of them to zero,
    their own lambda_j lets some escape, up to the slab, whose width is c.
    ``lambda_j ~ t+(df)``, ``tau ~ t+(global_df)`` times ``global_scale sigma``, and
    ``c^2 ~ (slab_scale u)^2 InvGamma(slab_df / 2, slab_df / 2)``.

    Parameters
    ----------
    relevant : float, optional
        How many of the D slopes are thought to be away from zero: `global_scale` is then
        ``relevant / (D - relevant) / sqrt(n)`` (Piironen & Vehtari 2017, eq. 3.12).
    global_scale : float, optional
        In units of sigma; 1 if neither is given.
    df, global_df : float
        Degrees of freedom of the half-t distributions; 1 is the half-Cauchy of the horseshoe, more
        sample more easily.
    slab_scale : float
        Size of a large slope, in units u of the response for a standard deviation of the predictor.
    slab_df : float

    Raises
    ------
    OptionError
        For parameters that are not positive numbers, or both `relevant` and `global_scale`.

    References
    ----------
    Piironen & Vehtari (2017), Electronic Journal of Statistics 11: 5018-5051.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> nm.Horseshoe(relevant=2)
    Horseshoe(relevant=2)
    """

    relevant: float | None = None
    global_scale: float | None = None
    df: float = 1.0
    global_df: float = 1.0
    slab_scale: float = 2.0
    slab_df: float = 4.0

    def __post_init__(self) -> None:
        _check_positive(self)
        if self.relevant is not None and self.global_scale is not None:
            raise OptionError("Horseshoe takes relevant or global_scale, not both")

    def __repr__(self) -> str:
        return _short(self)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class R2D2:
    """R2D2: a prior of the share of variance that the slopes explain, divided among them.

    ``R2 ~ Beta(mean_R2 precision_R2, (1 - mean_R2) precision_R2)`` is the share of the predictors
    in their and the residuals' variance. Slope j, of its predictor in standard deviations, is
    normal with mean zero and variance ``sigma^2 R2 / (1 - R2) phi_j``, and phi, which adds up to
    one, has a symmetric Dirichlet distribution.

    Parameters
    ----------
    mean_R2 : float
        Between 0 and 1.
    precision_R2 : float
        Sum of the Beta distribution's parameters: 2 with a mean of one half is uniform.
    concentration : float
        Of the Dirichlet distribution: below 1 a few slopes have most of the variance, above it is
        shared more evenly.

    Raises
    ------
    OptionError
        For parameters out of their range.

    References
    ----------
    Zhang, Naughton, Bondell & Reich (2022), JASA 117: 862-874, with normal distributions in the
    place of double exponential ones.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> nm.R2D2(mean_R2=0.3)
    R2D2(mean_R2=0.3)
    """

    mean_R2: float = 0.5
    precision_R2: float = 2.0
    concentration: float = 0.5

    def __post_init__(self) -> None:
        _check_positive(self)
        if self.mean_R2 >= 1.0:
            raise OptionError(f"mean_R2 of R2D2 must lie between 0 and 1, got {self.mean_R2:g}")

    def __repr__(self) -> str:
        return _short(self)


Joint = Horseshoe | R2D2


def global_scale(prior: Horseshoe, slopes: int, rows: int) -> float:
    """Scale of tau over sigma, of a horseshoe of so many slopes and rows.

    Raises
    ------
    OptionError
        If not fewer slopes are relevant than there are.
    """
    if prior.relevant is None:
        return 1.0 if prior.global_scale is None else prior.global_scale
    if prior.relevant >= slopes:
        raise OptionError(
            f"Horseshoe(relevant={prior.relevant:g}) needs more slopes than that; there are "
            f"{slopes}"
        )
    return prior.relevant / (slopes - prior.relevant) / float(np.sqrt(rows))


def hyperparameters(prior: Joint, group: str, slopes: int) -> tuple[Hyperparameter, ...]:
    """Variables that the scales of some slopes are made of.

    Parameters
    ----------
    prior : Horseshoe or R2D2
    group : str
        What their names begin with.
    slopes : int
    """
    if isinstance(prior, Horseshoe):
        return _of_horseshoe(prior, group, slopes)
    return _of_r2d2(prior, group, slopes)


def _of_horseshoe(prior: Horseshoe, group: str, slopes: int) -> tuple[Hyperparameter, ...]:
    """Variables for some slopes: ``slopes_global`` (tau over its scale), ``_local``, ``_slab``.

    The last is ``c^2`` over its scale.
    """
    half = 0.5 * prior.slab_df
    local = Prior("HalfStudentT", nu=prior.df, sigma=1.0)
    return (
        Hyperparameter(
            name=f"{group}_global",
            priors=(Prior("HalfStudentT", nu=prior.global_df, sigma=1.0),),
        ),
        Hyperparameter(name=f"{group}_local", priors=(local,) * slopes, scalar=False),
        Hyperparameter(
            name=f"{group}_slab", priors=(Prior("InverseGamma", alpha=half, beta=half),)
        ),
    )


def _of_r2d2(prior: R2D2, group: str, slopes: int) -> tuple[Hyperparameter, ...]:
    """Variables for some slopes: ``slopes_R2``, and ``slopes_stick``.

    Each of the latter is what a slope takes of the share that those before it leave: their
    Beta distributions make the shares' Dirichlet.
    """
    a = prior.mean_R2 * prior.precision_R2
    out = Hyperparameter(
        name=f"{group}_R2", priors=(Prior("Beta", alpha=a, beta=prior.precision_R2 - a),)
    )
    if slopes == 1:
        return (out,)
    own = prior.concentration
    sticks = tuple(Prior("Beta", alpha=own, beta=own * (slopes - 1 - j)) for j in range(slopes - 1))
    return out, Hyperparameter(name=f"{group}_stick", priors=sticks, scalar=False)


def log_scales(
    xp: Any, prior: Joint, values: Mapping[str, Any], sigma: Any, *, units: Sequence[Any], rows: int
) -> list[Any]:
    """Logarithms of the standard deviations of slopes (of predictors as they are).

    Parameters
    ----------
    xp : module
        Of ``log``, ``log1p`` and ``exp``: NumPy, or PyTensor's.
    prior : Horseshoe or R2D2
    values : mapping of str to scalar or vector
        Hyperparameters by the ends of their names: ``"global"``.
    sigma : scalar
    units : sequence of (float, float)
        For each slope the unit of the response, and the standard deviation of its predictor.
    rows : int
    """
    d = len(units)
    if isinstance(prior, R2D2):
        odds = xp.log(values["R2"]) - xp.log1p(-values["R2"])
        out, left = [], 0.0
        for j, (_, spread) in enumerate(units):
            share = left
            if j < d - 1:
                share = share + xp.log(values["stick"][..., j])
                left = left + xp.log1p(-values["stick"][..., j])
            out.append(xp.log(sigma) + 0.5 * odds + 0.5 * share - float(np.log(spread)))
        return out
    scale, out = float(np.log(global_scale(prior, d, rows))), []
    for j, (unit, spread) in enumerate(units):
        free = scale + xp.log(sigma) + xp.log(values["global"]) + xp.log(values["local"][..., j])
        slab = 2.0 * float(np.log(prior.slab_scale * unit)) + xp.log(values["slab"])
        out.append(free - 0.5 * xp.log1p(xp.exp(2.0 * free - slab)) - float(np.log(spread)))
    return out


def _check_positive(prior: Any) -> None:
    name = type(prior).__name__
    for field in fields(prior):
        value = getattr(prior, field.name)
        if value is None:
            continue
        number = Prior(name, **{field.name: value})[field.name]
        if number <= 0.0:
            raise OptionError(f"{field.name} of {name} must be positive, got {number:g}")
        object.__setattr__(prior, field.name, float(number))


def _short(prior: Any) -> str:
    given = {f.name: getattr(prior, f.name) for f in fields(prior)}
    changed = {f.name: given[f.name] for f in fields(prior) if given[f.name] != f.default}
    return f"{type(prior).__name__}({', '.join(f'{k}={v:.6g}' for k, v in changed.items())})"
