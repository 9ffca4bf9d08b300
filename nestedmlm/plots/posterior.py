"""Posteriors, drawn by ArviZ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nestedmlm.arguments import checked
from nestedmlm.bayes.model.scalar_parameters import named_parameters
from nestedmlm.errors import OptionError
from nestedmlm.plots import style
from nestedmlm.plots.backend import MAX_WIDTH, panels
from nestedmlm.plots.source import named_parameter
from nestedmlm.posterior.summaries import parameter_draws
from nestedmlm.views.protocols import EitherFit


@checked
def posterior(
    fit: EitherFit,
    names: str | Sequence[str] | None = None,
    *,
    kind: str = "dist",
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Draw marginal posteriors, traces or pairs with ArviZ.

    ``fit.data`` goes into every other function of ArviZ as it is.

    Parameters
    ----------
    fit : BayesFit
    names : str or sequence of str, optional
        Parameters as ``fit.parameters()`` and ``conf_int()`` name them, or as ArviZ does
        (``variable``); by default all of these.
    kind : {"dist", "rank", "trace", "forest", "pair"}
        ``arviz.plot_dist``, ``plot_rank``, ``plot_trace_dist``, ``plot_forest``, ``plot_pair``.
    ax : axes or array of axes, optional
        One for each parameter; with "dist" and "rank". ArviZ arranges the other kinds itself.
    figsize : tuple, optional
        Inches of a new figure.

    Returns
    -------
    matplotlib axes, or an array of them where there are several

    Raises
    ------
    OptionError
        If the fit has no draws, `kind` or a name is unknown, or `ax` does not suit.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> fit = model.sample(sampler="psis", draws=100, seed=1)
    >>> [ax.get_title() for ax in nm.plots.posterior(fit, ["(Intercept)", "sigma"])]
    ['(Intercept)', 'sigma']
    """
    import arviz

    if fit.engine != "posterior":
        raise OptionError("only a BayesFit has a posterior; make one with fit.sample()")
    if kind not in KINDS:
        raise OptionError(f"kind={kind!r} is unknown; known: {', '.join(KINDS)}")
    known = named_parameters(fit.design)
    chosen = named_parameter(names, known)
    # one variable each: a correlation matrix would show its constant diagonal too
    draws = {known[name].name: parameter_draws(fit.data, known[name]) for name in chosen}
    data = arviz.from_dict({"posterior": draws})
    # ArviZ's own names may hold no "/"; titles may
    titles = {known[name].name: name for name in chosen}
    if kind in PANELLED:
        return _in_panels(data, titles, kind, ax, figsize)
    if ax is not None:
        raise OptionError(f"kind={kind!r} arranges its own panels: give figsize, not ax")
    return _arranged(data, titles, kind, figsize)


KINDS = {
    "dist": "plot_dist",
    "rank": "plot_rank",
    "trace": "plot_trace_dist",
    "forest": "plot_forest",
    "pair": "plot_pair",
}
PANELLED = ("dist", "rank")  # one panel for each parameter


def _in_panels(data: Any, titles: dict[str, str], kind: str, ax: Any, figsize: Any) -> Any:
    """Let ArviZ draw into axes that are ours or the caller's."""
    import arviz
    from xarray import Dataset, DataTree

    panel = (3.4, 2.3) if len(titles) > 1 else (5.0, 2.8)
    many = panels(len(titles), ax, columns=3, figsize=figsize, panel=panel)
    holder = np.empty((), dtype=object)
    holder[()] = many[0].figure
    places: dict[str, Any] = {"/": Dataset({"figure": holder}), "plot": {}}
    for index in ("row_index", "col_index"):
        places[index] = {}
    for i, (name, cell) in enumerate(zip(titles, many, strict=True)):
        own = np.empty((), dtype=object)
        own[()] = cell
        places["plot"][name] = own
        places["row_index"][name], places["col_index"][name] = divmod(i, 3)
    tree = {k: v if k == "/" else Dataset(v) for k, v in places.items()}
    collection = arviz.PlotCollection(
        Dataset(data["posterior"]),
        DataTree.from_dict(tree),
        aes={"color": ["chain"], "overlay": ["chain"]} if kind == "rank" else None,
        backend="matplotlib",
    )
    with arviz.rc_context({"stats.round_to": "4g"}):  # two digits would look like other numbers
        getattr(arviz, KINDS[kind])(
            data, plot_collection=collection, backend="matplotlib", labeller=_labeller(titles)
        )
    for cell in many:
        cell.tick_params(labelsize=style.SMALL)
        cell.title.set_fontsize(10)
    return many if len(many) > 1 else many[0]


def _labeller(titles: dict[str, str]) -> Any:
    import arviz

    return arviz.labels.MapLabeller(var_name_map=titles)


def _arranged(data: Any, titles: dict[str, str], kind: str, figsize: Any) -> Any:
    import arviz

    size = figsize or SIZES[kind](len(titles))
    light = {"visuals": {"scatter": {"alpha": 0.15, "size": 6}}} if kind == "pair" else {}
    collection = getattr(arviz, KINDS[kind])(
        data, backend="matplotlib", figure_kwargs={"figsize": size}, labeller=_labeller(titles),
        **light,
    )  # fmt: skip
    figure = collection.viz["figure"].item()
    figure.set_layout_engine("constrained")  # no title on a tick label
    drawn = [cell for cell in figure.axes if cell.get_visible()]
    return np.asarray(drawn, dtype=object) if len(drawn) > 1 else drawn[0]


SIZES: dict[str, Callable[[int], tuple[float, float]]] = {
    "trace": lambda count: (8.0, 1.9 * count),
    "forest": lambda count: (7.0, 0.9 + 0.4 * count),
    "pair": lambda count: (min(2.2 * count, MAX_WIDTH), min(2.2 * count, MAX_WIDTH)),
}
