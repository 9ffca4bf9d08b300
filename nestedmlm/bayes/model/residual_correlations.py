"""Parameters of correlated residuals as a posterior has them: values, ends, and free numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance import Parameter
from nestedmlm.covariance.parameter import ends

if TYPE_CHECKING:
    from nestedmlm.bayes.model.names import ResidualNames
    from nestedmlm.statistics.residual_model import ResidualModel


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrelationParameter:
    """One parameter of the residuals' correlations.

    Attributes
    ----------
    name : str
        Of the posterior's variable.
    parameter : Parameter
        With the ends of its values.
    rate : float or None
        See `nestedmlm.covariance.residual_structures.ResidualStructure`.
    unit : float
        Steps of time of a value; the reported one is of one step, ``value ** (1 / unit)``.
    """

    name: str
    parameter: Parameter
    rate: float | None
    unit: float

    @property
    def ends(self) -> tuple[bool, bool]:
        """Whether its values have a lower and an upper end."""
        return ends(self.parameter)

    def share(self, value: FloatArray) -> FloatArray:
        """The share of the range below a value, of a parameter with two ends."""
        p = self.parameter
        return (value - p.lower) / (p.upper - p.lower)

    def distance(self, value: FloatArray) -> FloatArray:
        """The distance of a value from the only end."""
        return value - self.parameter.lower if self.ends[0] else self.parameter.upper - value

    def value(self, free: float) -> float:
        """The value of a free number, in steps of `unit`; the inverse of `free`."""
        p, (low, high) = self.parameter, self.ends
        if low and high:
            share = 0.5 * (1.0 + np.sin(free))
            if self.rate is not None:
                share = 1.0 / (1.0 + np.exp(-self.rate * free))
            return float(p.lower + (p.upper - p.lower) * share)
        if low:
            return float(p.lower + np.exp(free))
        return float(p.upper - np.exp(free)) if high else free

    def free(self, reported: FloatArray) -> FloatArray:
        """The free numbers of reported values."""
        value = reported**self.unit if self.unit != 1.0 else reported
        if not any(self.ends):
            return value
        if not all(self.ends):
            return np.log(self.distance(value))
        share = self.share(value)
        if self.rate is None:
            return np.arcsin(2.0 * share - 1.0)
        return (np.log(share) - np.log1p(-share)) / self.rate


def correlation_parameters(
    names: ResidualNames, model: ResidualModel
) -> tuple[tuple[CorrelationParameter, ...], ...]:
    """The parameters of each group of blocks; none of an unstructured matrix."""
    structure = model.structure
    if structure is None:
        return ()
    out = []
    for group, part in zip(names.groups, model.correlations, strict=True):
        unit = 1.0 if structure.whole_gaps else float(getattr(part, "unit", 1.0))
        own = structure.ends(model.levels_of(part))
        out.append(
            tuple(
                CorrelationParameter(name=name, parameter=p, rate=structure.rate, unit=unit)
                for name, p in zip(group.parameters, own, strict=True)
            )
        )
    return tuple(out)
