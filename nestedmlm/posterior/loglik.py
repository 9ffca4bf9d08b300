"""Log-likelihoods for model criticism, as ArviZ wants them."""

from __future__ import annotations

from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.bayes.model.names import OBS_DIM, parameter_names, without_slash
from nestedmlm.design.design import Design
from nestedmlm.posterior.block_density import block_log_density
from nestedmlm.posterior.draws import draw_shape, marginal_draws
from nestedmlm.posterior.left_out_density import left_out_log_density
from nestedmlm.posterior.left_out_family_density import unit_log_densities
from nestedmlm.posterior.row_draws import fitted_rows
from nestedmlm.posterior.row_residuals import residual_draws

LARGEST = 60_000_000  # numbers in a stored log-likelihood: half a gigabyte


def fits_in_memory(data: Any, design: Design) -> bool:
    """Whether one number per draw and row may be stored."""
    chains, draws = draw_shape(data)
    return chains * draws * design.n <= LARGEST


def row_log_likelihood(data: Any, design: Design) -> FloatArray:
    """Log-density of each row given its random effects, shape (chains, draws, n).

    Where residuals correlate, given the other rows of its block too.
    """
    rows = fitted_rows(data, design)
    out = np.empty((len(rows.beta), design.n))
    for block in rows.joint_blocks():
        out[:, block] = rows.responses.log_density(design.y[block], rows.eta(block), block)
    return out.reshape(*draw_shape(data), design.n)


def unit_log_likelihood(data: Any, design: Design, units: IntArray) -> FloatArray:
    """Log-density of each unit's rows given the random effects of each draw, (S, U)."""
    rows = row_log_likelihood(data, design).reshape(-1, design.n)
    order = np.argsort(units, kind="stable")
    starts = np.searchsorted(units[order], np.arange(int(units.max()) + 1))
    out: FloatArray = np.add.reduceat(rows[:, order], starts, axis=1)
    return out


def joint_log_likelihood(data: Any, design: Design) -> FloatArray:
    """Log-density of all rows given the random effects, shape (chains, draws)."""
    rows = fitted_rows(data, design)
    total = np.zeros(len(rows.beta))
    for block in rows.joint_blocks():
        total += rows.responses.joint_log_density(design.y[block], rows.eta(block), block)
    return total.reshape(draw_shape(data))


def loo_rows(data: Any, design: Design) -> Any:
    """ArviZ's PSIS leave-one-out of the rows; an ``ELPDData``."""
    from arviz import loo

    if "log_likelihood" in data:
        return loo(data, pointwise=True)
    values = row_log_likelihood(data, design)
    return loo(_tree(data, values, OBS_DIM, list(range(design.n))), pointwise=True)


def loo_integrated_rows(data: Any, design: Design, *, max_draws: int | None) -> Any:
    """PSIS leave-one-out of the rows by their densities given the others; an ``ELPDData``."""
    labels = list(range(design.n))
    return _loo_units(data, design, np.arange(design.n), OBS_DIM, labels, max_draws)


def loo_groups(data: Any, design: Design, f: int, *, max_draws: int | None) -> Any:
    """PSIS leave-one-group-out by the groups' marginal likelihoods; an ``ELPDData``."""
    factor = design.factors[f]
    labels: list[Any] = factor.levels.tolist()
    return _loo_units(data, design, factor.codes, factor_dim(design, f), labels, max_draws)


def loo_blocks(data: Any, design: Design, *, max_draws: int | None) -> Any:
    """PSIS leave-one-out of the blocks of residuals that correlate; an ``ELPDData``."""
    units, dim, labels = block_units(design)
    return _loo_units(data, design, units, dim, labels, max_draws)


def block_units(design: Design) -> tuple[IntArray, str, list[Any]]:
    """The block of each row, of residuals that correlate; their dimension and labels."""
    rows = design.residual
    assert rows is not None
    assert rows.block is not None
    dim = f"{without_slash(rows.block_name)}__factor_dim"
    return rows.block, dim, rows.block_levels.tolist()


def factor_dim(design: Design, f: int) -> str:
    """The dimension of a grouping factor's levels in a posterior."""
    names = parameter_names(design).terms
    return next(
        own.factor_dim for term, own in zip(design.terms, names, strict=True) if term.factor == f
    )


def _loo_units(
    data: Any, design: Design, units: IntArray, dim: str, labels: list[Any], most: int | None
) -> Any:
    from arviz import loo

    chains, draws = draw_shape(data)
    kept = _thinned(chains, draws, most)
    chosen = kept.ravel()
    if design.family is not None:
        values = unit_log_densities(data, design, units, chosen=chosen)
    elif (own := residual_draws(data, design)) is None:
        values = left_out_log_density(marginal_draws(data, design, chosen), design, units)
    else:
        drawn = marginal_draws(data, design, chosen)
        values = block_log_density(drawn, own.chosen(chosen), design, units)
    thin = data["posterior"].isel(draw=kept[0])
    tree = _tree({"posterior": thin}, values.reshape(*kept.shape, -1), dim, labels)
    return loo(tree, pointwise=True)


def _thinned(chains: int, draws: int, most: int | None) -> IntArray:
    """Indices of the draws kept, shape (chains, draws kept), evenly spaced."""
    per_chain = draws if most is None else max(1, min(draws, most // chains))
    kept = np.unique(np.linspace(0, draws - 1, per_chain).astype(int))
    chosen: IntArray = np.arange(chains)[:, None] * draws + kept[None, :]
    return chosen


def _tree(data: Any, values: FloatArray, dim: str, labels: list[Any]) -> Any:
    """A DataTree with a log-likelihood and the posterior it belongs to."""
    from xarray import Dataset, DataTree

    chains, draws, _ = values.shape
    coords = {"chain": np.arange(chains), "draw": np.arange(draws), dim: labels}
    own = Dataset({"y": (("chain", "draw", dim), values)}, coords=coords)
    tree = DataTree.from_dict({"log_likelihood": own})
    posterior = data["posterior"]
    # ArviZ reads the relative efficiency of the draws off the posterior
    tree["posterior"] = posterior.copy() if hasattr(posterior, "copy") else posterior
    return tree
