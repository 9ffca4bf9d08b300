"""The REML or ML criterion as a PyTensor graph.

    phi -> T -> (log|M|, S) -> criterion

Bates et al. (2015) eq. 34 (ML) and 41 (REML): the same numbers as
`nestedmlm.optimum.evaluation.evaluate`, as symbolic variables to compile, differentiate and extend.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.mode import Mode

from nestedmlm.likelihood.criterion import degrees
from nestedmlm.likelihood.ops import Eliminate, profiled_criterion
from nestedmlm.likelihood.plan import Plan, flat_factors
from nestedmlm.statistics.crossproducts import CrossProducts

# The Op does the heavy work, so the graph around it runs as plain Python: nothing to compile,
# and no C compiler needed. Rewrites would cost more than the few nodes they merge.
MODE = Mode(linker="py", optimizer=None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CriterionGraph:
    """Symbolic variables of one model.

    Attributes
    ----------
    phi : vector
        The unbounded covariance parameters, in scaled columns; the graph's only input.
    criterion, logdet, S, r2, v
        As in `nestedmlm.optimum.evaluation.Evaluation`; `criterion` can be differentiated.
    """

    phi: Any
    criterion: Any
    logdet: Any
    S: Any
    r2: Any
    v: Any

    def compiled(self) -> Any:
        """A function of phi that returns the criterion and its gradient."""
        outputs = [self.criterion, pytensor.grad(self.criterion, self.phi)]
        return pytensor.function([self.phi], outputs, mode=MODE)


def criterion_graph(plan: Plan, stats: CrossProducts, REML: bool) -> CriterionGraph:
    """Make the graph of a model's criterion."""
    phi = pt.dvector("phi")
    # as arrays: PyTensor would keep a Python float in single precision
    df, reml, constant = (np.asarray(x) for x in degrees(stats, REML))
    logdet, S, *_ = Eliminate(stats)(flat_factors(pt, phi, plan))
    value, r2, v, _ = profiled_criterion(logdet, S, df, reml)
    return CriterionGraph(
        phi=phi, criterion=pt.add(value, constant), logdet=logdet, S=S, r2=r2, v=v
    )
