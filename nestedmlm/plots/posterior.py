"""Posteriors, drawn by ArviZ (layer 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nestedmlm.errors import OptionError
from nestedmlm.posterior.summaries import list_parameters, parameter_draws


def posterior(fit: Any, names: Sequence[str] | None = None, *, kind: str = "dist") -> Any:
    """Draw marginal posteriors, traces or pairs with ArviZ.

    ``fit.data`` goes into every other function of ArviZ as it is.

    Parameters
    ----------
    fit : BayesFit
    names : sequence of str, optional
        Parameters as ``fit.parameters()`` names them; by default all of these.
    kind : {"dist", "trace", "rank", "forest", "pair"}
        ``arviz.plot_dist``, ``plot_trace_dist``, ``plot_rank``, ``plot_forest``, ``plot_pair``.

    Returns
    -------
    arviz PlotCollection

    Raises
    ------
    OptionError
        If the fit has no draws, or `kind` or a name is unknown.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> fit = model.sample(sampler="psis", draws=100, seed=1)
    >>> collection = nm.plots.posterior(fit, ["Intercept", "sigma"])
    >>> len(collection.viz["figure"].item().axes)
    2
    """
    import arviz

    if not hasattr(fit, "data"):
        raise OptionError("only a BayesFit has a posterior; make one with fit.sample()")
    if kind not in KINDS:
        raise OptionError(f"kind={kind!r} is unknown; known: {', '.join(KINDS)}")
    known = {p.name: p for p in list_parameters(fit.design)}
    chosen = list(known) if names is None else [str(name) for name in names]
    missing = [name for name in chosen if name not in known]
    if missing:
        raise OptionError(f"no parameter {', '.join(missing)}; there are: {', '.join(known)}")
    # one variable each: a correlation matrix would show its constant diagonal too
    draws = {name: parameter_draws(fit.data, known[name]) for name in chosen}
    draw = getattr(arviz, KINDS[kind])
    collection = draw(arviz.from_dict({"posterior": draws}), backend="matplotlib")
    collection.viz["figure"].item().set_layout_engine("constrained")  # no title on a tick label
    return collection


KINDS = {
    "dist": "plot_dist",
    "trace": "plot_trace_dist",
    "rank": "plot_rank",
    "forest": "plot_forest",
    "pair": "plot_pair",
}
