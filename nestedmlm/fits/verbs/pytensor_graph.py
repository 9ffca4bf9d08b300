"""The criterion of a model as a PyTensor graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestedmlm.inference.fitted import require_linear
from nestedmlm.likelihood.plan import make_plan
from nestedmlm.statistics.crossproducts import cross_products

if TYPE_CHECKING:
    from nestedmlm.fits.model import Model
    from nestedmlm.optimum.graph import CriterionGraph


def pytensor(model: Model, *, REML: bool = True) -> CriterionGraph:
    """Make the PyTensor graph of the criterion, to compile, differentiate and extend.

    Parameters
    ----------
    REML : bool
        REML criterion (True) or -2 log-likelihood, with beta and sigma profiled out.

    Returns
    -------
    CriterionGraph
        Symbolic ``phi`` (the unbounded covariance parameters in scaled columns, the only input),
        ``criterion``, ``logdet``, ``S``, ``r2`` and ``v``; ``compiled()`` gives a function of phi
        that returns the criterion and its exact gradient.

    Raises
    ------
    OptionError
        For generalized models.
    ResidualStructureError
        For residuals that differ or correlate.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> value, gradient = model.pytensor().compiled()([0.8483])
    >>> round(float(value), 3)
    319.654
    """
    from nestedmlm.optimum.graph import criterion_graph

    require_linear(model.family, "the graph of the criterion")
    stats = cross_products(model.design)
    return criterion_graph(make_plan(model.design, stats), stats, REML)
