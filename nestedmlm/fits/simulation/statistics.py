"""The statistics of a bootstrap: the usual ones from a batch of refits, or a user's function."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.design.design import Design
from nestedmlm.design.moments import fixed_matrix
from nestedmlm.design.rows import CondensedRows
from nestedmlm.errors import DataError, OptionError
from nestedmlm.fits.simulation.refits import default_values, notes_of, refit_columns, refit_one
from nestedmlm.fits.simulation.replicates import Outcome, Streams, attempts
from nestedmlm.inference.resampling.resampling import groups_of, take_groups
from nestedmlm.inference.variances.parameters import parameter_values
from nestedmlm.native_frames import as_series

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit

type Fun = Callable[[LmerFit], Any]


class Responses(Protocol):
    """Whatever draws one response (`ResponseDistribution`, `RowResampler`, ...)."""

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """Draw one response, (n,)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Refitter:
    """Draw responses for one design and keep statistics of the refits; a task for replicates.

    Attributes
    ----------
    responses : Responses
    fit : LmerFit
        What is refitted.
    fun : callable or None
        None: `default_values`, from all refits of a chunk at once.
    size : int
        Number of statistics.
    workers : int
        Threads that refit together.
    """

    responses: Responses
    fit: LmerFit
    fun: Fun | None
    size: int
    workers: int = 1

    def __call__(self, ways: Streams) -> Outcome:
        """Run the replicates of some streams."""
        if self.fun is not None:
            return attempts(self._one, ways, self.size)
        Y = np.column_stack([self.responses.draw(np.random.default_rng(way)) for way in ways])
        fit = self.fit
        batch = refit_columns(
            fit.design, Y, REML=fit.REML, start=fit.theta, stats=fit.solution.stats,
            penalty=fit.penalty, workers=self.workers,
        )  # fmt: skip
        values = default_values(fit.design, batch)
        return Outcome(values=values, notes=notes_of(batch), failed=~np.isfinite(batch.criterion))

    def _one(self, rng: np.random.Generator) -> tuple[FloatArray, str]:
        design = self.fit.design.with_response(self.responses.draw(rng))
        if isinstance(design.rows, CondensedRows):  # which are not the data's
            design = design.with_rows(None)
        return statistics_of(self.fit, design, self.fun)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupResampler:
    """Draw whole groups and keep statistics of the fits to them; a task for replicates."""

    fit: LmerFit
    factor: int
    fun: Fun | None
    size: int

    def __call__(self, ways: Streams) -> Outcome:
        """Run the replicates of some streams."""
        return attempts(self._one, ways, self.size)

    def _one(self, rng: np.random.Generator) -> tuple[FloatArray, str]:
        size = groups_of(self.fit.design, self.factor)[1]
        design = take_groups(self.fit.design, self.factor, rng.integers(0, size, size))
        return statistics_of(self.fit, design, self.fun)


def statistics_of(fit: LmerFit, design: Design, fun: Fun | None) -> tuple[FloatArray, str]:
    """Fit a design as `fit` was fitted; its statistics and what there is to say about it."""
    if design.p and np.linalg.matrix_rank(fixed_matrix(design)) < design.p:
        raise DataError("the resampled rows do not identify all fixed effects")
    if fun is None:
        batch = refit_one(design, REML=fit.REML, start=fit.theta, penalty=fit.penalty)
        return default_values(design, batch)[0], notes_of(batch)[0]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        refitted = fit.refitted(design)
        values = as_statistics(fun(refitted), fun).to_numpy()
    said = [*(str(w.message) for w in caught), *refitted.messages]
    return values, next((text for text in said if text not in fit.messages), "")


def observed(fit: LmerFit, fun: Fun | None) -> pd.Series:
    """The statistics of the fit itself.

    Raises
    ------
    OptionError
        If `fun` is not callable or returns anything but numbers.
    """
    if fun is None:
        return parameters_of(fit)
    if not callable(fun):
        raise OptionError(f"fun must be a function of a fit, not {type(fun).__name__}")
    return as_statistics(fun(fit), fun)


def parameters_of(fit: LmerFit) -> pd.Series:
    """Values of all parameters, fixed effects first, and of a dispersion that was estimated."""
    wanted = fit.core.parameters
    values = dict(zip(wanted, parameter_values(wanted, fit.solution), strict=True))
    ordered = sorted(wanted, key=lambda p: p.kind != "beta")
    return pd.Series([values[p] for p in ordered], [p.name for p in ordered], name="t0")


def as_statistics(result: Any, fun: Fun) -> pd.Series:
    """Give names to what a user's function returned."""
    result = as_series(result)
    if isinstance(result, Mapping):
        result = pd.Series(dict(result))
    if isinstance(result, pd.DataFrame):
        raise OptionError("fun must return numbers, a mapping or a Series, not a DataFrame")
    try:
        values = np.atleast_1d(np.asarray(result, dtype=float)).ravel()
    except (TypeError, ValueError):
        raise OptionError(
            f"fun must return a number, an array, a mapping or a Series of numbers, not "
            f"{type(result).__name__}"
        ) from None
    if isinstance(result, pd.Series):
        names = [str(label) for label in result.index]
    else:
        base = getattr(fun, "__name__", "t").strip("<>")
        names = [base] if len(values) == 1 else [f"{base}{i + 1}" for i in range(len(values))]
    return pd.Series(values, index=names, name="t0")


def leave_one_out(fit: LmerFit, factor: int, fun: Fun | None, size: int) -> FloatArray:
    """Statistics with each group of a factor left out in turn, (J, q); NaN where they fail."""
    levels = np.arange(groups_of(fit.design, factor)[1])
    out = np.full((len(levels), size), np.nan)
    for j in levels.tolist():
        try:
            design = take_groups(fit.design, factor, np.delete(levels, j))
            out[j] = statistics_of(fit, design, fun)[0]
        except Exception:
            continue  # a group may hold all there is to know about an effect
    return out
