"""Exact cross-validation: units of rows predicted by posteriors that did not see them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy.special import logsumexp

from nestedmlm._typing import BoolArray, FloatArray, IntArray
from nestedmlm.bayes.model.names import OBS_DIM
from nestedmlm.callers import PACKAGE
from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError, SamplingWarning
from nestedmlm.posterior.block_density import block_log_density
from nestedmlm.posterior.datatree import row_labels
from nestedmlm.posterior.draws import marginal_draws
from nestedmlm.posterior.left_out_density import left_out_log_density
from nestedmlm.posterior.left_out_family_density import (
    by_quadrature,
    unit_log_densities,
)
from nestedmlm.posterior.loglik import (
    block_units,
    factor_dim,
    row_log_likelihood,
    unit_log_likelihood,
)
from nestedmlm.posterior.reduced_posterior import Refits
from nestedmlm.posterior.row_residuals import residual_draws
from nestedmlm.progress import track

_LEAST = 50  # effective draws of a predictive density: its logarithm is known to 0.14


def left_out_elpd(
    refits: Refits, units: IntArray, folds: Sequence[IntArray], *, progress: bool
) -> Iterator[tuple[IntArray, FloatArray]]:
    """Log predictive densities of the units of each fold, by a posterior without the fold.

    Parameters
    ----------
    refits : Refits
    units : (n,) array of int
        The unit of each row.
    folds : sequence of array of int
        Units that are left out together.
    progress : bool

    Yields
    ------
    fold : array of int
    elpd : array of float
        Of its units: each of all its rows at once.
    """
    count = int(units.max()) + 1
    for fold in track(folds, len(folds), "refits", show=progress):
        held = np.zeros(count, dtype=bool)
        held[fold] = True
        data = refits.without(held[units])
        found = left_out_densities(data, refits.design, units, held=held)[:, fold]
        warn_few(found)
        yield fold, log_mean(found)


def left_out_densities(
    data: Any, design: Design, units: IntArray, *, held: BoolArray | None = None
) -> FloatArray:
    """Log-density of each unit's rows given the others, (S, U).

    Random effects are integrated out, but for generalized models with several grouping factors:
    there each draw has random effects that did not see what is left out.
    """
    if design.family is not None and by_quadrature(design):
        return unit_log_densities(data, design, units, held=held)
    if design.family is not None:
        return unit_log_likelihood(data, design, units)
    draws, own = marginal_draws(data, design), residual_draws(data, design)
    if own is None:
        return left_out_log_density(draws, design, units, held=held)
    return block_log_density(draws, own, design, units, held=held)


def log_mean(values: FloatArray) -> FloatArray:
    """Logarithm of the mean over draws, which are rows, of what the values are logarithms of."""
    out: FloatArray = logsumexp(values, axis=0) - np.log(len(values))
    return out


def warn_few(values: FloatArray) -> None:
    """Warn where the mean of what the values are logarithms of rests on few draws.

    Warns
    -----
    SamplingWarning
    """
    weights = np.exp(values - values.max(axis=0))
    effective = weights.sum(axis=0) ** 2 / np.sum(weights**2, axis=0)
    if effective.min() < _LEAST:
        warnings.warn(
            f"a predictive density rests on {effective.min():.0f} effective draws, so that its "
            f"logarithm is known to {effective.min() ** -0.5:.1g} only: ask for more draws",
            SamplingWarning,
            skip_file_prefixes=PACKAGE,
        )


def refit_unreliable(found: Any, refits: Refits, units: IntArray, *, progress: bool) -> Any:
    """Put exact values in the place of those whose Pareto k is too large.

    Parameters
    ----------
    found : ELPDDataLOO
        With pointwise values, in the order of the units; is changed and returned.
    refits : Refits
    units : (n,) array of int
    progress : bool
    """
    k = found.pareto_k.values
    bad = [np.array([u]) for u in np.flatnonzero(~(k <= found.good_k))]
    elpd, exact = found.elpd_i.values.copy(), k.copy()
    for fold, values in left_out_elpd(refits, units, bad, progress=progress):
        elpd[fold], exact[fold] = values, 0.0
    found.p = found.p + float(found.elpd - elpd.sum())  # the rest of p is as it was
    found.elpd_i.values[...], found.pareto_k.values[...] = elpd, exact
    found.elpd, found.warning = float(elpd.sum()), False
    found.se = standard_error(elpd)
    return found


def standard_error(elpd: FloatArray) -> float:
    """Of a sum of pointwise values, from their spread."""
    return float(np.sqrt(len(elpd) * elpd.var(ddof=1))) if len(elpd) > 1 else float("nan")


def k_fold(
    data: Any, refits: Refits, folds: int | str, *, group: str | None, progress: bool
) -> Any:
    """K-fold cross-validation; an ``ELPDDataLOOKFold``.

    Parameters
    ----------
    data : DataTree
        Of the posterior with all rows, for the effective number of parameters.
    refits : Refits
    folds : int or str
        Number of folds, or the factor each of whose groups is a fold.
    group : str or None
        The factor whose groups are kept together in a number of folds.
    progress : bool
    """
    from arviz import ELPDDataLOOKFold
    from xarray import DataArray

    design = refits.design
    if group is None and not isinstance(folds, str):
        units, dim, labels = np.arange(design.n), OBS_DIM, row_labels(design)
        full = row_log_likelihood(data, design).reshape(-1, design.n)
    else:
        units, dim, labels = _groups(design, folds, group)
        full = left_out_densities(data, design, units)
    chosen = _folds(folds, len(labels), refits.seed)
    elpd = np.empty(len(labels))
    for fold, values in left_out_elpd(refits, units, chosen, progress=progress):
        elpd[fold] = values
    p = log_mean(full) - elpd

    def pointwise(values: FloatArray) -> Any:
        return DataArray(values, dims=(dim,), coords={dim: labels})

    return ELPDDataLOOKFold(
        elpd=float(elpd.sum()),
        se=standard_error(elpd),
        p=float(p.sum()),
        n_samples=refits.draws,
        n_data_points=len(elpd),
        scale="log",
        warning=False,
        good_k=None,
        elpd_i=pointwise(elpd),
        n_folds=len(chosen),
        p_kfold_i=pointwise(p),
    )


def _groups(design: Design, folds: int | str, group: str | None) -> tuple[IntArray, str, list[Any]]:
    """The group of each row of a factor, or of blocks of residuals; dimension and labels."""
    names = {factor.name: f for f, factor in enumerate(design.factors) if not factor.is_whole}
    own = design.residual
    block = None if own is None or own.block is None else own.block_name
    if isinstance(folds, str) and group is not None:
        raise OptionError("give folds a number beside group=, or the factor alone")
    name = folds if isinstance(folds, str) else group
    if name in names:
        f = names[name]
        return design.factors[f].codes, factor_dim(design, f), design.factors[f].levels.tolist()
    if name is not None and name == block:
        return block_units(design)
    known = [*names, *([block] if block is not None else [])]
    raise OptionError(f"{name!r} is no grouping factor; known: {', '.join(known)}")


def _folds(folds: int | str, count: int, seed: int | None) -> list[IntArray]:
    """Units of each fold: one each, or at random in parts of equal size."""
    if isinstance(folds, str):
        return [np.array([u]) for u in range(count)]
    if not 2 <= folds <= count:
        raise OptionError(f"folds must lie between 2 and {count}, the number of units; got {folds}")
    order = np.random.default_rng(seed).permutation(count)
    return [np.sort(part) for part in np.array_split(order, folds)]
