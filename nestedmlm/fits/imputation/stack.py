"""Stacked posteriors: the draws of several imputed data sets as those of one posterior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nestedmlm.errors import OptionError
from nestedmlm.fits.bayes_fit import BayesFit
from nestedmlm.posterior.datatree import STACKED

_OF_ONE = ("log_likelihood", "log_prior")  # groups of the draws given one data set
_STACKED = ("posterior", "sample_stats")  # groups that do not depend on the rows' values


def stacked_posterior(fits: Sequence[BayesFit]) -> BayesFit:
    """Lay the chains of several posteriors side by side.

    Raises
    ------
    OptionError
        For fewer than two, other models, or different numbers of draws (whose data sets would not
        count alike).
    """
    import xarray as xr

    if len(fits) < 2:
        raise OptionError(f"pooling needs the fits of two data sets or more, not {len(fits)}")
    first = fits[0]
    sizes = {(fit.n_chains, fit.n_draws) for fit in fits}
    if len(sizes) > 1:
        raise OptionError("draw as many chains and draws for each data set: they count alike")
    names = [list(fit.parameters().index) for fit in fits]
    if any(own != names[0] for own in names[1:]):
        raise OptionError("the posteriors have different parameters: pool fits of one model")
    tree = xr.DataTree()
    for name, group in first.data.children.items():
        tree[name] = group.copy()
    chains = first.n_chains
    for name in _STACKED:
        if not all(name in fit.data.children for fit in fits):
            continue
        parts = [
            fit.data[name].to_dataset().assign_coords(
                chain=range(k * chains, (k + 1) * chains)
            )
            for k, fit in enumerate(fits)
        ]  # fmt: skip
        tree[name] = xr.DataTree(xr.concat(parts, dim="chain", combine_attrs="override"))
    tree["posterior"].attrs[STACKED] = len(fits)
    for name in _OF_ONE:
        if name in tree.children:
            del tree[name]
    said = (
        f"draws of {len(fits)} imputed data sets, stacked: R-hat and effective draws compare data "
        "sets as if they were chains; see each fit's own"
    )
    return replace(first, data=tree, messages=(*first.messages, said))
