"""Posteriors without some rows, of the same priors: for exact cross-validation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from nestedmlm._typing import BoolArray
from nestedmlm.bayes.density.collapsed_density import collapse
from nestedmlm.bayes.density.marginal_density import MarginalDensity, marginal_density
from nestedmlm.bayes.density.named_coordinates import NamedCoordinates
from nestedmlm.bayes.model.prior_set import PriorSet, require_known
from nestedmlm.bayes.sampling.mode import Peak, find_peak
from nestedmlm.bayes.sampling.psis import psis_sample
from nestedmlm.design.design import Design
from nestedmlm.errors import DataError, SamplingError
from nestedmlm.inference.rows.subset import without_rows
from nestedmlm.statistics.crossproducts import CrossProducts, cross_products

_RANK = 1e-10  # relative size of a singular value that counts


@dataclass(frozen=True, kw_only=True, eq=False)
class Refits:
    """A posterior to be sampled again without some of its rows.

    Attributes
    ----------
    design : Design
    priors : PriorSet
        Those of the whole posterior: rules that scale priors from the data are not applied anew.
    draws : int
        Of each refit.
    seed : int or None
    """

    design: Design
    priors: PriorSet
    draws: int
    seed: int | None

    def without(self, left_out: BoolArray) -> dict[str, Any]:
        """Draws of the posterior without some rows, in a group ``posterior``.

        Parameters
        ----------
        left_out : (n,) array of bool

        Raises
        ------
        DataError
            If a fixed effect appears in no other row.
        """
        raise NotImplementedError

    def _by_nuts(self, density: NamedCoordinates) -> Any:
        from nestedmlm.bayes.sampling.sampling import sample  # xarray

        return sample(
            density, draws=-(-self.draws // 2), chains=2, seed=self.seed, progress=False,
            target_accept=0.95,
        )["posterior"].to_dataset()  # fmt: skip


class LinearRefits(Refits):
    """Refits of a linear model.

    Random effects stay integrated out, so that a refit costs what importance sampling does; where
    that is refused, NUTS draws as many.
    """

    @cached_property
    def peak(self) -> Peak:
        """The mode of the posterior with all rows, from which the others start."""
        return find_peak(collapse(self._whole, self.seed))

    @cached_property
    def _whole(self) -> MarginalDensity:
        require_known(self.priors)
        return marginal_density(self.design, self.priors)

    def without(self, left_out: BoolArray) -> dict[str, Any]:
        """Draws of the posterior without some rows, by importance sampling or NUTS."""
        return {"posterior": self._sampled(self.density_without(left_out), self.peak.x)}

    def density_without(self, left_out: BoolArray) -> MarginalDensity:
        """The density of the posterior without some rows."""
        if self.design.residual is not None:
            return self._whole.of_rows(self.design, rows_kept(self.design, left_out))
        stats = statistics_without(self.design, left_out)
        return marginal_density(self.design, self.priors, stats=stats)

    def _sampled(self, density: MarginalDensity, start: Any) -> Any:
        from nestedmlm.bayes.sampling.posterior_dataset import posterior_dataset  # xarray

        try:
            own = collapse(density, self.seed)
            found = psis_sample(own, find_peak(own, start), draws=self.draws, seed=self.seed)
        except SamplingError:
            return self._by_nuts(density)
        return posterior_dataset(own, found.points[None])


def statistics_without(design: Design, left_out: BoolArray) -> CrossProducts:
    """Sufficient statistics of a design without some rows, all levels in place.

    Parameters
    ----------
    design : Design
    left_out : (n,) array of bool

    Raises
    ------
    DataError
        If a fixed effect appears in no other row.
    """
    w = np.ones(design.n) if design.weights is None else design.weights
    kept = ~left_out
    if not kept.any():
        raise DataError("no rows are left to learn from")
    X = design.X[kept]
    size = np.linalg.svd(X / np.linalg.norm(design.X, axis=0), compute_uv=False)
    if design.p and (len(size) < design.p or size[-1] <= _RANK * size[0]):
        raise _untold(design)
    with np.errstate(divide="ignore"):  # of their sum of log weights, which is put right
        stats = cross_products(design.with_weights(np.where(kept, w, 0.0)))
    log_w = float(np.log(w[kept]).sum()) if design.weights is not None else 0.0
    return replace(stats, n=int(kept.sum()), sum_log_w=log_w)


def rows_kept(design: Design, left_out: BoolArray) -> Design:
    """A design without some rows, with the same fixed effects.

    Levels of its factors that appear in no other row are dropped.

    Raises
    ------
    DataError
        If a fixed effect, or a group with residuals of its own, appears in no other row.
    """
    if left_out.all():
        raise DataError("no rows are left to learn from")
    rest = without_rows(design, np.flatnonzero(left_out))
    if rest.p < design.p:
        raise _untold(design)
    whole, part = design.residual, rest.residual
    if whole is None or part is None or whole.by is None or part.by is None:
        return rest
    if part.by.max() < whole.by.max():
        raise DataError(
            "these are all rows of a group whose residuals have a correlation of its own"
        )
    return rest


def _untold(design: Design) -> DataError:
    return DataError(
        "without these rows the fixed effects are not all told apart "
        f"({', '.join(design.x_names)}): a level may appear in no other row"
    )
